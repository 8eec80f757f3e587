//! What is wrong with the surroundings: a CRD that is missing, a right that was not granted, an API server that does not
//! answer. One notice for each thing that is missing, which says what and how to mend it; logged when it comes, when its text
//! changes and when it goes, not each time that it is found again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

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
        assert_eq!(notices.lines(), ["services: forbidden"]);
    }
}
