//! Everything that is wrong with the arguments of a list of metrics, at once.

use std::collections::BTreeSet;

use serde_json::Value;
use sluice_crds::{Argument, Metric};

use super::{ArgError, filled, is_open, secret_ref, values};

/// Why the arguments of a run do not fill in its metrics: an argument that is there twice, has no value or several, and each
/// `{{...}}` that is none of them. Each problem is reported once. Values of secrets are not needed.
pub fn problems(metrics: &[Metric], args: &[Argument]) -> Vec<ArgError> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for arg in args {
        if !names.insert(arg.name.as_str()) {
            problems.push(ArgError::Twice(arg.name.clone()));
        }
        match (&arg.value, secret_ref(arg)) {
            (Some(_), Some(_)) => problems.push(ArgError::Several(arg.name.clone())),
            (None, None) => problems.push(ArgError::NoValue(arg.name.clone())),
            _ => {}
        }
    }
    let unresolved = metrics.iter().flat_map(|metric| unresolved(metric, &names));
    for problem in unresolved {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// Each `{{...}}` of a metric that is none of the arguments with these names.
pub fn unresolved(metric: &Metric, names: &BTreeSet<&str>) -> Vec<ArgError> {
    let stand_in = |name: &&str| Argument {
        name: (*name).to_owned(),
        value: Some(String::new()),
        value_from: None,
    };
    let args: Vec<Argument> = names.iter().map(stand_in).collect();
    let (Ok(value), Ok(values)) = (serde_json::to_value(metric), values(&args, None)) else {
        return vec![ArgError::Shape];
    };
    let mut texts = Vec::new();
    collect(&value, &mut texts);
    let mut problems = Vec::new();
    for text in texts {
        // One text may have several: each is looked at by itself.
        for part in text.split_inclusive("}}").filter(|part| is_open(part)) {
            if let Err(problem) = filled(part, &values)
                && !problems.contains(&problem)
            {
                problems.push(problem);
            }
        }
    }
    problems
}

/// Every string below `value` with something to fill in, keys of maps included.
fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) if is_open(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => {
            for (key, item) in map {
                if is_open(key) {
                    texts.push(key);
                }
                collect(item, texts);
            }
        }
        _ => {}
    }
}
