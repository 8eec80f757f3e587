//! Jobs of metrics: made under a name that is always the same, and looked at until they end.
//!
//! A crash loses nothing: the measurement is taken again, its Job is there already, and it is looked at further. A run that
//! ended or is terminated needs no Job any more: it is deleted, as are those of measurements that are long past.

use std::time::Duration;

use serde_json::Value;
use sluice_analysis::providers::job::{self, ACCOUNT_ANNOTATION, JobOwner};
use sluice_analysis::{JobWish, Measured};
use sluice_crds::AnalysisRun;
use sluice_machine::run::MeasureKey;

use crate::api::{self, CallError, READ_TIMEOUT};
use crate::context::Context;
use crate::kinds::Kind;
use crate::ledger::ObjectId;
use crate::object::ObjectName;

/// A Job is looked at after this time, then after twice that, and so on up to [`LAST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(8);
/// Looks at the pods of a Job that must all say that it cannot start: a registry may be slow to answer once.
const HOPELESS_LOOKS: u32 = 3;
/// Jobs of a metric that are kept, as many as measurements are.
const KEPT: u32 = 10;

/// Runs the Job of one measurement to its end.
pub async fn run(context: &Context, run: &AnalysisRun, key: &MeasureKey, wish: &JobWish) -> Measured {
    if !context.config.enable_jobs {
        return Measured::error("metrics may not run Jobs here: start the controller with --enable-job-provider");
    }
    let uid = run.metadata.uid.as_deref().unwrap_or_default();
    let place = ObjectName::new(
        run.metadata.namespace.as_deref().unwrap_or_default(),
        run.metadata.name.as_deref().unwrap_or_default(),
    );
    let jobs = Jobs {
        context,
        path: format!("/apis/batch/v1/namespaces/{}/jobs", place.namespace),
        run: ObjectId {
            kind: Kind::Run,
            name: place,
        },
        uid,
    };
    match jobs.measure(key, wish).await {
        Ok(measured) => measured,
        Err(error) => Measured::error(&error),
    }
}

struct Jobs<'j> {
    context: &'j Context,
    /// Of the Jobs of the namespace.
    path: String,
    run: ObjectId,
    uid: &'j str,
}

impl Jobs<'_> {
    async fn measure(&self, key: &MeasureKey, wish: &JobWish) -> Result<Measured, String> {
        let account = self.account().await?;
        let owner = JobOwner {
            run: &self.run.name.name,
            uid: self.uid,
            metric: &key.metric,
            attempt: key.attempt,
            account: &account,
        };
        let manifest = job::manifest(wish, &owner)?;
        let name = job::name(self.uid, &key.metric, key.attempt);
        self.create(&manifest).await?;
        if let Some(old) = key.attempt.checked_sub(KEPT) {
            self.delete(&job::name(self.uid, &key.metric, old)).await;
        }
        let (mut wait, mut hopeless) = (FIRST_LOOK, 0);
        loop {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_LOOK);
            if self.is_over() {
                self.delete(&name).await;
                return Err("Metric Terminated".to_owned());
            }
            let found = match self.read(&name).await {
                Ok(Some(found)) => found,
                Ok(None) => return Err(format!("the Job {name} is gone: somebody else deleted it")),
                // The API server may be away for a while: the Job goes on.
                Err(_) => continue,
            };
            if let Some(measured) = job::outcome(&found) {
                return Ok(measured);
            }
            let Some(stuck) = self.stuck(&name, &found).await else {
                hopeless = 0;
                continue;
            };
            hopeless += 1;
            if hopeless == HOPELESS_LOOKS {
                self.delete(&name).await;
                return Ok(stuck);
            }
        }
    }

    /// The service account that the owner of the namespace named.
    async fn account(&self) -> Result<String, String> {
        let namespace = &self.run.name.namespace;
        let path = format!("/api/v1/namespaces/{namespace}");
        let found: Result<Value, CallError> = api::call(&self.context.client, api::get(&path), READ_TIMEOUT).await;
        let found = found.map_err(|error| format!("namespace {namespace} cannot be read: {error}"))?;
        let account = found["metadata"]["annotations"][ACCOUNT_ANNOTATION].as_str();
        account.filter(|account| !account.is_empty()).map(str::to_owned).ok_or_else(|| {
            format!(
                "namespace {namespace} names no service account for Jobs: annotate it with {ACCOUNT_ANNOTATION}=NAME, where \
                 NAME has the rights that its Jobs need and no others"
            )
        })
    }

    /// Makes the Job, or finds that it was made before.
    async fn create(&self, manifest: &Value) -> Result<(), String> {
        let Some(budget) = self.context.leadership.write_budget(READ_TIMEOUT) else {
            return Err(CallError::NotLeader.to_string());
        };
        let request = api::post(&self.path, manifest);
        match api::call::<Value>(&self.context.client, request, budget).await {
            Ok(_) => Ok(()),
            Err(CallError::AlreadyExists) => {
                let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
                match self.read(name).await {
                    Ok(Some(_)) => Ok(()),
                    _ => Err(format!("the Job {name} exists and does not belong to this AnalysisRun")),
                }
            }
            Err(CallError::Forbidden(_)) => {
                Err("the controller may not create Jobs here: grant it the rights of deploy/jobs.yaml".to_owned())
            }
            Err(error) => Err(format!("the Job was not made: {error}")),
        }
    }

    /// The Job, if there is one and it is that of this run.
    async fn read(&self, name: &str) -> Result<Option<Value>, CallError> {
        let path = format!("{}/{name}", self.path);
        match api::call::<Value>(&self.context.client, api::get(&path), READ_TIMEOUT).await {
            Ok(job) => {
                let owners = job["metadata"]["ownerReferences"].as_array();
                let is_ours = owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == self.uid));
                Ok(is_ours.then_some(job))
            }
            Err(CallError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Why the pods of a Job that runs will never start.
    async fn stuck(&self, name: &str, job: &Value) -> Option<Measured> {
        if job["status"]["active"].as_u64().unwrap_or_default() == 0 {
            return None;
        }
        let selector = api::query_escape(&format!("batch.kubernetes.io/job-name={name}"));
        let namespace = &self.run.name.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
        let list: Value = api::call(&self.context.client, api::get(&path), READ_TIMEOUT)
            .await
            .ok()?;
        job::hopeless(list["items"].as_array()?)
    }

    /// Whether nobody waits for the measurement any more.
    fn is_over(&self) -> bool {
        let Some(stored) = self
            .context
            .cache
            .get(&self.run)
            .filter(|stored| stored.uid == self.uid)
        else {
            return true;
        };
        let run: Result<AnalysisRun, _> = stored.decode();
        run.is_ok_and(|run| {
            let ended = run.status.is_some_and(|status| status.phase.completed());
            ended || run.spec.terminate.unwrap_or(false)
        })
    }

    /// Deletes the Job, if it is there and ours. What fails is left: the Job goes with its run.
    async fn delete(&self, name: &str) {
        let Ok(Some(job)) = self.read(name).await else { return };
        let Some(uid) = job["metadata"]["uid"].as_str() else {
            return;
        };
        if let Some(budget) = self.context.leadership.write_budget(READ_TIMEOUT) {
            let request = api::delete(&format!("{}/{name}", self.path), uid, None);
            if let Err(error) = api::call::<Value>(&self.context.client, request, budget).await {
                tracing::debug!(job = name, %error, "a Job was not deleted");
            }
        }
    }
}
