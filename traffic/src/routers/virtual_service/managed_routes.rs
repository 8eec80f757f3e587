//! The HTTP routes that steps add to a VirtualService before the user's own. The first route that matches wins in Istio.
//!
//! - A header route is a copy of each managed HTTP route with all its settings, whose match asks for the headers too, and whose
//!   only destination is the canary.
//! - A mirror route is a copy of each managed HTTP route, narrowed to the requests that are to be copied, with `mirror` and
//!   `mirrorPercentage`. Its destinations are split like those of the route.
//!
//! A route is ours where its name is that of a managed route and it sends traffic to our pair. While there are any, an annotation
//! has their names, so that they can be taken away also where the Rollout that names them is gone.

use serde_json::{Map, Value, json};

use super::{Config, Protocol, Route, VirtualService};
use crate::{
    Moving, RouterProblem,
    managed_route::{Both, ManagedKind, ManagedRoute, RequestMatch, TextMatch, narrowed, rule_name},
    object::{annotation, managed_routes_annotation},
    registry::Pair,
    routers::backend_weights::Role,
};

/// The patch after which exactly the wanted managed routes stand before the user's HTTP routes, in this order, and no others of
/// ours; `None` where it is so. It records `moving`, as requests by header are traffic too.
///
/// Weights are left as they are: a mirror route gets those that its route has.
pub fn edit_managed_routes(
    config: &Config,
    object: &Value,
    pair: Pair<'_>,
    wanted: &[ManagedRoute],
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    let service = VirtualService::read(config, object, pair)?;
    let built = if wanted.is_empty() {
        vec![]
    } else {
        service.build(wanted)?
    };
    let http = || service.routes.iter().filter(|route| route.protocol == Protocol::Http);
    let users = http().filter(|route| !route.is_ours).map(|route| route.value);
    let routes: Vec<&Value> = built.iter().chain(users).collect();
    let names: Vec<Value> = built.iter().map(|route| json!({ "name": route["name"] })).collect();
    let record = (!names.is_empty()).then(|| Value::Array(names).to_string());
    let is_recorded = annotation(object, &managed_routes_annotation(pair)) == record.as_deref();
    let is_same = http().map(|route| route.value).eq(routes.iter().copied());
    if is_same && is_recorded {
        return Ok(None);
    }
    let mut patch = service.reader.record(object, moving)?;
    patch["metadata"]["annotations"][managed_routes_annotation(pair)] = json!(record);
    if !is_same {
        patch["spec"] = json!({ "http": routes });
    }
    Ok(Some(patch))
}

impl VirtualService<'_> {
    fn build(&self, wanted: &[ManagedRoute]) -> Result<Vec<Value>, RouterProblem> {
        let managed = self.managed(false)?;
        let is_source = |route: &&&Route<'_>| route.protocol == Protocol::Http && !route.is_ours;
        let sources: Vec<&Route<'_>> = managed.iter().filter(is_source).copied().collect();
        if sources.is_empty() {
            let problem = "header and mirror routes need an HTTP route with the stable and the canary destination";
            return Err(self.reader.problem("spec.http", problem));
        }
        let mut built = vec![];
        for managed in wanted {
            self.check_name(&managed.name)?;
            let mut nth = 0;
            for source in &sources {
                if let Some(mut route) = self.narrow(source, managed)? {
                    self.send(&mut route, source, managed)?;
                    let name = json!(rule_name(&managed.name, nth));
                    route.insert("name".to_owned(), name);
                    built.push(Value::Object(route));
                    nth += 1;
                }
            }
            if nth == 0 {
                let problem = format!(
                    "no request that it splits can match the managed route `{}`",
                    managed.name
                );
                return Err(self.reader.problem("spec.http", problem));
            }
        }
        Ok(built)
    }

    fn check_name(&self, name: &str) -> Result<(), RouterProblem> {
        let taken = |route: &&Route<'_>| route.protocol == Protocol::Http && !route.is_ours && route.name == Some(name);
        let problem = if self.config.routes.iter().any(|route| route == name) {
            format!(
                "`{name}` is both a route whose weights are managed and a managed route: give one of the two another name"
            )
        } else if let Some(route) = self.routes.iter().find(taken) {
            let index = route.index;
            format!(
                "`{name}` of managedRoutes is the name of route {index}, which does not belong to this Rollout: use another"
            )
        } else {
            return Ok(());
        };
        Err(self.reader.problem("spec.http", problem))
    }

    /// A copy of a managed route with a narrower match; `None` where nothing can match.
    fn narrow(&self, source: &Route<'_>, managed: &ManagedRoute) -> Result<Option<Map<String, Value>>, RouterProblem> {
        let mut route = self.reader.object(source.value, &source.path())?.clone();
        let path = format!("{}.match", source.path());
        let conditions = self.reader.list(source.value.get("match"), &path)?;
        let narrow = |condition: &Value, request: &RequestMatch| {
            let fields = self.reader.object(condition, &path)?;
            narrow_match(fields, request).map_err(|what| {
                let name = &managed.name;
                let text = format!("and the managed route `{name}` both ask for the {what} in ways that are not one");
                self.reader.problem(&path, text)
            })
        };
        let conditions = narrowed(conditions, &managed.requests(), narrow)?;
        if conditions.is_empty() {
            return Ok(None);
        }
        let everything = conditions.iter().any(|one| one.as_object().is_some_and(Map::is_empty));
        if everything {
            route.remove("match");
        } else {
            route.insert("match".to_owned(), Value::Array(conditions));
        }
        Ok(Some(route))
    }

    /// Sends the copy of a managed route where the managed route says.
    fn send(
        &self,
        route: &mut Map<String, Value>,
        source: &Route<'_>,
        managed: &ManagedRoute,
    ) -> Result<(), RouterProblem> {
        let backends = &source.backends.0;
        let is_canary = |index: &usize| backends[*index].role == Role::Canary;
        let canary = (0..backends.len())
            .find(is_canary)
            .expect("a managed route names the canary");
        let mut canary = route["route"][canary].clone();
        match &managed.kind {
            ManagedKind::Header { .. } => {
                canary["weight"] = json!(100);
                route.insert("route".to_owned(), json!([canary]));
            }
            ManagedKind::Mirror { percentage, .. } => {
                let has = |field: &&&str| route.get(**field).is_some_and(|value| !value.is_null());
                if let Some(field) = ["mirror", "mirrors"].iter().find(has) {
                    let problem = format!(
                        "is there already, so that the managed route `{}` cannot mirror",
                        managed.name
                    );
                    return Err(self.reader.problem(format!("{}.{field}", source.path()), problem));
                }
                route.insert("mirror".to_owned(), canary["destination"].clone());
                route.insert("mirrorPercentage".to_owned(), json!({ "value": percentage }));
            }
        }
        Ok(())
    }
}

/// A match of a route and a condition of a managed route in one; `None` where nothing fulfils both. The error names what both
/// ask for in ways that cannot be put together.
fn narrow_match(fields: &Map<String, Value>, request: &RequestMatch) -> Result<Option<Value>, String> {
    let mut fields = fields.clone();
    let ignores_case = fields.get("ignoreUriCase") == Some(&json!(true));
    let parts = [("uri", "path", &request.path), ("method", "method", &request.method)];
    for (field, what, wanted) in parts {
        let Some(wanted) = wanted else { continue };
        let is_whole = field == "uri" && fields.get(field) == Some(&json!({ "prefix": "/" }));
        let present = fields.get(field).filter(|value| !value.is_null() && !is_whole);
        let both = match present {
            Some(_) if field == "uri" && ignores_case => Both::Unclear,
            present => both(present, wanted),
        };
        match both {
            Both::One(text) => fields.insert(field.to_owned(), text_match(&text)),
            Both::Never => return Ok(None),
            Both::Unclear => return Err(what.to_owned()),
        };
    }
    let mut headers = fields
        .get("headers")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for wanted in &request.headers {
        let present = headers
            .keys()
            .find(|name| name.eq_ignore_ascii_case(&wanted.name))
            .cloned();
        // Istio wants the names of headers in small letters.
        let name = present.unwrap_or_else(|| wanted.name.to_ascii_lowercase());
        // An empty condition asks only that the header is there.
        let present = headers
            .get(&name)
            .filter(|value| value.as_object().is_none_or(|value| !value.is_empty()));
        match both(present, &wanted.value) {
            Both::One(text) => headers.insert(name, text_match(&text)),
            Both::Never => return Ok(None),
            Both::Unclear => return Err(format!("header `{name}`")),
        };
    }
    if !headers.is_empty() {
        fields.insert("headers".to_owned(), Value::Object(headers));
    }
    Ok(Some(Value::Object(fields)))
}

fn both(present: Option<&Value>, wanted: &TextMatch) -> Both {
    let Some(present) = present else {
        return Both::One(wanted.clone());
    };
    let text = |field: &str| present.get(field).and_then(Value::as_str).map(str::to_owned);
    let one = text("exact").map(TextMatch::Exact);
    let one = one.or_else(|| text("prefix").map(TextMatch::Prefix));
    match one.or_else(|| text("regex").map(TextMatch::Regex)) {
        Some(present) => present.and(wanted),
        None => Both::Unclear,
    }
}

fn text_match(text: &TextMatch) -> Value {
    match text {
        TextMatch::Exact(text) => json!({ "exact": text }),
        TextMatch::Prefix(text) => json!({ "prefix": text }),
        TextMatch::Regex(text) => json!({ "regex": text }),
    }
}
