//! HTTP requests and responses as values.

use std::time::Duration;

/// A request that a provider wants sent. Values in `headers` may be secrets: `Debug` never prints them.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// Absolute URL with its query.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Body, for `POST` and `PUT`.
    pub body: Option<String>,
    /// The whole exchange must end within this time.
    pub timeout: Duration,
    /// Do not verify the server's certificate.
    pub insecure: bool,
    /// A longer response body is an error ([`TransportError::BodyTooLarge`]).
    pub body_limit: usize,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Body, at most `body_limit` bytes.
    pub body: Vec<u8>,
}

/// Why no response came back. Static texts: no URL, no header, nothing that could hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No answer in time.
    #[error("no answer within the time-out")]
    Timeout,
    /// The connection was refused or broke.
    #[error("the connection failed")]
    Connect,
    /// TLS could not be set up.
    #[error("the TLS handshake failed")]
    Tls,
    /// The name could not be resolved.
    #[error("the host name does not resolve")]
    Dns,
    /// The body is longer than the limit.
    #[error("the response body is larger than the limit")]
    BodyTooLarge,
    /// The address is one that must not be asked.
    #[error("the address is this machine's, its cloud's or the API server's: --provider-allow opens it")]
    Refused,
    /// A redirect, which is never followed.
    #[error("the server answered with a redirect, which is not followed")]
    Redirect,
}

impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
