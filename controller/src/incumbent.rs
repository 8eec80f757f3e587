//! Whether Argo Rollouts' own controller is live for the same objects. Two controllers on one Rollout undo each other's
//! work, so while its leader Lease is renewed nothing is decided here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use crate::api::{self, CallError};
use crate::leadership;
use crate::lease::{Held, Seen};
use crate::notices::Notices;
use crate::object::ObjectName;

/// How often the Leases are read. Argo renews every two seconds.
const POLL: Duration = Duration::from_secs(2);

/// A Lease whose renewTime is older than its duration by this much is dead at first sight: no two clocks that any API server
/// works with differ so much. Younger ones are watched for their whole duration first.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(5);

/// What is known of the other controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incumbent {
    /// It has not been looked up yet, or may not be.
    Unknown,
    /// It does not live.
    Nobody,
    /// Its leader is live, under this identity.
    Live(String),
}

/// Looks for the other controller.
#[derive(Debug)]
pub struct Lookout {
    leases: Vec<ObjectName>,
    /// A Lease in a foreign namespace that may not be read is passed over: a namespaced controller has no rights there.
    may_lack_rights: bool,
    state: Mutex<Incumbent>,
}

impl Lookout {
    /// A lookout for the Leases `argo-rollouts-controller-lock[-<instance id>]` in some namespaces.
    pub fn new(namespaces: &[&str], instance_id: Option<&str>, may_lack_rights: bool) -> Lookout {
        let name = match instance_id {
            Some(id) => format!("argo-rollouts-controller-lock-{id}"),
            None => "argo-rollouts-controller-lock".to_owned(),
        };
        let mut leases: Vec<ObjectName> = namespaces
            .iter()
            .map(|namespace| ObjectName::new(*namespace, name.as_str()))
            .collect();
        leases.sort();
        leases.dedup();
        Lookout {
            leases,
            may_lack_rights,
            state: Mutex::new(Incumbent::Unknown),
        }
    }

    /// What is known now.
    pub fn state(&self) -> Incumbent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks again and again. `changed` is called whenever something else is known.
    pub async fn keep(&self, client: &Client, notices: &Notices, changed: impl Fn()) {
        let mut seen = BTreeMap::new();
        loop {
            if self.look_again(client, notices, &mut seen).await {
                changed();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks once. `seen` is what earlier looks saw. Tells whether something else is known now.
    pub async fn look_again(&self, client: &Client, notices: &Notices, seen: &mut BTreeMap<ObjectName, Seen>) -> bool {
        let now = self.look(client, notices, seen).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *state, now.clone());
        drop(state);
        if before == now {
            return false;
        }
        if let Incumbent::Live(holder) = &now {
            tracing::warn!(
                holder,
                "Argo Rollouts is live for the same objects: holding everything until it stops"
            );
        }
        true
    }

    async fn look(&self, client: &Client, notices: &Notices, seen: &mut BTreeMap<ObjectName, Seen>) -> Incumbent {
        let mut result = Incumbent::Nobody;
        for lease in &self.leases {
            let about = format!("the Lease of Argo Rollouts in namespace {}", lease.namespace);
            match api::call::<Value>(client, api::get(&leadership::path(lease)), api::READ_TIMEOUT).await {
                Ok(object) => {
                    notices.clear(&about);
                    notices.answered();
                    let now = Instant::now();
                    let previous = seen.remove(lease);
                    let known = Seen::read(previous, Some(Held::read(&object)), now);
                    if result == Incumbent::Nobody
                        && let Some(holder) = live(&known, now, renewed_ago(&object, Timestamp::now()))
                    {
                        result = Incumbent::Live(holder);
                    }
                    seen.insert(lease.clone(), known);
                }
                Err(CallError::NotFound(_)) => {
                    notices.clear(&about);
                    notices.answered();
                    seen.remove(lease);
                }
                Err(CallError::Forbidden(_)) if self.may_lack_rights => {}
                Err(CallError::Forbidden(message)) => {
                    let text = format!(
                        "it may not be read, so nothing is done: grant get on leases with this name, as \
                         deploy/cluster.yaml does ({message})"
                    );
                    notices.raise(&about, text);
                    return Incumbent::Unknown;
                }
                Err(error) => {
                    if let CallError::Unanswered(why) = &error {
                        notices.unanswered(why);
                    }
                    tracing::debug!(%lease, %error, "could not be read; what was known of it still holds");
                    return self.state();
                }
            }
        }
        result
    }
}

/// Who holds the Lease and is live, if anybody.
fn live(seen: &Seen, now: Instant, renewed_ago: Option<Duration>) -> Option<String> {
    let lease = seen.lease.as_ref()?;
    let unrenewed = now.saturating_duration_since(seen.first_seen);
    let long_dead = renewed_ago.is_some_and(|ago| ago > lease.duration + CLOCK_DIFFERENCE + unrenewed);
    let is_live = !lease.holder.is_empty() && unrenewed < lease.duration && !long_dead;
    is_live.then(|| lease.holder.clone())
}

fn renewed_ago(lease: &Value, now: Timestamp) -> Option<Duration> {
    let at: Timestamp = lease.pointer("/spec/renewTime")?.as_str()?.parse().ok()?;
    Some(Duration::try_from(now.duration_since(at)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_controller_lives_while_its_lease_was_seen_renewed_within_its_duration() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let check = |what: &str, holder: &str, watched: u64, renewed_ago: Option<u64>, wanted: bool| {
            let lease = Held {
                holder: holder.into(),
                duration: seconds(15),
                transitions: 0,
                resource_version: "1".into(),
            };
            let seen = Seen {
                lease: Some(lease),
                first_seen: start,
            };
            let is_live = live(&seen, start + seconds(watched), renewed_ago.map(seconds)).is_some();
            assert_eq!(is_live, wanted, "{what}");
        };
        check("just renewed", "argo", 0, Some(1), true);
        check("its clock is a minute behind", "argo", 0, Some(60), true);
        check("renewed at an unknown time", "argo", 0, None, true);
        check("released", "", 0, Some(1), false);
        check("not renewed for 14 s that we watched", "argo", 14, Some(60), true);
        check("not renewed for 15 s that we watched", "argo", 15, Some(16), false);
        check("renewed an hour ago", "argo", 0, Some(3600), false);
        check("renewed an hour ago, second look", "argo", 2, Some(3602), false);
    }

    #[test]
    fn a_lease_without_a_holder_or_no_lease_is_nobody() {
        let now = Instant::now();
        assert_eq!(
            live(
                &Seen {
                    lease: None,
                    first_seen: now
                },
                now,
                None
            ),
            None
        );
        let names = Lookout::new(&["b", "a", "a"], Some("x"), false).leases;
        assert_eq!(
            names,
            ["a", "b"].map(|ns| ObjectName::new(ns, "argo-rollouts-controller-lock-x"))
        );
    }
}
