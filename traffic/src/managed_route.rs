//! Routes that steps add before the user's own: by headers to the canary (`setHeaderRoute`), or a copy of some requests for
//! the canary (`setMirrorRoute`).
//!
//! A managed route never catches a request that the user's managed rule would not have caught: it is that rule, narrowed. For
//! each managed rule of the object there is one rule of ours. The first is called as the managed route, a further one
//! `NAME.sluice-2` and so on, because names of rules must differ.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RouterProblem;

/// A field path below the list of steps, and what is wrong there.
pub type StepProblem = (String, String);

/// A route that steps have added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedRoute {
    /// Its name in `trafficRouting.managedRoutes`.
    pub name: String,
    /// What it does.
    pub kind: ManagedKind,
}

/// What a managed route does with the requests that it catches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagedKind {
    /// All of them go to the canary. Every header must match.
    Header {
        /// The headers.
        matches: Vec<HeaderMatch>,
    },
    /// They are split as always, and some are copied for the canary. Answers to copies are thrown away.
    Mirror {
        /// Which requests: those that fulfil one of these.
        matches: Vec<RequestMatch>,
        /// How many of 100 matching requests are copied.
        percentage: u32,
    },
}

/// A header that must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Name of the header, in any case.
    pub name: String,
    /// What its value must be.
    pub value: TextMatch,
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextMatch {
    /// The whole text.
    Exact(String),
    /// The beginning of the text.
    Prefix(String),
    /// A regular expression that the text matches.
    Regex(String),
}

/// Which requests match: those that fulfil every part that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMatch {
    /// HTTP method.
    pub method: Option<TextMatch>,
    /// Path.
    pub path: Option<TextMatch>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
}

/// What two conditions on one text are together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Both {
    /// They are as this one.
    One(TextMatch),
    /// No text fulfils both.
    Never,
    /// That cannot be said in one condition.
    Unclear,
}

impl ManagedRoute {
    /// The managed routes that hold after these steps (each the JSON of one step of `canary.steps`), in the order of
    /// `managedRoutes`. A later step with the same name replaces an earlier one, and one without a match takes it away.
    ///
    /// The error has every problem, with paths like `[2].setHeaderRoute.match[0].headerValue`.
    pub fn after<'s>(
        steps: impl IntoIterator<Item = &'s Value>,
        managed_routes: &[String],
    ) -> Result<Vec<ManagedRoute>, Vec<StepProblem>> {
        let mut found: Vec<ManagedRoute> = vec![];
        let mut problems = vec![];
        for (index, step) in steps.into_iter().enumerate() {
            let set = [("setHeaderRoute", Form::Header), ("setMirrorRoute", Form::Mirror)];
            for (field, form) in set {
                let Some(value) = step.get(field).filter(|value| !value.is_null()) else {
                    continue;
                };
                let mut reader = StepReader { problems: vec![] };
                let path = format!("[{index}].{field}");
                let (name, kind) = reader.step(value, form, &path);
                if !managed_routes.contains(&name) {
                    let text = "Steps define a route that does not exist in \
                                spec.strategy.canary.trafficRouting.managedRoutes";
                    reader.problem(format!("{path}.name"), text);
                }
                problems.append(&mut reader.problems);
                found.retain(|route| route.name != name);
                found.extend(kind.map(|kind| ManagedRoute { name, kind }));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        found.sort_by_key(|route| managed_routes.iter().position(|name| *name == route.name));
        Ok(found)
    }

    /// Which requests it catches, of those that a managed rule catches.
    pub(crate) fn requests(&self) -> Vec<RequestMatch> {
        match &self.kind {
            ManagedKind::Header { matches } => vec![RequestMatch {
                headers: matches.clone(),
                ..RequestMatch::default()
            }],
            ManagedKind::Mirror { matches, .. } => matches.clone(),
        }
    }
}

impl TextMatch {
    /// What both together are.
    pub(crate) fn and(&self, other: &TextMatch) -> Both {
        use TextMatch::{Exact, Prefix, Regex};
        let one = |text: &TextMatch, fits: bool| if fits { Both::One(text.clone()) } else { Both::Never };
        match (self, other) {
            (a, b) if a == b => one(a, true),
            (Exact(_), Exact(_)) => Both::Never,
            (Exact(text), Prefix(prefix)) => one(self, text.starts_with(prefix.as_str())),
            (Prefix(prefix), Exact(text)) => one(other, text.starts_with(prefix.as_str())),
            (Prefix(a), Prefix(b)) if a.len() >= b.len() => one(self, a.starts_with(b.as_str())),
            (Prefix(a), Prefix(b)) => one(other, b.starts_with(a.as_str())),
            (Regex(_), _) | (_, Regex(_)) => Both::Unclear,
        }
    }
}

/// The name of our `nth` rule (from 0) for a managed route.
pub(crate) fn rule_name(name: &str, nth: usize) -> String {
    if nth == 0 {
        name.to_owned()
    } else {
        format!("{name}.sluice-{}", nth + 1)
    }
}

/// Whether a rule with this name is one for a managed route with one of these names.
pub(crate) fn is_rule_name(rule: &str, names: &[String]) -> bool {
    names.iter().any(|name| {
        let rest = rule.strip_prefix(name.as_str());
        let number = rest.and_then(|rest| rest.strip_prefix(".sluice-"));
        rest == Some("") || number.is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 1))
    })
}

/// The conditions of a managed rule, each narrowed by each of the requests; combinations that nothing fulfils are left out.
/// `narrow` returns `None` for these. A rule without conditions catches everything.
pub(crate) fn narrowed(
    conditions: &[Value],
    requests: &[RequestMatch],
    narrow: impl Fn(&Value, &RequestMatch) -> Result<Option<Value>, RouterProblem>,
) -> Result<Vec<Value>, RouterProblem> {
    let everything = [Value::Object(serde_json::Map::new())];
    let conditions = if conditions.is_empty() {
        &everything[..]
    } else {
        conditions
    };
    let mut all: Vec<Value> = vec![];
    for condition in conditions {
        for request in requests {
            all.extend(narrow(condition, request)?.filter(|new| !all.contains(new)));
        }
    }
    Ok(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Header,
    Mirror,
}

struct StepReader {
    problems: Vec<StepProblem>,
}

impl StepReader {
    /// The name, and what the route does; nothing where it is taken away or cannot be read.
    fn step(&mut self, value: &Value, form: Form, path: &str) -> (String, Option<ManagedKind>) {
        let name = value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let path = &format!("{path}.match");
        let list = match value.get("match") {
            None | Some(Value::Null) => return (name, None),
            Some(Value::Array(list)) if list.is_empty() => return (name, None),
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.problem(path.clone(), "is not a list");
                return (name, None);
            }
        };
        let before = self.problems.len();
        let kind = if form == Form::Header {
            let header = |(index, value): (usize, &Value)| self.header_match(value, &format!("{path}[{index}]"));
            let matches = list.iter().enumerate().filter_map(header).collect();
            ManagedKind::Header { matches }
        } else {
            let request = |(index, value): (usize, &Value)| self.request(value, &format!("{path}[{index}]"));
            let matches = list.iter().enumerate().map(request).collect();
            let percentage = value.get("percentage").filter(|value| !value.is_null());
            let number = percentage
                .map_or(Some(100), Value::as_u64)
                .filter(|number| *number <= 100);
            if number.is_none() {
                let path = path.replace(".match", ".percentage");
                self.problem(path, "is no whole number from 0 to 100");
            }
            let percentage = number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
            ManagedKind::Mirror { matches, percentage }
        };
        (name, (self.problems.len() == before).then_some(kind))
    }

    fn header_match(&mut self, value: &Value, path: &str) -> Option<HeaderMatch> {
        let name = value.get("headerName").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            self.problem(format!("{path}.headerName"), "is missing: name the header");
        }
        let text = value.get("headerValue").unwrap_or(&Value::Null);
        self.text(text, &format!("{path}.headerValue"))
            .map(|value| HeaderMatch {
                name: name.to_owned(),
                value,
            })
    }

    fn request(&mut self, value: &Value, path: &str) -> RequestMatch {
        let mut part = |field: &str| {
            let value = value.get(field).filter(|value| !value.is_null())?;
            self.text(value, &format!("{path}.{field}"))
        };
        let (method, uri) = (part("method"), part("path"));
        let headers = value.get("headers").and_then(Value::as_object);
        let mut headers: Vec<HeaderMatch> = headers
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let value = self.text(value, &format!("{path}.headers[{name}]"))?;
                Some(HeaderMatch {
                    name: name.clone(),
                    value,
                })
            })
            .collect();
        headers.sort_by(|a, b| a.name.cmp(&b.name));
        RequestMatch {
            method,
            path: uri,
            headers,
        }
    }

    /// An empty text counts as absent, as in the JSON that Go writes.
    fn text(&mut self, value: &Value, path: &str) -> Option<TextMatch> {
        let text = |field: &str| {
            let text = value.get(field).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let set = [
            text("exact").map(TextMatch::Exact),
            text("regex").map(TextMatch::Regex),
            text("prefix").map(TextMatch::Prefix),
        ];
        let mut set = set.into_iter().flatten();
        match (set.next(), set.next()) {
            (Some(one), None) => return Some(one),
            (None, _) => self.problem(
                path.to_owned(),
                "StringMatch value missed, match value must have one of the following: exact, regex, prefix",
            ),
            (Some(_), Some(_)) => self.problem(
                path.to_owned(),
                "StringMatch match value must have exactly one of the following: exact, regex, prefix",
            ),
        }
        None
    }

    fn problem(&mut self, path: String, problem: &str) {
        self.problems.push((path, problem.to_owned()));
    }
}
