//! The versions of a Rollout: what each is called, and which colour it has.

use crate::report::{RevisionReport, RolloutReport};

/// The longest name that fits beside a plot.
const LONGEST_NAME: usize = 14;

/// What a version is in the simulated update. The class of its colour has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The version that was there first.
    Stable,
    /// The last one that came.
    Canary,
    /// One that came in between.
    Older,
}

#[derive(Clone, Debug)]
pub(super) struct Version<'a> {
    pub(super) report: &'a RevisionReport,
    pub(super) name: String,
    pub(super) role: Role,
}

impl Role {
    pub(super) fn class(self) -> &'static str {
        match self {
            Role::Stable => "stable",
            Role::Canary => "canary",
            Role::Older => "older",
        }
    }
}

impl Version<'_> {
    /// Whether it has or had this number.
    pub(super) fn is(&self, number: u64) -> bool {
        self.report.revision == number || self.report.earlier.contains(&number)
    }

    fn first_number(&self) -> u64 {
        self.report.earlier.iter().copied().fold(self.report.revision, u64::min)
    }
}

/// All versions, the first one first.
pub(super) fn versions(rollout: &RolloutReport) -> Vec<Version<'_>> {
    let tag = |report: &RevisionReport| {
        let place = report.image.split('@').next().unwrap_or_default();
        let last = place.rsplit('/').next().unwrap_or_default();
        last.split_once(':')
            .map(|(_, tag)| tag.to_owned())
            .filter(|tag| tag.chars().count() <= LONGEST_NAME)
    };
    let tags: Vec<Option<String>> = rollout.revisions.iter().map(tag).collect();
    let named = |report: &RevisionReport| {
        let own = tag(report).filter(|own| tags.iter().filter(|tag| tag.as_ref() == Some(own)).count() == 1);
        own.unwrap_or_else(|| format!("revision {}", report.revision))
    };
    let mut versions: Vec<Version<'_>> = rollout
        .revisions
        .iter()
        .map(|report| Version {
            report,
            name: named(report),
            role: Role::Older,
        })
        .collect();
    versions.sort_by_key(Version::first_number);
    if let Some(last) = versions.last_mut() {
        last.role = Role::Canary;
    }
    if let Some(first) = versions.first_mut() {
        first.role = Role::Stable;
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_tell_versions_apart() {
        let rollout = |images: &[&str]| RolloutReport {
            revisions: (1..)
                .zip(images)
                .map(|(revision, image)| RevisionReport {
                    revision,
                    image: (*image).to_owned(),
                    ..RevisionReport::default()
                })
                .collect(),
            ..RolloutReport::default()
        };
        let check = |images: &[&str], names: &[&str]| {
            let rollout = rollout(images);
            let told: Vec<String> = versions(&rollout).into_iter().map(|version| version.name).collect();
            assert_eq!(told, names, "{images:?}");
        };
        check(&["shop:v1", "registry:5000/a/shop:v2"], &["v1", "v2"]);
        check(&["shop:v1", "cart:v1"], &["revision 1", "revision 2"]);
        check(&["registry:5000/shop", "shop@sha256:00"], &["revision 1", "revision 2"]);
    }

    #[test]
    fn a_version_that_comes_back_keeps_its_place() {
        let revision = |revision, earlier: &[u64]| RevisionReport {
            revision,
            earlier: earlier.to_vec(),
            ..RevisionReport::default()
        };
        let rollout = RolloutReport {
            revisions: vec![revision(2, &[]), revision(3, &[1])],
            ..RolloutReport::default()
        };
        let told: Vec<(u64, Role)> = versions(&rollout)
            .iter()
            .map(|version| (version.report.revision, version.role))
            .collect();
        assert_eq!(told, [(3, Role::Stable), (2, Role::Canary)]);
    }
}
