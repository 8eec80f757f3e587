//! Elections between processes that share one Lease, against an API server in the process.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Answer, Leases, client, failure, until};
use kube::Client;
use sluice_controller::leadership::{Candidacy, Leadership};
use sluice_controller::lease::Terms;
use sluice_controller::notices::Notices;
use sluice_controller::object::ObjectName;
use tokio::sync::watch;
use tokio::task::JoinHandle;

struct Process {
    leadership: Arc<Leadership>,
    stop: watch::Sender<bool>,
    campaign: JoinHandle<()>,
}

/// Short, so that a test takes a second; whole seconds, because a Lease counts in them.
fn terms() -> Terms {
    Terms {
        lease: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(1),
        retry: Duration::from_millis(100),
    }
}

fn start(client: &Client, me: &str) -> Process {
    let (stop, stopped) = watch::channel(false);
    let leadership = Leadership::elected(terms());
    let candidacy = Candidacy {
        lease: ObjectName::new("default", "lock"),
        me: me.into(),
        terms: terms(),
    };
    let (client, running) = (client.clone(), leadership.clone());
    let campaign = tokio::spawn(async move {
        running
            .campaign(&client, &candidacy, &Notices::default(), stopped)
            .await;
    });
    Process {
        leadership,
        stop,
        campaign,
    }
}

fn holder(leases: &Leases) -> String {
    leases
        .get("lock")
        .map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap().to_owned())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_leader_that_stops_cleanly_is_followed_at_once() {
    let leases = Leases::default();
    let store = leases.clone();
    let (client, _) = client(move |asked| store.answer(asked).unwrap());
    let first = start(&client, "first");
    until("the first leads", || first.leadership.is_leading()).await;
    let second = start(&client, "second");
    assert_eq!(
        first.leadership.write_budget(Duration::from_millis(200)),
        Some(Duration::from_millis(200))
    );
    assert_eq!(second.leadership.write_budget(Duration::from_millis(200)), None);
    let began = std::time::Instant::now();
    first.stop.send_replace(true);
    first.campaign.await.unwrap();
    assert!(!first.leadership.is_leading());
    until("the second leads", || second.leadership.is_leading()).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(holder(&leases), "second");
    assert_eq!(leases.get("lock").unwrap()["spec"]["leaseTransitions"], 1);
    assert_eq!(second.leadership.epoch(), 1);
    second.campaign.abort();
}

#[tokio::test]
async fn a_leader_that_died_is_followed_after_its_lease_and_not_before() {
    let leases = Leases::default();
    let store = leases.clone();
    let (client, _) = client(move |asked| store.answer(asked).unwrap());
    let first = start(&client, "first");
    until("the first leads", || first.leadership.is_leading()).await;
    first.campaign.abort();
    let began = std::time::Instant::now();
    let second = start(&client, "second");
    until("the second leads", || second.leadership.is_leading()).await;
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(5),
        "{took:?}"
    );
    // The first one would notice, if it came back to life, that it may no longer write.
    assert!(!first.leadership.is_leading());
    assert_eq!(first.leadership.write_budget(Duration::from_millis(200)), None);
    second.campaign.abort();
}

#[tokio::test]
async fn who_cannot_renew_stops_deciding_before_anybody_can_follow() {
    let leases = Leases::default();
    let store = leases.clone();
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_broken = broken.clone();
    let (client, _) = client(move |asked| {
        if is_broken.load(std::sync::atomic::Ordering::SeqCst) {
            return failure(503, "ServiceUnavailable");
        }
        store.answer(asked).unwrap_or(Answer::Never)
    });
    let first = start(&client, "first");
    until("the first leads", || first.leadership.is_leading()).await;
    let mut changes = first.leadership.changes();
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let began = std::time::Instant::now();
    changes.wait_for(|leads| !leads).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}, and the lease is three seconds",
        began.elapsed()
    );
    assert!(!first.leadership.is_leading());
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    until("it leads again", || first.leadership.is_leading()).await;
    assert_eq!(first.leadership.epoch(), 2, "what it knew before must be read again");
    first.campaign.abort();
}
