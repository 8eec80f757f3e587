//! Arguments: where their values come from, and how `{{args.name}}` is filled in.
//!
//! # Guarantees
//! - A value is put into one string of the metric and stays there: whatever it contains, it cannot end the string, add a
//!   field, or be read as a further `{{...}}`.
//! - Secrets enter a metric only through [`resolve`], and [`Secrets::scrub`] takes them out of every text that leaves it.

mod field_path;
mod problems;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_crds::{Argument, Metric, PodTemplateHashOf, RolloutAnalysisArgument};

pub use field_path::{FieldPathError, field};
pub use problems::{problems, unresolved};

/// What stands in place of a secret.
pub const HIDDEN: &str = "*****";

/// Why arguments cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// A `{{...}}` that is no argument.
    #[error("failed to resolve {{{{{0}}}}}")]
    Unresolved(String),
    /// A `{{` without end.
    #[error("`{{{{` has no closing `}}}}` in `{0}`")]
    NoEnd(String),
    /// An argument without a value.
    #[error("args.{0} was not resolved")]
    NoValue(String),
    /// A run has an argument of this name already.
    #[error("args.{0} is given twice: leave one out")]
    Twice(String),
    /// Two templates give different values.
    #[error("Argument `{name}` specified multiple times with different values: '{first}', '{second}'")]
    Different {
        /// Name of the argument.
        name: String,
        /// Its value in the first template.
        first: String,
        /// Its value in a later one.
        second: String,
    },
    /// An argument with both value and valueFrom, or with two sources.
    #[error("args.{0} has several sources: set either value or one field of valueFrom")]
    Several(String),
    /// A `podTemplateHashValue` that is neither Stable nor Latest.
    #[error("args.{name}.valueFrom.podTemplateHashValue is `{value}`, it must be Stable or Latest")]
    HashOf {
        /// Name of the argument.
        name: String,
        /// What was found.
        value: String,
    },
    /// The Secret, or its key, could not be read.
    #[error("args.{arg}: Secret `{secret}` with key `{key}` could not be read")]
    Secret {
        /// Name of the argument.
        arg: String,
        /// Name of the Secret.
        secret: String,
        /// Key in the Secret.
        key: String,
    },
    /// A path that does not lead to a value.
    #[error("args.{arg}: {error}")]
    Field {
        /// Name of the argument.
        arg: String,
        /// What is wrong with the path.
        error: FieldPathError,
    },
    /// With its arguments filled in, the metric has a value of the wrong type.
    #[error("the metric cannot be read once its arguments are filled in")]
    Shape,
}

/// A key of a Secret in the run's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in the Secret.
    pub key: String,
}

/// Values that were read of Secrets, for one measurement. `Debug` shows how many there are and no more.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    values: BTreeMap<SecretRef, String>,
    settings: BTreeMap<SecretRef, String>,
}

impl Secrets {
    /// Adds a value that was read and is shown nowhere.
    pub fn insert(&mut self, reference: SecretRef, value: String) {
        self.values.insert(reference, value);
    }

    /// Adds a value that was read of a Secret and is no secret, such as the address of a service.
    pub fn insert_setting(&mut self, reference: SecretRef, value: String) {
        self.settings.insert(reference, value);
    }

    /// A value of either kind.
    pub fn get(&self, reference: &SecretRef) -> Option<&str> {
        let value = self.values.get(reference).or_else(|| self.settings.get(reference));
        value.map(String::as_str)
    }

    /// The text with every secret value, as it is and as JSON and Go quote it, replaced by `*****`.
    pub fn scrub(&self, text: &str) -> String {
        let mut values: Vec<String> = Vec::new();
        for value in self.values.values().filter(|value| !value.is_empty()) {
            let quoted = Value::from(value.as_str()).to_string();
            values.push(quoted[1..quoted.len() - 1].to_owned());
            values.push(value.clone());
            values.push(value.trim().to_owned());
        }
        // A secret that is part of another must not break up the longer one.
        values.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values
            .iter()
            .filter(|value| !value.is_empty())
            .fold(text.to_owned(), |text, value| text.replace(value, HIDDEN))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} values)", self.values.len())
    }
}

/// The secrets that must be read before a measurement.
pub fn secret_refs(args: &[Argument]) -> BTreeSet<SecretRef> {
    args.iter().filter_map(secret_ref).collect()
}

fn secret_ref(arg: &Argument) -> Option<SecretRef> {
    let reference = arg.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some(SecretRef {
        name: reference.name.clone(),
        key: reference.key.clone(),
    })
}

/// The metric with `{{args.name}}` filled in everywhere. Without `secrets`, arguments that come from a Secret stay as they
/// are written; with them, each must have its value.
pub fn resolve(metric: &Metric, args: &[Argument], secrets: Option<&Secrets>) -> Result<Metric, ArgError> {
    let mut value = serde_json::to_value(metric).map_err(|_| ArgError::Shape)?;
    let values = values(args, secrets)?;
    fill(&mut value, &values)?;
    serde_json::from_value(value).map_err(|_| ArgError::Shape)
}

/// Whether an object can have this name. Names of Secrets come from users, and become part of a path of the API server.
pub fn is_object_name(name: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 253
        && end(name.chars().next())
        && end(name.chars().last())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

/// Whether a text still has something to fill in.
pub fn is_open(text: &str) -> bool {
    text.contains("{{")
}

/// The arguments of a Rollout's analysis with their values. `rollout` is the Rollout as JSON, the hashes are those of the
/// stable and of the latest pod template. All problems are reported.
pub fn resolve_rollout_args(
    rollout: &Value,
    args: &[RolloutAnalysisArgument],
    stable_hash: &str,
    latest_hash: &str,
) -> Result<Vec<Argument>, Vec<ArgError>> {
    let mut problems = Vec::new();
    let mut resolved = Vec::new();
    for arg in args {
        match rollout_value(rollout, arg, stable_hash, latest_hash) {
            Ok(value) => resolved.push(Argument {
                name: arg.name.clone(),
                value,
                value_from: None,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(resolved)
    } else {
        Err(problems)
    }
}

/// The arguments of a run: those of its templates, with the values that were `supplied`. What is supplied and belongs to no
/// template is left out. `rollout` is where a template's `fieldRef` points. All problems are reported.
pub fn merge(
    template_args: &[Argument],
    supplied: &[Argument],
    rollout: Option<&Value>,
) -> Result<Vec<Argument>, Vec<ArgError>> {
    let mut problems = Vec::new();
    let mut merged = Vec::new();
    for template_arg in template_args {
        let given = supplied.iter().rev().find(|arg| arg.name == template_arg.name);
        let given = given.filter(|arg| arg.value.is_some() || arg.value_from.is_some());
        match run_argument(given.unwrap_or(template_arg), rollout) {
            Ok(arg) => merged.push(arg),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(merged) } else { Err(problems) }
}

/// One argument of a run: a value, or a reference to a Secret.
fn run_argument(arg: &Argument, rollout: Option<&Value>) -> Result<Argument, ArgError> {
    let from = arg.value_from.as_ref();
    let secret = from.and_then(|from| from.secret_key_ref.as_ref());
    let field_ref = from.and_then(|from| from.field_ref.as_ref());
    match (&arg.value, secret, field_ref) {
        (Some(_), None, None) | (None, Some(_), None) => Ok(arg.clone()),
        (None, None, Some(reference)) => {
            let rollout = rollout.ok_or_else(|| ArgError::NoValue(arg.name.clone()))?;
            let value = field(rollout, &reference.field_path).map_err(|error| ArgError::Field {
                arg: arg.name.clone(),
                error,
            })?;
            Ok(Argument {
                name: arg.name.clone(),
                value: Some(value),
                value_from: None,
            })
        }
        (None, None, None) => Err(ArgError::NoValue(arg.name.clone())),
        _ => Err(ArgError::Several(arg.name.clone())),
    }
}

/// `None` where the Rollout names an argument without giving it a value: the template's default holds.
fn rollout_value(
    rollout: &Value,
    arg: &RolloutAnalysisArgument,
    stable_hash: &str,
    latest_hash: &str,
) -> Result<Option<String>, ArgError> {
    let from = arg.value_from.as_ref();
    let hash_of = from.and_then(|from| from.pod_template_hash_value.as_ref());
    let field_ref = from.and_then(|from| from.field_ref.as_ref());
    match (&arg.value, hash_of, field_ref) {
        (value, None, None) => Ok(value.clone()),
        (None, Some(PodTemplateHashOf::Stable), None) => Ok(Some(stable_hash.to_owned())),
        (None, Some(PodTemplateHashOf::Latest), None) => Ok(Some(latest_hash.to_owned())),
        (None, Some(PodTemplateHashOf::Other(value)), None) => Err(ArgError::HashOf {
            name: arg.name.clone(),
            value: value.clone(),
        }),
        (None, None, Some(reference)) => match field(rollout, &reference.field_path) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(ArgError::Field {
                arg: arg.name.clone(),
                error,
            }),
        },
        _ => Err(ArgError::Several(arg.name.clone())),
    }
}

/// Values by tag (`args.name`). An argument whose value is not known yet stands for its own tag.
fn values(args: &[Argument], secrets: Option<&Secrets>) -> Result<BTreeMap<String, String>, ArgError> {
    let mut values = BTreeMap::new();
    for arg in args {
        let tag = format!("args.{}", arg.name);
        let value = match (&arg.value, secret_ref(arg), secrets) {
            (Some(_), Some(_), _) => return Err(ArgError::Several(arg.name.clone())),
            (Some(value), None, _) => value.clone(),
            (None, Some(reference), Some(secrets)) => {
                let Some(value) = secrets.values.get(&reference) else {
                    let SecretRef { name: secret, key } = reference;
                    let arg = arg.name.clone();
                    return Err(ArgError::Secret { arg, secret, key });
                };
                value.clone()
            }
            (None, Some(_), None) => format!("{{{{{tag}}}}}"),
            (None, None, _) => return Err(ArgError::NoValue(arg.name.clone())),
        };
        values.insert(tag, value);
    }
    Ok(values)
}

/// Fills in every string below `value`, keys of maps included.
fn fill(value: &mut Value, values: &BTreeMap<String, String>) -> Result<(), ArgError> {
    match value {
        Value::String(text) if is_open(text) => *text = filled(text, values)?,
        Value::Array(items) => {
            for item in items {
                fill(item, values)?;
            }
        }
        Value::Object(map) => {
            let entries = std::mem::take(map);
            for (key, mut item) in entries {
                fill(&mut item, values)?;
                map.insert(if is_open(&key) { filled(&key, values)? } else { key }, item);
            }
        }
        _ => {}
    }
    Ok(())
}

/// One pass from left to right: what a value contains is not looked at again.
fn filled(text: &str, values: &BTreeMap<String, String>) -> Result<String, ArgError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("{{") {
        let Some((tag, after)) = tail.split_once("}}") else {
            return Err(ArgError::NoEnd(crate::text::excerpt(text)));
        };
        let Some(value) = values.get(tag.trim()) else {
            return Err(ArgError::Unresolved(crate::text::excerpt(tag.trim())));
        };
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests;
