//! Answers to what the machine asks: rare reads that must be fresh.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_machine::{Answer, Answered, Ask, Endpoints, Fact, Pod, Why, World, hash, read, workload};
use sluice_traffic::REVISION_LABEL;

use crate::api::{self, CallError, READ_TIMEOUT};
use crate::context::Context;
use crate::kinds::Kind;
use crate::object::ObjectName;

/// An answer at most this old may be given to the machine again; it judges for itself whether it is fresh enough.
const KEEP: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// Answers some asks. Failures are answers too: a fact that is not known, and why.
pub async fn answer(context: &Context, world: &World, asks: &[Ask]) -> BTreeMap<Ask, Answered> {
    let answers = asks.iter().map(async |ask| {
        let answer = match ask {
            Ask::Defaults { .. } => Answer::Defaults(defaults(context, world).await),
            Ask::Endpoints { service, .. } => Answer::Endpoints(endpoints(context, world, service).await),
            Ask::Pods { replica_set, .. } => Answer::Pods(pods(context, world, replica_set).await),
        };
        (
            ask.clone(),
            Answered {
                at: Timestamp::now(),
                answer,
            },
        )
    });
    futures::future::join_all(answers).await.into_iter().collect()
}

/// Drops the answers that are of no more use: old ones, but for the defaults of a template, which never change, and for
/// refusals, which the machine has looked at again from time to time.
pub fn prune(answers: &mut BTreeMap<Ask, Answered>, now: Timestamp) {
    answers.retain(|_, answered| {
        let is_lasting = matches!(
            &answered.answer,
            Answer::Defaults(Fact::Known(_) | Fact::Unknown(Why::Refused(_)))
        );
        is_lasting || answered.at.duration_until(now) < KEEP
    });
}

/// The pod template as the API server completes it: a create that is carried through all of admission and then dropped.
async fn defaults(context: &Context, world: &World) -> Fact<Value> {
    let namespace = world.rollout.metadata.namespace.clone().unwrap_or_default();
    let object = trial(world);
    let path = format!("{}?dryRun=All", Kind::ReplicaSet.path(&ObjectName::new(namespace, "")));
    match api::call::<Value>(&context.client, api::post(&path, &object), READ_TIMEOUT).await {
        Ok(mut created) => match created.pointer_mut("/spec/template").map(Value::take) {
            Some(template) => Fact::Known(template),
            None => Fact::Unknown(Why::Failed(
                "the API server returned a ReplicaSet without a template".to_owned(),
            )),
        },
        Err(CallError::Forbidden(message)) => {
            let text = format!("grant create on replicasets in API group \"apps\" ({message})");
            context.notices.raise("comparing pod templates", text);
            Fact::Unknown(Why::Forbidden)
        }
        Err(CallError::Refused { message, .. }) => Fact::Unknown(Why::Refused(without_name(&message).to_owned())),
        Err(error) => Fact::Unknown(Why::Failed(error.to_string())),
    }
}

/// What the API server said when it refused a ReplicaSet with the Rollout's template, as an answer about the template.
pub fn refused(world: &World, message: &str) -> (Ask, Answered) {
    let template = hash::canonical(workload::template(world).unwrap_or(&Value::Null));
    let why = Why::Refused(without_name(message).to_owned());
    let answered = Answered {
        at: Timestamp::now(),
        answer: Answer::Defaults(Fact::Unknown(why)),
    };
    (Ask::Defaults { template }, answered)
}

/// Without the name of the ReplicaSet, which is another one in each trial: the text is to be the same.
fn without_name(message: &str) -> &str {
    let rest = message
        .strip_prefix("ReplicaSet.apps \"")
        .and_then(|rest| rest.split_once("\" is invalid: "));
    rest.map_or(message, |(_, problems)| problems)
}

/// A ReplicaSet with the Rollout's template and nothing else, under a name that the API server makes up.
fn trial(world: &World) -> Value {
    let rollout = &world.rollout;
    let template = workload::template(world).cloned().unwrap_or(Value::Null);
    let labels = template
        .pointer("/metadata/labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let name: String = rollout
        .metadata
        .name
        .as_deref()
        .unwrap_or("sluice")
        .chars()
        .take(200)
        .collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "generateName": format!("{name}-"), "namespace": rollout.metadata.namespace },
        "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": template },
    })
}

/// The ready endpoints of a Service by the revision of their pods.
async fn endpoints(context: &Context, world: &World, service: &str) -> Fact<Endpoints> {
    match read_endpoints(context, world, service).await {
        Ok(endpoints) => Fact::Known(endpoints),
        Err(CallError::Forbidden(message)) => {
            let text = format!(
                "grant list on endpointslices in API group \"discovery.k8s.io\" and on pods, as deploy/cluster.yaml does \
                 ({message})"
            );
            context.notices.raise("reading endpoints", text);
            Fact::Unknown(Why::Forbidden)
        }
        Err(error) => Fact::Unknown(Why::Failed(error.to_string())),
    }
}

async fn read_endpoints(context: &Context, world: &World, service: &str) -> Result<Endpoints, CallError> {
    let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
    let selector = api::query_escape(&format!("kubernetes.io/service-name={service}"));
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={selector}");
    let slices: Value = api::call(&context.client, api::get(&path), READ_TIMEOUT).await?;
    let targets = ready_targets(&slices);
    if targets.is_empty() {
        return Ok(Endpoints::default());
    }
    let selector = api::query_escape(&pod_selector(world));
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
    let pods: Value = api::call(&context.client, api::get_metadata_list(&path), READ_TIMEOUT).await?;
    Ok(count(&targets, &revisions(&pods)))
}

/// The pods of a ReplicaSet.
async fn pods(context: &Context, world: &World, replica_set: &str) -> Fact<Vec<Pod>> {
    let Some(set) = world.replica_sets.known().and_then(|sets| sets.get(replica_set)) else {
        return Fact::Absent;
    };
    let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
    let selector = api::query_escape(&format!("{REVISION_LABEL}={}", set.hash));
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
    match api::call::<Value>(&context.client, api::get(&path), READ_TIMEOUT).await {
        Ok(list) => Fact::Known(read::pods(list["items"].as_array().into_iter().flatten(), set)),
        Err(CallError::Forbidden(message)) => {
            let text = format!("grant list on pods, as deploy/cluster.yaml does ({message})");
            context.notices.raise("reading pods", text);
            Fact::Unknown(Why::Forbidden)
        }
        Err(error) => Fact::Unknown(Why::Failed(error.to_string())),
    }
}

/// Names of the pods behind ready endpoints; the address stands for an endpoint that is no pod. A set, because a pod has one
/// endpoint in the slices of each address family.
fn ready_targets(slices: &Value) -> BTreeSet<String> {
    let slices = slices.get("items").and_then(Value::as_array).into_iter().flatten();
    let endpoints = slices.flat_map(|slice| slice.get("endpoints").and_then(Value::as_array).into_iter().flatten());
    let condition = |endpoint: &Value, name: &str, default| {
        endpoint
            .pointer(&format!("/conditions/{name}"))
            .and_then(Value::as_bool)
            .unwrap_or(default)
    };
    // An unknown readiness counts as ready, as the API says.
    let ready = endpoints.filter(|one| condition(one, "ready", true) && !condition(one, "terminating", false));
    let name = |endpoint: &Value| {
        let pod = endpoint.pointer("/targetRef/name").and_then(Value::as_str);
        let address = endpoint.pointer("/addresses/0").and_then(Value::as_str);
        pod.or(address).map(str::to_owned)
    };
    ready.filter_map(name).collect()
}

/// Revisions of pods by name.
fn revisions(pods: &Value) -> BTreeMap<String, String> {
    let pods = pods.get("items").and_then(Value::as_array).into_iter().flatten();
    let label = format!("/metadata/labels/{}", REVISION_LABEL.replace('/', "~1"));
    let entry = |pod: &Value| {
        let name = pod.pointer("/metadata/name")?.as_str()?;
        Some((name.to_owned(), pod.pointer(&label)?.as_str()?.to_owned()))
    };
    pods.filter_map(entry).collect()
}

fn count(targets: &BTreeSet<String>, revisions: &BTreeMap<String, String>) -> Endpoints {
    let mut ready = BTreeMap::new();
    for target in targets {
        let revision = revisions.get(target).cloned().unwrap_or_default();
        *ready.entry(revision).or_insert(0) += 1;
    }
    Endpoints { ready }
}

/// Selects the Rollout's pods of all revisions.
fn pod_selector(world: &World) -> String {
    let selector = workload::selector(world);
    let labels = selector
        .iter()
        .flat_map(|selector| selector.match_labels.iter().flatten());
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    std::iter::once(REVISION_LABEL.to_owned())
        .chain(labels)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_endpoints_are_counted_once_for_each_pod_and_by_revision() {
        let endpoint = |pod: &str, conditions: Value| json!({ "addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": { "kind": "Pod", "name": pod } });
        let slices = json!({ "items": [
            { "addressType": "IPv4", "endpoints": [
                endpoint("new-1", json!({ "ready": true })),
                endpoint("new-2", json!({})),
                endpoint("old-1", json!({ "ready": true, "terminating": true })),
                endpoint("old-2", json!({ "ready": false })),
                endpoint("old-3", json!({ "ready": true, "serving": true, "terminating": false })),
                { "addresses": ["192.0.2.9"], "conditions": { "ready": true } },
            ] },
            { "addressType": "IPv6", "endpoints": [endpoint("new-1", json!({ "ready": true }))] },
            { "addressType": "IPv6" },
        ] });
        let pod =
            |name: &str, hash: &str| json!({ "metadata": { "name": name, "labels": { (REVISION_LABEL): hash } } });
        let pods = json!({ "items": [pod("new-1", "n"), pod("new-2", "n"), pod("old-3", "o"), pod("old-2", "o")] });
        let counted = count(&ready_targets(&slices), &revisions(&pods));
        let wanted = [("", 1), ("n", 2), ("o", 1)].map(|(hash, count)| (hash.to_owned(), count));
        assert_eq!(counted.ready, BTreeMap::from(wanted));
    }

    #[test]
    fn a_trial_has_the_template_as_it_is_and_a_name_that_nobody_has() {
        let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "aNewField": 1 } });
        let rollout = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
            "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template },
        }))
        .unwrap();
        let world = World {
            rollout,
            replica_sets: Fact::Absent,
            services: BTreeMap::new(),
            objects: BTreeMap::new(),
            templates: BTreeMap::new(),
            runs: Fact::Absent,
            answers: BTreeMap::new(),
            incumbent: None,
            settings: sluice_machine::Settings::default(),
            memory: sluice_machine::Memory::default(),
        };
        let trial = trial(&world);
        assert_eq!(
            trial["spec"],
            json!({ "replicas": 0, "selector": { "matchLabels": { "app": "web" } }, "template": template })
        );
        assert_eq!(
            trial["metadata"],
            json!({ "generateName": "web-", "namespace": "shop" }),
            "and no owner"
        );
        assert_eq!(pod_selector(&world), "rollouts-pod-template-hash,app=web");
    }

    #[test]
    fn refusals_say_what_is_wrong_without_the_name_of_the_trial() {
        let check = |message: &str, wanted: &str| assert_eq!(without_name(message), wanted);
        let problem = "spec.template.spec.containers[0].image: Required value";
        check(&format!("ReplicaSet.apps \"web-x7k2p\" is invalid: {problem}"), problem);
        check(
            "admission webhook \"a\" denied the request: no",
            "admission webhook \"a\" denied the request: no",
        );
    }

    #[test]
    fn defaults_are_kept_and_what_changes_is_not() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let at = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
        let defaults = |template: &str, fact| {
            (
                Ask::Defaults {
                    template: template.into(),
                },
                Answered {
                    at: at(60),
                    answer: Answer::Defaults(fact),
                },
            )
        };
        let endpoints = |service: &str, age| {
            let ask = Ask::Endpoints {
                service: service.into(),
                resource_version: "1".into(),
            };
            (
                ask,
                Answered {
                    at: at(age),
                    answer: Answer::Endpoints(Fact::Absent),
                },
            )
        };
        let mut answers = BTreeMap::from([
            defaults("known", Fact::Known(json!({}))),
            defaults("failed", Fact::Unknown(Why::Forbidden)),
            defaults("refused", Fact::Unknown(Why::Refused("no".into()))),
            endpoints("fresh", 0),
            endpoints("old", 1),
        ]);
        prune(&mut answers, now);
        let kept: Vec<String> = answers.keys().map(|ask| format!("{ask:?}")).collect();
        assert_eq!(kept.len(), 3, "{kept:?}");
        let named = kept
            .iter()
            .zip(["known", "refused", "fresh"])
            .all(|(kept, name)| kept.contains(name));
        assert!(named, "{kept:?}");
    }
}
