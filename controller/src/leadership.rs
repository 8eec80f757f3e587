//! Leader election by a Lease: the loop, and the question that is asked before every write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::{self, CallError};
use crate::lease::{self, Held, Renewed, Seen, Step, Terms};
use crate::notices::Notices;
use crate::object::ObjectName;

/// Who we are and what we compete for.
#[derive(Clone, Debug)]
pub struct Candidacy {
    /// Namespace and name of the Lease.
    pub lease: ObjectName,
    /// Our identity, unlike that of any other process that ever was.
    pub me: String,
    /// Durations.
    pub terms: Terms,
}

/// Whether this process may decide and write.
#[derive(Debug)]
pub struct Leadership {
    terms: Terms,
    hold: Mutex<Hold>,
    epoch: AtomicU64,
    leading: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Hold {
    /// There is no election: we always lead.
    Always,
    /// We do not lead.
    Not,
    /// We have led since this renewal at least.
    Since(Renewed),
}

impl Leadership {
    /// Leadership without an election, for a controller that runs once.
    pub fn always() -> Arc<Leadership> {
        Leadership::with(Hold::Always, Terms::default(), 1, true)
    }

    /// Leadership that must be won by [`Leadership::campaign`].
    pub fn elected(terms: Terms) -> Arc<Leadership> {
        Leadership::with(Hold::Not, terms, 0, false)
    }

    fn with(hold: Hold, terms: Terms, epoch: u64, leading: bool) -> Arc<Leadership> {
        let (leading, _) = watch::channel(leading);
        Arc::new(Leadership {
            terms,
            hold: Mutex::new(hold),
            epoch: AtomicU64::new(epoch),
            leading,
        })
    }

    /// Whether decisions may be made now.
    pub fn is_leading(&self) -> bool {
        match self.hold() {
            Hold::Always => true,
            Hold::Not => false,
            Hold::Since(renewed) => renewed.age(Instant::now(), SystemTime::now()) < self.terms.renew_deadline,
        }
    }

    /// How long a write that starts now may take; `None` where nothing may be written. It is asked immediately before each
    /// write: a process that was stopped in the middle of a plan finds out here.
    pub fn write_budget(&self, most: Duration) -> Option<Duration> {
        match self.hold() {
            Hold::Always => Some(most),
            Hold::Not => None,
            Hold::Since(renewed) => {
                lease::write_budget(renewed.age(Instant::now(), SystemTime::now()), &self.terms, most)
            }
        }
    }

    /// Counts how often leadership was won: what was read in an earlier epoch must be read again before it is acted on.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Tells when leadership is won and lost.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Competes for the Lease and keeps it renewed, until `stop` says to give it up.
    pub async fn campaign(
        &self,
        client: &Client,
        candidacy: &Candidacy,
        notices: &Notices,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut seen: Option<Seen> = None;
        loop {
            let wait = tokio::select! {
                wait = self.turn(client, candidacy, notices, &mut seen) => wait,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            self.notice_expiry(candidacy);
            let stopped = tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await;
            if stopped.is_ok() {
                break;
            }
        }
        self.release(client, candidacy).await;
    }

    /// One look at the Lease and one write where it is called for. Returns how long to wait before the next.
    async fn turn(
        &self,
        client: &Client,
        candidacy: &Candidacy,
        notices: &Notices,
        seen: &mut Option<Seen>,
    ) -> Duration {
        let Candidacy { me, terms, .. } = candidacy;
        let ours = seen
            .as_ref()
            .and_then(|seen| seen.lease.as_ref())
            .is_some_and(|lease| lease.holder == *me);
        if !ours {
            match read(client, candidacy, terms.retry).await {
                Ok(lease) => *seen = Some(Seen::read(seen.take(), lease, Instant::now())),
                Err(error) => {
                    trouble(candidacy, notices, &error);
                    return terms.retry;
                }
            }
        }
        let known = seen.as_ref().expect("it was read, or is ours from an earlier turn");
        let step = lease::evaluate(known, me, Instant::now());
        if let Step::Standby { until } = step {
            notices.clear("leader election");
            self.lose(candidacy);
            return terms
                .standby_interval()
                .min(until.saturating_duration_since(Instant::now()));
        }
        let renewed = Renewed {
            at: Instant::now(),
            wall: SystemTime::now(),
        };
        match write(client, candidacy, &step, known.lease.as_ref()).await {
            Ok(lease) => {
                notices.clear("leader election");
                *seen = Some(Seen {
                    lease: Some(lease),
                    first_seen: renewed.at,
                });
                self.win(candidacy, renewed);
                terms.renew_interval()
            }
            Err(error) => {
                // Somebody was faster, or it is not known who: look again.
                *seen = None;
                if matches!(error, CallError::Conflict(_) | CallError::AlreadyExists) {
                    return terms.standby_interval();
                }
                trouble(candidacy, notices, &error);
                terms.retry
            }
        }
    }

    fn win(&self, candidacy: &Candidacy, renewed: Renewed) {
        let led = self.is_leading();
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Hold::Since(renewed);
        if !led {
            self.epoch.fetch_add(1, Ordering::SeqCst);
            tracing::info!(lease = %candidacy.lease, me = candidacy.me, "this process leads now");
            self.leading.send_replace(true);
        }
    }

    fn lose(&self, candidacy: &Candidacy) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Hold::Not;
        if self.leading.send_replace(false) {
            tracing::warn!(lease = %candidacy.lease, me = candidacy.me, "this process no longer leads");
        }
    }

    /// Past the renew deadline we have stopped deciding by [`Leadership::is_leading`]; this tells it to the others.
    fn notice_expiry(&self, candidacy: &Candidacy) {
        if *self.leading.borrow() && !self.is_leading() {
            self.lose(candidacy);
        }
    }

    /// Gives the Lease up, so that a standby need not wait for its end.
    async fn release(&self, client: &Client, candidacy: &Candidacy) {
        let leads = matches!(self.hold(), Hold::Since(_));
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Hold::Not;
        self.leading.send_replace(false);
        if !leads {
            return;
        }
        let Ok(Some(lease)) = read(client, candidacy, candidacy.terms.retry).await else {
            return;
        };
        if lease.holder != candidacy.me {
            return;
        }
        let patch = json!({
            "metadata": { "resourceVersion": lease.resource_version },
            "spec": lease::released(Timestamp::now()),
        });
        let request = api::merge_patch(&path(&candidacy.lease), &patch);
        match api::call::<Value>(client, request, candidacy.terms.retry).await {
            Ok(_) => tracing::info!(lease = %candidacy.lease, "released the Lease"),
            Err(error) => {
                tracing::warn!(lease = %candidacy.lease, %error, "could not release the Lease; it will expire");
            }
        }
    }

    fn hold(&self) -> Hold {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trouble(candidacy: &Candidacy, notices: &Notices, error: &CallError) {
    let lease = &candidacy.lease;
    let text = match error {
        CallError::Forbidden(message) => format!(
            "the Lease {lease} may not be read or written ({message}): grant get, create and patch on leases in \
             namespace {}, as deploy/cluster.yaml does",
            lease.namespace
        ),
        CallError::NotFound(message) => format!(
            "the Lease {lease} cannot be created ({message}): create the namespace, or name another one by POD_NAMESPACE"
        ),
        CallError::Unanswered(why) => return notices.unanswered(why),
        error => format!("the Lease {lease} could not be read or written: {error}"),
    };
    notices.raise("leader election", text);
}

async fn read(client: &Client, candidacy: &Candidacy, timeout: Duration) -> Result<Option<Held>, CallError> {
    match api::call::<Value>(client, api::get(&path(&candidacy.lease)), timeout).await {
        Ok(lease) => Ok(Some(Held::read(&lease))),
        Err(CallError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write(client: &Client, candidacy: &Candidacy, step: &Step, before: Option<&Held>) -> Result<Held, CallError> {
    let Candidacy { lease, me, terms } = candidacy;
    let spec = lease::spec(before, me, terms, Timestamp::now());
    let request = match (step, before) {
        (Step::Create, _) | (_, None) => {
            let collection = path(&ObjectName::new(lease.namespace.as_str(), ""));
            let object: Value = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "namespace": lease.namespace, "name": lease.name },
                "spec": spec,
            });
            api::post(&collection, &object)
        }
        (_, Some(before)) => {
            let patch = json!({ "metadata": { "resourceVersion": before.resource_version }, "spec": spec });
            api::merge_patch(&path(lease), &patch)
        }
    };
    // Shorter than what is left of the lease when the renewal fails once.
    api::call::<Value>(client, request, terms.renew_deadline / 2)
        .await
        .map(|lease| Held::read(&lease))
}

/// The URL path of a Lease, or of the leases of a namespace.
pub fn path(lease: &ObjectName) -> String {
    let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", lease.namespace);
    if lease.name.is_empty() {
        collection
    } else {
        format!("{collection}/{}", lease.name)
    }
}

/// An identity that no other process has or had: host name, process id and start time.
pub fn identity() -> String {
    let host = std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned()))
        .unwrap_or_else(|_| "sluice".to_owned());
    let started = Timestamp::now().as_nanosecond();
    format!("{host}_{}_{started:x}", std::process::id())
}
