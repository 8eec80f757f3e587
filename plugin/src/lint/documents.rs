//! Files as YAML documents.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use super::{Finding, Problem, Severity};

/// A file that is larger was not written by hand.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The text of a file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, as people know it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// An object of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file.
    pub file: String,
    /// Number of the document in the file, from 1.
    pub number: usize,
    /// The object.
    pub value: Value,
}

/// Reads files; folders with all that is below them; `-` is the standard input.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_BYTES)
                .read_to_string(&mut text)
                .context("cannot read the standard input")?;
            sources.push(Source {
                name: "stdin".to_owned(),
                text,
            });
        } else if path.is_dir() {
            let mut files = Vec::new();
            collect(path, &mut files)?;
            if files.is_empty() {
                anyhow::bail!("{}: no file below it ends in .yaml, .yml or .json", path.display());
            }
            files.sort();
            sources.extend(
                files
                    .iter()
                    .map(|file| read_file(file))
                    .collect::<anyhow::Result<Vec<_>>>()?,
            );
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // The type of the entry itself: a link to a folder above would never end.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !hidden {
                collect(&path, files)?;
            }
        } else if matches!(
            path.extension().and_then(|end| end.to_str()),
            Some("yaml" | "yml" | "json")
        ) && !hidden
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Source> {
    let name = path.display().to_string();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read {name}"))?
        .len();
    anyhow::ensure!(
        size <= MAX_BYTES,
        "{name}: has more than {} MiB: is this a manifest?",
        MAX_BYTES >> 20
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Ok(Source { name, text })
}

/// The objects of a file, those of lists one by one, and what cannot be read.
pub fn parse(source: &Source) -> (Vec<Document>, Vec<Finding>) {
    let (mut documents, mut findings) = (Vec::new(), Vec::new());
    for (index, (line, text)) in split(&source.text).into_iter().enumerate() {
        let document = |value| Document {
            file: source.name.clone(),
            number: index + 1,
            value,
        };
        // Empty lines in front keep the line numbers in messages those of the file.
        let text = format!("{}{text}", "\n".repeat(line));
        match serde_saphyr::from_str::<Option<Value>>(&text) {
            Ok(None | Some(Value::Null)) => {}
            Ok(Some(value)) if value.is_object() => documents.extend(items(value).into_iter().map(document)),
            Ok(Some(_)) => findings.push(document(Value::Null).finding(Problem::error("", "is no object"))),
            Err(error) => {
                let text = error.without_snippet().to_string();
                let text = text.lines().next().unwrap_or("cannot be read").to_owned();
                findings.push(document(Value::Null).finding(Problem::error("", format!("is no YAML: {text}"))));
            }
        }
    }
    (documents, findings)
}

/// A list of objects, as `kubectl get -o yaml` writes it, as its objects.
fn items(mut value: Value) -> Vec<Value> {
    let is_list = value
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(other) => {
            value["items"] = other;
            vec![value]
        }
        None => vec![value],
    }
}

/// The documents of a file, each with the number of lines before it. By YAML's own rule a line that begins with `---` begins
/// a document, wherever it stands.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (line, content) in text.lines().enumerate() {
        let marker = content
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = marker {
            documents.push((line, rest.to_owned()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(content);
        }
        if let Some((_, document)) = documents.last_mut() {
            document.push('\n');
        }
    }
    let says = |text: &str| {
        text.lines()
            .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    };
    documents.retain(|(_, text)| says(text));
    documents
}

impl Document {
    /// `kind`.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.generateName`.
    pub fn generate_name(&self) -> &str {
        self.text("/metadata/generateName")
    }

    /// `metadata.namespace`; empty where it is left to whoever applies the file.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// The folder of the file.
    pub fn folder(&self) -> &str {
        Path::new(&self.file)
            .parent()
            .and_then(Path::to_str)
            .unwrap_or_default()
    }

    /// Whether it is of a kind, or of the API group, that Sluice serves.
    pub fn is_ours(&self) -> bool {
        self.api_version().split('/').next() == Some("argoproj.io") && !OTHERS.contains(&self.kind())
    }

    /// A problem with where it is.
    pub(super) fn finding(&self, problem: Problem) -> Finding {
        let name = if self.name().is_empty() {
            self.generate_name()
        } else {
            self.name()
        };
        let object = if self.kind().is_empty() {
            String::new()
        } else {
            format!("{}/{name}", self.kind())
        };
        Finding {
            file: self.file.clone(),
            document: self.number,
            object,
            path: problem.path,
            severity: problem.severity,
            problem: problem.text,
        }
    }

    fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Kinds of the same API group that other projects serve.
const OTHERS: [&str; 12] = [
    "Application",
    "ApplicationSet",
    "AppProject",
    "ArgoCD",
    "ClusterWorkflowTemplate",
    "CronWorkflow",
    "EventBus",
    "EventSource",
    "RolloutManager",
    "Sensor",
    "Workflow",
    "WorkflowTemplate",
];

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<Document>, Vec<Finding>) {
        parse(&Source {
            name: "f".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn documents_are_counted_as_people_count_them() {
        let check = |what: &str, text: &str, wanted: &[(usize, &str)]| {
            let (documents, findings) = parsed(text);
            let names: Vec<(usize, &str)> = documents.iter().map(|one| (one.number, one.kind())).collect();
            assert_eq!(names, wanted, "{what}");
            assert_eq!(findings, [], "{what}");
        };
        check("one", "kind: A\n", &[(1, "A")]);
        check("two", "kind: A\n---\nkind: B\n", &[(1, "A"), (2, "B")]);
        check(
            "a marker in front is no document",
            "# text\n---\nkind: A\n---\n# nothing\n---\nkind: B",
            &[(1, "A"), (2, "B")],
        );
        check(
            "content after the marker",
            "--- {kind: A}\n--- # text\nkind: B\n",
            &[(1, "A"), (2, "B")],
        );
        check(
            "a marker inside a text is indented",
            "kind: A\ntext: |\n  ---\n  kind: C\n",
            &[(1, "A")],
        );
        check(
            "end markers",
            "kind: A\n...\n---\nkind: B\n...\n",
            &[(1, "A"), (2, "B")],
        );
        check(
            "a list",
            "kind: List\nitems: [{kind: A}, {kind: B}]\n",
            &[(1, "A"), (1, "B")],
        );
        check("JSON", "{\"kind\": \"A\"}", &[(1, "A")]);
        check("nothing", "\n# text\n", &[]);
    }

    #[test]
    fn a_document_that_is_no_yaml_hides_no_other_one() {
        let (documents, findings) = parsed("kind: A\n---\nkind: [\n---\njust text\n---\nkind: B\n");
        assert_eq!(documents.iter().map(Document::kind).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(
            findings.iter().map(|finding| finding.document).collect::<Vec<_>>(),
            [2, 3]
        );
        assert!(
            findings[0].problem.starts_with("is no YAML: "),
            "{}",
            findings[0].problem
        );
        assert!(
            findings[0].problem.contains("line 4") || findings[0].problem.contains("line 3"),
            "{}",
            findings[0].problem
        );
        assert_eq!(findings[1].problem, "is no object");
    }
}
