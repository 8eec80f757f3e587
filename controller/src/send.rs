//! Sending what providers ask for.
//!
//! Redirects are not followed, bodies are cut off at the provider's limit while they come in, proxies of the environment are
//! not used, and only addresses are asked that may be ([`crate::addresses`]): it is the connected address that counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sluice_analysis::{HttpRequest, HttpResponse, TransportError};

use crate::addresses::{Policy, Refused, Resolver, literal};
use crate::api;
use crate::turns::Turns;

/// Connections to a server that are kept open while nobody uses them.
const IDLE_PER_SERVER: usize = 4;

/// Sends measurements.
#[derive(Debug)]
pub struct Measurer {
    policy: Arc<Policy>,
    authorities: Vec<reqwest::Certificate>,
    /// Whose turn it is to be asked.
    pub turns: Turns,
    /// Made when they are first needed: certificates of the system take a megabyte.
    clients: Mutex<BTreeMap<Wanted, Option<reqwest::Client>>>,
}

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    /// It does not verify certificates.
    insecure: bool,
    /// The port that it is for, if the API server listens on it.
    guarded: Option<u16>,
}

impl Measurer {
    /// A measurer that trusts `authorities` beside those of the system.
    pub fn new(policy: Policy, authorities: Vec<reqwest::Certificate>) -> Measurer {
        Measurer {
            policy: Arc::new(policy),
            authorities,
            turns: Turns::default(),
            clients: Mutex::default(),
        }
    }

    /// Sends one request.
    pub async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, TransportError> {
        match tokio::time::timeout(request.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::Timeout),
        }
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, TransportError> {
        let url = reqwest::Url::parse(&request.url).map_err(|_| TransportError::Connect)?;
        let guarded = self.policy.guarded(url.port_or_known_default());
        if literal(&url).is_some_and(|address| !self.policy.allows(address, guarded)) {
            return Err(TransportError::Refused);
        }
        let insecure = request.insecure;
        let client = self.client(Wanted { insecure, guarded }).ok_or(TransportError::Tls)?;
        let method = match request.method {
            "POST" => reqwest::Method::POST,
            "PUT" => reqwest::Method::PUT,
            _ => reqwest::Method::GET,
        };
        let mut builder = client.request(method, url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let mut response = builder.send().await.map_err(|error| classify(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(TransportError::Redirect);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            if body.len() + chunk.len() > request.body_limit {
                return Err(TransportError::BodyTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse {
            status: status.as_u16(),
            body,
        })
    }

    fn client(&self, wanted: Wanted) -> Option<reqwest::Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(wanted).or_insert_with(|| {
            let resolver = Resolver {
                policy: self.policy.clone(),
                port: wanted.guarded,
            };
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .tls_certs_merge(self.authorities.clone())
                .tls_danger_accept_invalid_certs(wanted.insecure)
                .pool_max_idle_per_host(IDLE_PER_SERVER)
                .dns_resolver(Arc::new(resolver));
            let client = builder.build();
            client
                .inspect_err(|error| tracing::error!(error = api::chain(error), "no HTTP client for measurements"))
                .ok()
        });
        client.clone()
    }
}

/// What a failed exchange says, in static words: the error itself may hold the URL.
fn classify(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        return TransportError::Timeout;
    }
    let mut result = TransportError::Connect;
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<Refused>() {
            return TransportError::Refused;
        }
        if error.is::<rustls::Error>() {
            return TransportError::Tls;
        }
        if error.to_string() == "dns error" {
            result = TransportError::Dns;
        }
        // An error inside of an IO error is not its source: it is looked into by hand.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = inner
            .map(|inner| inner as &(dyn std::error::Error + 'static))
            .or_else(|| error.source());
    }
    result
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::response::Redirect;
    use axum::routing::{get, post};

    use super::*;

    fn measurer(policy: Policy) -> Measurer {
        Measurer::new(policy, Vec::new())
    }

    /// Not in a pod.
    fn here() -> Policy {
        Policy {
            loopback: true,
            ..Policy::default()
        }
    }

    /// A server on this machine; its address.
    async fn server() -> SocketAddr {
        let routes = axum::Router::new()
            .route("/ok", get(async || "fine"))
            .route("/echo", post(async |body: String| body))
            .route("/long", get(async || "x".repeat(100_000)))
            .route("/error", get(async || (StatusCode::SERVICE_UNAVAILABLE, "busy")))
            .route("/moved", get(async || Redirect::temporary("/ok")))
            .route("/never", get(std::future::pending::<()>));
        crate::admin::serve(SocketAddr::from(([127, 0, 0, 1], 0)), routes)
            .await
            .unwrap()
    }

    fn request(url: String) -> HttpRequest {
        HttpRequest {
            method: "GET",
            url,
            headers: vec![],
            body: None,
            timeout: Duration::from_secs(20),
            insecure: false,
            body_limit: 1000,
        }
    }

    #[tokio::test]
    async fn every_answer_becomes_a_response_or_an_error_of_its_own() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = server().await;
        let measurer = measurer(here());
        let response = |status, body: &str| {
            Ok(HttpResponse {
                status,
                body: body.into(),
            })
        };
        for (path, wanted) in [
            ("/ok", response(200, "fine")),
            ("/none", response(404, "")),
            ("/error", response(503, "busy")),
            ("/moved", Err(TransportError::Redirect)),
            ("/long", Err(TransportError::BodyTooLarge)),
        ] {
            assert_eq!(
                measurer.send(&request(format!("http://{address}{path}"))).await,
                wanted,
                "{path}"
            );
        }
        let post = HttpRequest {
            method: "POST",
            body: Some("hi".into()),
            ..request(format!("http://{address}/echo"))
        };
        assert_eq!(measurer.send(&post).await, response(200, "hi"));
        let never = HttpRequest {
            timeout: Duration::from_millis(20),
            ..request(format!("http://{address}/never"))
        };
        assert_eq!(measurer.send(&never).await, Err(TransportError::Timeout));
        let plain = request(format!("https://{address}/ok"));
        assert_eq!(measurer.send(&plain).await, Err(TransportError::Tls));
        let refused = request("http://127.0.0.1:1/".to_owned());
        assert_eq!(measurer.send(&refused).await, Err(TransportError::Connect));
        let nowhere = request("http://no-such-host.invalid/".to_owned());
        assert_eq!(measurer.send(&nowhere).await, Err(TransportError::Dns));
    }

    #[tokio::test]
    async fn our_own_machine_is_not_measured_unless_allowed_by_address_or_by_name() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = server().await;
        let in_a_pod = || measurer(Policy::default());
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let request = request(format!("http://{host}:{}/ok", address.port()));
            assert_eq!(in_a_pod().send(&request).await, Err(TransportError::Refused), "{host}");
        }
        let by_name = request(format!("http://localhost:{}/ok", address.port()));
        let listed = Policy {
            allowed: vec!["127.0.0.0/8".parse().unwrap()],
            ..Policy::default()
        };
        for policy in [here(), listed] {
            assert_eq!(measurer(policy).send(&by_name).await.unwrap().body, b"fine");
        }
    }

    #[tokio::test]
    async fn the_api_server_is_not_measured_by_address_or_by_name_but_its_neighbour_is() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (api_server, neighbour) = (server().await, server().await);
        let policy = Policy {
            api_servers: [api_server].into(),
            ..here()
        };
        let measurer = measurer(policy);
        for host in ["127.0.0.1", "localhost"] {
            let send = async |port: u16| measurer.send(&request(format!("http://{host}:{port}/ok"))).await;
            assert_eq!(send(api_server.port()).await, Err(TransportError::Refused), "{host}");
            assert_eq!(send(neighbour.port()).await.unwrap().body, b"fine", "{host}");
        }
    }
}
