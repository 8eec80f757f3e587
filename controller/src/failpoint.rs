//! Test only: a process that dies before or after its n-th write of a kind.
//!
//! `SLUICE_FAILPOINT=<kind>:<n>:<before|after>` ends the process with exit code 101, without any clean-up, right before the
//! n-th write of that kind is sent or right after its answer was read. Kinds are those of [`WriteKind`], or `any`.
//! End-to-end tests use it to show that a crash between any two writes loses nothing. Do not set it anywhere else.

use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable.
pub const VARIABLE: &str = "SLUICE_FAILPOINT";

/// Exit code of a process that met its failpoint.
const EXIT_CODE: i32 = 101;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteKind {
    /// Metadata or spec of a Rollout.
    CommitObject,
    /// Status of a Rollout.
    CommitStatus,
    /// A new ReplicaSet.
    CreateReplicaSet,
    /// Size or metadata of a ReplicaSet.
    PatchReplicaSet,
    /// The end of a ReplicaSet.
    DeleteReplicaSet,
    /// Selector of a Service.
    SwitchService,
    /// A Service that is given back.
    ReleaseService,
    /// A route or DestinationRule that is given back.
    ReleaseRoute,
    /// The end of a route that was made for a Rollout.
    DeleteRoute,
    /// Labels of a subset of a DestinationRule.
    SwitchSubset,
    /// A new route object.
    CreateRoute,
    /// Rules of ours on a route.
    SetManagedRoutes,
    /// Weights of a route.
    SetSplit,
    /// Size of a Deployment whose place the Rollout takes.
    ScaleWorkload,
    /// The end of a pod.
    EvictPod,
    /// Labels and annotations of a pod.
    PatchPod,
    /// A new AnalysisRun.
    CreateRun,
    /// `spec.terminate` of an AnalysisRun.
    TerminateRun,
    /// The end of an AnalysisRun.
    DeleteRun,
    /// Status of an AnalysisRun.
    RunStatus,
}

/// Where to die.
#[derive(Debug)]
pub struct Failpoint {
    kind: Option<WriteKind>,
    nth: u32,
    after: bool,
    seen: AtomicU32,
}

/// Before or after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it is sent.
    Before,
    /// After its answer was read.
    After,
}

impl WriteKind {
    /// All kinds.
    pub const ALL: [WriteKind; 20] = [
        WriteKind::CommitObject,
        WriteKind::CommitStatus,
        WriteKind::CreateReplicaSet,
        WriteKind::PatchReplicaSet,
        WriteKind::DeleteReplicaSet,
        WriteKind::SwitchService,
        WriteKind::ReleaseService,
        WriteKind::ReleaseRoute,
        WriteKind::DeleteRoute,
        WriteKind::SwitchSubset,
        WriteKind::CreateRoute,
        WriteKind::SetManagedRoutes,
        WriteKind::SetSplit,
        WriteKind::ScaleWorkload,
        WriteKind::EvictPod,
        WriteKind::PatchPod,
        WriteKind::CreateRun,
        WriteKind::TerminateRun,
        WriteKind::DeleteRun,
        WriteKind::RunStatus,
    ];

    /// The name in metrics, logs and failpoints.
    pub fn as_str(self) -> &'static str {
        match self {
            WriteKind::CommitObject => "commit-object",
            WriteKind::CommitStatus => "commit-status",
            WriteKind::CreateReplicaSet => "create-replicaset",
            WriteKind::PatchReplicaSet => "patch-replicaset",
            WriteKind::DeleteReplicaSet => "delete-replicaset",
            WriteKind::SwitchService => "switch-service",
            WriteKind::ReleaseService => "release-service",
            WriteKind::ReleaseRoute => "release-route",
            WriteKind::DeleteRoute => "delete-route",
            WriteKind::SwitchSubset => "switch-subset",
            WriteKind::CreateRoute => "create-route",
            WriteKind::SetManagedRoutes => "set-managed-routes",
            WriteKind::SetSplit => "set-split",
            WriteKind::ScaleWorkload => "scale-workload",
            WriteKind::EvictPod => "evict-pod",
            WriteKind::PatchPod => "patch-pod",
            WriteKind::CreateRun => "create-run",
            WriteKind::TerminateRun => "terminate-run",
            WriteKind::DeleteRun => "delete-run",
            WriteKind::RunStatus => "run-status",
        }
    }
}

impl Failpoint {
    /// Reads `<kind>:<n>:<before|after>`.
    pub fn parse(text: &str) -> Result<Failpoint, String> {
        let wrong = |what: &str| format!("{VARIABLE}={text}: {what}; right would be for example set-split:1:after");
        let parts: Vec<&str> = text.split(':').collect();
        let [kind, nth, moment] = parts[..] else {
            return Err(wrong("three parts are needed"));
        };
        let kind = match kind {
            "any" => None,
            kind => Some(
                WriteKind::ALL
                    .into_iter()
                    .find(|known| known.as_str() == kind)
                    .ok_or_else(|| wrong("no such kind"))?,
            ),
        };
        let nth = nth
            .parse()
            .ok()
            .filter(|nth| *nth > 0)
            .ok_or_else(|| wrong("n must be 1 or more"))?;
        let after = match moment {
            "before" => false,
            "after" => true,
            _ => return Err(wrong("the last part must be before or after")),
        };
        Ok(Failpoint {
            kind,
            nth,
            after,
            seen: AtomicU32::new(0),
        })
    }

    /// Ends the process if this is the moment.
    pub fn pass(&self, kind: WriteKind, moment: Moment) {
        if self.meets(kind, moment) {
            tracing::warn!(kind = kind.as_str(), ?moment, "failpoint: the process ends here");
            std::process::exit(EXIT_CODE);
        }
    }

    fn meets(&self, kind: WriteKind, moment: Moment) -> bool {
        if self.kind.is_some_and(|wanted| wanted != kind) || self.after != (moment == Moment::After) {
            return false;
        }
        self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.nth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_write_of_the_kind_is_met_at_its_moment_and_no_other() {
        let failpoint = Failpoint::parse("set-split:2:after").unwrap();
        let walk = [
            (WriteKind::SetSplit, Moment::Before, false),
            (WriteKind::SetSplit, Moment::After, false),
            (WriteKind::CommitStatus, Moment::After, false),
            (WriteKind::SetSplit, Moment::Before, false),
            (WriteKind::SetSplit, Moment::After, true),
            (WriteKind::SetSplit, Moment::After, false),
        ];
        for (index, (kind, moment, met)) in walk.into_iter().enumerate() {
            assert_eq!(failpoint.meets(kind, moment), met, "write {index}");
        }
        let failpoint = Failpoint::parse("any:2:before").unwrap();
        assert!(!failpoint.meets(WriteKind::CreateRun, Moment::Before));
        assert!(failpoint.meets(WriteKind::DeleteRun, Moment::Before));
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_that_parses() {
        for kind in WriteKind::ALL {
            let failpoint = Failpoint::parse(&format!("{}:1:before", kind.as_str())).unwrap();
            assert_eq!(failpoint.kind, Some(kind));
        }
    }

    #[test]
    fn a_wrong_failpoint_says_what_would_be_right() {
        for text in [
            "",
            "set-split",
            "set-split:0:after",
            "set-split:x:after",
            "sat-split:1:after",
            "any:1:during",
        ] {
            let message = Failpoint::parse(text).unwrap_err();
            assert!(message.contains("set-split:1:after"), "{message}");
        }
    }
}
