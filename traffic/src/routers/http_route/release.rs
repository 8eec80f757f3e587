//! Giving an HTTPRoute back.

use serde_json::{Map, Value, json};

use super::{Config, Route};
use crate::{
    RouterProblem,
    object::metadata,
    registry::Pair,
    release::Record,
    routers::backend_weights::{Wanted, resplit},
};

/// The list of rules (`rules`) where it is to be another one: without the rules that steps have added, and with everything for
/// the stable Service where the split is the one that we wrote.
pub(crate) fn rules_at_rest(object: &Value, record: &Record) -> Result<Map<String, Value>, RouterProblem> {
    let config = Config {
        name: metadata(object, "name").unwrap_or_default().to_owned(),
        namespace: None,
        rules: record.rules.clone(),
        managed_routes: record.recorded_names(object),
    };
    let pair = Pair {
        stable: &record.stable,
        canary: &record.canary,
    };
    let route = Route::read(&config, object, pair)?;
    let mut rules = vec![];
    for rule in route.rules.iter().filter(|rule| !rule.is_ours) {
        let mut value = object["spec"]["rules"][rule.index].clone();
        let is_meant = config.rules.is_empty() || rule.name.as_ref().is_some_and(|name| config.rules.contains(name));
        if is_meant && rule.backends.can_be_managed() && record.wrote(&rule.backends.pair_weights()) {
            let split = resplit(&rule.backends.roles(), Wanted::EVERYTHING_STABLE)
                .map_err(|text| route.reader.problem(rule.path(), text))?;
            for (index, weight) in split.into_iter().flatten().enumerate() {
                if rule.backends.0[index].weight != weight {
                    value["backendRefs"][index]["weight"] = json!(weight);
                }
            }
        }
        rules.push(value);
    }
    let present = object["spec"].get("rules").and_then(Value::as_array);
    let lists = present.filter(|present| **present != rules);
    Ok(lists
        .map(|_| ("rules".to_owned(), Value::Array(rules)))
        .into_iter()
        .collect())
}
