//! `check`: what is found in clusters that lack something.

use expect_test::{Expect, expect};
use http::Method;
use serde_json::{Value, json};
use sluice_crds::crd::all_crds_json;
use sluice_plugin::check::{Scope, Whose};

use crate::{
    api::{Api, NAMESPACE},
    commands::run,
    fixtures::analysis_template,
};

fn raw(path: &str, mut value: Value) -> Value {
    value["kind"] = "Raw".into();
    value["metadata"] = json!({ "name": path });
    value
}

fn lease(name: &str, namespace: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "holderIdentity": format!("{name}-1"), "leaseDurationSeconds": 15, "renewTime": renewed },
    })
}

/// A cluster with everything.
fn complete() -> Api {
    let api = Api::with([
        raw("/version", json!({ "gitVersion": "v1.37.2" })),
        raw(
            "/apis/gateway.networking.k8s.io/v1",
            json!({ "resources": [{ "name": "gateways" }, { "name": "httproutes" }] }),
        ),
        raw(
            "/apis/argoproj.io/v1alpha1",
            json!({ "resources": [{ "name": "rollouts" }, { "name": "experiments" }] }),
        ),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": { "name": "traefik" },
            "status": { "conditions": [{ "type": "Accepted", "status": "True" }] },
        }),
        lease("sluice-controller-lock", "sluice", "2999-01-01T00:00:00.000000Z"),
        lease(
            "argo-rollouts-controller-lock",
            "argo-rollouts",
            "2020-01-01T00:00:00.000000Z",
        ),
        analysis_template(),
    ]);
    for mut crd in all_crds_json() {
        crd["status"] = json!({ "conditions": [{ "type": "Established", "status": "True" }] });
        api.put(crd);
    }
    api
}

async fn check(words: &str, api: &Api, wanted: Expect) {
    let (code, text) = run(api, words).await;
    wanted.assert_eq(&format!("exit code {code}\n{text}"));
}

#[tokio::test]
async fn a_complete_cluster_is_ok() {
    check("check", &complete(), expect![[r#"
        exit code 0
        ok    API server                                v1.37.2
        ok    CRD analysisruns.argoproj.io              is Sluice's: extensions are on
        ok    CRD analysistemplates.argoproj.io         is Sluice's: extensions are on
        ok    CRD clusteranalysistemplates.argoproj.io  is Sluice's: extensions are on
        ok    CRD experiments.argoproj.io               is Sluice's: extensions are on
        ok    CRD rollouts.argoproj.io                  is Sluice's: extensions are on
        ok    your rights                               all that is needed in namespace 'shop'
        ok    Argo Rollouts                             its controller has stopped (its Lease has expired)
        ok    Sluice                                    its controller is live (leader `sluice-controller-lock-1` in namespace 'sluice')
        ok    Gateway API                               HTTPRoute is installed; GatewayClass traefik
        ok    Prometheus                                no template needs an address of the controller
    "#]]).await;
}

#[tokio::test]
async fn what_is_missing_is_named_with_how_to_mend_it() {
    let api = complete();
    api.unserve("/apis/gateway.networking.k8s.io");
    api.put(lease(
        "argo-rollouts-controller-lock",
        "tools",
        "2999-01-01T00:00:00.000000Z",
    ));
    api.put(lease("sluice-controller-lock", "sluice", "2020-01-01T00:00:00.000000Z"));
    let mut template = analysis_template();
    template["spec"]["metrics"][0]["provider"]["prometheus"]
        .as_object_mut()
        .unwrap()
        .remove("address");
    api.put(template);
    for mut crd in all_crds_json() {
        crd["metadata"]["annotations"] = json!({});
        crd["status"] = json!({ "conditions": [{ "type": "Established", "status": "False" }] });
        if crd["metadata"]["name"] == "rollouts.argoproj.io" {
            crd["status"] = Value::Null;
        }
        api.put(crd);
    }
    check("check", &api, expect![[r#"
        exit code 1
        ok    API server                                v1.37.2
        fail  CRD analysisruns.argoproj.io              is not established
                                                        to mend: kubectl describe crd analysisruns.argoproj.io
        fail  CRD analysistemplates.argoproj.io         is not established
                                                        to mend: kubectl describe crd analysistemplates.argoproj.io
        fail  CRD clusteranalysistemplates.argoproj.io  is not established
                                                        to mend: kubectl describe crd clusteranalysistemplates.argoproj.io
        fail  CRD experiments.argoproj.io               is not established
                                                        to mend: kubectl describe crd experiments.argoproj.io
        warn  CRD rollouts.argoproj.io                  is Argo's: fields that Sluice adds (such as trafficRouting.gatewayApi) are dropped by the API server
                                                        to mend: kubectl apply --server-side -f crds/yaml/ (Argo's own fields all stay)
        ok    your rights                               all that is needed in namespace 'shop'
        warn  Argo Rollouts                             its controller is live (`argo-rollouts-controller-lock-1` in namespace 'tools'): Sluice holds everything
                                                        to mend: kubectl -n tools scale deployment argo-rollouts --replicas=0
        warn  Sluice                                    its controller does not run: its Lease was last renewed at 2020-01-01T00:00:00Z
                                                        to mend: start it, or look at its log; until then nothing moves
        warn  Gateway API                               HTTPRoute (v1) is not installed: canaries without a router and blue-green work, trafficRouting does not
                                                        to mend: install Gateway API 1.0 or newer and a gateway controller
        warn  Prometheus                                template error-rate has no address, and the controller's environment is not known: there is no Deployment sluice-controller
                                                        to mend: make sure that the controller has ARGO_ROLLOUTS_PROMETHEUS_ADDRESS, or set `address` in the template
    "#]]).await;

    let empty = Api::with([raw("/version", json!({ "gitVersion": "v1.37.2" }))]);
    let (code, text) = run(&empty, "check").await;
    assert_eq!(code, 1);
    assert_eq!(
        text.lines()
            .filter(|line| line.contains("is not installed") && line.starts_with("fail"))
            .count(),
        5,
        "{text}"
    );
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let api = complete();
    for right in ["patch rollouts/status", "create replicasets", "watch rollouts"] {
        api.forbid(Method::POST, right);
    }
    check("check --rights user", &api, expect![[r#"
        exit code 1
        ok    API server                                v1.37.2
        ok    CRD analysisruns.argoproj.io              is Sluice's: extensions are on
        ok    CRD analysistemplates.argoproj.io         is Sluice's: extensions are on
        ok    CRD clusteranalysistemplates.argoproj.io  is Sluice's: extensions are on
        ok    CRD experiments.argoproj.io               is Sluice's: extensions are on
        ok    CRD rollouts.argoproj.io                  is Sluice's: extensions are on
        fail  your rights                               may not watch rollouts.argoproj.io in namespace 'shop'
                                                        to mend: have watch on rollouts.argoproj.io granted to you
        warn  your rights                               may not patch rollouts/status.argoproj.io in namespace 'shop' (needed for promote, abort, retry)
                                                        to mend: have patch on rollouts/status.argoproj.io granted to you
        warn  your rights                               may not create replicasets.apps in namespace 'shop' (needed for why it waits in `get`, where Argo Rollouts made the revisions (dry-runs only))
                                                        to mend: have create on replicasets.apps granted to you
        ok    Argo Rollouts                             its controller has stopped (its Lease has expired)
        ok    Sluice                                    its controller is live (leader `sluice-controller-lock-1` in namespace 'sluice')
        ok    Gateway API                               HTTPRoute is installed; GatewayClass traefik
        ok    Prometheus                                no template needs an address of the controller
    "#]]).await;
    let api = complete();
    for right in [
        "patch leases",
        "patch services",
        "list watch",
        "list customresourcedefinitions",
        "list endpointslices",
    ] {
        api.forbid(Method::POST, right);
    }
    let words = format!("check --rights controller --only-namespace {NAMESPACE}");
    check(&words, &api, expect![[r#"
        exit code 1
        ok    API server                                v1.37.2
        ok    CRD analysisruns.argoproj.io              is Sluice's: extensions are on
        ok    CRD analysistemplates.argoproj.io         is Sluice's: extensions are on
        ok    CRD clusteranalysistemplates.argoproj.io  is Sluice's: extensions are on
        ok    CRD experiments.argoproj.io               is Sluice's: extensions are on
        ok    CRD rollouts.argoproj.io                  is Sluice's: extensions are on
        fail  rights of the controller                  may not patch services in namespace 'shop'
                                                        to mend: apply deploy/cluster.yaml or deploy/namespaced.yaml
        warn  rights of the controller                  may not list endpointslices.discovery.k8s.io in namespace 'shop' (needed for switching Services, and canaries with a router)
                                                        to mend: apply deploy/cluster.yaml or deploy/namespaced.yaml
        warn  rights of the controller                  may not patch leases.coordination.k8s.io 'sluice-controller-lock' in namespace 'sluice' (needed for leader election)
                                                        to mend: apply deploy/cluster.yaml or deploy/namespaced.yaml
        warn  rights of the controller                  may not list customresourcedefinitions.apiextensions.k8s.io in the cluster (needed for telling Argo's CRDs from Sluice's)
                                                        to mend: apply deploy/cluster.yaml or deploy/namespaced.yaml
        ok    Argo Rollouts                             its controller has stopped (its Lease has expired)
        ok    Sluice                                    its controller is live (leader `sluice-controller-lock-1` in namespace 'sluice')
        ok    Gateway API                               HTTPRoute is installed; GatewayClass traefik
        ok    Prometheus                                no template needs an address of the controller
    "#]]).await;
}

#[tokio::test]
async fn rights_on_a_lease_are_asked_for_where_the_controller_has_its_own() {
    let api = complete();
    let mut cluster = api.cluster();
    cluster.as_user = Some("system:serviceaccount:tools:sluice-controller".to_owned());
    let scope = Scope {
        whose: Whose::Controller,
        namespace: None,
        instance_id: Some("blue".to_owned()),
    };
    sluice_plugin::check::check(&cluster, &scope).await;
    let asked = api
        .writes()
        .into_iter()
        .map(|(_, review)| review["spec"]["resourceAttributes"].clone());
    let asked = asked.filter(|one| one["resource"] == "leases");
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let asked = asked.map(|one| ["verb", "namespace", "name"].map(|key| text(&one, key)).join(" "));
    let wanted = [
        "create tools ",
        "get tools sluice-controller-lock-blue",
        "patch tools sluice-controller-lock-blue",
        "get argo-rollouts argo-rollouts-controller-lock-blue",
    ];
    let (mut asked, mut wanted) = (asked.collect::<Vec<_>>(), wanted.map(str::to_owned).to_vec());
    asked.sort();
    wanted.sort();
    assert_eq!(asked, wanted);
}

#[tokio::test]
async fn the_address_of_prometheus_is_that_of_the_controllers_deployment() {
    let api = complete();
    let mut template = analysis_template();
    template["spec"]["metrics"][0]["provider"]["prometheus"]
        .as_object_mut()
        .unwrap()
        .remove("address");
    api.put(template);
    let rows = [
        (json!([]), "there is none in the controller's environment"),
        (
            json!([{ "name": "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS", "value": "http://p:9090" }]),
            "use http://p:9090",
        ),
    ];
    for (env, wanted) in rows {
        api.put(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "sluice-controller", "namespace": "sluice" },
            "spec": { "template": { "spec": { "containers": [{ "env": env }] } } },
        }));
        let (_, text) = run(&api, "check").await;
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_ends_the_check() {
    let api = complete();
    api.unserve("/version");
    let (code, text) = run(&api, "check").await;
    assert_eq!(code, 1);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.starts_with("fail  API server"), "{text}");
}

#[tokio::test]
async fn without_the_right_to_read_crds_the_served_kinds_are_asked_for() {
    let api = complete();
    api.forbid(Method::GET, "customresourcedefinitions");
    let (code, text) = run(&api, "check -o json").await;
    assert_eq!(code, 1);
    let checks: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(checks[1]["subject"], "CRDs");
    assert_eq!(
        checks[1]["found"],
        "analysisruns, analysistemplates, clusteranalysistemplates not installed"
    );
}
