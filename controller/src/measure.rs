//! Measuring: what a provider asks for goes out, and what came back is judged. Fire and report: whoever starts a measurement is
//! told by the queue when its result is there.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use sluice_analysis::{Environment, Measured, Next, providers};
use sluice_crds::AnalysisRun;
use sluice_machine::run::{self, MeasureKey, Taken};

use crate::context::Context;
use crate::metrics::PhaseLabel;
use crate::queue::Key;
use crate::{jobs, secrets};

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
    let secrets = secrets::read(context, namespace, &providers::needs(metric, arguments)).await;
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
            Next::Run(wish) => break jobs::run(context, run, key, &wish).await,
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
