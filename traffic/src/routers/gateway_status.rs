//! Whether the controllers behind a Gateway API route have taken it over, from `status.parents`.
//!
//! For every parentRef of the spec at least one controller must have said Accepted and ResolvedRefs for this generation. Entries
//! of parents that are no longer in the spec count for nothing, and so do entries of an older generation: a controller that is
//! gone leaves its last entry behind for ever. Entries that cannot be read count as absent.

use serde_json::{Map, Value};

use crate::{Acknowledgement, object::generation};

/// What a data plane's controller says must be readable on one line, and not fill the status of a Rollout.
const MAX_MESSAGE_CHARS: usize = 300;

/// Reads the acknowledgement of a route in `namespace`. The error is a field path, and what is wrong and would be right there.
pub(super) fn acknowledgement(route: &Value, namespace: &str) -> Result<Acknowledgement, (String, String)> {
    let wanted = parent_refs(route, namespace)?;
    if wanted.is_empty() {
        return Ok(Acknowledgement::Refused(
            "the route has no parentRefs: name the Gateway that is to serve it".to_owned(),
        ));
    }
    let reports: Vec<Report<'_>> = reports(route, namespace);
    let generation = generation(route);
    let mut pending = vec![];
    for parent in &wanted {
        match judge_parent(parent, &reports, generation) {
            Judged::Good => {}
            Judged::Refused(text) => return Ok(Acknowledgement::Refused(text)),
            Judged::Pending(text) => pending.push(text),
        }
    }
    Ok(if pending.is_empty() {
        Acknowledgement::Acknowledged
    } else {
        Acknowledgement::Pending(pending.join("; "))
    })
}

/// A parent of a route with the API's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parent {
    group: String,
    kind: String,
    namespace: String,
    name: String,
    section: Option<String>,
    port: Option<i64>,
}

struct Report<'a> {
    parent: Parent,
    controller: &'a str,
    conditions: &'a [Value],
}

enum Judged {
    Good,
    Refused(String),
    Pending(String),
}

fn parent_refs(route: &Value, namespace: &str) -> Result<Vec<Parent>, (String, String)> {
    let list = match route.pointer("/spec/parentRefs") {
        None | Some(Value::Null) => return Ok(vec![]),
        Some(Value::Array(list)) => list,
        Some(_) => {
            return Err((
                "spec.parentRefs".to_owned(),
                "is not a list: list the Gateways of the route".to_owned(),
            ));
        }
    };
    let parse = |(index, entry): (usize, &Value)| {
        entry
            .as_object()
            .and_then(|entry| Parent::read(entry, namespace))
            .ok_or_else(|| {
                (
                    format!("spec.parentRefs[{index}]"),
                    "is not a reference: it must have at least a name".to_owned(),
                )
            })
    };
    list.iter().enumerate().map(parse).collect()
}

fn reports<'a>(route: &'a Value, namespace: &str) -> Vec<Report<'a>> {
    let list = route.pointer("/status/parents").and_then(Value::as_array);
    let read = |entry: &'a Value| {
        Some(Report {
            parent: Parent::read(entry.get("parentRef")?.as_object()?, namespace)?,
            controller: entry
                .get("controllerName")
                .and_then(Value::as_str)
                .unwrap_or("a controller without a name"),
            conditions: entry
                .get("conditions")
                .and_then(Value::as_array)
                .map_or(&[], Vec::as_slice),
        })
    };
    list.into_iter().flatten().filter_map(read).collect()
}

impl Parent {
    fn read(entry: &Map<String, Value>, namespace: &str) -> Option<Parent> {
        let text = |field: &str| match entry.get(field) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(_) => None,
        };
        Some(Parent {
            group: text("group")?.unwrap_or_else(|| "gateway.networking.k8s.io".to_owned()),
            kind: text("kind")?.unwrap_or_else(|| "Gateway".to_owned()),
            namespace: text("namespace")?.unwrap_or_else(|| namespace.to_owned()),
            name: text("name")?.filter(|name| !name.is_empty())?,
            section: text("sectionName")?,
            port: match entry.get("port") {
                None | Some(Value::Null) => None,
                Some(port) => Some(port.as_i64()?),
            },
        })
    }
}

impl std::fmt::Display for Parent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)?;
        if let Some(section) = &self.section {
            write!(f, " section {section}")?;
        }
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        Ok(())
    }
}

/// One controller that is content is enough; then a refusal weighs more than silence; of the same the first is told.
fn judge_parent(parent: &Parent, reports: &[Report<'_>], generation: i64) -> Judged {
    let mut refused = None;
    let mut pending = None;
    for report in reports.iter().filter(|report| report.parent == *parent) {
        match judge_report(report, generation) {
            Judged::Good => return Judged::Good,
            Judged::Refused(text) => refused = refused.or(Some(format!("{parent}: {text}"))),
            Judged::Pending(text) => pending = pending.or(Some(format!("{parent}: {text}"))),
        }
    }
    let silence = || format!("{parent}: no controller has reported on the route yet");
    refused.map_or_else(|| Judged::Pending(pending.unwrap_or_else(silence)), Judged::Refused)
}

fn judge_report(report: &Report<'_>, generation: i64) -> Judged {
    let controller = clean(report.controller);
    let conditions = || report.conditions.iter().filter_map(Condition::read);
    // PartiallyInvalid: the data plane may go on with an earlier form of a rule, so the new weights cannot be counted on.
    let refusal = conditions().find(|condition| {
        condition.observed >= generation
            && matches!(
                (condition.kind, condition.status),
                ("Accepted" | "ResolvedRefs", "False") | ("PartiallyInvalid", "True")
            )
    });
    if let Some(refusal) = refusal {
        return Judged::Refused(format!("{controller} says {}", refusal.in_words()));
    }
    for kind in ["Accepted", "ResolvedRefs"] {
        let Some(condition) = conditions().find(|condition| condition.kind == kind) else {
            return Judged::Pending(format!("{controller} has not said {kind} yet"));
        };
        if condition.observed < generation {
            let seen = condition.observed_in_words();
            return Judged::Pending(format!(
                "{controller} has seen {seen} and not yet {generation} ({kind})"
            ));
        }
        if condition.status != "True" {
            return Judged::Pending(format!("{controller} says {}", condition.in_words()));
        }
    }
    Judged::Good
}

struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
    observed: i64,
}

impl<'a> Condition<'a> {
    fn read(value: &'a Value) -> Option<Condition<'a>> {
        let text = |field| value.get(field).and_then(Value::as_str);
        Some(Condition {
            kind: text("type")?,
            status: text("status")?,
            reason: text("reason").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            // Without a generation nothing says that it belongs to this one.
            observed: value.get("observedGeneration").and_then(Value::as_i64).unwrap_or(-1),
        })
    }

    fn observed_in_words(&self) -> String {
        if self.observed < 0 {
            "no generation".to_owned()
        } else {
            format!("generation {}", self.observed)
        }
    }

    fn in_words(&self) -> String {
        let mut text = format!("{}={} ({})", self.kind, clean(self.status), clean(self.reason));
        if let Some(words) = reason_in_words(self.reason) {
            text.push_str(": ");
            text.push_str(words);
        }
        if !self.message.is_empty() {
            text.push_str(": ");
            text.push_str(&clean(self.message));
        }
        text
    }
}

/// What the reasons of the Gateway API mean for whoever has to mend the route.
fn reason_in_words(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "RefNotPermitted" => {
            "a backend is in another namespace and no ReferenceGrant there lets this route name it; create one"
        }
        "BackendNotFound" => "a Service that the route names does not exist",
        "InvalidKind" => "a backend is of a kind that this Gateway does not serve",
        "NoMatchingParent" => "the parent has no listener with that port and section",
        "NotAllowedByListeners" => "the listeners of the Gateway do not allow routes of this namespace or kind",
        "NoMatchingListenerHostname" => "no listener of the Gateway has a hostname that fits the route",
        _ => return None,
    })
}

/// On one line and without control characters: the text ends up in terminals.
pub(super) fn clean(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut cleaned: String = chars.by_ref().take(MAX_MESSAGE_CHARS).collect();
    if chars.next().is_some() {
        cleaned.push('…');
    }
    cleaned
}
