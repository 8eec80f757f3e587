//! The admin servers: metrics and plans on one port, health on another. They only tell; nothing can be changed here.
//!
//! | path | port | what |
//! | --- | --- | --- |
//! | `/metrics` | metrics (8090) | metrics in the text format of OpenMetrics |
//! | `/debug/plan/NAMESPACE/NAME` | metrics (8090) | the last plan for a Rollout and why it waits, as text |
//! | `/debug/state` | metrics (8090) | caches, leadership and what is missing, as text |
//! | `/healthz`, `/livez` | health (8080) | `ok` while the process works |
//! | `/readyz` | health (8080) | `ok` once Rollouts, ReplicaSets and Services are read, on a standby too |

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::analysis_gauges::{Analyses, MOST, TemplateGauges};
use crate::cache::KindState;
use crate::context::Context;
use crate::execute;
use crate::kinds::Kind;
use crate::metrics::{Gauges, RolloutGauges};
use crate::object::ObjectName;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: choose another address or port")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The routes of the metrics port.
pub fn metrics_routes(context: Arc<Context>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/debug/plan/{namespace}/{name}", get(plan))
        .route("/debug/state", get(state))
        .with_state(context)
}

/// The routes of the health port.
pub fn health_routes(context: Arc<Context>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .with_state(context)
}

/// Listens on an address and serves the routes for as long as the process lives.
pub async fn serve(address: SocketAddr, routes: Router) -> Result<SocketAddr, BindError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| BindError { address, source })?;
    let bound = listener.local_addr().map_err(|source| BindError { address, source })?;
    tokio::spawn(async move {
        // Serving ends only with the process: a connection that fails is logged by the server itself.
        let _ = axum::serve(listener, routes).await;
    });
    Ok(bound)
}

/// Whether the kinds that every decision needs have been read.
pub fn is_ready(context: &Context) -> bool {
    [Kind::Rollout, Kind::ReplicaSet, Kind::Service]
        .iter()
        .all(|kind| context.cache.state(kind) == KindState::Ready)
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.encode())
}

async fn ready(State(context): State<Arc<Context>>) -> impl IntoResponse {
    if is_ready(&context) {
        return (StatusCode::OK, "ok".to_owned());
    }
    let mut text = "not ready: Rollouts, ReplicaSets and Services have not all been read\n".to_owned();
    for line in context.notices.lines() {
        let _ = writeln!(text, "{line}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn plan(
    State(context): State<Arc<Context>>,
    Path((namespace, name)): Path<(String, String)>,
) -> impl IntoResponse {
    let name = ObjectName { namespace, name };
    match context.last_plan(&name) {
        Some((plan, trouble)) => (StatusCode::OK, describe(plan.as_ref(), trouble.as_deref())),
        None => (
            StatusCode::NOT_FOUND,
            format!("no plan was made for Rollout {name} by this process\n"),
        ),
    }
}

fn describe(plan: Option<&(jiff::Timestamp, Arc<sluice_machine::Plan>)>, trouble: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(trouble) = trouble {
        let _ = writeln!(text, "trouble: {trouble}");
    }
    let Some((at, plan)) = plan else {
        text.push_str("no plan\n");
        return text;
    };
    let _ = writeln!(text, "decided: {at}");
    let hold = plan
        .hold
        .as_ref()
        .map_or_else(|| "nothing to wait for".to_owned(), ToString::to_string);
    let _ = writeln!(text, "hold:    {hold}");
    if let Some(at) = plan.wake_at {
        let _ = writeln!(text, "wakes:   {at}");
    }
    for effect in &plan.effects {
        let _ = writeln!(text, "effect:  {}", execute::describe(effect));
    }
    let _ = writeln!(text, "\n{plan:#?}");
    text
}

async fn state(State(context): State<Arc<Context>>) -> String {
    let mut text = String::new();
    let leads = context.leadership.is_leading();
    let _ = writeln!(text, "leading:     {leads} (epoch {})", context.leadership.epoch());
    let _ = writeln!(text, "incumbent:   {:?}", context.lookout.state());
    let (ready, running) = context.queue.depth();
    let _ = writeln!(text, "queue:       {ready} ready, {running} running");
    let _ = writeln!(text, "unseen:      {} writes", context.ledger().len());
    for (kind, state, count) in context.cache.states() {
        let _ = writeln!(text, "{:<44} {count:>6} {state:?}", kind.label());
    }
    for line in context.notices.lines() {
        let _ = writeln!(text, "notice: {line}");
    }
    text
}

impl Gauges for Context {
    fn rollouts(&self) -> Vec<RolloutGauges> {
        self.all_known(|_, known| known.gauges.clone())
    }

    fn analyses(&self) -> Analyses {
        let runs = self.run_table().runs();
        let kinds = [Kind::Template, Kind::ClusterTemplate];
        let stored: Vec<_> = kinds.iter().flat_map(|kind| self.cache.of_kind(kind)).collect();
        let all_runs = self.cache.of_kind(&Kind::Run).len();
        let left_out = all_runs.saturating_sub(runs.len()) + stored.len().saturating_sub(MOST);
        let templates = stored.iter().take(MOST).filter_map(|stored| {
            let spec = serde_json::from_value(stored.value()["spec"].take()).ok()?;
            Some(TemplateGauges::of(&stored.name.namespace, &stored.name.name, &spec))
        });
        Analyses {
            runs,
            templates: templates.collect(),
            left_out,
        }
    }

    fn values(&self) -> Vec<(&'static str, &'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 of anything here")]
        let number = |count: usize| count as f64;
        let (ready, running) = self.queue.depth();
        let leads = if self.leadership.is_leading() { 1.0 } else { 0.0 };
        vec![
            ("sluice_leader", "Whether this process leads", leads),
            (
                "sluice_queue_ready",
                "Objects that wait to be reconciled",
                number(ready),
            ),
            (
                "sluice_queue_running",
                "Objects that are being reconciled",
                number(running),
            ),
            (
                "sluice_unseen_writes",
                "Writes that the caches have not seen yet",
                number(self.ledger().len()),
            ),
            (
                "sluice_notices",
                "Things that are missing or do not work",
                number(self.notices.lines().len()),
            ),
        ]
    }
}
