//! How a Rollout names its Ingresses: `trafficRouting.nginx`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::routers::{
    gateway_config::{Problem, is_absent, is_subdomain},
    ingress::{Config, canary_name},
};

/// The prefix of the annotations where nothing else is configured.
const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// The canary Ingresses that a configuration asks for, in its order, or all its problems.
pub(crate) fn configs(config: &Value, rollout: &str, max_weight: Option<u32>) -> Result<Vec<Config>, Vec<Problem>> {
    let mut reader = ConfigReader { problems: vec![] };
    let configs = reader.config(config, rollout, max_weight);
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
    fn config(&mut self, config: &Value, rollout: &str, max_weight: Option<u32>) -> Vec<Config> {
        let Some(fields) = config.as_object() else {
            self.problem("", "is not an object: write `stableIngress: <Ingress>` in it");
            return vec![];
        };
        if max_weight == Some(0) {
            self.problem("", "cannot split a maxTrafficWeight of 0: set it to 100 or more");
        }
        let prefix = match fields.get("annotationPrefix") {
            None | Some(Value::Null) => PREFIX.to_owned(),
            Some(Value::String(text)) if text.is_empty() => PREFIX.to_owned(),
            Some(value) => {
                let text = value.as_str().filter(|text| is_subdomain(text));
                if text.is_none() {
                    self.problem(
                        "annotationPrefix",
                        "is not a prefix: write a domain in small letters without `/`",
                    );
                }
                text.unwrap_or_default().to_owned()
            }
        };
        let additional_annotations = self.annotations(fields, "additionalIngressAnnotations");
        let canary_annotations = self.annotations(fields, "canaryIngressAnnotations");
        let stable = self.stable_ingresses(fields);
        let mut seen = BTreeSet::new();
        let mut configs = vec![];
        for (path, stable_ingress) in stable {
            let canary_ingress = canary_name(rollout, &stable_ingress);
            if seen.insert(canary_ingress.clone()) {
                configs.push(Config {
                    stable_ingress,
                    canary_ingress,
                    annotation_prefix: prefix.clone(),
                    additional_annotations: additional_annotations.clone(),
                    canary_annotations: canary_annotations.clone(),
                    max_weight,
                });
            } else {
                let problem =
                    format!("has the same canary Ingress `{canary_ingress}` as one before it: name each Ingress once");
                self.problem(&path, problem);
            }
        }
        configs
    }

    fn stable_ingresses(&mut self, fields: &Map<String, Value>) -> Vec<(String, String)> {
        let one = fields
            .get("stableIngress")
            .filter(|value| !value.is_null() && *value != "");
        let list = match fields.get("stableIngresses") {
            None | Some(Value::Null) => None,
            Some(Value::Array(list)) => Some(list.as_slice()).filter(|list| !list.is_empty()),
            Some(_) => {
                self.problem("stableIngresses", "is not a list: list the names of the Ingresses");
                return vec![];
            }
        };
        let named: Vec<(String, &Value)> = match (one, list) {
            (Some(one), None) => vec![("stableIngress".to_owned(), one)],
            (None, Some(list)) => {
                let path = |index| format!("stableIngresses[{index}]");
                list.iter()
                    .enumerate()
                    .map(|(index, value)| (path(index), value))
                    .collect()
            }
            (one, _) => {
                let what = if one.is_some() { "Both are" } else { "Neither are" };
                let problem = format!("Either StableIngress or StableIngresses must be configured. {what} configured.");
                self.problem("", problem);
                return vec![];
            }
        };
        let mut valid = vec![];
        for (path, value) in named {
            match value.as_str().filter(|name| is_subdomain(name)) {
                Some(name) => valid.push((path, name.to_owned())),
                None => self.problem(
                    &path,
                    format!("is {value}: write a name in small letters, digits, `-` and `.`"),
                ),
            }
        }
        valid
    }

    fn annotations(&mut self, fields: &Map<String, Value>, field: &str) -> BTreeMap<String, String> {
        let map = match fields.get(field) {
            value if is_absent(value) => return BTreeMap::new(),
            Some(Value::Object(map)) => map,
            _ => {
                self.problem(field, "is not an object: write annotations as `name: value`");
                return BTreeMap::new();
            }
        };
        let mut annotations = BTreeMap::new();
        for (name, value) in map {
            match value.as_str() {
                Some(value) => {
                    annotations.insert(name.clone(), value.to_owned());
                }
                None => self.problem(&format!("{field}[{name}]"), "is not a text: put it in quotes"),
            }
        }
        annotations
    }

    fn problem(&mut self, path: &str, problem: impl Into<String>) {
        self.problems.push((path.to_owned(), problem.into()));
    }
}
