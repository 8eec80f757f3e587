//! Manifests as they are applied: with a namespace, without what only a cluster writes, and with what they leave to others.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use sluice_crds::Rollout;
use sluice_machine::references;

use crate::models::Entry;
use crate::store::{Key, Kind, key_of};

/// The namespace of objects that name none, as of a person who has chosen no other.
const NAMESPACE: &str = "default";

/// Objects that a simulation can begin with.
#[derive(Clone, Debug, Default)]
pub struct Completed {
    /// The objects, what a Rollout names before the Rollout.
    pub objects: Vec<Value>,
    /// The Rollouts, and where the requests of each enter.
    pub rollouts: Vec<(Key, Entry)>,
    /// What was made up or passed over, for people.
    pub notes: Vec<String>,
}

/// Makes objects fit to begin with. Services and routes that a Rollout names and that are not there are made up: without them it
/// would do nothing, and what they must look like follows from the Rollout.
pub fn complete(given: Vec<Value>) -> Completed {
    let mut completed = Completed::default();
    let mut passed_over: BTreeSet<String> = BTreeSet::new();
    for mut object in given {
        strip(&mut object);
        match key_of(&object) {
            Ok(_) => completed.objects.push(object),
            Err(_) => {
                passed_over.insert(object["kind"].as_str().unwrap_or("an object without a kind").to_owned());
            }
        }
    }
    if !passed_over.is_empty() {
        let kinds = passed_over.into_iter().collect::<Vec<_>>().join(", ");
        completed
            .notes
            .push(format!("passed over, because they are not simulated: {kinds}"));
    }
    let rollouts: Vec<Rollout> = completed
        .objects
        .iter()
        .filter(|object| object["kind"] == "Rollout")
        .filter_map(|object| Rollout::deserialize(object).ok())
        .collect();
    for rollout in &rollouts {
        let key = Key::new(
            Kind::Rollout,
            namespace(rollout),
            rollout.metadata.name.as_deref().unwrap_or_default(),
        );
        completed.add_missing(&key, rollout);
        let entry = completed.entry(&key, rollout);
        completed.rollouts.push((key, entry));
    }
    // Whoever names comes after what is named, as a person would apply them.
    completed.objects.sort_by_key(|object| object["kind"] == "Rollout");
    completed
}

impl Completed {
    fn has(&self, key: &Key) -> bool {
        self.objects.iter().any(|object| key_of(object).as_ref() == Ok(key))
    }

    fn add(&mut self, key: &Key, spec: Value, why: &str) {
        self.objects.push(json!({
            "apiVersion": key.kind.api_version(), "kind": key.kind.name(),
            "metadata": {"name": &*key.name, "namespace": &*key.namespace}, "spec": spec,
        }));
        self.notes
            .push(format!("made up: {} {}, {why}", key.kind.name(), key.name));
    }

    fn add_missing(&mut self, rollout: &Key, object: &Rollout) {
        let names = references::references(object);
        for name in &names.services {
            let key = rollout.beside(Kind::Service, name);
            if !self.has(&key) {
                let spec = json!({"selector": labels(&self.objects, object), "ports": [{"port": 80}]});
                self.add(&key, spec, &format!("which Rollout {} names", rollout.name));
            }
        }
        let pair = references::pair(object);
        for key in routes(rollout, object) {
            if !pair.stable.is_empty() && !pair.canary.is_empty() && !self.has(&key) {
                let spec = json!({"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": [
                    {"name": pair.stable, "port": 80, "weight": 100}, {"name": pair.canary, "port": 80, "weight": 0},
                ]}]});
                self.add(&key, spec, &format!("which Rollout {} names", rollout.name));
            }
        }
    }

    /// Where the requests of a Rollout enter.
    fn entry(&mut self, rollout: &Key, object: &Rollout) -> Entry {
        let names = references::references(object);
        if let Some(route) = routes(rollout, object).next() {
            return Entry::Route(route);
        }
        let strategy = object.spec.strategy.as_ref();
        if let Some(blue_green) = strategy.and_then(|strategy| strategy.blue_green.as_ref()) {
            return Entry::Service(rollout.beside(Kind::Service, &blue_green.active_service));
        }
        // Without a router, a Service that selects all pods is where requests enter. Those that the Rollout names are not.
        let labels = labels(&self.objects, object);
        let selects = |service: &&Value| {
            let selector = service["spec"]["selector"].as_object();
            service["kind"] == "Service"
                && service["metadata"]["namespace"] == *rollout.namespace
                && !names
                    .services
                    .contains(service["metadata"]["name"].as_str().unwrap_or_default())
                && selector.is_some_and(|selector| {
                    !selector.is_empty() && selector.iter().all(|(label, value)| labels.get(label) == Some(value))
                })
        };
        let found = self
            .objects
            .iter()
            .find(selects)
            .and_then(|service| key_of(service).ok());
        Entry::Service(found.unwrap_or_else(|| {
            let key = rollout.beside(Kind::Service, &format!("{}-simulated", rollout.name));
            let spec = json!({"selector": labels, "ports": [{"port": 80}]});
            self.add(&key, spec, "through which requests reach the pods");
            key
        }))
    }
}

/// The routes of a Rollout that are of a kind that is modelled.
fn routes(key: &Key, rollout: &Rollout) -> impl Iterator<Item = Key> {
    let routers = references::routers(rollout).into_iter();
    routers.filter_map(|router| {
        let object = router.object(&key.namespace);
        let kind = Kind::of(&object.api_version, &object.kind)?;
        Some(Key::new(kind, &object.namespace, &object.name))
    })
}

/// The workload that a Rollout takes its pod template from, among some objects.
pub(super) fn workload<'v>(objects: &'v [Value], rollout: &Rollout) -> Option<&'v Value> {
    let named = sluice_machine::workload::object(rollout)?;
    objects.iter().find(|object| {
        let metadata = &object["metadata"];
        object["kind"] == *named.kind && metadata["name"] == *named.name && metadata["namespace"] == namespace(rollout)
    })
}

/// Labels by which the pods of a Rollout are selected.
fn labels(objects: &[Value], rollout: &Rollout) -> Map<String, Value> {
    let workload = workload(objects, rollout);
    let template = rollout.spec.template.as_ref();
    let template = template.or_else(|| workload?.pointer("/spec/template"));
    let all = template.and_then(|template| template.pointer("/metadata/labels")?.as_object());
    let selector = serde_json::to_value(&rollout.spec.selector).unwrap_or_default();
    let selector = match workload {
        Some(workload) if selector.is_null() => workload["spec"]["selector"].clone(),
        _ => selector,
    };
    let matched = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .filter(|labels| !labels.is_empty());
    matched.or(all).cloned().unwrap_or_default()
}

fn namespace(rollout: &Rollout) -> &str {
    rollout.metadata.namespace.as_deref().unwrap_or(NAMESPACE)
}

/// Puts an object into a namespace, and takes out what a cluster has written into it.
fn strip(object: &mut Value) {
    let kind = Kind::of(
        object["apiVersion"].as_str().unwrap_or_default(),
        object["kind"].as_str().unwrap_or_default(),
    );
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    let Some(metadata) = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut() else {
        return;
    };
    for of_cluster in [
        "resourceVersion",
        "uid",
        "generation",
        "creationTimestamp",
        "managedFields",
        "ownerReferences",
    ] {
        metadata.remove(of_cluster);
    }
    if kind.is_some_and(Kind::is_namespaced) {
        metadata.entry("namespace").or_insert_with(|| json!(NAMESPACE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(strategy: Value) -> Value {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop"}, "spec": {
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {"metadata": {"labels": {"app": "shop", "tier": "web"}}, "spec": {"containers": [{"name": "shop", "image": "shop:v1"}]}},
            "strategy": strategy,
        }})
    }

    fn service(name: &str, selector: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "resourceVersion": "7"}, "spec": {"selector": selector}})
    }

    fn entry(completed: &Completed) -> String {
        match &completed.rollouts[0].1 {
            Entry::Route(key) | Entry::Service(key) => key.to_string(),
        }
    }

    #[test]
    fn services_and_routes_that_a_rollout_names_are_made_up_and_said() {
        let canary = json!({"canary": {"stableService": "a", "canaryService": "b", "trafficRouting":
            {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "r", "namespace": "default"}}}}});
        let completed = complete(vec![rollout(canary), service("a", json!({"app": "shop"}))]);
        assert_eq!(
            completed.notes,
            [
                "made up: Service b, which Rollout shop names",
                "made up: HTTPRoute r, which Rollout shop names"
            ]
        );
        assert_eq!(entry(&completed), "HTTPRoute default/r");
        assert_eq!(completed.objects.len(), 4);
        assert_eq!(completed.objects[3]["kind"], "Rollout", "it comes last");
    }

    #[test]
    fn requests_enter_through_a_service_that_selects_the_pods_and_belongs_to_nobody() {
        let canary = json!({"canary": {"stableService": "a", "canaryService": "b"}});
        let given = vec![
            rollout(canary.clone()),
            service("a", json!({"app": "shop"})),
            service("all", json!({"tier": "web"})),
        ];
        // The Rollout's selector decides which labels its pods surely keep.
        let by_tier = complete(given);
        assert_eq!(entry(&by_tier), "Service default/shop-simulated");
        let by_app = complete(vec![rollout(canary), service("all", json!({"app": "shop"}))]);
        assert_eq!(entry(&by_app), "Service default/all");
    }

    #[test]
    fn kinds_that_are_not_simulated_are_passed_over_and_said() {
        let other = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}});
        let completed = complete(vec![rollout(json!({"blueGreen": {"activeService": "a"}})), other]);
        assert_eq!(
            completed.notes[0],
            "passed over, because they are not simulated: StatefulSet"
        );
        assert_eq!(entry(&completed), "Service default/a");
    }
}
