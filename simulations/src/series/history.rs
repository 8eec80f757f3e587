//! Requests over time, by pod and by proxy: as much of the past as counters need.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::Latency;
use crate::models::{Backend, LossReason, Pod, PodId};
use crate::store::Key;

/// Most changes of a counter's pace that are remembered. What is older is known as a total only.
const MAX_SEGMENTS: usize = 4_096;

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Behaviour {
    /// Share of requests that are answered with an error.
    pub(crate) error_rate: f64,
    pub(crate) latency: Latency,
}

/// The way of a request through a proxy, up to where it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    pub(crate) proxy: usize,
    /// Which rule of a route.
    pub(crate) rule: usize,
    /// Which backend of that rule.
    pub(crate) backend: usize,
    pub(crate) service: Option<&'a Key>,
    pub(crate) pod: Option<&'a Backend>,
}

impl<'a> Passage<'a> {
    /// Into a proxy.
    pub(crate) fn through(proxy: usize) -> Passage<'a> {
        Passage {
            proxy,
            rule: 0,
            backend: 0,
            service: None,
            pod: None,
        }
    }

    /// On by a rule of a route.
    pub(crate) fn by_rule(self, rule: usize) -> Passage<'a> {
        Passage { rule, ..self }
    }

    /// On by a backend of that rule.
    pub(crate) fn by_backend(self, backend: usize) -> Passage<'a> {
        Passage { backend, ..self }
    }

    /// On to a Service.
    pub(crate) fn to(self, service: &'a Key) -> Passage<'a> {
        let service = Some(service);
        Passage { service, ..self }
    }

    /// On to a pod.
    pub(crate) fn into_pod(self, pod: &'a Backend) -> Passage<'a> {
        let pod = Some(pod);
        Passage { pod, ..self }
    }
}

/// Requests through a proxy that its metrics tell apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Proxied {
    pub(super) proxy: usize,
    /// The HTTPRoute or the Service through which they entered.
    pub(super) entry: Key,
    pub(super) rule: usize,
    pub(super) backend: usize,
    pub(super) service: Option<Key>,
    /// The pods that were chosen: their revision.
    pub(super) hash: Option<Arc<str>>,
    /// Why they were lost, where they were.
    pub(super) lost: Option<LossReason>,
}

/// Requests that a process of a pod answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Served {
    pub(super) pod: PodId,
    /// Which of the pod's processes, one after the other.
    pub(super) life: u32,
    pub(super) entry: Key,
    pub(super) service: Key,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Segment {
    from_ms: i64,
    until_ms: i64,
    per_second: f64,
    behaviour: Behaviour,
}

impl Segment {
    fn requests(&self, until_ms: i64) -> f64 {
        let millis = until_ms.min(self.until_ms) - self.from_ms;
        self.per_second * crate::promql::seconds(millis.max(0))
    }
}

/// How many requests there were so far, at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    /// Requests before the first segment.
    settled: Vec<(Behaviour, f64)>,
    settled_until_ms: i64,
    segments: VecDeque<Segment>,
}

impl Counter {
    fn extend(&mut self, segment: Segment) {
        if let Some(last) = self.segments.back_mut()
            && last.until_ms == segment.from_ms
            && last.per_second == segment.per_second
            && last.behaviour == segment.behaviour
        {
            last.until_ms = segment.until_ms;
            return;
        }
        self.segments.push_back(segment);
        if self.segments.len() > MAX_SEGMENTS
            && let Some(first) = self.segments.pop_front()
        {
            add(&mut self.settled, first.behaviour, first.requests(first.until_ms));
            self.settled_until_ms = self.settled_until_ms.max(first.until_ms);
        }
    }

    /// The requests up to a time, by how they were answered; nothing where the time is too long ago to know.
    pub(super) fn until(&self, at_ms: i64) -> Option<Vec<(Behaviour, f64)>> {
        if at_ms < self.settled_until_ms {
            return None;
        }
        let mut requests = self.settled.clone();
        for segment in self.segments.iter().take_while(|segment| segment.from_ms < at_ms) {
            add(&mut requests, segment.behaviour, segment.requests(at_ms));
        }
        Some(requests)
    }
}

fn add(requests: &mut Vec<(Behaviour, f64)>, behaviour: Behaviour, count: f64) {
    match requests.iter_mut().find(|(known, _)| *known == behaviour) {
        Some((_, sum)) => *sum += count,
        None => requests.push((behaviour, count)),
    }
}

/// A span of time, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct During {
    pub(super) from_ms: i64,
    /// Open where it lasts.
    pub(super) until_ms: Option<i64>,
}

impl During {
    pub(super) fn contains(&self, at_ms: i64) -> bool {
        self.from_ms <= at_ms && self.until_ms.is_none_or(|until_ms| at_ms <= until_ms)
    }
}

/// A pod, also after its end.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its ReplicaSet.
    pub(super) set: Key,
    pub(super) hash: Arc<str>,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    /// When each of its processes answered.
    pub(super) lives: BTreeMap<u32, During>,
}

/// All that was noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(super) pods: BTreeMap<PodId, Target>,
    pub(super) served: BTreeMap<Served, Counter>,
    pub(super) proxied: BTreeMap<Proxied, Counter>,
    /// When the pod was among the endpoints of the Service.
    pub(super) members: BTreeMap<(Key, PodId), Vec<During>>,
    /// Requests per second since the last change.
    serving: BTreeMap<Served, (f64, Behaviour)>,
    passing: BTreeMap<Proxied, (f64, Behaviour)>,
}

impl History {
    /// Notes which processes answered from one change to the next.
    pub(crate) fn alive<'a>(
        &mut self,
        from: Timestamp,
        until: Timestamp,
        pods: impl Iterator<Item = (PodId, &'a Pod)>,
    ) {
        let (from_ms, until_ms) = (from.as_millisecond(), until.as_millisecond());
        for (id, pod) in pods.filter(|(_, pod)| pod.serving) {
            let target = self.pods.entry(id).or_insert_with(|| Target {
                set: pod.set.clone(),
                hash: pod.hash.clone(),
                labels: pod.labels.clone(),
                lives: BTreeMap::new(),
            });
            let life = target.lives.entry(pod.crashes).or_insert(During {
                from_ms,
                until_ms: None,
            });
            life.until_ms = Some(until_ms);
        }
    }

    /// Notes a share of the requests that flow from one change to the next.
    pub(crate) fn pass(
        &mut self,
        entry: &Key,
        passage: Passage<'_>,
        lost: Option<LossReason>,
        per_second: f64,
        served: Option<(u32, Behaviour)>,
    ) {
        // A request that is lost fails at once.
        let refused = Behaviour {
            error_rate: 1.0,
            latency: Latency {
                p50_ms: 1.0,
                p99_ms: 1.0,
            },
        };
        let behaviour = served.map_or(refused, |(_, behaviour)| behaviour);
        let proxied = Proxied {
            proxy: passage.proxy,
            entry: entry.clone(),
            rule: passage.rule,
            backend: passage.backend,
            service: passage.service.cloned(),
            hash: passage.pod.map(|pod| pod.hash.clone()),
            lost,
        };
        self.passing.entry(proxied).or_insert((0.0, behaviour)).0 += per_second;
        if let (Some((life, behaviour)), Some(pod), Some(service)) = (served, passage.pod, passage.service) {
            let served = Served {
                pod: pod.pod,
                life,
                entry: entry.clone(),
                service: service.clone(),
            };
            self.serving.entry(served).or_insert((0.0, behaviour)).0 += per_second;
        }
    }

    /// Closes the time from one change to the next: what was noted with [`History::pass`] flowed throughout.
    pub(crate) fn passed(&mut self, from: Timestamp, until: Timestamp) {
        let segment = |(per_second, behaviour)| Segment {
            from_ms: from.as_millisecond(),
            until_ms: until.as_millisecond(),
            per_second,
            behaviour,
        };
        for (served, pace) in std::mem::take(&mut self.serving) {
            self.served.entry(served).or_default().extend(segment(pace));
        }
        for (proxied, pace) in std::mem::take(&mut self.passing) {
            self.proxied.entry(proxied).or_default().extend(segment(pace));
        }
    }

    /// Notes that the endpoints of a Service are these from now on.
    pub(crate) fn endpoints(&mut self, now: Timestamp, service: &Key, backends: &[Backend]) {
        let now_ms = now.as_millisecond();
        let known = self.members.iter_mut().filter(|((of, _), _)| of == service);
        for ((_, pod), times) in known {
            let stays = backends.iter().any(|backend| backend.pod == *pod);
            if let Some(last) = times.last_mut().filter(|last| !stays && last.until_ms.is_none()) {
                last.until_ms = Some(now_ms);
            }
        }
        for backend in backends {
            let times = self.members.entry((service.clone(), backend.pod)).or_default();
            if times.last().is_none_or(|last| last.until_ms.is_some()) {
                times.push(During {
                    from_ms: now_ms,
                    until_ms: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Behaviour = Behaviour {
        error_rate: 0.0,
        latency: Latency {
            p50_ms: 1.0,
            p99_ms: 1.0,
        },
    };

    fn segment(from_ms: i64, until_ms: i64, per_second: f64) -> Segment {
        Segment {
            from_ms,
            until_ms,
            per_second,
            behaviour: GOOD,
        }
    }

    #[test]
    fn a_counter_knows_its_value_at_any_time() {
        let mut counter = Counter::default();
        counter.extend(segment(0, 1_000, 10.0));
        counter.extend(segment(1_000, 2_000, 10.0));
        counter.extend(segment(3_000, 4_000, 20.0));
        assert_eq!(counter.segments.len(), 2, "the same pace is one segment");
        let at = |at_ms| counter.until(at_ms).unwrap().first().map_or(0.0, |(_, count)| *count);
        for (at_ms, want) in [
            (0, 0.0),
            (500, 5.0),
            (2_000, 20.0),
            (3_000, 20.0),
            (3_500, 30.0),
            (9_000, 40.0),
        ] {
            assert_eq!(at(at_ms), want, "at {at_ms}");
        }
    }

    #[test]
    fn what_is_too_long_ago_is_a_total() {
        let mut counter = Counter::default();
        let count = i64::try_from(MAX_SEGMENTS).unwrap() + 10;
        for second in 0..count {
            let pace = if second % 2 == 0 { 1.0 } else { 3.0 };
            counter.extend(segment(second * 1_000, (second + 1) * 1_000, pace));
        }
        assert_eq!(counter.segments.len(), MAX_SEGMENTS);
        assert_eq!(counter.until(9_999), None);
        assert_eq!(counter.until(10_000), Some(vec![(GOOD, 20.0)]));
    }

    #[test]
    fn endpoints_come_and_go() {
        let mut history = History::default();
        let service = Key::new(crate::store::Kind::Service, "default", "shop");
        let at = |second| crate::START + jiff::SignedDuration::from_secs(second);
        let backend = Backend {
            pod: PodId::default(),
            hash: "a".into(),
        };
        history.endpoints(at(1), &service, std::slice::from_ref(&backend));
        history.endpoints(at(2), &service, &[]);
        history.endpoints(at(3), &service, std::slice::from_ref(&backend));
        let times = &history.members[&(service, backend.pod)];
        let start = crate::START.as_millisecond();
        let member = |millis: i64| times.iter().any(|during| during.contains(start + millis));
        assert_eq!([500, 1_500, 2_500, 3_500].map(member), [false, true, false, true]);
    }
}
