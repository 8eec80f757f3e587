//! How a Rollout names its VirtualServices: `trafficRouting.istio`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::routers::{
    destination_rule,
    gateway_config::{Problem, is_absent, is_label, is_subdomain, join},
    virtual_service::{API_VERSION, Config, TlsRoute},
};

/// What is said where a Rollout names both `virtualService` and `virtualServices`, or neither.
const ONE_OF: &str = "either VirtualService or VirtualServices must be configured";

/// The VirtualServices that a configuration names, in its order, or all its problems.
pub(crate) fn configs(config: &Value) -> Result<Vec<Config>, Vec<Problem>> {
    let mut reader = ConfigReader { problems: vec![] };
    let configs = reader.config(config);
    if reader.problems.is_empty() {
        Ok(configs)
    } else {
        Err(reader.problems)
    }
}

struct ConfigReader {
    problems: Vec<Problem>,
}

impl ConfigReader {
    fn config(&mut self, config: &Value) -> Vec<Config> {
        let Some(fields) = config.as_object() else {
            self.problem(
                "",
                "is not an object: write `virtualService: {name: <VirtualService>}` in it",
            );
            return vec![];
        };
        let rule = fields.get("destinationRule").filter(|value| !value.is_null());
        let rule = rule.and_then(|value| self.destination_rule(value));
        let one = fields.get("virtualService").filter(|value| !value.is_null());
        let list = match fields.get("virtualServices") {
            None | Some(Value::Null) => None,
            Some(Value::Array(list)) => Some(list.as_slice()).filter(|list| !list.is_empty()),
            Some(_) => {
                self.problem(
                    "virtualServices",
                    "is not a list: write `- name: <VirtualService>` for each",
                );
                return vec![];
            }
        };
        let services: Vec<(String, &Value)> = match (one, list) {
            (Some(one), None) => vec![("virtualService".to_owned(), one)],
            (None, Some(list)) => {
                let path = |index| format!("virtualServices[{index}]");
                list.iter()
                    .enumerate()
                    .map(|(index, value)| (path(index), value))
                    .collect()
            }
            _ => {
                self.problem("", ONE_OF);
                return vec![];
            }
        };
        let mut seen = BTreeSet::new();
        let mut configs = vec![];
        for (path, value) in services {
            let Some(config) = self.virtual_service(value, &path, rule.clone()) else {
                continue;
            };
            if seen.insert((config.namespace.clone(), config.name.clone())) {
                configs.push(config);
            } else {
                let problem = format!(
                    "names the VirtualService `{}` a second time: name each once",
                    config.name
                );
                self.problem(&path, problem);
            }
        }
        configs
    }

    fn virtual_service(&mut self, value: &Value, path: &str, rule: Option<destination_rule::Config>) -> Option<Config> {
        let Some(fields) = value.as_object() else {
            self.problem(path, "is not an object: write `name: <VirtualService>` in it");
            return None;
        };
        let routes = self.list(fields, "routes", path, "the name of a route", |value| {
            value.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
        });
        let tls_routes = self.list(
            fields,
            "tlsRoutes",
            path,
            "a TLS route: set `port`, `sniHosts` or both",
            tls_route,
        );
        let tcp_routes = self.list(fields, "tcpRoutes", path, "a TCP route: set its `port`", |value| {
            port(value.get("port")).filter(|port| *port > 0)
        });
        let (namespace, name) = self.name(fields, path)?;
        Some(Config {
            api_version: API_VERSION.to_owned(),
            name,
            namespace,
            routes,
            tls_routes,
            tcp_routes,
            destination_rule: rule,
            managed_routes: vec![],
        })
    }

    /// Namespace and name, from `name`, `namespace/name` or `name.namespace`. A name with more points is a name alone.
    fn name(&mut self, fields: &Map<String, Value>, path: &str) -> Option<(Option<String>, String)> {
        let path = join(path, "name");
        let Some(value) = fields.get("name").filter(|value| !value.is_null()) else {
            self.problem(&path, "is missing: name the VirtualService");
            return None;
        };
        let text = value.as_str().unwrap_or_default();
        let (namespace, name) = match (text.split_once('/'), text.split_once('.')) {
            (Some((namespace, name)), _) => (Some(namespace), name),
            (None, Some((name, namespace))) if !namespace.contains('.') => (Some(namespace), name),
            _ => (None, text),
        };
        if is_subdomain(name) && namespace.is_none_or(is_label) {
            return Some((namespace.map(str::to_owned), name.to_owned()));
        }
        let problem =
            format!("is {value}: write `name`, `namespace/name` or `name.namespace` in small letters, digits and `-`");
        self.problem(&path, problem);
        None
    }

    fn destination_rule(&mut self, value: &Value) -> Option<destination_rule::Config> {
        let path = "destinationRule";
        let before = self.problems.len();
        let mut name = |field: &str, valid: fn(&str) -> bool| {
            let text = value.get(field).and_then(Value::as_str).filter(|text| valid(text));
            if text.is_none() {
                self.problem(
                    &join(path, field),
                    "is missing, or no name in small letters, digits and `-`",
                );
            }
            text.unwrap_or_default().to_owned()
        };
        let config = destination_rule::Config {
            api_version: API_VERSION.to_owned(),
            name: name("name", is_subdomain),
            stable_subset: name("stableSubsetName", is_label),
            canary_subset: name("canarySubsetName", is_label),
            additional_subsets: vec![],
        };
        if self.problems.len() > before {
            return None;
        }
        if config.stable_subset == config.canary_subset {
            let problem = "is the name of the stable subset too: use two different subsets";
            self.problem(&join(path, "canarySubsetName"), problem);
            return None;
        }
        let additional = value.as_object().map_or_else(Vec::new, |fields| {
            self.list(fields, "additionalSubsetNames", path, "the name of a subset", |value| {
                value.as_str().map(str::to_owned)
            })
        });
        Some(destination_rule::Config {
            additional_subsets: additional,
            ..config
        })
    }

    fn list<T>(
        &mut self,
        fields: &Map<String, Value>,
        field: &str,
        at: &str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Vec<T> {
        let path = join(at, field);
        let list = match fields.get(field) {
            value if is_absent(value) => return vec![],
            Some(Value::Array(list)) => list,
            _ => {
                self.problem(&path, "is not a list");
                return vec![];
            }
        };
        let mut found = vec![];
        for (index, value) in list.iter().enumerate() {
            match read(value) {
                Some(value) => found.push(value),
                None => self.problem(&format!("{path}[{index}]"), format!("is not {what}")),
            }
        }
        found
    }

    fn problem(&mut self, path: &str, problem: impl Into<String>) {
        self.problems.push((path.to_owned(), problem.into()));
    }
}

fn tls_route(value: &Value) -> Option<TlsRoute> {
    let hosts = match value.get("sniHosts") {
        None | Some(Value::Null) => vec![],
        Some(hosts) => hosts
            .as_array()?
            .iter()
            .map(|host| host.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()?,
    };
    let port = Some(port(value.get("port"))?).filter(|port| *port > 0);
    (port.is_some() || !hosts.is_empty()).then_some(TlsRoute { port, sni_hosts: hosts })
}

/// A port, 0 where none is set, as in Go; `None` for what is no port.
fn port(value: Option<&Value>) -> Option<u32> {
    let value = value.filter(|value| !value.is_null());
    let port = value.map_or(Some(0), Value::as_u64)?;
    u32::try_from(port).ok().filter(|port| *port <= 65_535)
}
