//! The rules that steps add to an HTTPRoute before the user's own.
//!
//! - A header route is a copy of each managed rule with its filters and timeouts, whose matches ask for the headers too, and
//!   whose only backend is the canary Service. A more specific match wins in the Gateway API, whatever the order.
//! - A mirror route is a copy of each managed rule, narrowed to the requests that are to be copied, with a `RequestMirror`
//!   filter that names the canary Service. Its backends are split like those of the rule.
//!
//! A rule is ours where its name is that of a managed route and it sends traffic to our pair. A CRD older than rule names drops
//! them. Then no rule has a name, and ours are those of the first rules whose matches are in the record of what we wrote, an
//! annotation.

use serde_json::{Map, Value, json};

use super::{Config, Route, Rule};
use crate::{
    Moving, RouterProblem,
    managed_route::{
        Both, HeaderMatch, ManagedKind, ManagedRoute, RequestMatch, TextMatch, is_rule_name, narrowed, rule_name,
    },
    object::{annotation, managed_routes_annotation},
    registry::Pair,
    routers::{backend_weights::Role, gateway_config::is_subdomain},
};

/// Rules of a route, as its CRD admits.
const MAX_RULES: usize = 16;
/// Matches of a rule. CRDs before Gateway API 1.2 admit 8, and refuse the write themselves.
const MAX_MATCHES: usize = 64;
/// Matches of all rules of a route together.
const MAX_ALL_MATCHES: usize = 128;
/// Headers of a match.
const MAX_HEADERS: usize = 16;
/// Filters of a rule.
const MAX_FILTERS: usize = 16;
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// The patch after which exactly the wanted managed routes stand before the user's rules, in this order, and no others of ours;
/// `None` where it is so. It records `moving`, as requests by header are traffic too.
///
/// Weights are left as they are: a mirror route gets those that its rule has.
pub fn edit_managed_routes(
    config: &Config,
    object: &Value,
    pair: Pair<'_>,
    wanted: &[ManagedRoute],
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    let route = Route::read(config, object, pair)?;
    let list = route.reader.list(object.pointer("/spec/rules"), "spec.rules")?;
    let of = |ours: bool| route.rules.iter().filter(move |rule| rule.is_ours == ours);
    let present: Vec<&Value> = of(true).map(|rule| &list[rule.index]).collect();
    let built = if wanted.is_empty() {
        vec![]
    } else {
        route.build(config, list, wanted)?
    };
    let record = record(&built);
    let first = of(true).enumerate().all(|(at, rule)| at == rule.index);
    let is_recorded = annotation(object, &managed_routes_annotation(pair)) == record.as_deref();
    if first && is_recorded && is_same(&route, &present, &built)? {
        return Ok(None);
    }
    let users = of(false).map(|rule| list[rule.index].clone());
    let rules: Vec<Value> = built.iter().cloned().chain(users).collect();
    if !built.is_empty() {
        route.check_limits(&rules)?;
    }
    let mut patch = route.reader.record(object, moving)?;
    patch["metadata"]["annotations"][managed_routes_annotation(pair)] = json!(record);
    if rules != list {
        patch["spec"] = json!({ "rules": rules });
    }
    Ok(Some(patch))
}

/// Which rules are ours, by index.
pub(super) fn ours(config: &Config, object: &Value, pair: Pair<'_>, rules: &[Rule]) -> Vec<usize> {
    let by_name = |rule: &&Rule| {
        let name = rule.name.as_deref();
        name.is_some_and(|name| is_rule_name(name, &config.managed_routes)) && rule.backends.names_either()
    };
    let named: Vec<usize> = rules.iter().filter(by_name).map(|rule| rule.index).collect();
    if rules.iter().any(|rule| rule.name.is_some()) || config.managed_routes.is_empty() {
        return named;
    }
    let recorded: Vec<Value> = annotation(object, &managed_routes_annotation(pair))
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let matches = |rule: &Rule| object.pointer(&format!("/spec/rules/{}/matches", rule.index)).cloned();
    let is_recorded = |rule: &&Rule| {
        let matches = matches(rule).map(|matches| defaulted_matches(&matches));
        rule.backends.has(Role::Canary)
            && recorded
                .iter()
                .any(|record| record.get("matches").map(defaulted_matches) == matches)
    };
    let first = rules.iter().take(recorded.len());
    first.filter(is_recorded).map(|rule| rule.index).collect()
}

impl Route<'_> {
    fn build(&self, config: &Config, list: &[Value], wanted: &[ManagedRoute]) -> Result<Vec<Value>, RouterProblem> {
        let sources: Vec<&Rule> = self.managed(&config.rules, false)?;
        let sources: Vec<&Rule> = sources.into_iter().filter(|rule| !rule.is_ours).collect();
        let mut built = vec![];
        for managed in wanted {
            self.check_name(config, &managed.name)?;
            let mut nth = 0;
            for source in &sources {
                let path = format!("spec.rules[{}]", source.index);
                if let Some(mut rule) = self.narrow(&list[source.index], managed, &path)? {
                    self.send(&mut rule, source, managed, &path)?;
                    let name = json!(rule_name(&managed.name, nth));
                    rule.insert("name".to_owned(), name);
                    built.push(Value::Object(rule));
                    nth += 1;
                }
            }
            if nth == 0 {
                let problem = format!(
                    "no request that it splits can match the managed route `{}`",
                    managed.name
                );
                return Err(self.reader.problem("spec.rules", problem));
            }
        }
        Ok(built)
    }

    fn check_name(&self, config: &Config, name: &str) -> Result<(), RouterProblem> {
        let taken = |rule: &&Rule| !rule.is_ours && rule.name.as_deref() == Some(name);
        let problem = if !is_subdomain(name) {
            format!("`{name}` of managedRoutes is no name for a rule: use small letters, digits, `-` and `.`")
        } else if config.rules.iter().any(|rule| rule == name) {
            format!(
                "`{name}` is both a rule whose weights are managed and a managed route: give one of the two another name"
            )
        } else if let Some(rule) = self.rules.iter().find(taken) {
            let index = rule.index;
            format!(
                "`{name}` of managedRoutes is the name of rule {index}, which does not belong to this Rollout: use another"
            )
        } else {
            return Ok(());
        };
        Err(self.reader.problem("spec.rules", problem))
    }

    /// A copy of a managed rule with narrower matches; `None` where nothing can match.
    fn narrow(
        &self,
        source: &Value,
        managed: &ManagedRoute,
        path: &str,
    ) -> Result<Option<Map<String, Value>>, RouterProblem> {
        let mut rule = self.reader.object(source, path)?.clone();
        let path = format!("{path}.matches");
        let conditions = self.reader.list(source.get("matches"), &path)?;
        let narrow = |condition: &Value, request: &RequestMatch| {
            let fields = self.reader.object(condition, &path)?;
            narrow_match(fields, request).map_err(|text| {
                let name = &managed.name;
                self.reader.problem(
                    &path,
                    format!("cannot be narrowed to the managed route `{name}`: {text}"),
                )
            })
        };
        let matches = narrowed(conditions, &managed.requests(), narrow)?;
        if matches.is_empty() {
            return Ok(None);
        }
        rule.insert("matches".to_owned(), Value::Array(matches));
        Ok(Some(rule))
    }

    /// Sends the copy of a managed rule where the managed route says.
    fn send(
        &self,
        rule: &mut Map<String, Value>,
        source: &Rule,
        managed: &ManagedRoute,
        path: &str,
    ) -> Result<(), RouterProblem> {
        let is_canary = |index: &usize| source.backends.0[*index].role == Role::Canary;
        let canary = (0..source.backends.0.len())
            .find(is_canary)
            .expect("a managed rule names the canary");
        let mut canary = rule["backendRefs"][canary].clone();
        match &managed.kind {
            ManagedKind::Header { .. } => {
                canary["weight"] = json!(1);
                rule.insert("backendRefs".to_owned(), json!([canary]));
            }
            ManagedKind::Mirror { percentage, .. } => {
                let mut reference = json!({ "group": "", "kind": "Service", "name": self.reader.pair.canary });
                if let Some(port) = canary.get("port") {
                    reference["port"] = port.clone();
                }
                let mut mirror = json!({ "backendRef": reference });
                // All is the default, and older CRDs know no percentage.
                if *percentage < 100 {
                    mirror["percent"] = json!(percentage);
                }
                let filters = self.reader.list(rule.get("filters"), &format!("{path}.filters"))?;
                let mut filters = filters.to_vec();
                filters.push(json!({ "type": "RequestMirror", "requestMirror": mirror }));
                rule.insert("filters".to_owned(), Value::Array(filters));
            }
        }
        Ok(())
    }

    fn check_limits(&self, rules: &[Value]) -> Result<(), RouterProblem> {
        let size = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).map_or(0, Vec::len);
        let check = |path: String, what: &str, count: usize, most: usize| {
            let problem = format!(
                "would have {count} {what} with the managed routes, and the Gateway API admits {most}: have fewer of them, \
                 or fewer managed routes"
            );
            if count > most {
                Err(self.reader.problem(path, problem))
            } else {
                Ok(())
            }
        };
        check("spec.rules".to_owned(), "rules", rules.len(), MAX_RULES)?;
        let all = rules.iter().map(|rule| size(rule, "matches").max(1)).sum();
        check("spec.rules".to_owned(), "matches in all rules", all, MAX_ALL_MATCHES)?;
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("spec.rules[{index}]");
            check(format!("{path}.matches"), "matches", size(rule, "matches"), MAX_MATCHES)?;
            check(format!("{path}.filters"), "filters", size(rule, "filters"), MAX_FILTERS)?;
            let matches = rule.get("matches").and_then(Value::as_array);
            for (at, one) in matches.into_iter().flatten().enumerate() {
                check(
                    format!("{path}.matches[{at}].headers"),
                    "headers",
                    size(one, "headers"),
                    MAX_HEADERS,
                )?;
            }
        }
        Ok(())
    }
}

/// A match of a rule and a condition of a managed route in one; `None` where nothing fulfils both.
fn narrow_match(fields: &Map<String, Value>, request: &RequestMatch) -> Result<Option<Value>, String> {
    let mut fields = fields.clone();
    let path = fields.get("path").cloned().unwrap_or_else(default_path);
    let path = match &request.path {
        None => Some(path),
        Some(wanted) => narrow_path(&path, wanted)?,
    };
    let Some(path) = path else { return Ok(None) };
    fields.insert("path".to_owned(), path);
    if let Some(method) = &request.method {
        let TextMatch::Exact(method) = method else {
            return Err("the Gateway API matches whole methods only: use `exact`".to_owned());
        };
        if !METHODS.contains(&method.as_str()) {
            return Err(format!("`{method}` is not a method that the Gateway API knows"));
        }
        if fields.get("method").is_some_and(|present| present != method) {
            return Ok(None);
        }
        fields.insert("method".to_owned(), json!(method));
    }
    let mut headers = fields
        .get("headers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for header in &request.headers {
        if !add_header(&mut headers, header)? {
            return Ok(None);
        }
    }
    if !headers.is_empty() {
        fields.insert("headers".to_owned(), Value::Array(headers));
    }
    Ok(Some(Value::Object(fields)))
}

/// Adds a condition on a header; false where no request fulfils it together with those that are there.
fn add_header(headers: &mut Vec<Value>, wanted: &HeaderMatch) -> Result<bool, String> {
    let (kind, text) = match &wanted.value {
        TextMatch::Exact(text) => ("Exact", text.clone()),
        TextMatch::Regex(text) => ("RegularExpression", text.clone()),
        TextMatch::Prefix(text) => ("RegularExpression", beginning_with(text)),
    };
    let is_same_name = |header: &&Value| {
        let name = header.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name.eq_ignore_ascii_case(&wanted.name))
    };
    let Some(present) = headers.iter().find(is_same_name) else {
        headers.push(json!({ "type": kind, "name": wanted.name, "value": text }));
        return Ok(true);
    };
    let present_kind = present.get("type").and_then(Value::as_str).unwrap_or("Exact");
    let present_text = present.get("value").and_then(Value::as_str).unwrap_or_default();
    let both = match (present_kind, &wanted.value) {
        _ if (present_kind, present_text) == (kind, text.as_str()) => return Ok(true),
        ("Exact", wanted) => TextMatch::Exact(present_text.to_owned()).and(wanted),
        _ => Both::Unclear,
    };
    match both {
        // Present and exact, it is the narrower one already.
        Both::One(_) => Ok(true),
        Both::Never => Ok(false),
        Both::Unclear => Err(format!("both ask for the header `{}` in different ways", wanted.name)),
    }
}

/// A regular expression for texts with this beginning, whether it must match the whole text or a part.
fn beginning_with(text: &str) -> String {
    let mut expression = String::from("^");
    for char in text.chars() {
        if "\\.+*?()|[]{}^$".contains(char) {
            expression.push('\\');
        }
        expression.push(char);
    }
    expression.push_str(".*$");
    expression
}

fn default_path() -> Value {
    json!({ "type": "PathPrefix", "value": "/" })
}

fn narrow_path(present: &Value, wanted: &TextMatch) -> Result<Option<Value>, String> {
    let text =
        |field: &str, default: &'static str| present.get(field).and_then(Value::as_str).unwrap_or(default).to_owned();
    let present = (text("type", "PathPrefix"), text("value", "/"));
    let wanted = match wanted {
        TextMatch::Exact(text) => ("Exact", text),
        TextMatch::Prefix(text) => ("PathPrefix", text),
        TextMatch::Regex(text) => ("RegularExpression", text),
    };
    let wanted = (wanted.0.to_owned(), wanted.1.clone());
    // Prefixes are of whole parts: `/a` is one of `/a` and `/a/b`, not of `/ab`.
    let lies_in = |path: &str, prefix: &str| {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let path = |(kind, value): &(String, String)| Ok(Some(json!({ "type": kind, "value": value })));
    match (
        (present.0.as_str(), present.1.as_str()),
        (wanted.0.as_str(), wanted.1.as_str()),
    ) {
        (a, b) if a == b => path(&wanted),
        (("PathPrefix", "/"), _) => path(&wanted),
        (_, ("PathPrefix", "/")) => path(&present),
        (("Exact" | "PathPrefix", inner), ("PathPrefix", prefix)) if lies_in(inner, prefix) => path(&present),
        (("PathPrefix", prefix), ("Exact" | "PathPrefix", inner)) if lies_in(inner, prefix) => path(&wanted),
        (("RegularExpression", _), _) | (_, ("RegularExpression", _)) => Err(format!(
            "the path {} `{}` and the path {} `{}` cannot be asked for at once",
            present.0, present.1, wanted.0, wanted.1
        )),
        _ => Ok(None),
    }
}

/// What is written of our rules beside them, in their order: names and matches, and percentages of mirrors.
fn record(rules: &[Value]) -> Option<String> {
    let entry = |rule: &Value| {
        let mut entry = json!({ "name": rule["name"], "matches": rule["matches"] });
        let filters = rule.get("filters").and_then(Value::as_array);
        if let Some(percent) = filters.and_then(|filters| filters.last()?.pointer("/requestMirror/percent")) {
            entry["percent"] = percent.clone();
        }
        entry
    };
    let entries: Vec<Value> = rules.iter().map(entry).collect();
    (!entries.is_empty()).then(|| Value::Array(entries).to_string())
}

/// Whether the rules that are there are those that were built (and, by the record, written), defaults and names that a CRD
/// dropped aside.
fn is_same(route: &Route<'_>, present: &[&Value], built: &[Value]) -> Result<bool, RouterProblem> {
    if present.len() != built.len() {
        return Ok(false);
    }
    let nameless = route.rules.iter().all(|rule| rule.name.is_none());
    let unnamed = |rule: &Value| without(rule, "name");
    for (at, (present, built)) in present.iter().zip(built).enumerate() {
        let (present, built) = (defaulted(present), defaulted(built));
        let (present, built) = if nameless {
            (unnamed(&present), unnamed(&built))
        } else {
            (present, built)
        };
        if present == built {
            continue;
        }
        if present == without_percent(&built) {
            let path = format!("spec.rules[{at}].filters");
            let problem = "the CRD of the cluster has dropped `percent` of the mirror, so that all requests are copied: install \
                           Gateway API 1.3 or newer, or copy 100 percent";
            return Err(route.reader.problem(path, problem));
        }
        return Ok(false);
    }
    Ok(true)
}

fn without(value: &Value, field: &str) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
    value
}

fn without_percent(rule: &Value) -> Value {
    let mut rule = rule.clone();
    let filters = rule.get_mut("filters").and_then(Value::as_array_mut);
    for mirror in filters
        .into_iter()
        .flatten()
        .filter_map(|filter| filter.get_mut("requestMirror"))
    {
        *mirror = without(mirror, "percent");
    }
    rule
}

/// A rule with the defaults that the API server fills in where we write something.
fn defaulted(rule: &Value) -> Value {
    let mut rule = rule.clone();
    if let Some(matches) = rule.get("matches") {
        rule["matches"] = defaulted_matches(matches);
    }
    let backends = rule.get_mut("backendRefs").and_then(Value::as_array_mut);
    for backend in backends.into_iter().flatten().filter_map(Value::as_object_mut) {
        let defaults = [("group", json!("")), ("kind", json!("Service")), ("weight", json!(1))];
        for (field, default) in defaults {
            backend.entry(field).or_insert(default);
        }
    }
    rule
}

fn defaulted_matches(matches: &Value) -> Value {
    let mut matches = matches.clone();
    for one in matches
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        one.entry("path").or_insert_with(default_path);
        let headers = one.get_mut("headers").and_then(Value::as_array_mut);
        for header in headers.into_iter().flatten().filter_map(Value::as_object_mut) {
            header.entry("type").or_insert(json!("Exact"));
        }
    }
    matches
}
