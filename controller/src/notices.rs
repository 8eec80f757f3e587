//! What is wrong with the surroundings: a CRD that is missing, a right that was not granted, an API server that does not
//! answer. One notice for each thing that is missing, which says what and how to mend it; logged when it comes, when its text
//! changes and when it goes, not each time that it is found again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What the notices about connections are about: there is one API server, however many requests find it missing.
const API_SERVER: &str = "the API server";

/// All present notices.
#[derive(Debug, Default)]
pub struct Notices {
    present: Mutex<BTreeMap<String, String>>,
}

impl Notices {
    /// Says that something is wrong. `about` tells this thing from others.
    pub fn raise(&self, about: &str, text: impl Into<String>) {
        let text = text.into();
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.get(about) != Some(&text) {
            tracing::warn!(about, "{text}");
            present.insert(about.to_owned(), text);
        }
    }

    /// Says that the API server does not answer. The first one who finds out gives the reason.
    pub fn unanswered(&self, why: &str) {
        let text = format!(
            "it does not answer ({why}): check that it runs and that the kubeconfig leads to it; everything waits and tries again"
        );
        let is_known = self
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(API_SERVER);
        if !is_known {
            self.raise(API_SERVER, text);
        }
    }

    /// Says that the API server answered.
    pub fn answered(&self) {
        self.clear(API_SERVER);
    }

    /// Says that it no longer is.
    pub fn clear(&self, about: &str) {
        if self
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(about)
            .is_some()
        {
            tracing::info!(about, "this works now");
        }
    }

    /// All notices, one line each.
    pub fn lines(&self) -> Vec<String> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.iter().map(|(about, text)| format!("{about}: {text}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_notice_for_each_thing_and_it_goes_when_the_thing_is_mended() {
        let notices = Notices::default();
        notices.raise("rollouts", "not installed");
        notices.raise("rollouts", "forbidden");
        notices.raise("services", "forbidden");
        assert_eq!(notices.lines(), ["rollouts: forbidden", "services: forbidden"]);
        notices.clear("rollouts");
        notices.unanswered("connection refused");
        notices.unanswered("time-out");
        assert_eq!(notices.lines().len(), 2);
        assert!(notices.lines()[1].starts_with("the API server: it does not answer (connection refused)"));
        notices.answered();
        assert_eq!(notices.lines(), ["services: forbidden"]);
    }
}
