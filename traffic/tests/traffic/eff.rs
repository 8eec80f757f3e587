//! What proxies may still be applying.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use jiff::Timestamp;
use sluice_traffic::{
    Acknowledgement, Moving, Observed, Split, Weights,
    eff::{MAX_KEPT, greatest_shares, next_moving, possible, possible_revisions},
};

use crate::common::{moving, split, weights};

fn route(managed: &[&str], unmanaged: &[&str], moving: Option<Moving>) -> Observed {
    Observed {
        managed: managed.iter().map(|text| weights(text)).collect(),
        unmanaged: unmanaged.iter().map(|text| weights(text)).collect(),
        acknowledgement: Acknowledgement::Acknowledged,
        moving,
        foreign_manager: None,
        generation: 1,
        outdated: false,
    }
}

fn list(splits: &[Weights]) -> String {
    let one = |weights: &Weights| {
        let part = |service: &str| weights.by_service.get(service).copied().unwrap_or(0);
        format!("{}/{}", part("app-stable"), part("app-canary"))
    };
    splits.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn dests(split: &Split) -> String {
    let parts = split
        .parts
        .iter()
        .map(|(dest, part)| format!("{}/{}={part}", dest.service, dest.revision));
    parts.collect::<Vec<_>>().join(" ")
}

const TO: &str = "app-stable/a=75 app-canary/b=25";
const FROM: &[&str] = &["app-stable/a=95 app-canary/b=5", "app-stable/a=100 app-canary/b=0"];

#[test]
fn a_change_that_has_not_settled_leaves_the_splits_before_it_possible() {
    let check = |what: &str, route: Observed, settled: bool, expected: Expect| {
        eprintln!("{what}");
        expected.assert_eq(&list(&possible(&route, settled)));
    };
    check("never touched", route(&["100/0"], &[], None), false, expect!["1/0"]);
    check(
        "settled",
        route(&["75/25"], &[], Some(moving(TO, FROM))),
        true,
        expect!["3/1"],
    );
    check(
        "not settled",
        route(&["75/25"], &[], Some(moving(TO, FROM))),
        false,
        expect!["3/1 19/1 1/0"],
    );
    check(
        "a foreign writer",
        route(&["50/50"], &[], Some(moving(TO, FROM))),
        false,
        expect!["1/1 3/1 19/1 1/0"],
    );
    check(
        "rules that differ",
        route(&["100/0", "50/50"], &[], None),
        true,
        expect!["1/1 1/0"],
    );
    check(
        "unmanaged rules",
        route(&["100/0"], &["0/7", "3/0"], None),
        true,
        expect!["0/1 1/0"],
    );
    check(
        "the same in other numbers",
        route(&["50/50", "1/1", "2/2"], &["3/3"], None),
        true,
        expect!["1/1"],
    );
    check("no weight at all", route(&["0/0"], &[], None), true, expect!["0/0"]);
    check(
        "the same Service with two revisions counts once",
        route(
            &["100/0"],
            &[],
            Some(moving("app-stable/a=60 app-stable/b=20 app-canary/c=20", &[])),
        ),
        false,
        expect!["4/1 1/0"],
    );
}

#[test]
fn the_next_record_carries_on_what_was_possible() {
    let now: Timestamp = "2026-03-01T13:00:00Z".parse().expect("a time");
    let check = |what: &str, previous: Option<Moving>, observed: &[&str], settled: bool, expected: Expect| {
        let observed: Vec<Split> = observed.iter().map(|text| split(text)).collect();
        let to = split("app-stable/a=50 app-canary/b=50");
        let next = next_moving(now, to.clone(), previous.as_ref(), &observed, settled);
        assert_eq!((next.at, &next.to), (now, &to), "{what}");
        eprintln!("{what}");
        expected.assert_eq(&next.from.iter().map(dests).collect::<Vec<_>>().join(" | "));
    };
    check(
        "the first write",
        None,
        &["app-stable/a=100"],
        true,
        expect!["app-stable/a=100"],
    );
    check(
        "the first write, not settled",
        None,
        &["app-stable/a=100"],
        false,
        expect!["app-stable/a=100"],
    );
    check(
        "settled: only what is",
        Some(moving(TO, FROM)),
        &[TO],
        true,
        expect!["app-canary/b=25 app-stable/a=75"],
    );
    check(
        "not settled: all that was",
        Some(moving(TO, FROM)),
        &[TO],
        false,
        expect!["app-canary/b=0 app-stable/a=100 | app-canary/b=25 app-stable/a=75 | app-canary/b=5 app-stable/a=95"],
    );
    check(
        "a foreign write joins",
        Some(moving(TO, FROM)),
        &["app-stable/a=10 app-canary/b=90"],
        false,
        expect![
            "app-canary/b=0 app-stable/a=100 | app-canary/b=25 app-stable/a=75 | app-canary/b=90 app-stable/a=10 | app-canary/b=5 app-stable/a=95"
        ],
    );
    check(
        "another revision on the way",
        Some(moving(TO, FROM)),
        &["app-stable/a=75 app-canary/c=25"],
        false,
        expect![
            "app-canary/b=0 app-stable/a=100 | app-canary/b=25 app-stable/a=75 | app-canary/c=25 app-stable/a=75 | app-canary/b=5 app-stable/a=95"
        ],
    );
    check(
        "the same proportions are told once, as observed",
        Some(moving("app-stable/a=3 app-canary/b=1", &[])),
        &[TO],
        false,
        expect!["app-canary/b=25 app-stable/a=75"],
    );
    check(
        "rules that differ",
        None,
        &["app-stable/a=100", "app-stable/a=50 app-canary/b=50"],
        true,
        expect!["app-stable/a=100 | app-canary/b=50 app-stable/a=50"],
    );
}

#[test]
fn a_long_history_keeps_the_greatest_share_of_everyone() {
    let now: Timestamp = "2026-03-01T13:00:00Z".parse().expect("a time");
    let mut record = moving("app-stable/a=100", &[]);
    for percent in 1..=60_u32 {
        let revision = if percent % 2 == 0 { "b" } else { "c" };
        let to = split(&format!(
            "app-stable/a={} app-canary/{revision}={percent}",
            100 - percent
        ));
        let observed = [record.to.clone()];
        record = next_moving(now, to, Some(&record), &observed, false);
        assert!(record.from.len() <= MAX_KEPT, "{percent}: {} kept", record.from.len());
        let from: Vec<Weights> = record.from.iter().map(Split::weights).collect();
        let most = |service: &str| from.iter().map(|weights| weights.share_of(service)).max();
        assert_eq!(most("app-stable"), Some(10_000), "{percent}");
        assert_eq!(most("app-canary"), Some((percent - 1) * 100), "{percent}");
        for (revision, first) in [("b", 2), ("c", 1)] {
            let dest = |split: &Split| {
                split
                    .parts
                    .iter()
                    .filter(|(dest, _)| dest.revision == revision)
                    .map(|(_, part)| *part)
                    .max()
            };
            let expected = (first..percent).step_by(2).max();
            assert_eq!(
                record.from.iter().filter_map(dest).max(),
                expected,
                "{percent} {revision}"
            );
        }
    }
    let route = route(&["40/60"], &[], Some(record));
    let all = possible(&route, false);
    assert!(all.len() <= MAX_KEPT);
    assert_eq!(
        all.iter().map(|weights| weights.share_of("app-canary")).max(),
        Some(6_000)
    );
}

#[test]
fn the_greatest_share_of_a_revision_is_over_all_services_that_may_select_it() {
    let check = |what: &str, splits: &[&str], selected: &[(&str, &[&str])], expected: Expect| {
        let splits: Vec<Weights> = splits.iter().map(|text| weights(text)).collect();
        let set = |revisions: &[&str]| {
            revisions
                .iter()
                .map(|&revision| revision.to_owned())
                .collect::<BTreeSet<_>>()
        };
        let selected: BTreeMap<String, BTreeSet<String>> = selected
            .iter()
            .map(|&(service, revisions)| (service.to_owned(), set(revisions)))
            .collect();
        let shares = greatest_shares(&splits, &selected);
        eprintln!("{what}");
        expected.assert_eq(
            &shares
                .iter()
                .map(|(name, share)| format!("`{name}`={share}"))
                .collect::<Vec<_>>()
                .join(" "),
        );
    };
    let usual: &[(&str, &[&str])] = &[("app-stable", &["a"]), ("app-canary", &["b"])];
    check("one split", &["95/5"], usual, expect!["`a`=9500 `b`=500"]);
    check(
        "two possible splits",
        &["95/5", "50/50"],
        usual,
        expect!["`a`=9500 `b`=5000"],
    );
    check(
        "a Service on the way",
        &["80/20"],
        &[("app-stable", &["a", "b"]), ("app-canary", &["b"])],
        expect!["`a`=8000 `b`=10000"],
    );
    check(
        "a Service that selects everything",
        &["80/20"],
        &[("app-stable", &["a"])],
        expect!["``=2000 `a`=8000"],
    );
    check(
        "any traffic is more than none",
        &["999999/1"],
        usual,
        expect!["`a`=10000 `b`=1"],
    );
    check("no weight", &["0/0"], usual, expect!["`a`=0 `b`=0"]);
    check("nothing known", &[], usual, expect![]);
}

#[test]
fn a_selector_that_has_not_settled_may_still_select_what_it_did() {
    let record = moving("app/b=100", &["app/a=100", "other/x=100"]);
    let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(list(possible_revisions("app", Some("b"), Some(&record), false)), "a b");
    assert_eq!(list(possible_revisions("app", Some("b"), Some(&record), true)), "b");
    assert_eq!(
        list(possible_revisions("app", Some("z"), Some(&record), false)),
        "a b z",
        "a foreign writer"
    );
    assert_eq!(
        possible_revisions("app", None, None, false),
        BTreeSet::from([String::new()])
    );
}
