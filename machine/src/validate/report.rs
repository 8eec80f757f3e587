//! Where the checks put what they find.

use sluice_crds::IntOrString;

use super::Problem;

/// The problems found so far.
#[derive(Default)]
pub(super) struct Report {
    pub(super) found: Vec<Problem>,
}

impl Report {
    pub(super) fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.found.push(Problem {
            path: path.into(),
            problem: problem.into(),
        });
    }

    pub(super) fn add_if(&mut self, wrong: bool, path: impl Into<String>, problem: &str) {
        if wrong {
            self.add(path, problem);
        }
    }

    /// For what a later version will serve.
    pub(super) fn unsupported(&mut self, path: impl Into<String>) {
        let path = path.into();
        let field = path.rsplit('.').next().unwrap_or_default();
        let problem = format!("{field} is not supported yet by this version of Sluice");
        self.add(path, problem);
    }

    pub(super) fn not_negative(&mut self, path: impl Into<String>, number: Option<i32>) {
        self.add_if(
            number.is_some_and(|number| number < 0),
            path,
            "must be greater than or equal to 0",
        );
    }

    /// A number of pods or a percentage. Returns the number in it, if it can be read.
    pub(super) fn number_or_percentage(&mut self, path: impl Into<String>, value: Option<&IntOrString>) -> Option<i32> {
        let path = path.into();
        let number = match value? {
            IntOrString::Int(number) => Some(*number),
            // Argo Rollouts takes the text `25` for 25 %.
            IntOrString::String(text) => text.strip_suffix('%').unwrap_or(text).parse().ok(),
        };
        match number {
            None => self.add(
                path,
                "must be a number of pods such as 1, or a percentage such as \"25%\"",
            ),
            Some(_) => self.not_negative(path, number),
        }
        number
    }
}

/// Whether an optional text is absent or empty, which mean the same in this API.
pub(super) fn is_empty(text: Option<&String>) -> bool {
    text.is_none_or(String::is_empty)
}
