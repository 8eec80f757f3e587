//! Queries on a small store, by hand. The comparison with the real Prometheus is in the end-to-end tests.

use super::*;

/// Counters scraped every 10 s up to 60 s: 1 and 2 requests a second, and one error a second of `b` from 30 s on.
fn store() -> SeriesStore {
    let mut store = SeriesStore::default();
    let requests = |pod: &str, code: &str| {
        Labels::of_metric("requests_total")
            .with("pod", pod)
            .with("code", code)
            .with("job", "shop")
    };
    for second in (0..=60_i32).step_by(10) {
        let at_ms = i64::from(second) * 1000;
        let value = f64::from(second);
        store.append(&requests("a", "200"), at_ms, value).unwrap();
        store.append(&requests("b", "200"), at_ms, 2.0 * value).unwrap();
        if second >= 30 {
            store.append(&requests("b", "500"), at_ms, value - 30.0).unwrap();
        }
        store
            .append(&Labels::of_metric("up").with("job", "shop"), at_ms, 1.0)
            .unwrap();
    }
    store
}

fn shown(value: &Value) -> String {
    let sample = |sample: &Sample| format!("{} {}", sample.labels, number_text(sample.value));
    match value {
        Value::Scalar(number) => number_text(*number),
        Value::Text(text) => text.clone(),
        Value::Vector(samples) => samples.iter().map(sample).collect::<Vec<_>>().join("; "),
        Value::Matrix(series) => {
            let series = series.iter().map(|series| {
                let points = series.points.iter();
                let points: Vec<String> = points
                    .map(|point| format!("{}@{}", point.value, point.at_ms / 1000))
                    .collect();
                format!("{} {}", series.labels, points.join(" "))
            });
            series.collect::<Vec<_>>().join("; ")
        }
    }
}

/// The value at 60 s, or the error.
fn ask(text: &str) -> String {
    let value = Query::parse(text).and_then(|query| query.instant(&store(), 60_000));
    value.map_or_else(|error| format!("error: {error}"), |value| shown(&value))
}

#[test]
fn queries_evaluate_to_what_one_reckons() {
    let rows = [
        ("up", "up{job=\"shop\"} 1"),
        (
            "requests_total{code=\"500\"}",
            "requests_total{code=\"500\", job=\"shop\", pod=\"b\"} 30",
        ),
        ("sum(requests_total)", "{} 210"),
        ("sum by (pod) (requests_total)", "{pod=\"a\"} 60; {pod=\"b\"} 150"),
        (
            "sum without (pod, job) (requests_total)",
            "{code=\"200\"} 180; {code=\"500\"} 30",
        ),
        ("sum(rate(requests_total{code=\"200\"}[30s]))", "{} 3"),
        (
            "sum(rate(requests_total{code=~\"5..\"}[30s])) / sum(rate(requests_total[30s]))",
            "{} 0.25",
        ),
        (
            "sum(rate(requests_total{code=~\"4..\"}[30s])) / sum(rate(requests_total[30s]))",
            "",
        ),
        (
            "(sum(rate(requests_total{code=~\"4..\"}[30s])) or vector(0)) / sum(rate(requests_total[30s]))",
            "{} 0",
        ),
        ("count(requests_total{code!=\"200\"})", "{} 1"),
        (
            "requests_total{pod!~\"b\"} offset 30s",
            "requests_total{code=\"200\", job=\"shop\", pod=\"a\"} 30",
        ),
        (
            "requests_total{pod=\"a\"} offset -30s @ 20",
            "requests_total{code=\"200\", job=\"shop\", pod=\"a\"} 50",
        ),
        (
            "requests_total{pod=\"a\"} @ 0",
            "requests_total{code=\"200\", job=\"shop\", pod=\"a\"} 0",
        ),
        (
            "topk(1, requests_total)",
            "requests_total{code=\"200\", job=\"shop\", pod=\"b\"} 120",
        ),
        ("quantile(0.5, requests_total)", "{} 60"),
        (
            "requests_total > bool 59",
            "{code=\"200\", job=\"shop\", pod=\"a\"} 1; {code=\"200\", job=\"shop\", pod=\"b\"} 1; {code=\"500\", job=\"shop\", pod=\"b\"} 0",
        ),
        (
            "100 < requests_total",
            "requests_total{code=\"200\", job=\"shop\", pod=\"b\"} 120",
        ),
        (
            "requests_total{code=\"500\"} / on (pod) requests_total{code=\"200\"}",
            "{pod=\"b\"} 0.25",
        ),
        (
            "requests_total{code=\"500\"} / ignoring (code) requests_total{code=\"200\"}",
            "{job=\"shop\", pod=\"b\"} 0.25",
        ),
        (
            "sum by (pod) (requests_total) * on () group_left (job) up",
            "{job=\"shop\", pod=\"a\"} 60; {job=\"shop\", pod=\"b\"} 150",
        ),
        (
            "up * on (job) group_right () requests_total{code=\"500\"}",
            "{code=\"500\", job=\"shop\", pod=\"b\"} 30",
        ),
        (
            "requests_total unless on (pod) requests_total{code=\"500\"}",
            "requests_total{code=\"200\", job=\"shop\", pod=\"a\"} 60",
        ),
        (
            "requests_total{code=\"200\"} and on (pod) requests_total{code=\"500\"}",
            "requests_total{code=\"200\", job=\"shop\", pod=\"b\"} 120",
        ),
        ("absent(nothing{job=\"x\", pod=~\"y\"})", "{job=\"x\"} 1"),
        ("absent(up)", ""),
        (
            "clamp(requests_total{code=\"500\"}, 0, 7)",
            "{code=\"500\", job=\"shop\", pod=\"b\"} 7",
        ),
        ("scalar(up) + time()", "61"),
        ("scalar(requests_total)", "NaN"),
        ("-up", "{job=\"shop\"} -1"),
        ("1 / 0 - Inf", "NaN"),
        (
            "label_replace(up, \"short\", \"$1\", \"job\", \"(..).*\")",
            "up{job=\"shop\", short=\"sh\"} 1",
        ),
        ("max_over_time(sum(rate(requests_total[20s]))[40s:10s])", "{} 4"),
        ("count_over_time(up[30s])", "{job=\"shop\"} 3"),
        ("timestamp(up offset 5s)", "{job=\"shop\"} 50"),
        ("up[25s]", "up{job=\"shop\"} 1@40 1@50 1@60"),
    ];
    for (text, want) in rows {
        assert_eq!(ask(text), want, "{text}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let rows = [
        ("histogram_fraction(0, 1, up)", "function histogram_fraction"),
        ("made_up(up)", "function made_up"),
        ("sum(hour(up))", "function hour"),
        ("limitk(1, up)", "aggregation limitk"),
        ("up + fill(0) up", "fill"),
        ("{job=\"a\" or job=\"b\"}", "or"),
    ];
    for (text, name) in rows {
        let error = ask(text);
        assert!(
            error.contains(name) && error.contains("--metric NAME=VALUES"),
            "{text}: {error}"
        );
    }
}

#[test]
fn mistakes_are_told() {
    let rows = [
        ("", "error:"),
        ("up{", "error:"),
        ("rate(up)", "expected type"),
        ("{job=~\".*\"}", "non-empty matcher"),
        ("up[0s]", "greater than 0"),
        ("up{job=~\"(\"}", "regex"),
        (
            "requests_total * requests_total{code=\"200\"} * on (job) requests_total",
            "many-to-many",
        ),
        ("requests_total * on (pod) up", ""),
        (
            "requests_total{code=\"200\"} * on (job) group_left () requests_total",
            "duplicate series",
        ),
        ("requests_total * on (job) up", "multiple matches"),
        (
            "label_replace(requests_total{code=\"200\"}, \"pod\", \"x\", \"job\", \".*\")",
            "same labels",
        ),
        ("topk(NaN, up)", "cannot pick NaN"),
    ];
    for (text, want) in rows {
        let error = ask(text);
        assert!(
            error.contains(want) && (want.is_empty() || error.contains("error")),
            "{text}: {error}"
        );
    }
}

#[test]
fn numbers_that_are_no_durations_are_told_and_not_died_of() {
    let rows = [
        "up[NaN]",
        "up[Inf]",
        "up[1e99]",
        "up[1e+99]",
        "up offset 1e99",
        "up offset - Inf",
        "up[5m:NaN]",
        "up[0xffffffffffffffff]",
    ];
    for text in rows {
        assert!(ask(text).contains("error:"), "{text}: {}", ask(text));
    }
    assert_eq!(
        ask("count_over_time(up[30])"),
        "{job=\"shop\"} 3",
        "plain seconds are a duration"
    );
    assert_eq!(
        ask("sum(up{job!=\"offset 1e99 [NaN]\"}) # [NaN]"),
        "{} 1",
        "texts and comments are none"
    );
}

#[test]
fn bounds_hold() {
    let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
    assert!(ask(&deep).contains("nested more than"), "{}", ask(&deep));
    let long = format!("up{{job=\"{}\"}}", "x".repeat(9_000));
    assert!(ask(&long).contains("bytes"), "{}", ask(&long));
    let query = Query::parse("up").unwrap();
    let steps = query.range(&store(), 0, 11_000, 1);
    assert_eq!(steps, Err(QueryError::TooManySteps(11_001)));
    assert!(ask("up[1y:1ms]").contains("steps"), "{}", ask("up[1y:1ms]"));
    let costly = "sum_over_time(sum_over_time(sum_over_time(up[10000s:1s])[10000s:1s])[10000s:1s])";
    assert!(ask(costly).contains("touches more than"), "{}", ask(costly));
}

#[test]
fn a_range_has_a_value_at_each_step_where_there_is_one() {
    let ask = |text: &str| shown(&Query::parse(text).unwrap().range(&store(), 0, 60_000, 20_000).unwrap());
    assert_eq!(ask("sum(requests_total{code=\"500\"})"), "{} 10@40 30@60");
    assert_eq!(ask("1 + 1"), "{} 2@0 2@20 2@40 2@60");
    assert_eq!(ask("up @ end() + time() * 0"), "{job=\"shop\"} 1@0 1@20 1@40 1@60");
    assert_eq!(
        ask("sort_desc(requests_total{pod=\"b\"} > 50)"),
        "requests_total{code=\"200\", job=\"shop\", pod=\"b\"} 80@40 120@60"
    );
}

#[test]
fn a_query_says_which_samples_it_looks_at() {
    let rows = [
        ("up", (-300_000, 0)),
        ("rate(up[1m] offset 2m)", (-180_000, -120_000)),
        ("sum(rate(up[1m])) / (up offset -1m)", (-240_000, 60_000)),
        ("max_over_time(rate(up[1m])[5m:10s])", (-360_000, 0)),
        ("up @ 100", (-200_000, 100_000)),
        ("1", (0, 0)),
    ];
    for (text, (after_ms, until_ms)) in rows {
        let query = Query::parse(text).unwrap();
        assert_eq!(query.window(0, 0), Window { after_ms, until_ms }, "{text}");
    }
    let names = Query::parse("sum(a{x=\"1\"}) / {__name__=\"b\"} + {job=\"c\"}")
        .unwrap()
        .metrics();
    assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned()), None]);
}

#[test]
fn answers_are_read_by_the_prometheus_provider() {
    let store = store();
    let found = |text: &str| {
        let request = Request::read(&format!("http://p/api/v1/query?query={text}"), None, 60_000).unwrap();
        let body = answer(&store, &request).unwrap().to_string().into_bytes();
        let response = sluice_analysis::HttpResponse { status: 200, body };
        sluice_analysis::providers::prometheus::read(&response).map(|found| found.text)
    };
    assert_eq!(found("sum(up)"), Ok("[1]".to_owned()));
    assert_eq!(found("nothing"), Ok("[]".to_owned()));
    assert_eq!(found("1/0"), Ok("+Inf".to_owned()));
}
