//! Measuring: a prepared request goes out, and what came back is judged. Fire and report: whoever starts a measurement is
//! told by the queue when its result is there.
//!
//! The URL of a measurement is written by whoever may write AnalysisRuns, and sent from where the controller stands. So
//! redirects are not followed, bodies are cut off at the provider's limit while they come in, proxies of the environment are
//! not used, and addresses that only mean something to this machine are refused, also when a name resolves to them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use futures::FutureExt as _;
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;
use sluice_analysis::{
    Environment, HttpRequest, HttpResponse, Measured, Needs, Next, SecretRef, Secrets, TransportError, providers,
};
use sluice_crds::AnalysisRun;
use sluice_machine::run::{self, MeasureKey, Taken};

use crate::api::{self, CallError, READ_TIMEOUT};
use crate::context::Context;
use crate::metrics::PhaseLabel;
use crate::queue::Key;
use crate::turns::Turns;

/// Sends measurements.
#[derive(Debug)]
pub struct Measurer {
    loopback: bool,
    turns: Turns,
    /// Made when they are first needed: certificates of the system take a megabyte.
    strict: OnceLock<Option<reqwest::Client>>,
    insecure: OnceLock<Option<reqwest::Client>>,
}

/// Resolves names to the addresses that may be measured.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    loopback: bool,
}

/// A name that leads only to addresses which are refused.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no address that may be measured")]
struct Refused;

impl Measurer {
    /// A measurer; `loopback` allows addresses of this very machine.
    pub fn new(loopback: bool) -> Measurer {
        Measurer {
            loopback,
            turns: Turns::default(),
            strict: OnceLock::new(),
            insecure: OnceLock::new(),
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
        // A resolver is not asked about addresses.
        if let Some(address) = literal(&url)
            && !(Addresses {
                loopback: self.loopback,
            })
            .allows(address)
        {
            return Err(TransportError::Connect);
        }
        let client = self.client(request.insecure).ok_or(TransportError::Tls)?;
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

    fn client(&self, insecure: bool) -> Option<&reqwest::Client> {
        let cell = if insecure { &self.insecure } else { &self.strict };
        let addresses = Addresses {
            loopback: self.loopback,
        };
        cell.get_or_init(|| {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .tls_danger_accept_invalid_certs(insecure)
                .pool_max_idle_per_host(2)
                .dns_resolver(Arc::new(addresses));
            let client = builder.build();
            client
                .inspect_err(|error| tracing::error!(error = api::chain(error), "no HTTP client for measurements"))
                .ok()
        })
        .as_ref()
    }
}

/// Starts a measurement. Its result comes into what is known of the run, and the run into the queue.
pub fn start(context: &Arc<Context>, key: &Key, run: &Arc<AnalysisRun>, measure: MeasureKey) {
    let (context, key, run) = (context.clone(), key.clone(), run.clone());
    tokio::spawn(async move {
        let work = AssertUnwindSafe(take(&context, &run, &measure)).catch_unwind();
        let taken = work.await.unwrap_or_else(|_| {
            context.metrics.panics.inc();
            let measured = Measured::error("a defect in the controller ended this measurement");
            taken(Timestamp::now(), measured)
        });
        let phase = taken.measured.phase.to_string();
        tracing::debug!(object = %key, metric = measure.metric, phase, "measured");
        context.metrics.measurements.get_or_create(&PhaseLabel { phase }).inc();
        context.known(&key, |known| {
            known.in_flight.remove(&measure);
            known.taken.insert(measure, taken);
        });
        context.queue.add(key);
    });
}

async fn take(context: &Context, run: &AnalysisRun, key: &MeasureKey) -> Taken {
    let begun_at = Timestamp::now();
    let Some(metric) = run::metric(run, key) else {
        return taken(begun_at, Measured::error("the metric is no longer part of the run"));
    };
    let arguments = run.spec.args.as_deref().unwrap_or_default();
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let secrets = read_secrets(context, namespace, &providers::needs(metric, arguments)).await;
    let environment = environment(context).await;
    let begun = providers::start(Timestamp::now(), metric, arguments, secrets, &environment);
    let (mut measuring, mut next) = match begun {
        Ok(begun) => begun,
        Err(measured) => return taken(begun_at, measured),
    };
    let mut started_at = None;
    let measured = loop {
        let request = match next {
            Next::Done(measured) => break measured,
            Next::Run(_) => break Measured::error("Jobs are not supported yet"),
            Next::Send(request) => request,
            Next::SendAfter(after, request) => {
                tokio::time::sleep(after).await;
                request
            }
        };
        let _turn = context.measurer.turns.take(&request.url).await;
        started_at.get_or_insert_with(Timestamp::now);
        let answer = context.measurer.send(&request).await;
        next = measuring.hear(Timestamp::now(), answer);
    };
    Taken {
        metadata: measuring.metadata(),
        ..taken(started_at.unwrap_or(begun_at), measured)
    }
}

/// A measurement that ends now.
fn taken(started_at: Timestamp, measured: Measured) -> Taken {
    Taken {
        measured,
        metadata: std::collections::BTreeMap::new(),
        started_at,
        finished_at: Timestamp::now(),
    }
}

/// What providers may know, with the token that AWS wants read anew: it is changed every hour.
async fn environment(context: &Context) -> Environment {
    let mut environment = context.config.environment.clone();
    if let Some(path) = environment.variables.get(providers::WEB_IDENTITY_TOKEN_FILE) {
        environment.web_identity_token = tokio::fs::read_to_string(path).await.ok();
    }
    environment
}

/// The values of Secrets, read for this measurement only. What cannot be read is left out: the measurement then says what it
/// lacks.
async fn read_secrets(context: &Context, namespace: &str, needs: &Needs) -> Secrets {
    let mut secrets = Secrets::default();
    let names: BTreeSet<&str> = needs
        .secrets
        .iter()
        .chain(&needs.settings)
        .map(|wanted| wanted.name.as_str())
        .collect();
    for name in names {
        let Some(secret) = read_secret(context, namespace, name).await else {
            continue;
        };
        let value = |wanted: &SecretRef| {
            let data = secret.get("data")?.get(&wanted.key).and_then(Value::as_str)?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
            String::from_utf8(bytes).ok()
        };
        for wanted in needs.secrets.iter().filter(|wanted| wanted.name == name) {
            if let Some(value) = value(wanted) {
                secrets.insert(wanted.clone(), value);
            }
        }
        for wanted in needs.settings.iter().filter(|wanted| wanted.name == name) {
            if let Some(value) = value(wanted) {
                secrets.insert_setting(wanted.clone(), value);
            }
        }
    }
    secrets
}

async fn read_secret(context: &Context, namespace: &str, name: &str) -> Option<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    match api::call::<Value>(&context.client, api::get(&path), READ_TIMEOUT).await {
        Ok(secret) => Some(secret),
        Err(CallError::Forbidden(_)) => {
            let about = format!("reading Secrets in namespace {namespace}");
            let text = format!(
                "an AnalysisRun needs Secret {name}: grant get on it to the controller in this namespace (a Role with \
                 resourceNames is enough)"
            );
            context.notices.raise(&about, text);
            None
        }
        Err(_) => None,
    }
}

fn literal(url: &reqwest::Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
        .parse()
        .ok()
}

impl Addresses {
    /// Whether an address may be measured: not the link-local ones, where clouds serve credentials, none that is no host, and
    /// our own only if that is allowed.
    fn allows(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let is_nobody = v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local();
                !is_nobody && (self.loopback || !v4.is_loopback())
            }
            IpAddr::V6(v6) => {
                if let Some(v4) = v6.to_ipv4_mapped() {
                    return self.allows(IpAddr::V4(v4));
                }
                let is_nobody = v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local();
                // Amazon's instance metadata has a unique local address beside the link-local one.
                let is_metadata = v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
                !is_nobody && !is_metadata && (self.loopback || !v6.is_loopback())
            }
        }
    }
}

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = *self;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = all.filter(|address| addresses.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
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
            return TransportError::Connect;
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
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::response::Redirect;
    use axum::routing::{get, post};

    use super::*;

    #[test]
    fn addresses_that_mean_this_machine_or_its_cloud_are_refused() {
        let rows = [
            ("10.1.2.3", true, true),
            ("8.8.8.8", true, true),
            ("2001:db8::1", true, true),
            ("127.0.0.1", false, true),
            ("127.9.9.9", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("fd00:ec2::254", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
        ];
        for (address, in_a_pod, elsewhere) in rows {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Addresses { loopback: false }.allows(address), in_a_pod, "{address}");
            assert_eq!(Addresses { loopback: true }.allows(address), elsewhere, "{address}");
        }
        for url in [
            "http://[::1]:9090/x",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
        ] {
            let url = reqwest::Url::parse(url).unwrap();
            assert!(literal(&url).unwrap().is_loopback(), "{url}");
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
        let measurer = Measurer::new(true);
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
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let request = request(format!("http://{host}:{}/ok", address.port()));
            assert_eq!(
                Measurer::new(false).send(&request).await,
                Err(TransportError::Connect),
                "{host}"
            );
        }
        let by_name = request(format!("http://localhost:{}/ok", address.port()));
        assert_eq!(Measurer::new(true).send(&by_name).await.unwrap().body, b"fine");
    }
}
