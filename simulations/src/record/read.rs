//! What is read off objects and models for a report.

use serde_json::Value;
use sluice_crds::Rollout;
use sluice_machine::rollout::REVISION_ANNOTATION;
use sluice_traffic::REVISION_LABEL;

use super::track::Present;
use crate::clock::millis_since_start;
use crate::models::{LossReason, Models};
use crate::report::LostReport;
use crate::store::{Key, Kind};

/// The share of the newest revision that the data plane has acknowledged.
pub(super) fn share_acknowledged(key: &Key, rollout: &Rollout, newest: &str, present: &Present<'_>) -> Option<f64> {
    if newest.is_empty() {
        return None;
    }
    let selects_newest = |service: &Key| present.models.slices.revision(service) == Some(newest);
    if let Some(blue_green) = rollout.spec.strategy.as_ref()?.blue_green.as_ref() {
        let active = key.beside(Kind::Service, &blue_green.active_service);
        let share = if selects_newest(&active) { 100.0 } else { 0.0 };
        return present.models.slices.revision(&active).map(|_| share);
    }
    let routers = sluice_machine::references::routers(rollout);
    let objects = routers.iter().map(|router| router.object(&key.namespace));
    let routes: Vec<Key> = objects
        .filter_map(|object| {
            let kind = Kind::of(&object.api_version, &object.kind)?;
            Some(Key::new(kind, &object.namespace, &object.name))
        })
        .collect();
    let pair = sluice_machine::references::pair(rollout);
    let services = [pair.stable, pair.canary].map(|name| key.beside(Kind::Service, name));
    let (mut all, mut of_newest) = (0, 0);
    for rules in routes.iter().filter_map(|route| present.acknowledged.get(route)) {
        for (service, weight) in rules
            .0
            .iter()
            .flatten()
            .filter(|(service, _)| services.contains(service))
        {
            all += weight;
            of_newest += if selects_newest(service) { *weight } else { 0 };
        }
    }
    let float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (all > 0).then(|| rounded(float(of_newest) * 100.0 / float(all)))
}

/// Whether the present generation of a route is acknowledged.
pub(super) fn is_acknowledged(route: &Value) -> bool {
    let generation = &route["metadata"]["generation"];
    let parents = route["status"]["parents"].as_array().map_or(&[][..], Vec::as_slice);
    let met = |parent: &Value| {
        let conditions = parent["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        !conditions.is_empty()
            && conditions
                .iter()
                .all(|condition| condition["status"] == "True" && condition["observedGeneration"] == *generation)
    };
    !parents.is_empty() && parents.iter().all(met)
}

/// The finished measurements of a run, with their metrics.
pub(super) fn measurements(run: &Value) -> Vec<(&str, &Value)> {
    let results = run["status"]["metricResults"].as_array().into_iter().flatten();
    results
        .flat_map(|result| {
            let name = result["name"].as_str().unwrap_or_default();
            let taken = result["measurements"].as_array().into_iter().flatten();
            taken.map(move |measurement| (name, measurement))
        })
        .filter(|(_, measurement)| !measurement["finishedAt"].is_null())
        .collect()
}

/// Requests that were lost, as a report has them.
pub(crate) fn lost(models: &Models) -> Vec<LostReport> {
    let losses = models.plane.totals.losses.iter();
    losses
        .map(|loss| {
            let reason = match loss.reason {
                LossReason::NoRoute => "the route sends them nowhere:",
                LossReason::NoEndpoint => "no ready endpoint of Service",
                LossReason::PodEnded => "proxies still send to a pod that has ended, of revision",
                LossReason::PodDown => "a pod crashed or its node was lost, of revision",
            };
            LostReport {
                from_millis: millis_since_start(loss.from),
                until_millis: millis_since_start(loss.until),
                reason: format!("{reason} {}", loss.place),
                requests: loss.requests,
                by_fault: loss.reason == LossReason::PodDown,
            }
        })
        .collect()
}

pub(super) fn number_of(set: &Value) -> u64 {
    let text = set["metadata"]["annotations"][REVISION_ANNOTATION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn hash_of(set: &Value) -> &str {
    set["metadata"]["labels"][REVISION_LABEL].as_str().unwrap_or_default()
}

/// A measured value with at most six digits of each number.
pub(crate) fn shortened(value: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    let mut text = String::new();
    let mut rest = value;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..]
            .find(|c| !is_part(c))
            .map_or(rest.len(), |end| start + end);
        text.push_str(&rest[..start]);
        let number = &rest[start..end];
        match number.parse::<f64>().ok().filter(|_| number.len() > 8) {
            Some(long) => text.push_str(&format!("{long:.5e}").parse::<f64>().unwrap_or(long).to_string()),
            None => text.push_str(number),
        }
        rest = &rest[end..];
    }
    text + rest
}

/// Two digits after the point are enough for people, and hide how floating-point numbers add up.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn long_numbers_are_shortened_and_everything_else_stays() {
        let rows = [
            ("[0.050000000000000044]", "[0.05]"),
            ("[0.04080588125814255, 2]", "[0.0408059, 2]"),
            ("[]", "[]"),
            ("12345678", "12345678"),
            ("no value", "no value"),
            ("NaN", "NaN"),
        ];
        for (value, text) in rows {
            assert_eq!(shortened(value), text);
        }
    }
}
