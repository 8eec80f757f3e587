//! OAuth 2.0 client credentials (RFC 6749, section 4.4): a token is fetched first, and every request carries it.
//!
//! The token is fetched for each measurement and kept nowhere else.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use sluice_crds::OAuth2Config;

use super::ProviderError;
use super::shared::{check_url, invalid, is_success, non_empty, quoted};
use super::talk::{Say, Talk};
use crate::args::is_open;
use crate::{HttpRequest, HttpResponse};

/// A token request must be answered within this time.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer with a token.
const BODY_LIMIT: usize = 64 * 1024;

/// All problems of a configuration; `provider` is the name of the provider that has it.
pub(super) fn problems(provider: &str, config: &OAuth2Config) -> Vec<ProviderError> {
    let wrong = |field: &str, problem: &str| invalid(provider, &format!("authentication.oauth2.{field}"), problem);
    let mut problems = Vec::new();
    match non_empty(config.token_url.as_ref()) {
        None => problems.push(wrong("tokenUrl", "is empty")),
        Some(url) if is_open(url) => {}
        Some(url) => problems.extend(
            check_url(url, "https://login.example.com/oauth2/token")
                .err()
                .map(|problem| wrong("tokenUrl", &problem)),
        ),
    }
    for (field, text) in [("clientId", &config.client_id), ("clientSecret", &config.client_secret)] {
        if non_empty(text.as_ref()).is_none() {
            problems.push(wrong(field, "is empty"));
        }
    }
    problems
}

/// A talk whose requests carry a token. The configuration has no problems.
pub(super) struct WithToken {
    token_request: HttpRequest,
    insecure: bool,
    token: Option<String>,
    inner: Box<dyn Talk>,
}

impl WithToken {
    /// Fetches the token with the certificate checks of the provider itself.
    pub(super) fn new(config: &OAuth2Config, insecure: bool, inner: Box<dyn Talk>) -> WithToken {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (text(&config.client_id), text(&config.client_secret));
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        let scopes = config.scopes.clone().unwrap_or_default();
        if !scopes.is_empty() {
            form.push(("scope", scopes.join(" ")));
        }
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        // Section 2.3.1: both are form-encoded before they become user name and password.
        let user = STANDARD.encode(format!("{}:{}", encoded(&id), encoded(&secret)));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("Content-Type", "application/x-www-form-urlencoded"),
            header("Accept", "application/json"),
            header("Authorization", &format!("Basic {user}")),
        ];
        let token_request = HttpRequest {
            method: "POST",
            url: text(&config.token_url),
            headers,
            body: Some(body),
            timeout: TIMEOUT,
            insecure,
            body_limit: BODY_LIMIT,
        };
        WithToken {
            token_request,
            insecure,
            token: None,
            inner,
        }
    }

    /// What the inner talk says, with the token on its requests.
    fn with_token(&self, said: Say) -> Say {
        let carry = |mut request: HttpRequest| {
            let token = self.token.as_deref().unwrap_or_default();
            request
                .headers
                .push(("Authorization".to_owned(), format!("Bearer {token}")));
            request.insecure = self.insecure;
            request
        };
        match said {
            Say::Send(request) => Say::Send(carry(request)),
            Say::SendAfter(after, request) => Say::SendAfter(after, carry(request)),
            other => other,
        }
    }
}

impl Talk for WithToken {
    fn start(&mut self, _now: Timestamp) -> Result<Say, String> {
        Ok(Say::Send(self.token_request.clone()))
    }

    fn hear(&mut self, now: Timestamp, response: &HttpResponse) -> Result<Say, String> {
        let said = if self.token.is_some() {
            self.inner.hear(now, response)?
        } else {
            self.token = Some(token(response)?);
            self.inner.start(now)?
        };
        Ok(self.with_token(said))
    }

    fn hidden(&self) -> Vec<&str> {
        self.token.as_deref().into_iter().chain(self.inner.hidden()).collect()
    }
}

/// The token of an answer (section 5.1), or what the server says is wrong (section 5.2).
fn token(response: &HttpResponse) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: Option<String>,
        token_type: Option<String>,
        error: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_slice(&response.body).ok();
    if !is_success(response.status) {
        let said = answer
            .and_then(|answer| answer.error)
            .map(|error| format!(": {}", quoted(&error)));
        let status = response.status;
        return Err(format!(
            "the OAuth2 server answered {status}{}",
            said.unwrap_or_default()
        ));
    }
    let answer = answer.ok_or("the answer of the OAuth2 server is no JSON: is tokenUrl right?")?;
    let bearer = answer.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = answer.access_token.filter(|token| !token.is_empty());
    match token {
        Some(_) if !bearer => Err("the token of the OAuth2 server is no bearer token".to_owned()),
        // It becomes a header.
        Some(token) if token.chars().all(|c| c.is_ascii_graphic()) => Ok(token),
        Some(_) => Err("the token of the OAuth2 server has characters that no token has".to_owned()),
        None => Err("the answer of the OAuth2 server has no access_token".to_owned()),
    }
}

#[cfg(test)]
mod tests;
