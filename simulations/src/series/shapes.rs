//! The shapes that users have: names, labels and buckets of each exporter.

use std::sync::Arc;

use super::history::{Counter, History, Proxied, Target};
use super::lines::{Availability, Line, Lines, Part};
use crate::models::{LossReason, rules_of};
use crate::promql::Labels;
use crate::store::{Key, Kind, Store};

/// The metrics of one kind of exporter.
#[derive(Debug)]
pub(super) struct Shape {
    /// The counter of requests.
    pub(super) requests: &'static str,
    /// The histogram of durations, without `_bucket`.
    duration: &'static str,
    /// Milliseconds of its unit.
    pub(super) unit_ms: f64,
    /// Upper bounds in its unit.
    pub(super) buckets: &'static [f64],
}

impl Shape {
    /// The names of the buckets, the sum and the count of the histogram.
    pub(super) fn durations(&self) -> [String; 3] {
        ["bucket", "sum", "count"].map(|part| format!("{}_{part}", self.duration))
    }

    fn is_wanted(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        wanted(self.requests) || self.durations().iter().any(|name| wanted(name))
    }
}

/// The default buckets of Prometheus' client libraries, which ingress-nginx has too.
const USUAL: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const TRAEFIK: &[f64] = &[0.1, 0.3, 1.2, 5.0];
const ISTIO: &[f64] = &[
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6,
];
const LINKERD: &[f64] = &[
    1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 1e3, 2e3, 3e3, 4e3, 5e3,
    1e4, 2e4, 3e4, 4e4, 5e4,
];

const GENERIC_AT: usize = 0;
const ENTRYPOINT_AT: usize = 1;
const ROUTER_AT: usize = 2;
const SERVICE_AT: usize = 3;
const NGINX_AT: usize = 4;
const ISTIO_AT: usize = 5;
const LINKERD_AT: usize = 6;

pub(super) const SHAPES: [Shape; 7] = [
    shape("http_requests_total", "http_request_duration_seconds", 1000.0, USUAL),
    shape(
        "traefik_entrypoint_requests_total",
        "traefik_entrypoint_request_duration_seconds",
        1000.0,
        TRAEFIK,
    ),
    shape(
        "traefik_router_requests_total",
        "traefik_router_request_duration_seconds",
        1000.0,
        TRAEFIK,
    ),
    shape(
        "traefik_service_requests_total",
        "traefik_service_request_duration_seconds",
        1000.0,
        TRAEFIK,
    ),
    shape(
        "nginx_ingress_controller_requests",
        "nginx_ingress_controller_request_duration_seconds",
        1000.0,
        USUAL,
    ),
    shape(
        "istio_requests_total",
        "istio_request_duration_milliseconds",
        1.0,
        ISTIO,
    ),
    shape("response_total", "response_latency_ms", 1.0, LINKERD),
];

const fn shape(requests: &'static str, duration: &'static str, unit_ms: f64, buckets: &'static [f64]) -> Shape {
    Shape {
        requests,
        duration,
        unit_ms,
        buckets,
    }
}

/// The names of all metrics that there are.
pub fn metric_names() -> impl Iterator<Item = String> {
    SHAPES
        .iter()
        .flat_map(|shape| std::iter::once(shape.requests.to_owned()).chain(shape.durations()))
}

/// The lines of all shapes that are wanted.
pub(super) fn lines<'a>(history: &'a History, store: &Store, wanted: &dyn Fn(&str) -> bool) -> Lines<'a> {
    let mut lines = Lines::new();
    if SHAPES[GENERIC_AT].is_wanted(wanted) {
        generic(history, &mut lines);
    }
    let of_proxies = [ENTRYPOINT_AT, ROUTER_AT, SERVICE_AT, NGINX_AT, ISTIO_AT].into_iter();
    for at in of_proxies.filter(|at| SHAPES[*at].is_wanted(wanted)) {
        for (proxied, counter) in &history.proxied {
            let labels = match at {
                NGINX_AT => Some(nginx(proxied, store)),
                ISTIO_AT => Some(istio_source(proxied, history)),
                _ => traefik(at, proxied, store),
            };
            if let Some(labels) = labels {
                add_proxied(&mut lines, at, &labels, proxied, counter);
            }
        }
    }
    if SHAPES[ISTIO_AT].is_wanted(wanted) {
        meshed(history, &mut lines, ISTIO_AT, istio_destination);
    }
    if SHAPES[LINKERD_AT].is_wanted(wanted) {
        meshed(history, &mut lines, LINKERD_AT, linkerd);
    }
    lines
}

fn add_line<'a>(lines: &mut Lines<'a>, at: usize, labels: Labels, life: u32, counter: &'a Counter, line: Line<'a>) {
    lines.entry((at, labels)).or_insert(line).counters.push((life, counter));
}

/// A pod that Prometheus finds as an endpoint of its Services and scrapes itself: once for each Service.
fn generic<'a>(history: &'a History, lines: &mut Lines<'a>) {
    for ((service, id), member) in &history.members {
        let Some(target) = history.pods.get(id) else { continue };
        let pod = pod_name(target, id.number());
        for (part, code) in [(Part::Good, "200"), (Part::Errors, "500")] {
            let labels = target_labels(target, &pod)
                .with("job", &service.name)
                .with("service", &service.name)
                .with("instance", &format!("{pod}:8080"))
                .with("method", "GET")
                .with("code", code);
            for (served, counter) in history.served.iter().filter(|(served, _)| served.pod == *id) {
                let line = Line {
                    part,
                    availability: Availability::Pod {
                        lives: &target.lives,
                        member,
                    },
                    phase_ms: phase(id.number()),
                    counters: Vec::new(),
                };
                add_line(lines, GENERIC_AT, labels.clone(), served.life, counter, line);
            }
        }
    }
}

/// Labels of a pod that service discovery copies: those of the cluster in a box.
fn target_labels(target: &Target, pod: &str) -> Labels {
    let mut labels = Labels::default()
        .with("namespace", &target.set.namespace)
        .with("pod", pod)
        .with("rollouts_pod_template_hash", &target.hash);
    for name in ["app", "version"] {
        labels.set(name, target.labels.get(name).map_or("", String::as_str));
    }
    labels
}

fn pod_name(target: &Target, number: u32) -> String {
    format!("{}-{number:05}", target.set.name)
}

/// The scrapes of targets are spread over the interval. Steps of a prime number of milliseconds spread well.
fn phase(number: u32) -> i64 {
    i64::from(number) * 1_117
}

fn add_proxied<'a>(lines: &mut Lines<'a>, at: usize, labels: &Labels, proxied: &Proxied, counter: &'a Counter) {
    let label = match at {
        NGINX_AT => "status",
        ISTIO_AT => "response_code",
        _ => "code",
    };
    let (bad, flags) = match proxied.lost {
        None => ("500", "-"),
        Some(LossReason::NoRoute) => ("404", "NR"),
        Some(LossReason::NoEndpoint) => ("503", "UH"),
        Some(LossReason::PodEnded | LossReason::PodDown) if at == ISTIO_AT => ("503", "UF"),
        Some(LossReason::PodEnded | LossReason::PodDown) => ("502", "UF"),
    };
    let answers: &[(Part, &str, &str)] = if proxied.lost.is_some() {
        &[(Part::Errors, bad, flags)]
    } else {
        &[(Part::Good, "200", "-"), (Part::Errors, bad, flags)]
    };
    for (part, code, flags) in answers {
        let mut labels = labels.clone().with(label, code);
        if at == ISTIO_AT {
            labels.set("response_flags", flags);
        }
        let line = Line {
            part: *part,
            availability: Availability::Always,
            phase_ms: phase(u32::try_from(proxied.proxy).unwrap_or(0) + 1),
            counters: Vec::new(),
        };
        add_line(lines, at, labels, 0, counter, line);
    }
}

/// The Services of the rule that a request took, and the port of the one that it was sent to.
fn port(store: &Store, service: &Key) -> u64 {
    let port = store
        .get(service)
        .and_then(|object| object["spec"]["ports"][0]["port"].as_u64());
    port.unwrap_or(80)
}

/// Traefik. Requests that found no endpoint are in the metrics of routers and entrypoints only, and those that found no
/// route in those of entrypoints only.
fn traefik(at: usize, proxied: &Proxied, store: &Store) -> Option<Labels> {
    let entry = &proxied.entry;
    let (namespace, name) = (&entry.namespace, &entry.name);
    let labels = Labels::default()
        .with("job", "traefik")
        .with("instance", &format!("traefik-{}:8080", proxied.proxy))
        .with("method", "GET")
        .with("protocol", "http");
    if at == ENTRYPOINT_AT {
        return Some(labels.with("entrypoint", "web"));
    }
    let service = proxied.service.as_ref()?;
    let is_route = entry.kind == Kind::HttpRoute;
    let router = format!("{}-{}", gateway_prefix(entry, store), proxied.rule);
    let unique = hash_text(&format!("{namespace}/{name}/{}", proxied.rule));
    if at == ROUTER_AT {
        let (router, target) = if is_route {
            let router = format!("{router}-{unique}");
            (
                format!("{router}@kubernetesgateway"),
                format!("{router}-wrr@kubernetesgateway"),
            )
        } else {
            let target = format!("{namespace}-{name}-{}@kubernetes", port(store, service));
            (format!("{namespace}-{name}@kubernetes"), target)
        };
        return Some(labels.with("router", &router).with("service", &target));
    }
    if proxied.lost == Some(LossReason::NoEndpoint) {
        return None;
    }
    let (of, to) = (&service.namespace, &service.name);
    let target = if is_route {
        format!("{router}-{unique}-svc-{of}-{to}-{}@kubernetesgateway", proxied.backend)
    } else {
        format!("{of}-{to}-{}@kubernetes", port(store, service))
    };
    Some(labels.with("service", &target))
}

/// `httproute-NAMESPACE-ROUTE-gw-NAMESPACE-GATEWAY-ep-web`.
fn gateway_prefix(route: &Key, store: &Store) -> String {
    let object = store.get(route);
    let parent = object.map(|object| &object["spec"]["parentRefs"][0]);
    let text = |field: &str| parent.and_then(|parent| parent[field].as_str()).map(str::to_owned);
    let namespace = text("namespace").unwrap_or_else(|| route.namespace.to_string());
    let gateway = text("name").unwrap_or_else(|| "gateway".to_owned());
    format!(
        "httproute-{}-{}-gw-{namespace}-{gateway}-ep-web",
        route.namespace, route.name
    )
}

/// Twenty hexadecimal digits that depend on a text only (FNV-1a: a name, no defence against anybody).
fn hash_text(text: &str) -> String {
    let fold = |seed: u64| {
        text.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    format!("{:016x}{:04x}", fold(0xcbf2_9ce4_8422_2325), fold(0x1234) & 0xffff)
}

/// ingress-nginx. The Service is that of the main Ingress; `canary` names the upstream of the canary, and is empty for the
/// others.
fn nginx(proxied: &Proxied, store: &Store) -> Labels {
    let (namespace, ingress) = (&proxied.entry.namespace, &proxied.entry.name);
    let main = main_service(proxied, store);
    let canary = match &proxied.service {
        Some(service) if proxied.backend > 0 => {
            format!("{}-{}-{}", service.namespace, service.name, port(store, service))
        }
        _ => String::new(),
    };
    Labels::default()
        .with("job", "ingress-nginx")
        .with("controller_class", "k8s.io/ingress-nginx")
        .with("controller_pod", &format!("ingress-nginx-controller-{}", proxied.proxy))
        .with("canary", &canary)
        .with("ingress", ingress)
        .with("method", "GET")
        .with("namespace", namespace)
        .with("path", "/")
        .with("service", main.as_ref().map_or("", |service| &service.name))
}

/// The first backend of the rule.
fn main_service(proxied: &Proxied, store: &Store) -> Option<Key> {
    let of_route = store
        .get(&proxied.entry)
        .filter(|_| proxied.entry.kind == Kind::HttpRoute);
    let first = of_route.and_then(|route| {
        let rules = rules_of(&proxied.entry, route).0;
        rules.get(proxied.rule)?.first().map(|(service, _)| service.clone())
    });
    first.or_else(|| proxied.service.clone())
}

/// Istio as the ingress gateway counts requests.
fn istio_source(proxied: &Proxied, history: &History) -> Labels {
    let of_hash = |hash: &Arc<str>| history.pods.values().find(|target| target.hash == *hash);
    let target = proxied.hash.as_ref().and_then(of_hash);
    istio(proxied.service.as_ref(), target)
        .with("reporter", "source")
        .with("pod", &format!("istio-ingressgateway-{}", proxied.proxy))
}

fn istio_destination(target: &Target, pod: &str, service: &Key) -> Labels {
    istio(Some(service), Some(target))
        .with("reporter", "destination")
        .with("pod", pod)
}

fn istio(service: Option<&Key>, target: Option<&Target>) -> Labels {
    let unknown = || "unknown".to_owned();
    let label = |name: &str| target.and_then(|target| target.labels.get(name).cloned());
    let workload = target.map(|target| workload(target).to_owned());
    let host = service.map(|service| format!("{}.{}.svc.cluster.local", service.name, service.namespace));
    let namespace = service.map(|service| service.namespace.to_string());
    let pairs = [
        ("source_workload", "istio-ingressgateway".to_owned()),
        ("source_workload_namespace", "istio-system".to_owned()),
        ("destination_service", host.unwrap_or_else(unknown)),
        (
            "destination_service_name",
            service.map_or_else(unknown, |service| service.name.to_string()),
        ),
        (
            "destination_service_namespace",
            namespace.clone().unwrap_or_else(unknown),
        ),
        ("destination_workload", workload.clone().unwrap_or_else(unknown)),
        ("destination_workload_namespace", namespace.unwrap_or_else(unknown)),
        ("destination_app", label("app").unwrap_or_else(unknown)),
        ("destination_version", label("version").unwrap_or_else(unknown)),
        (
            "destination_canonical_service",
            label("app").or(workload).unwrap_or_else(unknown),
        ),
        (
            "destination_canonical_revision",
            label("version").unwrap_or_else(|| "latest".to_owned()),
        ),
        ("request_protocol", "http".to_owned()),
    ];
    pairs.into_iter().collect()
}

/// The name of the Rollout: that of the ReplicaSet without the hash.
fn workload(target: &Target) -> &str {
    let name = &*target.set.name;
    let without = name.strip_suffix(&*target.hash).and_then(|name| name.strip_suffix('-'));
    without.unwrap_or(name)
}

/// Linkerd, as the proxy of the pod counts inbound requests. It does not know Rollouts: the owner is the ReplicaSet.
fn linkerd(target: &Target, pod: &str, service: &Key) -> Labels {
    target_labels(target, pod)
        .with("direction", "inbound")
        .with("replicaset", &target.set.name)
        .with(
            "authority",
            &format!("{}.{}.svc.cluster.local", service.name, service.namespace),
        )
        .with("tls", "true")
}

/// The proxies beside the pods: each counts the requests to its pod, by the Service that they were meant for.
fn meshed<'a>(history: &'a History, lines: &mut Lines<'a>, at: usize, labels: fn(&Target, &str, &Key) -> Labels) {
    /// Proxies are scraped whether or not their pod is an endpoint.
    const ALWAYS: &[super::history::During] = &[super::history::During {
        from_ms: i64::MIN,
        until_ms: None,
    }];
    for (served, counter) in &history.served {
        let Some(target) = history.pods.get(&served.pod) else {
            continue;
        };
        let pod = pod_name(target, served.pod.number());
        let labels = labels(target, &pod, &served.service);
        for (part, code) in [(Part::Good, "200"), (Part::Errors, "500")] {
            let labels = if at == ISTIO_AT {
                labels.clone().with("response_code", code).with("response_flags", "-")
            } else {
                let class = if part == Part::Good { "success" } else { "failure" };
                labels.clone().with("status_code", code).with("classification", class)
            };
            let line = Line {
                part,
                availability: Availability::Pod {
                    lives: &target.lives,
                    member: ALWAYS,
                },
                phase_ms: phase(served.pod.number()),
                counters: Vec::new(),
            };
            add_line(lines, at, labels, served.life, counter, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_place_in_the_table_is_what_its_name_says() {
        let names = |at: usize| SHAPES[at].requests;
        assert_eq!(names(GENERIC_AT), "http_requests_total");
        assert!(names(ENTRYPOINT_AT).contains("entrypoint") && names(ROUTER_AT).contains("router"));
        assert!(names(SERVICE_AT).contains("service") && names(NGINX_AT).contains("nginx"));
        assert!(names(ISTIO_AT).contains("istio") && names(LINKERD_AT).contains("response_total"));
        for shape in &SHAPES {
            assert!(shape.buckets.is_sorted(), "{}", shape.requests);
        }
    }

    #[test]
    fn a_workload_is_the_replica_set_without_its_hash() {
        let target = |set: &str, hash: &str| Target {
            set: Key::new(Kind::ReplicaSet, "default", set),
            hash: hash.into(),
            labels: Arc::new(BTreeMap::new()),
            lives: BTreeMap::new(),
        };
        assert_eq!(workload(&target("shop-5d8", "5d8")), "shop");
        assert_eq!(workload(&target("other", "5d8")), "other");
    }
}
