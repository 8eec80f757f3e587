use super::*;
use crate::args::Secrets;
use crate::providers::testing::{from_secret, metric, now};
use crate::providers::{Environment, Next, needs, problems, start};

const UID: &str = "6f1b2c1a-0000-4000-8000-000000000001";

fn owner() -> JobOwner<'static> {
    JobOwner {
        run: "smoke-2",
        uid: UID,
        metric: "smoke",
        attempt: 0,
        account: "tester",
    }
}

fn wish(job: Value) -> Result<JobWish, String> {
    let (arguments, secrets) = from_secret(&[("token", "hunter2")]);
    let metric = metric("", &json!({ "job": job }));
    match start(now(), &metric, &arguments, secrets, &Environment::default()) {
        Ok((_, Next::Run(wish))) => Ok(wish),
        Ok((_, next)) => panic!("not a Job: {next:?}"),
        Err(measured) => Err(measured.message.unwrap_or_default()),
    }
}

fn job(pod: &Value) -> Value {
    json!({"spec": {"backoffLimit": 1, "template": {"spec": pod}}})
}

#[test]
fn a_job_runs_under_the_account_of_the_namespace_and_as_restricted_pods_do() {
    let mut given = job(&json!({"containers": [{"name": "a", "image": "a:1"}], "initContainers": [{"name": "i"}]}));
    given["metadata"] =
        json!({"labels": {"team": "x"}, "annotations": {"why": "y"}, "name": "own", "finalizers": ["f"]});
    let made = manifest(&wish(given).unwrap(), &owner()).unwrap();
    let container = |name: &str| json!({"name": name, "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
    let mut first = container("a");
    first["image"] = "a:1".into();
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": format!("{UID}.smoke.1"),
            "labels": {"team": "x", "analysisrun.argoproj.io/uid": UID},
            "annotations": {
                "why": "y", "analysisrun.argoproj.io/name": "smoke-2", "analysisrun.argoproj.io/metric-name": "smoke",
            },
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "name": "smoke-2", "uid": UID,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"backoffLimit": 1, "template": {"spec": {
            "containers": [first],
            "initContainers": [container("i")],
            "serviceAccountName": "tester",
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        }}},
    });
    assert_eq!(made, expected);
}

#[test]
fn what_the_metric_says_of_its_pods_is_kept() {
    let pod = json!({
        "restartPolicy": "OnFailure", "serviceAccountName": "tester",
        "securityContext": {"runAsNonRoot": false, "runAsUser": 0},
        "containers": [{"name": "a", "securityContext": {"capabilities": {"add": ["NET_RAW"]}}}],
    });
    let made = manifest(&wish(job(&pod)).unwrap(), &owner()).unwrap();
    let made = &made["spec"]["template"]["spec"];
    assert_eq!(made["restartPolicy"], "OnFailure");
    assert_eq!(made["securityContext"]["runAsNonRoot"], false);
    assert_eq!(
        made["containers"][0]["securityContext"]["capabilities"],
        json!({"add": ["NET_RAW"]})
    );
}

#[test]
fn no_other_account_is_used() {
    for field in ["serviceAccountName", "serviceAccount"] {
        let pod = json!({"containers": [{"name": "a"}], field: "cluster-admin"});
        let expected = "the Job asks for service account cluster-admin, but Jobs of this namespace run under tester";
        assert_eq!(manifest(&wish(job(&pod)).unwrap(), &owner()), Err(expected.to_owned()));
    }
}

#[test]
fn a_secret_becomes_a_reference_and_nothing_else() {
    let pod = json!({"containers": [{"name": "a", "env": [
        {"name": "TOKEN", "value": "{{ args.token }}"}, {"name": "X", "value": "y"},
    ]}]});
    let wish_with = wish(job(&pod)).unwrap();
    let expected = json!([
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}, {"name": "X", "value": "y"},
    ]);
    assert_eq!(wish_with.spec["template"]["spec"]["containers"][0]["env"], expected);
    assert!(!wish_with.spec.to_string().contains("hunter2"));

    for pod in [
        json!({"containers": [{"name": "a", "args": ["--token={{args.token}}"]}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "T", "value": "Bearer {{args.token}}"}]}]}),
    ] {
        let error = wish(job(&pod)).unwrap_err();
        assert!(
            error.ends_with("comes from a Secret: in a Job it can only be the whole value of an environment variable"),
            "{error}"
        );
    }
    let metric = metric("", &json!({"job": job(&json!({"containers": [{"name": "a"}]}))}));
    let (arguments, _) = from_secret(&[("token", "hunter2")]);
    assert_eq!(
        needs(&metric, &arguments),
        crate::Needs::default(),
        "no secret is read for a Job"
    );
    assert!(start(now(), &metric, &arguments, Secrets::default(), &Environment::default()).is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    for (spec, expected) in [
        (
            json!({}),
            "spec.template.spec.containers: must have at least one container",
        ),
        (
            json!({"manualSelector": true, "template": {"spec": {"containers": [{}]}}}),
            "spec.manualSelector: is not served: a Job must not select pods of others",
        ),
        (
            json!({"template": {"spec": {"containers": [{}], "restartPolicy": "Always"}}}),
            "spec.template.spec.restartPolicy: must be Never or OnFailure",
        ),
    ] {
        let found = problems(&metric("", &json!({"job": {"spec": spec}})));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, [format!("provider.job.{expected}")]);
    }
}

#[test]
fn a_job_is_judged_by_its_end() {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "too often"});
    let of = |conditions: Vec<Value>| json!({"status": {"conditions": conditions}});
    let failed = "the Job failed: BackoffLimitExceeded: too often";
    for (job, expected) in [
        (json!({}), None),
        (json!({"status": {"active": 1}}), None),
        (of(vec![condition("Suspended", "True")]), None),
        (of(vec![condition("FailureTarget", "True")]), None),
        (of(vec![condition("Complete", "False")]), None),
        (
            of(vec![
                condition("SuccessCriteriaMet", "True"),
                condition("Complete", "True"),
            ]),
            Some((AnalysisPhase::Successful, None)),
        ),
        (
            of(vec![condition("FailureTarget", "True"), condition("Failed", "True")]),
            Some((AnalysisPhase::Failed, Some(failed))),
        ),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-02T12:00:00Z"}}),
            Some((AnalysisPhase::Error, Some("the Job is being deleted by somebody else"))),
        ),
    ] {
        let found = outcome(&job).map(|measured| (measured.phase, measured.message));
        let expected = expected.map(|(phase, message)| (phase, message.map(str::to_owned)));
        assert_eq!(found, expected, "{job}");
    }
}

#[test]
fn a_job_that_cannot_start_proves_nothing() {
    let pod = |reason: &str| {
        json!({"status": {"containerStatuses": [
            {"state": {"running": {}}}, {"state": {"waiting": {"reason": reason, "message": "no such image"}}},
        ]}})
    };
    let found = hopeless(&[pod("ContainerCreating"), pod("ImagePullBackOff")]).unwrap();
    assert_eq!(found.phase, AnalysisPhase::Inconclusive);
    assert_eq!(
        found.message.as_deref(),
        Some("the Job cannot start: ImagePullBackOff: no such image")
    );
    assert_eq!(
        hopeless(&[pod("ContainerCreating"), pod("PodInitializing"), json!({})]),
        None
    );
}

#[test]
fn names_are_those_of_argo_rollouts_as_far_as_they_fit() {
    for (metric, attempt, expected) in [
        ("smoke", 0, format!("{UID}.smoke.1")),
        ("Success Rate", 11, format!("{UID}.success-rate.12")),
        (
            "a-metric-with-a-name-that-is-long",
            0,
            format!("{UID}.a-metric-with-a-name-tha.1"),
        ),
        ("?", 0, format!("{UID}.1")),
        ("x", u32::MAX, format!("{UID}.x.4294967296")),
    ] {
        let found = name(UID, metric, attempt);
        assert_eq!(found, expected);
        assert!(found.len() <= 63);
    }
}
