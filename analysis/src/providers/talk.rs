//! What a provider and a server say to each other in one measurement.
//!
//! Most providers send one request and read one answer ([`Once`]). Some fetch a token first or sign what they send: they wrap
//! another talk and change its requests on the way out ([`super::oauth2`], [`super::aws`]). Some come back several times
//! (Kayenta).

use std::time::Duration;

use jiff::Timestamp;
use sluice_crds::AnalysisPhase;

use super::{Found, JobWish};
use crate::{HttpRequest, HttpResponse};

/// What a provider wants next.
pub(super) enum Say {
    /// Send a request now.
    Send(HttpRequest),
    /// Send a request after some time.
    SendAfter(Duration, HttpRequest),
    /// Run a Job.
    Run(JobWish),
    /// This is the value; the metric's conditions judge it.
    Found(Found),
    /// The provider judged it itself.
    Judged {
        /// Successful, Failed, Inconclusive or Error.
        phase: AnalysisPhase,
        /// The value as users read it.
        value: Option<String>,
        /// Why, where the phase alone does not say it.
        message: Option<String>,
    },
}

/// One measurement, from the provider's side. Errors are texts for the user; what comes from a server is cut to a bounded
/// length in them.
pub(super) trait Talk: Send {
    /// What comes first.
    fn start(&mut self, now: Timestamp) -> Result<Say, String>;

    /// What comes after an answer to the last request.
    fn hear(&mut self, now: Timestamp, response: &HttpResponse) -> Result<Say, String>;

    /// What this talk learnt that must be shown nowhere, such as a token.
    fn hidden(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// One request and one answer.
pub(super) struct Once<R> {
    pub request: HttpRequest,
    pub read: R,
}

impl<R: Fn(&HttpResponse) -> Result<Found, String> + Send> Talk for Once<R> {
    fn start(&mut self, _now: Timestamp) -> Result<Say, String> {
        Ok(Say::Send(self.request.clone()))
    }

    fn hear(&mut self, _now: Timestamp, response: &HttpResponse) -> Result<Say, String> {
        (self.read)(response).map(Say::Found)
    }
}
