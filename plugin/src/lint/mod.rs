//! Checks manifests without a cluster: all problems at once, each with the file, the document and the field.

mod advice;
mod documents;
mod references;
mod schema;
mod semantics;

use serde::Serialize;
use serde_json::Value;

pub use documents::{Document, Source, parse, read};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object will be refused, or will not do what it says.
    Error,
    /// It will work, and may do harm.
    Warning,
}

/// Something that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// File.
    pub file: String,
    /// Number of the document in the file, from 1.
    pub document: usize,
    /// Kind and name of the object; empty where there is none.
    pub object: String,
    /// Field path; empty for the whole object.
    pub path: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// What was found, and in how many objects of ours.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Everything that was found, in the order of the files.
    pub findings: Vec<Finding>,
    /// Files that were read.
    pub files: usize,
    /// Objects that were checked: those of the kinds that Sluice serves.
    pub objects: usize,
}

/// A problem of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    severity: Severity,
    text: String,
}

impl Problem {
    fn error(path: impl Into<String>, text: impl Into<String>) -> Problem {
        Problem {
            path: path.into(),
            severity: Severity::Error,
            text: text.into(),
        }
    }

    fn warning(path: impl Into<String>, text: impl Into<String>) -> Problem {
        Problem {
            path: path.into(),
            severity: Severity::Warning,
            text: text.into(),
        }
    }
}

impl Report {
    /// Number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

/// Checks sources. With `strict`, an object that is named and not among the sources is an error.
pub fn lint(sources: &[Source], strict: bool) -> Report {
    let mut report = Report {
        files: sources.len(),
        ..Report::default()
    };
    let mut documents = Vec::new();
    for source in sources {
        let (parsed, findings) = parse(source);
        report.findings.extend(findings);
        documents.extend(parsed);
    }
    let context = references::Given::new(&documents);
    for document in &documents {
        let Some(problems) = problems(document, &context, strict) else {
            continue;
        };
        report.objects += 1;
        report
            .findings
            .extend(problems.into_iter().map(|problem| document.finding(problem)));
    }
    report.findings.extend(references::duplicates(&documents));
    let order = |finding: &Finding| {
        let file = sources.iter().position(|source| source.name == finding.file);
        (file, finding.document, finding.severity, finding.path.clone())
    };
    report.findings.sort_by_key(order);
    // Two looks at one field may find the same.
    report.findings.dedup();
    report
}

/// All problems of an object; `None` for kinds that are not ours.
fn problems(document: &Document, given: &references::Given<'_>, strict: bool) -> Option<Vec<Problem>> {
    let kind = document.kind();
    if !document.is_ours() {
        return None;
    }
    if document.api_version() != "argoproj.io/v1alpha1" {
        let text = format!("is `{}`, must be `argoproj.io/v1alpha1`", document.api_version());
        return Some(vec![Problem::error("apiVersion", text)]);
    }
    let Some(schema) = schema::of_kind(kind) else {
        let known = schema::kinds().join(", ");
        return Some(vec![Problem::error(
            "kind",
            format!("`{kind}` is none of this API: {known}"),
        )]);
    };
    let mut problems = Vec::new();
    if document.name().is_empty() && document.generate_name().is_empty() {
        problems.push(Problem::error("metadata.name", "is missing: an object needs a name"));
    }
    let (mut form, readable) = schema::problems(&document.value, &schema);
    let mut rest = match semantics::problems(kind, &readable) {
        Ok(problems) => problems,
        // Why it cannot be read has been said already, field by field.
        Err(_) if form.iter().any(|problem| problem.severity == Severity::Error) => Vec::new(),
        Err(problem) => vec![problem],
    };
    if kind == "Rollout" {
        form.extend(schema::template_problems(&document.value));
        rest.extend(references::problems(document, &readable, given, strict));
        let pointer = "/spec/replicas";
        let has_replicas = present(&document.value, pointer).is_none() || present(&readable, pointer).is_some();
        rest.extend(advice::problems(&readable, has_replicas));
    }
    // What was left out to read the rest is not missing: it has been named, and what follows from it need not be.
    let named = |path: &str| {
        let mut wrong = form.iter().filter(|wrong| wrong.severity == Severity::Error);
        wrong.any(|wrong| is_within(path, &wrong.path) || parent(&wrong.path) == path)
    };
    rest.retain(|problem| !named(&problem.path));
    problems.extend(form);
    problems.extend(rest);
    Some(problems)
}

/// Whether a field is another one or is below it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The field that a field belongs to.
fn parent(path: &str) -> &str {
    path.rfind(['.', '[']).map_or("", |end| &path[..end])
}

/// Whether a value is there and not null.
fn present<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    value.pointer(pointer).filter(|value| !value.is_null())
}
