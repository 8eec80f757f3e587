//! The API server's audit log: which requests were made, by whom, since when.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde::Deserialize;

use crate::client::{Client, wait_until};

/// How long a request may take from its answer to its line in the log.
const LINE_WITHIN: Duration = Duration::from_secs(20);

/// The audit log of one plane.
#[derive(Debug)]
pub struct AuditLog {
    file: PathBuf,
    client: Client,
    marks: AtomicU64,
}

/// A moment in the log: everything that was answered before it is before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// Before the first request.
    pub const BEGIN: Self = Self(0);
}

/// One request, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` ...
    pub verb: String,
    /// The name of the user.
    pub user: String,
    /// What the client says that it is.
    pub agent: String,
    /// The API group, empty for the core.
    pub group: String,
    /// The plural name of the kind, empty for paths that are no object.
    pub resource: String,
    /// `status`, `scale` ..., or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The name of the object; empty when the server chose it.
    pub name: String,
    /// The status code of the answer.
    pub code: u16,
    /// When the request came in, as the server writes it.
    pub at: String,
    /// Whether nothing was to be changed (`dryRun=All`).
    pub dry_run: bool,
}

impl Request {
    /// Whether it was to change something: create, update, patch or delete, and no dry run.
    pub fn is_write(&self) -> bool {
        !self.dry_run
            && matches!(
                self.verb.as_str(),
                "create" | "update" | "patch" | "delete" | "deletecollection"
            )
    }

    /// Whether it belongs to the noise of every controller: leases, events and reviews of rights.
    pub fn is_noise(&self) -> bool {
        matches!(
            self.resource.as_str(),
            "leases" | "events" | "tokenreviews" | "subjectaccessreviews" | "selfsubjectaccessreviews"
        )
    }

    /// Verb and object kind, for reports: `patch rollouts/status`.
    pub fn what(&self) -> String {
        format!("{} {}", self.verb, self.kind())
    }

    /// The kind as roles name it: `rollouts/status`.
    pub fn kind(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.resource, self.subresource)
    }
}

impl AuditLog {
    pub(crate) fn new(file: PathBuf, client: Client) -> Self {
        Self {
            file,
            client,
            marks: AtomicU64::new(0),
        }
    }

    /// The present end of the log. Makes a request of its own and waits for its line, so that no earlier one is missing.
    pub async fn mark(&self) -> Result<Mark> {
        let number = self.marks.fetch_add(1, Ordering::Relaxed);
        let name = format!("audit-mark-{}-{number}", std::process::id());
        let begin = self.length()?;
        // A read of something that does not exist: it changes nothing and is logged like everything.
        let maps: Api<ConfigMap> = Api::namespaced(self.client.kube(), "default");
        maps.get_opt(&name).await.context("ask for a mark in the audit log")?;
        wait_until("a line of the audit log", LINE_WITHIN, || async {
            let text = self.text(Mark(begin))?;
            Ok(text
                .find(&name)
                .and_then(|at| text[at..].find('\n').map(|end| Mark(begin + (at + end + 1) as u64))))
        })
        .await
    }

    /// The requests that were answered between two marks, in the order of the log.
    pub fn between(&self, from: Mark, to: Mark) -> Result<Vec<Request>> {
        let text = self.text(from)?;
        let length = usize::try_from(to.0.saturating_sub(from.0)).context("the log fits into memory")?;
        text.get(..length)
            .context("the audit log is shorter than it was")?
            .lines()
            .filter(|line| !line.is_empty())
            .map(parse)
            .collect()
    }

    /// The requests since a mark.
    pub async fn since(&self, from: Mark) -> Result<Vec<Request>> {
        let now = self.mark().await?;
        self.between(from, now)
    }

    /// The writes of a user since a mark, without leases, events and dry runs.
    pub async fn writes_since(&self, from: Mark, user: &str) -> Result<Vec<Request>> {
        let mut requests = self.since(from).await?;
        requests.retain(|request| request.user == user && request.is_write() && !request.is_noise());
        Ok(requests)
    }

    fn length(&self) -> Result<u64> {
        let meta = std::fs::metadata(&self.file).with_context(|| format!("read {}", self.file.display()))?;
        Ok(meta.len())
    }

    fn text(&self, from: Mark) -> Result<String> {
        let mut file = File::open(&self.file).with_context(|| format!("open {}", self.file.display()))?;
        file.seek(SeekFrom::Start(from.0))
            .with_context(|| format!("seek in {}", self.file.display()))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .with_context(|| format!("read {}", self.file.display()))?;
        String::from_utf8(bytes).context("the audit log is not text")
    }
}

/// How many requests there were of each kind, for reports.
pub fn count_by_what(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(request.what()).or_default() += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: LineUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: LineObject,
    #[serde(default)]
    response_status: LineStatus,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    request_received_timestamp: String,
}

#[derive(Deserialize)]
struct LineUser {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LineObject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LineStatus {
    code: u16,
}

fn parse(line: &str) -> Result<Request> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("a line of the audit log: {line}"))?;
    Ok(Request {
        verb: line.verb,
        user: line.user.username,
        agent: line.user_agent,
        group: line.object_ref.api_group,
        resource: line.object_ref.resource,
        subresource: line.object_ref.subresource,
        namespace: line.object_ref.namespace,
        name: line.object_ref.name,
        code: line.response_status.code,
        at: line.request_received_timestamp,
        dry_run: line.request_uri.contains("dryRun=All"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","level":"Metadata","stage":"ResponseComplete",
"requestURI":"/apis/apps/v1/namespaces/a/replicasets?dryRun=All","verb":"create","user":{"username":"sluice-controller"},
"userAgent":"sluice/0.1","objectRef":{"resource":"replicasets","namespace":"a","apiGroup":"apps"},
"responseStatus":{"code":201},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z"}"#;

    #[test]
    fn a_dry_run_is_no_write() {
        let dry = parse(LINE).expect("it is a line of an audit log");
        assert!(!dry.is_write(), "{dry:?}");
        let real = parse(&LINE.replace("?dryRun=All", "")).expect("it is a line of an audit log");
        assert!(real.is_write() && !real.is_noise(), "{real:?}");
        assert_eq!((real.what().as_str(), real.code), ("create replicasets", 201));
        assert_eq!((real.group.as_str(), real.kind().as_str()), ("apps", "replicasets"));
    }

    #[test]
    fn a_line_without_an_object_is_read() {
        let line = r#"{"verb":"get","user":{"username":"admin"},"requestURI":"/readyz"}"#;
        let request = parse(line).expect("it is a line of an audit log");
        assert_eq!((request.resource.as_str(), request.is_write()), ("", false));
    }
}
