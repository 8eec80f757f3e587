//! The two forms in which a Rollout names the routes of the Gateway API: our own `trafficRouting.gatewayApi`, and the
//! configuration of Argo's plugin, `trafficRouting.plugins["argoproj-labs/gatewayAPI"]`.
//!
//! Nothing is passed over in silence: a field that has no effect here is either one whose wish is met anyway, or a problem.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{Router, routers::http_route::Config};

/// A field path below the configuration, and what is wrong and would be right there.
pub(crate) type Problem = (String, String);

/// Which of the two forms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Extension,
    Plugin,
}

/// What a field of the configuration is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Read by us.
    Read,
    /// A text that only says where the plugin keeps its own notes. We keep none.
    Notes,
    /// A switch for routes that a setHeaderRoute step adds. Without such a step it changes nothing, and the step itself is a
    /// problem of its own.
    HeaderRoutes,
    /// True asks for no label on routes, and we write none. False asks for one.
    NoLabel,
    /// Asks for something that we do not do yet.
    Later,
}

const EXTENSION_FIELDS: &[(&str, Use)] = &[
    ("httpRoute", Use::Read),
    ("httpRoutes", Use::Read),
    ("namespace", Use::Read),
    ("rules", Use::Read),
    ("grpcRoute", Use::Later),
    ("grpcRoutes", Use::Later),
    ("tcpRoute", Use::Later),
    ("tcpRoutes", Use::Later),
    ("tlsRoute", Use::Later),
    ("tlsRoutes", Use::Later),
];

const PLUGIN_FIELDS: &[(&str, Use)] = &[
    ("httpRoute", Use::Read),
    ("httpRoutes", Use::Read),
    ("namespace", Use::Read),
    ("configMap", Use::Notes),
    ("skipManagedRoutesOnSetWeight", Use::HeaderRoutes),
    ("disableInProgressLabel", Use::NoLabel),
    ("inProgressLabelKey", Use::Later),
    ("inProgressLabelValue", Use::Later),
    ("grpcRoute", Use::Later),
    ("grpcRoutes", Use::Later),
    ("tcpRoute", Use::Later),
    ("tcpRoutes", Use::Later),
    ("tlsRoute", Use::Later),
    ("tlsRoutes", Use::Later),
    ("httpRouteSelector", Use::Later),
    ("grpcRouteSelector", Use::Later),
    ("tcpRouteSelector", Use::Later),
    ("tlsRouteSelector", Use::Later),
];

const EXTENSION_ROUTE_FIELDS: &[(&str, Use)] = &[("name", Use::Read), ("rules", Use::Read)];
const PLUGIN_ROUTE_FIELDS: &[(&str, Use)] = &[("name", Use::Read), ("useHeaderRoutes", Use::HeaderRoutes)];

/// The routers that a configuration names, in the order of `httpRoutes` and then `httpRoute`, or all its problems.
pub(crate) fn routers(config: &Value, form: Form) -> Result<Vec<Router>, Vec<Problem>> {
    let mut reader = Reader { form, problems: vec![] };
    let routers = reader.config(config);
    if reader.problems.is_empty() {
        Ok(routers)
    } else {
        Err(reader.problems)
    }
}

struct Reader {
    form: Form,
    problems: Vec<Problem>,
}

impl Reader {
    fn config(&mut self, config: &Value) -> Vec<Router> {
        let Some(fields) = config.as_object() else {
            self.problem("", "is not an object: write `httpRoute: <name>` in it");
            return vec![];
        };
        let known = if self.form == Form::Plugin {
            PLUGIN_FIELDS
        } else {
            EXTENSION_FIELDS
        };
        self.check_fields(fields, known, "");
        let namespace = self.name(fields, "namespace", "", is_label);
        let mut routes = self.list_of_routes(fields);
        let rules = self.rule_names(fields, "");
        if let Some(name) = self.name(fields, "httpRoute", "", is_subdomain) {
            routes.push(("httpRoute".to_owned(), name, rules));
        } else if !rules.is_empty() && is_absent(fields.get("httpRoute")) {
            self.problem(
                "rules",
                "names rules of `httpRoute`, which is missing: set it, or use `httpRoutes[].rules`",
            );
        }
        if routes.is_empty() && self.problems.is_empty() {
            self.problem(
                "httpRoute",
                "is missing: name the HTTPRoute, or several in `httpRoutes`",
            );
        }
        self.without_repetition(routes)
            .into_iter()
            .map(|(name, rules)| {
                Router::HttpRoute(Config {
                    name,
                    namespace: namespace.clone(),
                    rules,
                    managed_routes: vec![],
                })
            })
            .collect()
    }

    fn list_of_routes(&mut self, fields: &Map<String, Value>) -> Vec<(String, String, Vec<String>)> {
        let list = match fields.get("httpRoutes") {
            None | Some(Value::Null) => return vec![],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.problem(
                    "httpRoutes",
                    "is not a list: write `- name: <HTTPRoute>` for each route",
                );
                return vec![];
            }
        };
        let known = if self.form == Form::Plugin {
            PLUGIN_ROUTE_FIELDS
        } else {
            EXTENSION_ROUTE_FIELDS
        };
        let mut routes = vec![];
        for (index, entry) in list.iter().enumerate() {
            let path = format!("httpRoutes[{index}]");
            let Some(fields) = entry.as_object() else {
                self.problem(&path, "is not an object: write `name: <HTTPRoute>`");
                continue;
            };
            self.check_fields(fields, known, &path);
            if is_absent(fields.get("name")) {
                self.problem(&join(&path, "name"), "is missing: name the HTTPRoute");
            }
            let rules = self.rule_names(fields, &path);
            if let Some(name) = self.name(fields, "name", &path, is_subdomain) {
                routes.push((path, name, rules));
            }
        }
        routes
    }

    /// A route that the plugin's form names twice is one route. In our own form the second place could name other rules.
    fn without_repetition(&mut self, routes: Vec<(String, String, Vec<String>)>) -> Vec<(String, Vec<String>)> {
        let mut seen = BTreeSet::new();
        let mut once = vec![];
        for (path, name, rules) in routes {
            if seen.insert(name.clone()) {
                once.push((name, rules));
            } else if self.form == Form::Extension {
                self.problem(
                    &path,
                    format!("names the HTTPRoute `{name}` a second time: name each route once"),
                );
            }
        }
        once
    }

    fn rule_names(&mut self, fields: &Map<String, Value>, at: &str) -> Vec<String> {
        let list = match fields.get("rules") {
            _ if self.form == Form::Plugin => return vec![],
            None | Some(Value::Null) => return vec![],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.problem(
                    &join(at, "rules"),
                    "is not a list: list the names of the rules to manage",
                );
                return vec![];
            }
        };
        let mut names = vec![];
        for (index, name) in list.iter().enumerate() {
            match name.as_str().filter(|name| is_subdomain(name)) {
                Some(name) => names.push(name.to_owned()),
                None => self.problem(&join(at, &format!("rules[{index}]")), "is not the name of a rule"),
            }
        }
        names
    }

    /// A name where it is set. The plugin takes an empty text as absent.
    fn name(&mut self, fields: &Map<String, Value>, field: &str, at: &str, valid: fn(&str) -> bool) -> Option<String> {
        let value = fields.get(field).filter(|value| !value.is_null())?;
        let text = value.as_str();
        if self.form == Form::Plugin && at.is_empty() && text == Some("") {
            return None;
        }
        let name = text.filter(|text| valid(text));
        if name.is_none() {
            self.problem(
                &join(at, field),
                format!("is {value}: write a name in small letters, digits, `-` and `.`"),
            );
        }
        name.map(str::to_owned)
    }

    fn check_fields(&mut self, fields: &Map<String, Value>, known: &[(&str, Use)], at: &str) {
        for (field, value) in fields {
            let path = join(at, field);
            let Some((_, used)) = known.iter().find(|(name, _)| name == field) else {
                let near = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(field));
                let right = near.map_or_else(|| "remove it".to_owned(), |(name, _)| format!("write `{name}`"));
                self.problem(&path, format!("is not a field of this configuration: {right}"));
                continue;
            };
            match (used, value) {
                (Use::Read, _)
                | (_, Value::Null)
                | (Use::HeaderRoutes, Value::Bool(_))
                | (Use::NoLabel, Value::Bool(true)) => {}
                (Use::Notes, value) if value.is_string() => {}
                (Use::Notes, _) => self.problem(&path, "is not a text"),
                (Use::NoLabel, Value::Bool(false)) => {
                    self.problem(
                        &path,
                        "is false, which asks for a label on routes; that is not supported yet: set it to true",
                    );
                }
                (Use::HeaderRoutes | Use::NoLabel, _) => self.problem(&path, "is neither true nor false"),
                (Use::Later, Value::String(text)) if text.is_empty() => {}
                (Use::Later, Value::Array(list)) if list.is_empty() => {}
                (Use::Later, _) => self.problem(&path, "is not supported yet: remove it"),
            }
        }
    }

    fn problem(&mut self, path: &str, problem: impl Into<String>) {
        self.problems.push((path.to_owned(), problem.into()));
    }
}

pub(super) fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

pub(super) fn join(at: &str, field: &str) -> String {
    if at.is_empty() {
        field.to_owned()
    } else {
        format!("{at}.{field}")
    }
}

/// A name that Kubernetes admits for a route. It becomes part of a URL, so nothing else may pass.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

pub(super) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

fn is_part(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}
