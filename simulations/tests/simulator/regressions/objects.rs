//! Objects that somebody or something else has changed or left behind.

use super::*;

const OWNERS: &str = "/metadata/ownerReferences";

#[test]
fn another_identity_of_templates_starts_no_revision_in_any_phase() {
    let scenario = updated("other-hash", "", "", STEPS).at(200, Command::Promote(shop()));
    let reference = play_without_loss(&scenario, 1);
    for at in (61..=260).step_by(7) {
        // What another version of the controller would have written down about the same templates.
        let mut upgraded = scenario.clone();
        let known = {
            let mut short = scenario.clone();
            short.limit = seconds(at);
            let cluster = short.play(1).cluster;
            cluster
                .store()
                .list(Kind::ReplicaSet)
                .map(|(key, _)| key.clone())
                .collect::<Vec<Key>>()
        };
        for set in &known {
            let other = json!({ "metadata": { "annotations": { "sluice.dev/pod-template": "of-another-version" } } });
            upgraded = upgraded.at(at, patch(set, other));
        }
        upgraded = upgraded.at(at, Command::Crash(0));
        let played = play_without_loss(&upgraded, 1);
        assert_eq!(played.cluster.store().list(Kind::ReplicaSet).count(), 2, "at {at} s");
        assert_eq!(played.last(), reference.last(), "at {at} s");
        for step in [1, 3] {
            assert_eq!(pauses_entered(&played, step), 1, "at {at} s: the pause of step {step}");
        }
        let templates = ours_from(&played, seconds(at)).filter(|change| {
            change.key.kind == Kind::ReplicaSet && change.before.is_some() && changes(change, "/spec/template")
        });
        assert_eq!(templates.count(), 0, "at {at} s");
    }
}

#[test]
fn replica_sets_that_lost_their_owner_are_taken_back_and_others_are_left_alone() {
    let scenario =
        updated("stripped", "", "", "{setWeight: 20}, {pause: {duration: 10s}}").at(400, set_image("shop:v3"));
    let reference = play_without_loss(&scenario, 1);
    let (old, stable) = (set_of(&reference, 1), set_of(&reference, 2));
    for (at, why) in [(300, "at rest"), (75, "in mid-canary")] {
        let strip = json!({ "metadata": { "ownerReferences": null } });
        let stripped = scenario
            .clone()
            .at(at, patch(&old, strip.clone()))
            .at(at, patch(&stable, strip));
        let played = play_without_loss(&stripped, 1);
        let uid = &played.cluster.get(Kind::Rollout, "shop").expect("it is there")["metadata"]["uid"];
        for set in [&old, &stable] {
            let object = played.cluster.store().get(set).expect("it is there");
            assert_eq!(
                object.pointer("/metadata/ownerReferences/0/uid"),
                Some(uid),
                "{why}: {set}"
            );
            let adoptions =
                ours_from(&played, seconds(at)).filter(|change| change.key == *set && changes(change, OWNERS));
            assert_eq!(adoptions.count(), 1, "{why}: {set}");
        }
        assert_eq!(played.last(), reference.last(), "{why}");
        if at == 300 {
            let others = ours_from(&played, seconds(at)).filter(|change| since_start(change) < seconds(400));
            assert_eq!(others.count(), 2, "nothing but the two owners is written");
        }
    }
    let taken = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "other", "uid": "another", "controller": true,
    }] } });
    let played = play_without_loss(&scenario.at(300, patch(&old, taken)), 1);
    let touched = ours_from(&played, seconds(300)).filter(|change| change.key == old);
    assert_eq!(touched.count(), 0, "what belongs to somebody else is left alone");
}

#[test]
fn a_gitops_tool_that_puts_replicas_and_selectors_back_is_answered_once_each_time() {
    let steps = "{setWeight: 20}, {pause: {duration: 2m}}, {setWeight: 60}, {pause: {duration: 1m}}";
    let mut scenario = updated("gitops", "", "", steps);
    let services = ["shop-stable", "shop-canary"].map(|name| Key::new(Kind::Service, "default", name));
    for at in (90..=390).step_by(30) {
        scenario = scenario.at(at - 10, Command::Scale(shop(), 8));
        let size = json!({ "spec": { "replicas": 5 } });
        scenario = scenario.at(at, Command::ForeignPatch(rollout(), Part::Main, Box::new(size)));
        for service in &services {
            let selector = json!({ "spec": { "selector": { "rollouts-pod-template-hash": null } } });
            scenario = scenario.at(
                at,
                Command::ForeignPatch(service.clone(), Part::Main, Box::new(selector)),
            );
        }
    }
    for seed in 1..=3 {
        let played = play(&scenario, seed);
        assert_eq!(played.phase(), "Healthy", "in the end it is left alone");
        let sizes = ours(&played).filter(|change| change.key == rollout() && changes(change, "/spec/replicas"));
        assert_eq!(sizes.count(), 0, "spec.replicas is theirs");
        for service in &services {
            let switches = |is_meant: fn(Writer) -> bool| {
                let log = played.cluster.store().log().iter();
                let of_service = log.filter(|change| change.key == *service && since_start(change) >= seconds(90));
                let switches = of_service.filter(|change| changes(change, "/spec/selector"));
                switches.filter(|change| is_meant(change.by)).count()
            };
            let foreign = switches(|by| by == Writer::GitOps);
            let ours = switches(|by| matches!(by, Writer::Controller(_)));
            assert_eq!(foreign, 11);
            // One more is the promotion's own.
            assert!(
                ours <= foreign + 1,
                "seed {seed}: {service} is written {ours} times against {foreign}"
            );
        }
        let reasons = played
            .cluster
            .observer()
            .aspect("default/shop", |stand| stand.reason.clone());
        let names = |reason: &String| reason.contains("was changed by gitops");
        assert!(
            reasons.iter().any(names),
            "seed {seed}: who writes is named: {reasons:?}"
        );
        assert!(!reasons.last().is_some_and(names), "and no more when nobody does");
    }
}

#[test]
fn a_leftover_deadline_is_no_reason_to_be_busy() {
    let scenario = updated("leftover", "", "", "{setWeight: 20}");
    let reference = play_without_loss(&scenario, 1);
    for (set, most) in [(set_of(&reference, 1), 1), (set_of(&reference, 2), 1)] {
        for text in ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "soon", ""] {
            let left = json!({ "metadata": { "annotations": { "scale-down-deadline": text } } });
            let mut idle = scenario.clone().at(300, patch(&set, left));
            // So that an hour passes.
            idle = idle.at(
                3_900,
                patch(
                    &Key::new(Kind::Service, "default", "shop-stable"),
                    json!({ "metadata": { "labels": { "a": "b" } } }),
                ),
            );
            idle.limit = SignedDuration::from_hours(2);
            let played = play_without_loss(&idle, 1);
            let written = ours_from(&played, seconds(300)).count();
            assert!(written <= most, "{set} {text:?}: {written} writes");
            let decisions = played.cluster.decisions() - reference.cluster.decisions();
            assert!(decisions < 20, "{set} {text:?}: {decisions} decisions");
            assert_eq!(played.last(), reference.last(), "{set} {text:?}");
        }
    }
}

#[test]
fn an_invalid_spec_writes_one_condition_once() {
    let scenario = Scenario::new("invalid", manifests(5, "", &canary("", STEPS))).through_route("shop");
    let before = play_without_loss(&scenario, 1);
    let steps = |weight: u32| {
        let steps = json!([{ "setWeight": weight }]);
        patch(
            &rollout(),
            json!({ "spec": { "strategy": { "canary": { "steps": steps } } } }),
        )
    };
    let mut left = scenario.at(100, steps(120));
    left.limit = SignedDuration::from_hours(2);
    let note = |text: &str| {
        patch(
            &Key::new(Kind::Service, "default", "shop-stable"),
            json!({ "metadata": { "labels": { "a": text } } }),
        )
    };
    let played = play_without_loss(&left.clone().at(3_700, note("b")), 1);
    let written: Vec<&Change> = ours_from(&played, seconds(100)).collect();
    assert_eq!(
        written.len(),
        1,
        "{:?}",
        written.iter().map(|change| &change.key).collect::<Vec<_>>()
    );
    let conditions = written[0].object["status"]["conditions"]
        .as_array()
        .expect("conditions");
    assert_eq!(
        conditions
            .iter()
            .filter(|condition| condition["type"] == "InvalidSpec")
            .count(),
        1
    );
    let decisions = played.cluster.decisions() - before.cluster.decisions();
    assert!(decisions < 20, "{decisions} decisions in an hour");
    let mended = play_without_loss(&left.at(200, steps(20)), 1);
    assert_eq!(mended.phase(), "Healthy");
    assert!(!mended.status("/conditions").to_string().contains("InvalidSpec"));
}

/// A Rollout with the template of a Deployment, which keeps its own pods.
fn with_workload() -> Scenario {
    let own = manifests(5, "", &canary("", STEPS));
    let begin = own.find("  template:").expect("a template");
    let end = own.find("  strategy:").expect("a strategy");
    let reference = "  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: shop}\n";
    let deployment = "apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: default}
spec:
  replicas: 5
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: \"shop:v1\", ports: [{containerPort: 8080}]}]}
---
";
    Scenario::new("workload", [deployment, &own[..begin], reference, &own[end..]].concat())
}

#[test]
fn a_rollout_that_is_deleted_in_mid_canary_leaves_the_deployment_as_it_was() {
    let scenario = with_workload()
        .at(60, set_image("shop:v2"))
        .at(100, Command::Delete(rollout()));
    let played = play(&scenario, 1);
    let deployment = played.cluster.get(Kind::Deployment, "shop").expect("it is there");
    assert_eq!(deployment["spec"]["replicas"], 5);
    let ours_on_it = ours(&played).filter(|change| change.key.kind == Kind::Deployment);
    assert_eq!(ours_on_it.count(), 0, "with scaleDown never it is not ours to write");
    let mut owners = played
        .cluster
        .store()
        .list(Kind::ReplicaSet)
        .map(|(_, set)| &set["metadata"]["ownerReferences"][0]["kind"]);
    assert!(
        owners.all(|kind| kind == "Deployment"),
        "what the Rollout owned went with it"
    );
    let gone = ours_from(&played, seconds(101)).filter(|change| change.key.kind != Kind::Service);
    assert_eq!(gone.count(), 0, "nothing but Services may be given back");
}
