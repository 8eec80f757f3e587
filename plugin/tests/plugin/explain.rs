//! `explain`: what happens next if nothing changes.

use serde_json::json;
use sluice_machine::{Fact, Hold};
use sluice_plugin::{
    cluster::Cluster,
    explain::{Recollection, advice, explain, foresee, waits},
    files::Files,
    observe::observe,
    resource::Resource,
};

use crate::{
    api::{Api, NAMESPACE},
    fixtures::{NEW, now, pods, replica_set, shop},
    simulate::Folder,
};

#[tokio::test]
async fn the_end_of_a_pause_and_the_step_after_it_are_foreseen() {
    let cluster = Api::with(shop()).cluster();
    let mut observation = observe(&cluster, "backend").await.unwrap();
    let plan = explain(&cluster, &mut observation, &mut Recollection::default(), now()).await;
    assert!(matches!(plan.hold, Some(Hold::Paused { .. })), "{:?}", plan.hold);
    let moments = foresee(&cluster, &observation, &plan).await;
    assert_eq!(
        moments.len(),
        1,
        "after the first effect nothing is certain: {moments:?}"
    );
    assert_eq!(moments[0].at.to_string(), "2026-03-01T12:05:00Z");
    assert!(
        moments[0]
            .events
            .iter()
            .any(|event| event == "Rollout step 2/4 completed (pause: 10m)"),
        "{moments:?}"
    );
    assert_eq!(moments[0].effects, ["scale ReplicaSet backend-7b6c4d from 1 to 2 pods"]);
    let advice = advice(&plan.hold.unwrap(), "backend").unwrap();
    assert!(advice.contains("kubectl sluice promote backend"), "{advice}");
}

#[tokio::test]
async fn what_is_asked_then_is_answered_with_what_is_so_now() {
    // The pods for the next weight are there: before it is raised, the endpoints are looked at.
    let mut objects = shop();
    objects.retain(|object| {
        let name = object["metadata"]["name"].as_str().unwrap();
        !name.contains(NEW) && name != "backend-canary-x"
    });
    objects.push(replica_set(2, NEW, "v2", 2, 2));
    objects.extend(pods(NEW, 2, "Running", "backend-canary"));
    let cluster = Api::with(objects).cluster();
    let mut observation = observe(&cluster, "backend").await.unwrap();
    let plan = explain(&cluster, &mut observation, &mut Recollection::default(), now()).await;
    let moments = foresee(&cluster, &observation, &plan).await;
    let effects: Vec<&String> = moments.iter().flat_map(|moment| &moment.effects).collect();
    assert_eq!(
        effects,
        ["set HTTPRoute shop/backend to backend-canary 50 / backend-stable 50"],
        "{moments:?}"
    );
}

#[tokio::test]
async fn files_tell_the_same_as_the_cluster_that_they_were_read_from() {
    let offline = Cluster::offline(Files::new(shop()), NAMESPACE);
    let mut told = Vec::new();
    for cluster in [Api::with(shop()).cluster(), offline] {
        let mut observation = observe(&cluster, "backend").await.unwrap();
        let plan = explain(&cluster, &mut observation, &mut Recollection::default(), now()).await;
        let moments = foresee(&cluster, &observation, &plan).await;
        told.push((plan.hold.as_ref().map(waits), moments));
    }
    assert_eq!(told[0], told[1]);
    assert!(
        told[1].0.as_ref().is_some_and(|hold| hold.starts_with("paused")),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_files_do_not_have_is_not_known_and_not_taken_to_be_absent() {
    let without = |kind: &str| {
        let objects = shop().into_iter().filter(|object| object["kind"] != kind);
        Cluster::offline(Files::new(objects), NAMESPACE)
    };
    let cluster = without("ReplicaSet");
    let mut observation = observe(&cluster, "backend").await.unwrap();
    let plan = explain(&cluster, &mut observation, &mut Recollection::default(), now()).await;
    assert_eq!(
        plan.hold.as_ref().map(waits).unwrap_or_default(),
        "the ReplicaSets: not known, because reading it failed: the files do not tell: \
         list replicasets.apps in namespace 'shop'"
    );
    let routes = observe(&without("HTTPRoute"), "backend").await.unwrap().world.objects;
    assert!(
        routes.values().all(|route| matches!(route, Fact::Unknown(_))),
        "{routes:?}"
    );
    let services = observe(&without("Service"), "backend").await.unwrap().world.services;
    assert!(
        services.values().all(|service| matches!(service, Fact::Unknown(_))),
        "{services:?}"
    );
    let error = observe(&without("Rollout"), "backend").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the files do not tell: get rollouts.argoproj.io in namespace 'shop'"
    );
    let mut one_service = shop();
    one_service.retain(|object| object["metadata"]["name"] != "backend-canary");
    let cluster = Cluster::offline(Files::new(one_service), NAMESPACE);
    let observation = observe(&cluster, "backend").await.unwrap();
    assert_eq!(observation.world.services["backend-canary"], Fact::Absent);
}

#[test]
fn lists_in_files_are_read_and_labels_and_namespaces_select() {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": shop() }).to_string();
    let folder = Folder::new("explain", &[("dump.yaml", &list)]);
    let files = Files::read(&[folder.path("dump.yaml").into()]).unwrap();
    assert_eq!(files.namespace_of("backend").as_deref(), Some(NAMESPACE));
    assert_eq!(files.namespace_of("frontend"), None);
    let count =
        |resource: &Resource, namespace: &str, label: &str| files.list(resource, namespace, label).map(|all| all.len());
    let slices = Resource::endpoint_slices();
    assert_eq!(
        count(&Resource::pods(), NAMESPACE, "rollouts-pod-template-hash"),
        Some(5)
    );
    assert_eq!(count(&Resource::pods(), "other", ""), Some(0));
    assert_eq!(
        count(&slices, NAMESPACE, "kubernetes.io/service-name=backend-canary"),
        Some(1)
    );
    assert_eq!(count(&Resource::analysis_runs(), NAMESPACE, ""), Some(0));
    assert_eq!(count(&Resource::leases(), NAMESPACE, ""), None);
}
