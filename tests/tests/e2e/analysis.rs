//! Analysis runs of people, without any Rollout: Jobs that pass, fail, last too long or cannot start; addresses that are
//! refused; a Prometheus that hangs and comes back.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sluice_crds::{AnalysisRun, AnalysisRunStatus};
use sluice_tests::plane::{NodeConfig, User, ports};
use sluice_tests::{Controller, ControllerConfig, Plane, PlaneConfig, rights, tests, wait_until};

const SPACE: &str = "gate";
/// Enough for a Job with its pod on a machine that builds at the same time.
const SOON: Duration = Duration::from_mins(2);
/// Looked for in everything that the API server stores.
const SECRET: &str = "canary-of-secrets-5f1d";

pub fn suite() -> ExitCode {
    let program = |name: &str| (name.to_owned(), format!("/bin/{name}").into());
    let node = NodeConfig {
        images: vec![program("true"), program("false"), program("sleep")],
        ..NodeConfig::default()
    };
    sluice_tests::main(
        "analysis",
        PlaneConfig {
            traefik: false,
            node,
            ..PlaneConfig::default()
        },
        tests![
            a_run_of_a_person_is_judged_by_what_its_provider_answers,
            a_prometheus_that_hangs_and_comes_back_is_no_verdict,
        ],
    )
}

/// A controller of the whole cluster that may run Jobs.
async fn controller(plane: &Plane) -> Result<Controller> {
    rights::grant_jobs(plane, User::Controller).await?;
    let config = ControllerConfig {
        flags: vec!["--enable-job-provider".to_owned()],
        ..ControllerConfig::cluster_wide()
    };
    Controller::start(plane, config).await
}

/// A run of one metric, and what comes out.
struct Row {
    name: &'static str,
    space: &'static str,
    metric: Value,
    phase: &'static str,
    /// Text in the message of the last measurement.
    says: &'static str,
}

fn job(image: &str, fields: Value, pod: Value) -> Value {
    let mut container = json!({"name": "check", "image": image});
    for (name, value) in pod.as_object().into_iter().flatten() {
        container[name] = value.clone();
    }
    let mut spec = json!({"backoffLimit": 0, "template": {"spec": {
        "terminationGracePeriodSeconds": 1, "containers": [container],
    }}});
    for (name, value) in fields.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    json!({"provider": {"job": {"spec": spec}}})
}

fn web(url: &str, path: &str) -> Value {
    let web = json!({"url": url, "jsonPath": path, "insecure": true});
    json!({"successCondition": "result == 'success'", "consecutiveErrorLimit": 0, "provider": {"web": web}})
}

fn rows() -> Vec<Row> {
    let row = |name, metric, phase, says| Row {
        name,
        space: SPACE,
        metric,
        phase,
        says,
    };
    let prometheus = format!("http://127.0.0.1:{}/api/v1/query?query=vector(1)", ports::PROMETHEUS);
    let api_server = format!("https://127.0.0.1:{}/version", ports::API_SERVER);
    let by_name = format!("https://localhost:{}/version", ports::API_SERVER);
    vec![
        row("passes", job("true", json!({}), json!({})), "Successful", ""),
        row(
            "fails",
            job("false", json!({}), json!({})),
            "Failed",
            "the Job failed: BackoffLimitExceeded",
        ),
        row(
            "lasts",
            job("sleep", json!({"activeDeadlineSeconds": 3}), json!({"args": ["600"]})),
            "Failed",
            "the Job failed: DeadlineExceeded",
        ),
        row(
            "unpullable",
            job("no-such-image", json!({}), json!({})),
            "Inconclusive",
            "the Job cannot start: ",
        ),
        Row {
            space: "nobody",
            ..row(
                "no-account",
                with_limit(job("true", json!({}), json!({}))),
                "Error",
                "annotate it with sluice.dev/job-service-account=NAME",
            )
        },
        row(
            "secret-in-arguments",
            with_limit(job("true", json!({}), json!({"args": ["--token={{args.token}}"]}))),
            "Error",
            "it can only be the whole value of an environment variable",
        ),
        row("asks", web(&prometheus, "{$.status}"), "Successful", ""),
        row(
            "asks-for-nothing",
            web(&prometheus, "{$.nothing}"),
            "Error",
            "jsonPath leads to nothing in the answer",
        ),
        row(
            "api-server",
            web(&api_server, "{$.major}"),
            "Error",
            "--provider-allow opens it",
        ),
        row(
            "api-server-by-name",
            web(&by_name, "{$.major}"),
            "Error",
            "--provider-allow opens it",
        ),
        row(
            "metadata",
            web("http://169.254.169.254/latest/", "{$}"),
            "Error",
            "--provider-allow opens it",
        ),
    ]
}

fn with_limit(mut metric: Value) -> Value {
    metric["consecutiveErrorLimit"] = 0.into();
    metric
}

fn object(name: &str, mut metric: Value) -> Value {
    metric["name"] = "check".into();
    if metric["provider"].get("job").is_none() && metric["interval"].is_null() {
        metric["count"] = 1.into();
    }
    // Only the namespaces of the first test have the Secret.
    let arguments = match metric["provider"].get("prometheus") {
        None => json!([{"name": "token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}]),
        Some(_) => json!([]),
    };
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": name},
        "spec": {"metrics": [metric], "args": arguments},
    })
}

/// The status of a run when it has ended.
async fn end(plane: &Plane, space: &str, name: &str) -> Result<AnalysisRunStatus> {
    let runs: Api<AnalysisRun> = Api::namespaced(plane.client.kube(), space);
    wait_until(&format!("the end of AnalysisRun {name}"), SOON, || async {
        let status = runs.get(name).await?.status.unwrap_or_default();
        Ok(status.phase.completed().then_some(status))
    })
    .await
}

fn last_message(status: &AnalysisRunStatus) -> String {
    let result = status.metric_results.iter().flatten().next();
    let last = result.and_then(|result| result.measurements.iter().flatten().last());
    last.and_then(|last| last.message.clone()).unwrap_or_default()
}

async fn a_run_of_a_person_is_judged_by_what_its_provider_answers(plane: Arc<Plane>) -> Result<()> {
    let _controller = controller(&plane).await?;
    for space in [SPACE, "nobody"] {
        plane.namespace(space).await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"value": SECRET},
        });
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "checker"}});
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "read-token"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["token"], "verbs": ["get"]}],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "read-token"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read-token"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User::Controller.name()}],
        });
        for object in [secret, account, role, binding] {
            plane.client.apply(space, &object.to_string()).await?;
        }
    }
    let annotation = json!({"metadata": {"annotations": {"sluice.dev/job-service-account": "checker"}}});
    plane.client.patch("v1", "Namespace", "", SPACE, &annotation).await?;
    let problems = try_join_all(rows().into_iter().map(|row| {
        let plane = &plane;
        async move {
            plane
                .client
                .apply(row.space, &object(row.name, row.metric).to_string())
                .await?;
            let status = end(plane, row.space, row.name).await?;
            let (phase, says) = (status.phase.to_string(), last_message(&status));
            println!("  {}: {phase} {says}", row.name);
            let right = phase == row.phase && says.contains(row.says);
            anyhow::Ok((!right).then(|| format!("{}: {phase}: {says}", row.name)))
        }
    }))
    .await?;
    let problems: Vec<String> = problems.into_iter().flatten().collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));

    terminated(&plane).await?;
    refers(&plane).await
}

/// A run that is terminated ends, and its Job goes.
async fn terminated(plane: &Plane) -> Result<()> {
    let metric = job("sleep", json!({}), json!({"args": ["600"]}));
    plane
        .client
        .apply(SPACE, &object("terminated", metric).to_string())
        .await?;
    let jobs: Api<Job> = Api::namespaced(plane.client.kube(), SPACE);
    let runs: Api<AnalysisRun> = Api::namespaced(plane.client.kube(), SPACE);
    let uid = runs.get("terminated").await?.uid().context("a uid")?;
    let of_run = ListParams::default().labels(&format!("analysisrun.argoproj.io/uid={uid}"));
    wait_until("the Job", SOON, || async {
        Ok((jobs.list(&of_run).await?.items.len() == 1).then_some(()))
    })
    .await?;
    let stop = Patch::Merge(json!({"spec": {"terminate": true}}));
    runs.patch("terminated", &PatchParams::default(), &stop).await?;
    end(plane, SPACE, "terminated").await?;
    wait_until("the end of the Job", SOON, || async {
        Ok(jobs.list(&of_run).await?.items.is_empty().then_some(()))
    })
    .await
}

/// A secret is a reference in the Job and stands nowhere else.
async fn refers(plane: &Plane) -> Result<()> {
    let metric = job(
        "true",
        json!({}),
        json!({"env": [{"name": "TOKEN", "value": "{{args.token}}"}]}),
    );
    plane.client.apply(SPACE, &object("refers", metric).to_string()).await?;
    let jobs: Api<Job> = Api::namespaced(plane.client.kube(), SPACE);
    let made = wait_until("the Job with the reference", SOON, || async {
        let all = jobs.list(&ListParams::default()).await?.items;
        let named = |job: &Job| {
            job.annotations()
                .get("analysisrun.argoproj.io/name")
                .is_some_and(|name| name == "refers")
        };
        Ok(all.into_iter().find(named))
    })
    .await?;
    let made = serde_json::to_value(made)?;
    let pod = &made["spec"]["template"]["spec"];
    let reference = json!({"secretKeyRef": {"name": "token", "key": "value"}});
    ensure!(
        pod["containers"][0]["env"][0]["valueFrom"] == reference,
        "the variable is {}",
        pod["containers"][0]["env"]
    );
    ensure!(
        pod["serviceAccountName"] == "checker",
        "it runs as {}",
        pod["serviceAccountName"]
    );
    for (version, kind) in [
        ("argoproj.io/v1alpha1", "AnalysisRun"),
        ("batch/v1", "Job"),
        ("v1", "Pod"),
        ("v1", "Event"),
    ] {
        let objects = plane
            .client
            .api(version, kind, SPACE)
            .await?
            .list(&ListParams::default())
            .await?;
        if serde_json::to_string(&objects)?.contains(SECRET) {
            bail!("the secret stands in a {kind}");
        }
    }
    Ok(())
}

async fn a_prometheus_that_hangs_and_comes_back_is_no_verdict(plane: Arc<Plane>) -> Result<()> {
    const SPACE: &str = "hangs";
    plane.namespace(SPACE).await?;
    let _controller = controller(&plane).await?;
    let metric = json!({
        "interval": "1s", "count": 10, "successCondition": "result[0] == 1", "consecutiveErrorLimit": 1000,
        "provider": {"prometheus": {"query": "vector(1)", "timeout": 1}},
    });
    plane
        .client
        .apply(SPACE, &object("watches", metric).to_string())
        .await?;
    let runs: Api<AnalysisRun> = Api::namespaced(plane.client.kube(), SPACE);
    let result = async || {
        let status = runs.get("watches").await?.status.unwrap_or_default();
        anyhow::Ok(status.metric_results.into_iter().flatten().next().unwrap_or_default())
    };
    wait_until("the first values", SOON, || async {
        Ok((result().await?.successful.unwrap_or(0) >= 2).then_some(()))
    })
    .await?;
    let (_, id) = plane
        .process_ids()
        .into_iter()
        .find(|(name, _)| name == "prometheus")
        .context("Prometheus runs")?;
    let process = Pid::from_raw(i32::try_from(id)?).context("a process")?;
    kill_process(process, Signal::STOP)?;
    let hung = wait_until("errors", SOON, || async {
        let result = result().await?;
        Ok((result.error.unwrap_or(0) >= 2).then_some(result))
    })
    .await;
    kill_process(process, Signal::CONT)?;
    let hung = hung?;
    ensure!(hung.successful < Some(10), "it ended before it hung: {hung:?}");
    let status = end(&plane, SPACE, "watches").await?;
    let result = result().await?;
    println!(
        "  {} values, {} errors",
        result.count.unwrap_or(0),
        result.error.unwrap_or(0)
    );
    ensure!(status.phase.to_string() == "Successful", "{status:?}");
    ensure!(
        result.count == Some(10) && result.successful == Some(10) && result.error >= Some(2),
        "{result:?}"
    );
    Ok(())
}
