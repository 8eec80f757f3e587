//! The metrics of a simulation: what is scraped of a rollout, in each shape, and what analyses make of it.

use jiff::SignedDuration;
use sluice_simulations::promql::{RequestError, Value};
use sluice_simulations::series::Latency;
use sluice_simulations::{Cluster, Command, Config, Entry, Flow, Key, Kind, MetricModel, START, Scenario, Version};

const MANIFESTS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: default}
spec:
  replicas: 5
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "shop:v1", ports: [{containerPort: 8080}]}]}
  strategy:
    canary:
      stableService: shop-stable
      canaryService: shop-canary
      trafficRouting: {plugins: {argoproj-labs/gatewayAPI: {httpRoute: shop, namespace: default}}}
      steps: STEPS
---
apiVersion: v1
kind: Service
metadata: {name: shop-stable, namespace: default}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop-canary, namespace: default}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs: [{name: shop-stable, port: 80, weight: 100}, {name: shop-canary, port: 80, weight: 0}]
"#;

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The rollout that docs/metrics.md describes, at 20 %, and how it stands after so many seconds.
fn documented(seconds: i64) -> Cluster {
    let mut config = Config::new(1);
    let entry = Entry::Route(Key::new(Kind::HttpRoute, "default", "shop"));
    config.models.traffic.push(Flow {
        entry,
        per_second: 300.0,
        from: START + secs(30),
        ramps: Vec::new(),
    });
    let latency = |p50_ms, p99_ms| Latency { p50_ms, p99_ms };
    for (image, error_rate, latency) in [
        ("shop:v1", 0.0, latency(20.0, 100.0)),
        ("shop:v2", 0.05, latency(80.0, 600.0)),
    ] {
        let version = Version {
            error_rate,
            latency,
            ..Version::default()
        };
        config.models.versions.insert(image.to_owned(), version);
    }
    let mut cluster = Cluster::new(config);
    cluster
        .apply_yaml(&MANIFESTS.replace("STEPS", "[{setWeight: 20}, {pause: {}}]"))
        .expect("the manifests are valid");
    cluster.command_at(secs(60), Command::SetImage("shop".to_owned(), "shop:v2".to_owned()));
    cluster.run_until(secs(seconds));
    cluster
}

/// The only value of a vector or the number; nothing where the vector is empty.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Scalar(number) => Some(*number),
        Value::Vector(samples) => match &**samples {
            [] => None,
            [only] => Some(only.value),
            several => panic!("one value was expected: {several:?}"),
        },
        other => panic!("a vector was expected: {other:?}"),
    }
}

#[test]
fn every_query_of_the_documentation_gives_what_its_comment_says() {
    let page = include_str!("../../../docs/metrics.md");
    let mut cluster = documented(240);
    let blocks: Vec<&str> = page
        .split("```promql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 18, "the page has {} queries", blocks.len());
    for block in blocks {
        let (comment, query) = block.split_once('\n').unwrap();
        let says = comment.trim_start_matches("# ");
        let answer = cluster.query(query);
        if let Some(name) = says.strip_prefix("refused: ") {
            let error = answer.expect_err(block).to_string();
            assert!(error.contains(name) && error.contains("--metric"), "{block}: {error}");
            continue;
        }
        let found = number(&answer.unwrap_or_else(|error| panic!("{block}: {error}")));
        if says == "empty" {
            assert_eq!(found, None, "{block}");
            continue;
        }
        let about = says.strip_prefix("about ").expect(block).split(':').next().unwrap();
        let want: f64 = about.parse().expect(block);
        let found = found.unwrap_or_else(|| panic!("{block}: it is empty"));
        assert!((found - want).abs() <= 0.02 * want, "{block}: {found}");
    }
}

#[test]
fn the_documentation_names_every_function_and_metric() {
    let page = include_str!("../../../docs/metrics.md");
    for name in sluice_simulations::promql::function_names() {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing");
    }
    for name in sluice_simulations::series::metric_names() {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(&name);
        let of_traefik = base.starts_with("traefik_") && base.ends_with("_seconds");
        assert!(of_traefik || page.contains(base), "{base} is missing");
    }
}

#[test]
fn counters_are_whole_and_begin_with_the_first_request() {
    let mut cluster = documented(240);
    let requests = "http_requests_total{service=\"shop-canary\"}";
    let Value::Vector(samples) = cluster.query(requests).unwrap() else {
        panic!("a vector")
    };
    assert_eq!(samples.len(), 2, "one pod, two codes: {samples:?}");
    assert!(
        samples
            .iter()
            .all(|sample| sample.value.fract() == 0.0 && sample.value >= 1.0),
        "{samples:?}"
    );
    // No error so far is no series.
    let errors = cluster
        .query("http_requests_total{service=\"shop-stable\", code=\"500\"}")
        .unwrap();
    assert_eq!(number(&errors), None);
    // What all pods have answered is what entered.
    let total = number(&cluster.query("sum(http_requests_total)").unwrap()).unwrap();
    assert!((300.0 * 200.0..=300.0 * 210.0).contains(&total), "{total}");
    let proxies = number(&cluster.query("sum(traefik_entrypoint_requests_total)").unwrap()).unwrap();
    assert!((300.0 * 200.0..=300.0 * 210.0).contains(&proxies), "{proxies}");
}

#[test]
fn buckets_are_cumulative_and_end_with_all_requests() {
    let mut cluster = documented(240);
    let buckets = "sum by (le) (http_request_duration_seconds_bucket{service=\"shop-canary\", code=\"200\"})";
    let Value::Vector(samples) = cluster.query(buckets).unwrap() else {
        panic!("a vector")
    };
    let mut counts: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| (sample.labels.value("le").parse().unwrap(), sample.value))
        .collect();
    counts.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(counts.len(), 12);
    assert!(counts.is_sorted_by(|a, b| a.1 <= b.1), "{counts:?}");
    let requests = number(
        &cluster
            .query("http_requests_total{service=\"shop-canary\", code=\"200\"}")
            .unwrap(),
    );
    assert_eq!(Some(counts[11].1), requests);
    let count = number(
        &cluster
            .query("http_request_duration_seconds_count{service=\"shop-canary\", code=\"200\"}")
            .unwrap(),
    );
    assert_eq!(count, requests);
    // The mean of a log-normal distribution with these quantiles is 0.116 s.
    let mean = "sum(rate(http_request_duration_seconds_sum{service=\"shop-canary\"}[2m])) / sum(rate(http_request_duration_seconds_count{service=\"shop-canary\"}[2m]))";
    let mean = number(&cluster.query(mean).unwrap()).unwrap();
    assert!((mean - 0.1164).abs() < 0.001, "{mean}");
}

#[test]
fn a_pod_that_is_gone_has_no_present_value_and_a_restarted_one_counts_from_zero() {
    let mut cluster = documented(240);
    let pods = |cluster: &mut Cluster| number(&cluster.query("count(http_requests_total{code=\"200\"})").unwrap());
    let before = pods(&mut cluster).unwrap();
    cluster.command(&Command::Scale("shop".to_owned(), 3)).unwrap();
    cluster.run_until(secs(280));
    let after = pods(&mut cluster).unwrap();
    assert!(after < before, "{before} pods, then {after}");
    let resets = "sum(resets(http_requests_total[4m]))";
    assert_eq!(number(&cluster.query(resets).unwrap()), Some(0.0));

    let mut config = Config::new(1);
    let entry = Entry::Service(Key::new(Kind::Service, "default", "shop-stable"));
    config.models.traffic.push(Flow {
        entry,
        per_second: 100.0,
        from: START,
        ramps: Vec::new(),
    });
    let crashes = Version {
        health: sluice_simulations::Health::CrashesAfter(60_000),
        ..Version::default()
    };
    config.models.versions.insert("shop:v1".to_owned(), crashes);
    let mut cluster = Cluster::new(config);
    cluster.apply_yaml(&MANIFESTS.replace("STEPS", "[]")).unwrap();
    cluster.run_until(secs(200));
    let resets = number(&cluster.query(resets).unwrap()).unwrap();
    assert!(resets >= 5.0, "each of five pods crashed at least once: {resets}");
    // And yet the rate is right: 100 requests a second reach the proxies, whatever becomes of them.
    let rate = number(
        &cluster
            .query("sum(rate(traefik_entrypoint_requests_total[1m]))")
            .unwrap(),
    )
    .unwrap();
    assert!((rate - 100.0).abs() < 1.0, "{rate}");
}

#[test]
fn lost_requests_are_in_the_metrics_of_the_proxy_as_they_are_in_real_ones() {
    let mut config = Config::new(1);
    let entry = Entry::Route(Key::new(Kind::HttpRoute, "default", "shop"));
    config.models.traffic.push(Flow {
        entry,
        per_second: 100.0,
        from: START,
        ramps: Vec::new(),
    });
    let mut cluster = Cluster::new(config);
    let empty = MANIFESTS
        .replace("STEPS", "[]")
        .replace("selector: {app: shop}, ports", "selector: {app: nobody}, ports");
    cluster.apply_yaml(&empty).unwrap();
    cluster.run_until(secs(120));
    let mut rate = |selector: &str| number(&cluster.query(&format!("sum(rate({selector}[1m]))")).unwrap());
    let about = |found: Option<f64>| found.is_some_and(|found| (found - 100.0).abs() < 1.0);
    assert_eq!(
        rate("traefik_service_requests_total"),
        None,
        "the Service was never reached"
    );
    assert!(about(rate("traefik_router_requests_total{code=\"503\"}")));
    assert!(about(rate("traefik_entrypoint_requests_total{code=\"503\"}")));
    assert!(about(rate("nginx_ingress_controller_requests{status=\"503\"}")));
    assert!(about(rate(
        "istio_requests_total{reporter=\"source\", response_code=\"503\", response_flags=\"UH\"}"
    )));
    assert_eq!(rate("istio_requests_total{reporter=\"destination\"}"), None);
}

/// An analysis of a query at 25 % and 50 %, three measurements each.
fn judged(query: &str, condition: &str) -> Scenario {
    let analysis = "{analysis: {templates: [{templateName: judge}], args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]}}";
    let steps = format!("[{{setWeight: 25}}, {{pause: {{duration: 60s}}}}, {analysis}, {{setWeight: 50}}, {analysis}]");
    let template = format!(
        r#"---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: judge, namespace: default}}
spec:
  args: [{{name: hash}}]
  metrics:
  - name: judge
    interval: 10s
    count: 3
    successCondition: {condition}
    provider: {{prometheus: {{address: "http://prometheus.test", query: '{query}'}}}}
"#
    );
    let mut scenario = Scenario::new("judged", MANIFESTS.replace("STEPS", &steps) + &template);
    scenario.config.models.metrics = MetricModel {
        rules: Vec::new(),
        ..MetricModel::default()
    };
    scenario
        .through_route("shop")
        .at(60, Command::SetImage("shop".to_owned(), "shop:v2".to_owned()))
}

#[test]
fn analyses_promote_the_good_and_abort_the_bad_in_every_shape() {
    let generic = "sum(rate(http_requests_total{rollouts_pod_template_hash=\"{{args.hash}}\", code!~\"5..\"}[30s])) / sum(rate(http_requests_total{rollouts_pod_template_hash=\"{{args.hash}}\"}[30s]))";
    let shape = |metric: &str, of: &str, good: &str| {
        format!("sum(rate({metric}{{{of}, {good}}}[30s])) / sum(rate({metric}{{{of}}}[30s]))")
    };
    let queries = [
        generic.to_owned(),
        shape(
            "traefik_service_requests_total",
            "service=~\".*-svc-default-shop-canary-.*\"",
            "code!~\"5..\"",
        ),
        shape(
            "nginx_ingress_controller_requests",
            "ingress=\"shop\", canary!=\"\"",
            "status!~\"5..\"",
        ),
        shape(
            "istio_requests_total",
            "reporter=\"destination\", destination_service_name=\"shop-canary\"",
            "response_code!~\"5..\"",
        ),
        shape(
            "response_total",
            "rollouts_pod_template_hash=\"{{args.hash}}\"",
            "classification=\"success\"",
        ),
    ];
    for query in queries {
        for (error_rate, want) in [(0.001, "Healthy"), (0.08, "Degraded")] {
            let played = judged(&query, "result[0] >= 0.98")
                .error_rate("shop:v2", error_rate)
                .play(3);
            assert!(played.settled, "{query} at {error_rate}: {}", played.last());
            assert!(
                played.phase().starts_with(want),
                "{query} at {error_rate}: {}",
                played.phase()
            );
            assert!(
                played.cluster.violations().is_empty(),
                "{:?}",
                played.cluster.violations()
            );
        }
    }
}

#[test]
fn an_analysis_of_latency_sees_a_slow_version() {
    let query = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{service=\"shop-canary\"}[30s])))";
    for (p50_ms, p99_ms, want) in [(20.0, 100.0, "Healthy"), (200.0, 2_000.0, "Degraded")] {
        let version = Version {
            latency: Latency { p50_ms, p99_ms },
            ..Version::default()
        };
        let played = judged(query, "result[0] < 0.25").version("shop:v2", version).play(5);
        assert!(played.phase().starts_with(want), "{p50_ms} ms: {}", played.phase());
    }
}

#[test]
fn a_query_that_is_not_known_makes_the_analysis_an_error_that_says_so() {
    let played = judged("holt_winters(http_requests_total[1m], 0.5, 0.5)", "result[0] < 1").play(1);
    let runs = played.cluster.store().list(Kind::AnalysisRun);
    let told = runs.filter(|(_, run)| {
        run["status"]
            .to_string()
            .contains("does not know the function holt_winters")
    });
    assert_eq!(told.count(), 1);
}

#[test]
fn asking_changes_nothing_and_the_same_seed_gives_the_same_answers() {
    let ask = |often: bool| {
        let mut cluster = documented(100);
        if often {
            for second in 101..240 {
                cluster.run_until(secs(second));
                cluster.query("sum(rate(http_requests_total[1m]))").unwrap();
            }
        }
        cluster.run_until(secs(240));
        let answers = [
            "http_requests_total",
            "traefik_service_requests_total",
            "rate(http_requests_total[1m])",
        ];
        answers.map(|query| format!("{:?}", cluster.query(query)))
    };
    assert_eq!(ask(false), ask(false));
    assert_eq!(ask(false), ask(true));
}

#[test]
fn mistakes_in_a_query_are_errors() {
    let mut cluster = documented(10);
    assert!(matches!(cluster.query("sum("), Err(RequestError::Query(_))));
}
