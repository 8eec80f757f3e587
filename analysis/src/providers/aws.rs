//! AWS: where the credentials of the controller come from, and requests that are signed with them (Signature Version 4).
//!
//! Credentials come from the environment: an access key, or a role with a web identity token, as EKS gives it to service
//! accounts. A further role may be assumed with them. Nothing of it is kept after the measurement.

use std::time::Duration;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;

use super::talk::{Say, Talk};
use super::{Environment, WEB_IDENTITY_TOKEN_FILE};
use crate::{HttpRequest, HttpResponse};

pub(super) const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
pub(super) const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
pub(super) const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
pub(super) const REGION: &str = "AWS_REGION";
pub(super) const DEFAULT_REGION: &str = "AWS_DEFAULT_REGION";
pub(super) const ROLE: &str = "AWS_ROLE_ARN";
pub(super) const ROLE_SESSION: &str = "AWS_ROLE_SESSION_NAME";

/// Requests for credentials must be answered within this time.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer with credentials.
const BODY_LIMIT: usize = 64 * 1024;
/// Name of a session where the environment gives none.
const SESSION: &str = "sluice";

/// Whose account is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account<'a> {
    /// The region; absent: that of the environment.
    pub region: Option<&'a str>,
    /// A role to assume with the credentials of the environment.
    pub role: Option<&'a str>,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

/// What the next answer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The web identity token became credentials.
    Identity,
    /// The role was assumed.
    Role,
    /// The talk that is signed.
    Inner,
}

/// A talk whose requests are signed.
pub(super) struct Signed {
    service: &'static str,
    region: String,
    /// The role to assume.
    role: Option<String>,
    session: String,
    stage: Stage,
    /// The request that makes credentials of the web identity token.
    identity: Option<HttpRequest>,
    credentials: Option<Credentials>,
    inner: Box<dyn Talk>,
}

/// The region of an account, or why there is none.
pub(super) fn region(account: &Account<'_>, environment: &Environment) -> Result<String, String> {
    let variable = |name: &str| environment.variables.get(name).filter(|value| !value.is_empty());
    let region = account.region.map(str::to_owned);
    let region = region.or_else(|| variable(REGION).or_else(|| variable(DEFAULT_REGION)).cloned());
    let region = region.ok_or_else(|| format!("no region: give one, or set {REGION} for the controller"))?;
    if region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        Ok(region)
    } else {
        Err("the region is none: it looks like us-east-1".to_owned())
    }
}

/// The address of a service in a region.
pub(super) fn endpoint(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{service}.{region}.amazonaws.com{suffix}/")
}

impl Signed {
    /// Wraps `inner`. Where there are no credentials, that is said.
    pub(super) fn new(
        service: &'static str,
        account: Account<'_>,
        environment: &Environment,
        inner: Box<dyn Talk>,
    ) -> Result<Signed, String> {
        let region = region(&account, environment)?;
        let variable = |name: &str| {
            environment
                .variables
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let session = variable(ROLE_SESSION).unwrap_or_else(|| SESSION.to_owned());
        let credentials = match (variable(ACCESS_KEY), variable(SECRET_KEY)) {
            (Some(access_key), Some(secret_key)) => Some(Credentials {
                access_key,
                secret_key,
                session_token: variable(SESSION_TOKEN),
            }),
            _ => None,
        };
        let identity = match (&credentials, variable(ROLE), &environment.web_identity_token) {
            (Some(_), ..) => None,
            (None, Some(role), Some(token)) => {
                let form = [
                    ("Action", "AssumeRoleWithWebIdentity"),
                    ("Version", "2011-06-15"),
                    ("RoleArn", &role),
                    ("RoleSessionName", &session),
                    ("WebIdentityToken", token.trim()),
                ];
                Some(token_request(&region, &form))
            }
            _ => {
                return Err(format!(
                    "the controller has no credentials for AWS: set {ACCESS_KEY} and {SECRET_KEY}, or {ROLE} and \
                     {WEB_IDENTITY_TOKEN_FILE}"
                ));
            }
        };
        Ok(Signed {
            service,
            region,
            role: account.role.map(str::to_owned),
            session,
            stage: Stage::Inner,
            identity,
            credentials,
            inner,
        })
    }

    /// What comes next once there are credentials.
    fn go_on(&mut self, now: Timestamp) -> Result<Say, String> {
        if let Some(role) = self.role.take() {
            self.stage = Stage::Role;
            let form = [
                ("Action", "AssumeRole"),
                ("Version", "2011-06-15"),
                ("RoleArn", &role),
                ("RoleSessionName", &self.session),
            ];
            let request = token_request(&self.region, &form);
            return self.signed(now, "sts", request).map(Say::Send);
        }
        self.stage = Stage::Inner;
        let said = self.inner.start(now)?;
        self.pass_on(now, said)
    }

    fn pass_on(&self, now: Timestamp, said: Say) -> Result<Say, String> {
        Ok(match said {
            Say::Send(request) => Say::Send(self.signed(now, self.service, request)?),
            Say::SendAfter(after, request) => Say::SendAfter(after, self.signed(now, self.service, request)?),
            other => other,
        })
    }

    fn signed(&self, now: Timestamp, service: &str, mut request: HttpRequest) -> Result<HttpRequest, String> {
        let credentials = self
            .credentials
            .as_ref()
            .ok_or("there are no credentials for AWS yet")?;
        let headers = signature(now, service, &self.region, credentials, &request)?;
        request.headers.extend(headers);
        Ok(request)
    }
}

impl Talk for Signed {
    fn start(&mut self, now: Timestamp) -> Result<Say, String> {
        if let Some(request) = self.identity.take() {
            self.stage = Stage::Identity;
            return Ok(Say::Send(request));
        }
        self.go_on(now)
    }

    fn hear(&mut self, now: Timestamp, response: &HttpResponse) -> Result<Say, String> {
        match self.stage {
            Stage::Identity | Stage::Role => {
                self.credentials = Some(credentials(response)?);
                self.go_on(now)
            }
            Stage::Inner => {
                let said = self.inner.hear(now, response)?;
                self.pass_on(now, said)
            }
        }
    }

    fn hidden(&self) -> Vec<&str> {
        let mut hidden = self.inner.hidden();
        if let Some(credentials) = &self.credentials {
            hidden.push(&credentials.secret_key);
            hidden.extend(credentials.session_token.as_deref());
        }
        hidden
    }
}

/// A request to the Security Token Service.
fn token_request(region: &str, form: &[(&str, &str)]) -> HttpRequest {
    let form_type = "application/x-www-form-urlencoded".to_owned();
    HttpRequest {
        method: "POST",
        url: endpoint("sts", region),
        headers: vec![("Content-Type".to_owned(), form_type)],
        body: Some(
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(form)
                .finish(),
        ),
        timeout: TIMEOUT,
        insecure: false,
        body_limit: BODY_LIMIT,
    }
}

/// The credentials of an answer of the Security Token Service, which is XML.
fn credentials(response: &HttpResponse) -> Result<Credentials, String> {
    let text = String::from_utf8_lossy(&response.body);
    let element = |name: &str| -> Option<String> {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        let value = value.trim();
        (!value.is_empty() && value.chars().all(|c| c.is_ascii_graphic())).then(|| value.to_owned())
    };
    if response.status != 200 {
        // The code is a word such as `AccessDenied`; the message may hold more than it should.
        let code = element("Code").filter(|code| code.chars().all(|c| c.is_ascii_alphanumeric()));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let status = response.status;
        return Err(format!("AWS gave no credentials: it answered {status}{code}"));
    }
    match (
        element("AccessKeyId"),
        element("SecretAccessKey"),
        element("SessionToken"),
    ) {
        (Some(access_key), Some(secret_key), session_token @ Some(_)) => Ok(Credentials {
            access_key,
            secret_key,
            session_token,
        }),
        _ => Err("AWS gave no credentials: the answer has none".to_owned()),
    }
}

/// The headers that sign a request.
fn signature(
    now: Timestamp,
    service: &str,
    region: &str,
    credentials: &Credentials,
    request: &HttpRequest,
) -> Result<Vec<(String, String)>, String> {
    let failed = |_| "the request to AWS cannot be signed".to_owned();
    let identity = aws_credential_types::Credentials::new(
        &credentials.access_key,
        &credentials.secret_key,
        credentials.session_token.clone(),
        None,
        "sluice",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now.into())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| "the request to AWS cannot be signed".to_owned())?
        .into();
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let body = SignableBody::Bytes(request.body.as_deref().unwrap_or_default().as_bytes());
    let signable = SignableRequest::new(request.method, &request.url, headers, body).map_err(failed)?;
    let (instructions, _) = sign(signable, &params).map_err(failed)?.into_parts();
    let headers = instructions.headers();
    Ok(headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests;
