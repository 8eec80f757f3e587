//! Calls to the API server: one request, one time-out, one typed error. Nothing is ever sent twice from here.

use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kinds::Kind;
use crate::object::ObjectName;

/// Name under which the API server records what we wrote.
pub const FIELD_MANAGER: &str = "sluice-controller";

/// A quorum read answers in milliseconds; one that takes longer than this comes from a server that is not well.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The object has another resourceVersion or uid than we said (409).
    #[error("the object was changed in between: {0}")]
    Conflict(String),
    /// There is an object of this name (409).
    #[error("the object exists already")]
    AlreadyExists,
    /// There is an object of this name, and it belongs to somebody else.
    #[error("{0} exists and does not belong to this Rollout")]
    Taken(String),
    /// There is no such object or kind (404).
    #[error("not found: {0}")]
    NotFound(String),
    /// We may not do this (401, 403).
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The request itself was refused, by the API server or by an admission webhook (other 4xx).
    #[error("refused with status {code}: {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// What the API server said.
        message: String,
    },
    /// The API server has too much to do (429).
    #[error("the API server asks to wait {} s", .0.as_secs())]
    Throttled(Duration),
    /// No answer, or one that does not tell whether the request was carried out (time-out, broken connection, 5xx).
    #[error("no certain answer: {0}")]
    Unanswered(String),
    /// The answer is no JSON or not what it should be.
    #[error("an answer that cannot be understood: {0}")]
    Unreadable(String),
    /// Nothing was sent: we may no longer write, because our Lease may end before an answer comes.
    #[error("nothing was sent: the leader Lease is not ours for long enough")]
    NotLeader,
}

/// When it makes sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// When what we read was out of date: as soon as the caches have caught up, and after a short time in any case.
    AwaitChange,
    /// After a growing delay.
    Backoff,
    /// After this time.
    After(Duration),
}

impl CallError {
    /// A short name, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            CallError::Conflict(_) => "conflict",
            CallError::AlreadyExists => "already-exists",
            CallError::Taken(_) => "taken",
            CallError::NotFound(_) => "not-found",
            CallError::Forbidden(_) => "forbidden",
            CallError::Refused { .. } => "refused",
            CallError::Throttled(_) => "throttled",
            CallError::Unanswered(_) => "unanswered",
            CallError::Unreadable(_) => "unreadable",
            CallError::NotLeader => "not-leader",
        }
    }

    /// When to try again.
    pub fn retry(&self) -> Retry {
        match self {
            CallError::Conflict(_) | CallError::AlreadyExists | CallError::Taken(_) | CallError::NotFound(_) => {
                Retry::AwaitChange
            }
            CallError::Throttled(wait) => Retry::After(*wait),
            CallError::Forbidden(_)
            | CallError::Refused { .. }
            | CallError::Unanswered(_)
            | CallError::Unreadable(_)
            | CallError::NotLeader => Retry::Backoff,
        }
    }

    /// Whether a write that ended so may have been carried out.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, CallError::Unanswered(_) | CallError::Unreadable(_))
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        let status = match error {
            kube::Error::Api(status) => status,
            kube::Error::SerdeError(error) => return CallError::Unreadable(error.to_string()),
            kube::Error::FromUtf8(error) => return CallError::Unreadable(error.to_string()),
            other => return CallError::Unanswered(chain(&other)),
        };
        let message = status.message.clone();
        match status.code {
            409 if status.reason == "AlreadyExists" => CallError::AlreadyExists,
            409 => CallError::Conflict(message),
            404 => CallError::NotFound(message),
            401 | 403 => CallError::Forbidden(message),
            429 => {
                let seconds = status.details.as_ref().map_or(1, |details| details.retry_after_seconds);
                CallError::Throttled(Duration::from_secs(u64::from(seconds.clamp(1, 60))))
            }
            code @ 400..=499 => CallError::Refused { code, message },
            code => CallError::Unanswered(format!("status {code}: {message}")),
        }
    }
}

/// What a write answers, as far as the ledger needs it. Objects are some kilobytes; this is all that is decoded of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Metadata of the object as it is now; empty where the answer is no object.
    #[serde(default)]
    pub metadata: ReceiptMetadata,
}

/// Metadata of a [`Receipt`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReceiptMetadata {
    /// uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
}

/// Sends one request and reads the JSON of its answer.
pub async fn call<T: DeserializeOwned>(
    client: &Client,
    request: Request<Vec<u8>>,
    timeout: Duration,
) -> Result<T, CallError> {
    match tokio::time::timeout(timeout, client.request::<T>(request)).await {
        Ok(answer) => answer.map_err(CallError::from),
        Err(_) => Err(CallError::Unanswered(format!(
            "no answer within {} ms",
            timeout.as_millis()
        ))),
    }
}

/// A quorum read of one object; `None` where there is none.
pub async fn read(client: &Client, kind: &Kind, name: &ObjectName) -> Result<Option<Value>, CallError> {
    match call(client, get(&kind.path(name)), READ_TIMEOUT).await {
        Ok(object) => Ok(Some(object)),
        Err(CallError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A quorum read of all objects of a kind in a namespace, each with its apiVersion and kind. There are none where the kind is
/// not installed, or may not be read: what we may not read we have not written either.
pub async fn list(client: &Client, kind: &Kind, namespace: &str) -> Result<Vec<Value>, CallError> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        items: Vec<Value>,
    }
    let path = kind.path(&ObjectName::new(namespace, ""));
    let listed: Result<List, CallError> = call(client, get(&path), READ_TIMEOUT).await;
    let mut items = match listed {
        Ok(list) => list.items,
        Err(CallError::NotFound(_) | CallError::Forbidden(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let resource = kind.resource();
    for item in &mut items {
        item["apiVersion"] = resource.api_version.clone().into();
        item["kind"] = resource.kind.clone().into();
    }
    Ok(items)
}

/// A GET request.
pub fn get(path: &str) -> Request<Vec<u8>> {
    request(Method::GET, path, None, Vec::new())
}

/// A GET request that wants only the metadata of the objects in a list.
pub fn get_metadata_list(path: &str) -> Request<Vec<u8>> {
    let mut request = get(path);
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    request
        .headers_mut()
        .insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
    request
}

/// The request, with the wish that only the metadata of the object comes back.
pub fn metadata_only(mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    request
        .headers_mut()
        .insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
    request
}

/// A POST request that creates `object` in the collection at `path`.
pub fn post(path: &str, object: &Value) -> Request<Vec<u8>> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}fieldManager={FIELD_MANAGER}");
    request(
        Method::POST,
        &path,
        Some("application/json"),
        object.to_string().into_bytes(),
    )
}

/// A JSON merge patch.
pub fn merge_patch(path: &str, change: &Value) -> Request<Vec<u8>> {
    let path = format!("{path}?fieldManager={FIELD_MANAGER}");
    request(
        Method::PATCH,
        &path,
        Some("application/merge-patch+json"),
        change.to_string().into_bytes(),
    )
}

/// A DELETE request with preconditions; dependents are collected in the background.
pub fn delete(path: &str, uid: &str, resource_version: Option<&str>) -> Request<Vec<u8>> {
    let mut preconditions = serde_json::json!({ "uid": uid });
    if let Some(version) = resource_version {
        preconditions["resourceVersion"] = version.into();
    }
    let options = serde_json::json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": preconditions,
        "propagationPolicy": "Background",
    });
    request(
        Method::DELETE,
        path,
        Some("application/json"),
        options.to_string().into_bytes(),
    )
}

/// A value for a query parameter: all but letters, digits and `-._~` as `%XX`.
pub fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => {
                use std::fmt::Write as _;
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

fn request(method: Method, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Request<Vec<u8>> {
    let mut builder = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        builder = builder.header(http::header::CONTENT_TYPE, content_type);
    }
    builder
        .body(body)
        .expect("names that the API server admits make valid paths, and the headers are constants")
}

/// An error with all its sources, as people read it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn answers_of_the_api_server_become_errors_that_say_when_to_try_again() {
        let check = |code: u16, reason: &str, category: &str, retry: Retry, unknown: bool| {
            let status = Status {
                code,
                reason: reason.into(),
                message: "why".into(),
                ..Status::default()
            };
            let error = CallError::from(kube::Error::Api(Box::new(status)));
            let seen = (error.category(), error.retry(), error.is_outcome_unknown());
            assert_eq!(seen, (category, retry, unknown), "{code} {reason}");
        };
        check(409, "Conflict", "conflict", Retry::AwaitChange, false);
        check(409, "AlreadyExists", "already-exists", Retry::AwaitChange, false);
        check(404, "NotFound", "not-found", Retry::AwaitChange, false);
        check(403, "Forbidden", "forbidden", Retry::Backoff, false);
        check(401, "Unauthorized", "forbidden", Retry::Backoff, false);
        check(422, "Invalid", "refused", Retry::Backoff, false);
        check(400, "BadRequest", "refused", Retry::Backoff, false);
        check(
            429,
            "TooManyRequests",
            "throttled",
            Retry::After(Duration::from_secs(1)),
            false,
        );
        check(500, "InternalError", "unanswered", Retry::Backoff, true);
        check(503, "ServiceUnavailable", "unanswered", Retry::Backoff, true);
        check(504, "Timeout", "unanswered", Retry::Backoff, true);
    }

    #[test]
    fn selectors_are_escaped_in_queries() {
        assert_eq!(
            query_escape("kubernetes.io/service-name=web"),
            "kubernetes.io%2Fservice-name%3Dweb"
        );
        assert_eq!(query_escape("a,!b"), "a%2C%21b");
    }
}
