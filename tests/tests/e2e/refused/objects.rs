//! Malformed and contradictory objects, and what is to be said about each.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sluice_tests::client::documents;

/// An object that is right before the row changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A Rollout: a canary behind an HTTPRoute, with an analysis.
    Routed,
    /// A Rollout: a canary by the number of pods.
    Basic,
    /// A Rollout: blue-green.
    BlueGreen,
    /// An AnalysisTemplate, and a Rollout that names it in its step 1; what is said is said by the Rollout.
    Template,
    /// An AnalysisRun.
    Run,
}

/// Who has to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The API server, when the object is applied.
    Server,
    /// The controller: a Rollout by the condition InvalidSpec, a run by its phase and message.
    Controller,
}

/// One object that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What is wrong, also the object's name.
    pub name: &'static str,
    /// What it would be like.
    pub base: Base,
    /// A YAML merge patch of its spec.
    pub spec: &'static str,
    /// Who refuses it.
    pub by: By,
    /// The field path and texts that must be said.
    pub says: &'static [&'static str],
}

const fn row(name: &'static str, base: Base, spec: &'static str, says: &'static [&'static str]) -> Row {
    Row {
        name,
        base,
        spec,
        by: By::Controller,
        says,
    }
}

const fn at_once(name: &'static str, base: Base, spec: &'static str, says: &'static [&'static str]) -> Row {
    Row {
        name,
        base,
        spec,
        by: By::Server,
        says,
    }
}

use Base::{Basic, BlueGreen, Routed, Run, Template};

const TEMPLATE: &str = "spec.strategy.canary.steps[1].analysis.templates[0].templateName";
const LATER: &str = "is not supported yet by this version of Sluice";

/// All of them.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // What the schema knows.
    at_once("replicas-word", Basic, "replicas: three", &["spec.replicas", "must be of type integer"]),
    at_once("replicas-negative", Basic, "replicas: -1", &["spec.replicas", "should be a non-negative integer"]),
    at_once("steps-word", Basic, "strategy: {canary: {steps: all}}", &["spec.strategy.canary.steps", "must be of type array"]),
    at_once("weight-text", Basic, "strategy: {canary: {steps: [{setWeight: '5'}]}}", &["spec.strategy.canary.steps[0].setWeight", "must be of type integer"]),
    at_once("weight-fraction", Basic, "strategy: {canary: {steps: [{setWeight: 12.5}]}}", &["spec.strategy.canary.steps[0].setWeight", "must be of type integer"]),
    at_once("no-active-service", BlueGreen, "strategy: {blueGreen: {activeService: null}}", &["spec.strategy.blueGreen.activeService", "Required value"]),
    at_once("misspelt-field", Routed, "strategy: {canary: {stableServce: a}}", &["spec.strategy.canary.stableServce", "unknown field"]),
    at_once("arg-without-path", Routed, "strategy: {canary: {steps: [{analysis: {templates: [{templateName: good}], args: [{name: a, valueFrom: {fieldRef: {}}}]}}]}}",
        &["spec.strategy.canary.steps[0].analysis.args[0].valueFrom.fieldRef.fieldPath", "Required value"]),
    at_once("metric-without-provider", Template, "metrics: [{name: a}]", &["spec.metrics[0].provider", "Required value"]),
    at_once("interval-number", Template, "metrics: [{name: a, interval: 5, provider: {prometheus: {query: up}}}]", &["spec.metrics[0].interval", "must be of type string"]),
    at_once("run-without-metrics", Run, "metrics: null", &["spec.metrics", "Required value"]),

    // The Rollout in general.
    row("no-selector", Basic, "selector: null", &["spec.selector: Rollout has missing field '.spec.selector'"]),
    row("empty-selector", Basic, "selector: {matchLabels: null}", &["spec.selector: empty selector is invalid"]),
    row("selector-mismatch", Basic, "selector: {matchLabels: {app: other}}", &["spec.template.metadata.labels: `selector` does not match template `labels`"]),
    row("no-template", Basic, "template: null", &["spec.template: Rollout has missing field '.spec.template'"]),
    row("no-strategy", Basic, "strategy: {canary: null}", &["spec.strategy: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'"]),
    row("two-strategies", Basic, "strategy: {blueGreen: {activeService: spare-stable}}", &["spec.strategy: Multiple Strategies can not be listed"]),
    row("deadline", Basic, "{minReadySeconds: 30, progressDeadlineSeconds: 30}", &["spec.progressDeadlineSeconds: must be greater than minReadySeconds"]),
    row("history", Basic, "revisionHistoryLimit: -2", &["spec.revisionHistoryLimit: must be greater than or equal to 0"]),
    row("workload-and-template", Basic, "workloadRef: {apiVersion: apps/v1, kind: Deployment, name: shop}", &["spec.template: template must be empty for workload reference rollout"]),

    // The pod template.
    row("no-containers", Basic, "template: {spec: {containers: []}}", &["spec.template.spec.containers: Required value: there must be at least one container"]),
    row("no-image", Basic, "template: {spec: {containers: [{name: a}]}}", &["spec.template.spec.containers[0].image: Required value"]),
    row("same-container", Basic, "template: {spec: {containers: [{name: a, image: x}, {name: a, image: x}]}}", &["spec.template.spec.containers[1].name: Duplicate value"]),
    row("restart-policy", Basic, "template: {spec: {restartPolicy: Never}}", &["spec.template.spec.restartPolicy", "\"Always\""]),
    row("template-text", Basic, "template: {spec: soon}", &["spec.template.spec: is missing: it must say which containers to run"]),
    row("port", Basic, "template: {spec: {containers: [{name: a, image: x, ports: [{containerPort: 70000}]}]}}",
        &["spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535"]),
    row("volume", Basic, "template: {spec: {containers: [{name: a, image: x, volumeMounts: [{name: data, mountPath: /data}]}]}}",
        &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""]),
    row("memory", Basic, "template: {spec: {containers: [{name: a, image: x, resources: {requests: {memory: lots}}}]}}",
        &["spec.template", "quantities must match the regular expression"]),

    // The canary.
    row("same-service", Routed, "strategy: {canary: {canaryService: spare-stable}}", &["spec.strategy.canary.stableService: This rollout uses the same service for the stable and canary services"]),
    row("no-surge", Basic, "strategy: {canary: {maxSurge: 0, maxUnavailable: 0%}}", &["spec.strategy.canary.maxSurge: MaxSurge and MaxUnavailable both can not be zero"]),
    row("surge-word", Basic, "strategy: {canary: {maxSurge: lots}}", &["spec.strategy.canary.maxSurge", "a percentage such as \"25%\""]),
    row("weight-101", Routed, "strategy: {canary: {steps: [{setWeight: 101}]}}", &["spec.strategy.canary.steps[0].setWeight: SetWeight needs to be between 0 and 100"]),
    row("pause-soon", Routed, "strategy: {canary: {steps: [{setWeight: 5}, {pause: {duration: soon}}]}}", &["spec.strategy.canary.steps[1].pause.duration: Duration needs to be greater than 0"]),
    row("two-actions", Routed, "strategy: {canary: {steps: [{setWeight: 5, pause: {}}]}}", &["spec.strategy.canary.steps[0]", "make a step of each"]),
    row("empty-step", Basic, "strategy: {canary: {steps: [{}]}}", &["spec.strategy.canary.steps[0]: Step must have one of the following set"]),
    row("scale-without-route", Basic, "strategy: {canary: {steps: [{setCanaryScale: {replicas: 1}}]}}", &["spec.strategy.canary.steps[0].setCanaryScale: SetCanaryScale requires TrafficRouting to be set"]),
    row("delay-without-route", Basic, "strategy: {canary: {scaleDownDelaySeconds: 30}}", &["spec.strategy.canary.scaleDownDelaySeconds", "can only be used with traffic routing"]),
    row("route-without-service", Routed, "strategy: {canary: {stableService: null}}", &["spec.strategy.canary.stableService: Canary service and Stable service must to be set"]),
    row("no-router", Routed, "strategy: {canary: {trafficRouting: {gatewayApi: null}}}", &["spec.strategy.canary.trafficRouting", "set gatewayApi"]),
    row("no-route", Routed, "strategy: {canary: {trafficRouting: {gatewayApi: {httpRoute: null}}}}", &["spec.strategy.canary.trafficRouting.gatewayApi", "httpRoute"]),
    row("other-router", Routed, "strategy: {canary: {trafficRouting: {smi: {rootService: a}}}}", &["spec.strategy.canary.trafficRouting.smi", LATER]),
    row("header-route", Routed, "strategy: {canary: {steps: [{setHeaderRoute: {name: a, match: [{headerName: b, headerValue: {exact: c}}]}}]}}", &["spec.strategy.canary.steps[0].setHeaderRoute: Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'"]),
    row("no-templates", Routed, "strategy: {canary: {steps: [{analysis: {templates: []}}]}}", &["spec.strategy.canary.steps[0].analysis.templates: is empty: name at least one AnalysisTemplate"]),
    row("hash-of-what", Routed, "strategy: {canary: {analysis: {templates: [{templateName: good}], args: [{name: a, valueFrom: {podTemplateHashValue: Newest}}]}}}",
        &["spec.strategy.canary.analysis.args[0].valueFrom.podTemplateHashValue", "use Stable or Latest"]),

    // Blue-green.
    row("one-service", BlueGreen, "strategy: {blueGreen: {previewService: spare-stable}}", &["spec.strategy.blueGreen.previewService: This rollout uses the same service for the active and preview services"]),
    row("negative-delay", BlueGreen, "strategy: {blueGreen: {scaleDownDelaySeconds: -1}}", &["spec.strategy.blueGreen.scaleDownDelaySeconds"]),
    row("revision-limit", BlueGreen, "{revisionHistoryLimit: 1, strategy: {blueGreen: {scaleDownDelayRevisionLimit: 2}}}", &["spec.strategy.blueGreen.scaleDownDelayRevisionLimit: This rollout's revision history limit"]),

    // What is named.
    row("service-missing", Routed, "strategy: {canary: {canaryService: nobody}}", &["spec.strategy.canary.canaryService: service \"nobody\" not found"]),
    row("service-of-others", Routed, "strategy: {canary: {canaryService: others}}", &["spec.strategy.canary.canaryService: Service \"others\" has unmatch label \"app\" in rollout"]),
    row("service-managed", Routed, "strategy: {canary: {canaryService: shop-canary}}", &["spec.strategy.canary.canaryService: Service \"shop-canary\" is managed by another Rollout"]),
    row("route-missing", Routed, "strategy: {canary: {trafficRouting: {gatewayApi: {httpRoute: nowhere}}}}", &["spec.strategy.canary.trafficRouting", "nowhere not found"]),
    row("template-missing", Routed, "strategy: {canary: {analysis: {templates: [{templateName: nothing}]}}}", &["spec.strategy.canary.analysis.templates[0].templateName: AnalysisTemplate 'nothing' not found"]),
    row("arg-missing", Routed, "strategy: {canary: {steps: [{analysis: {templates: [{templateName: asks}]}}]}}", &["spec.strategy.canary.steps[0].analysis", "args: the templates need the argument `url`: give it a value here"]),

    // Templates.
    row("metric-twice", Template, "metrics: [{name: a, provider: {prometheus: {query: up}}}, {name: a, provider: {prometheus: {query: up}}}]", &[TEMPLATE, "spec.metrics[1]", "duplicate name 'a'"]),
    row("no-interval", Template, "metrics: [{name: a, count: 5, provider: {prometheus: {query: up}}}]", &[TEMPLATE, "spec.metrics[0]", "interval must be specified when count > 1"]),
    row("condition", Template, "metrics: [{name: a, successCondition: 'result[0] >', provider: {prometheus: {query: up}}}]", &[TEMPLATE, "spec.metrics[0].successCondition"]),
    row("no-metrics", Template, "metrics: []", &[TEMPLATE, "spec.metrics", "no metrics specified"]),
    row("two-providers", Template, "metrics: [{name: a, provider: {prometheus: {query: up}, web: {url: 'http://a'}}}]", &[TEMPLATE, "spec.metrics[0]", "multiple providers specified"]),
    row("provider", Template, "metrics: [{name: a, provider: {wavefront: {query: a}}}]", &[TEMPLATE, "spec.metrics[0]", "provider.wavefront.address: must be a host without https://"]),
    row("provider-plugin", Template, "metrics: [{name: a, provider: {plugin: {a/b: {}}}}]", &[TEMPLATE, "spec.metrics[0]", "provider.plugin: there is no interface for plugins"]),

    // Runs.
    row("run-count", Run, "metrics: [{name: a, count: some, provider: {prometheus: {query: up}}}]", &["Analysis spec invalid: metrics[0].count: `some` is not an integer"]),
    row("run-limits", Run, "metrics: [{name: a, count: 2, interval: 1s, failureLimit: 3, provider: {prometheus: {query: up}}}]", &["metrics[0]", "count (2) must be >= failureLimit"]),
    row("run-arg", Run, "metrics: [{name: a, provider: {prometheus: {query: '{{args.x}}'}}}]", &["failed to resolve {{args.x}}"]),
    row("run-provider", Run, "metrics: [{name: a, provider: {}}]", &["metrics[0].provider: no provider specified: give one, for example prometheus"]),
    row("run-dry", Run, "dryRun: [{metricName: nothing}]", &["dryRun[0]: Rule didn't match any metric name(s)"]),
];

/// The objects of a row, to be applied in this order.
pub fn objects(row: &Row) -> Result<Vec<Value>> {
    let patch = documents(row.spec)?.pop().context("a patch")?;
    let mut spec = base(row.base)?;
    merge(&mut spec, &patch);
    let main = object(kind(row.base), row.name, spec);
    if row.base != Template {
        return Ok(vec![main]);
    }
    let mut spec = base(Routed)?;
    spec["strategy"]["canary"]["steps"] =
        json!([{ "setWeight": 10 }, { "analysis": { "templates": [{ "templateName": row.name }] } }]);
    Ok(vec![main, object("Rollout", row.name, spec)])
}

/// The kind of an object.
pub fn kind(base: Base) -> &'static str {
    match base {
        Routed | Basic | BlueGreen => "Rollout",
        Template => "AnalysisTemplate",
        Run => "AnalysisRun",
    }
}

/// What the bases name, and what the neighbour does not.
pub const SURROUNDINGS: &str = "
apiVersion: v1
kind: Service
metadata: {name: spare-stable}
spec: {selector: {app: spare}, ports: [{port: 80, targetPort: 5678}]}
---
apiVersion: v1
kind: Service
metadata: {name: spare-canary}
spec: {selector: {app: spare}, ports: [{port: 80, targetPort: 5678}]}
---
apiVersion: v1
kind: Service
metadata: {name: others}
spec: {selector: {app: others}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: spare}
spec:
  parentRefs: [{name: box, namespace: default}]
  hostnames: [spare.test]
  rules: [{backendRefs: [{name: spare-stable, port: 80}, {name: spare-canary, port: 80, weight: 0}]}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: good}
spec: {metrics: [{name: up, provider: {prometheus: {query: up}}}]}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: asks}
spec: {args: [{name: url}], metrics: [{name: up, provider: {prometheus: {query: 'up{a=\"{{args.url}}\"}'}}}]}
";

fn base(base: Base) -> Result<Value> {
    let strategy = match base {
        Template | Run => {
            return documents("metrics: [{name: up, provider: {prometheus: {query: up}}}]")?
                .pop()
                .context("a spec");
        }
        Basic => "canary: {steps: [{setWeight: 20}, {pause: {}}]}",
        Routed => {
            "canary: {stableService: spare-stable, canaryService: spare-canary, trafficRouting: {gatewayApi: {httpRoute: spare}}, \
             steps: [{setWeight: 10}, {pause: {}}]}"
        }
        BlueGreen => "blueGreen: {activeService: spare-stable, previewService: spare-canary}",
    };
    let mut spec = json!({
        "replicas": 1,
        "selector": { "matchLabels": { "app": "spare" } },
        "template": {
            "metadata": { "labels": { "app": "spare" } },
            "spec": { "containers": [{ "name": "backend", "image": "sluice/backend:v1" }] },
        },
    });
    spec["strategy"] = documents(strategy)?.pop().context("a strategy")?;
    Ok(spec)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// A JSON merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().map(|map| map.remove(key));
        } else {
            merge(&mut target[key.as_str()], change);
        }
    }
}
