//! Which fields must be there. A field that Argo Rollouts' CRDs do not require must not be required by ours: objects that
//! users have would be refused.

use std::collections::BTreeSet;

use crate::support::*;

const ROLLOUT: &[&str] = &[
    "spec",
    "spec.selector.matchExpressions[].{key,operator}",
    "spec.strategy.blueGreen.activeService",
    "spec.strategy.{canary,blueGreen}.antiAffinity.preferredDuringSchedulingIgnoredDuringExecution.weight",
    "spec.strategy.canary.pingPong.{pingService,pongService}",
    "spec.strategy.canary.replicaProgressThreshold.{type,value}",
    "spec.strategy.{canary.analysis,canary.steps[].analysis,blueGreen.prePromotionAnalysis,blueGreen.postPromotionAnalysis}\
     .{args[].name,args[].valueFrom.fieldRef.fieldPath,dryRun[].metricName,measurementRetention[].metricName,measurementRetention[].limit}",
    "spec.strategy.canary.steps[].experiment.{templates,templates[].name,templates[].specRef,dryRun[].metricName}",
    "spec.strategy.canary.steps[].experiment.templates[].selector.matchExpressions[].{key,operator}",
    "spec.strategy.canary.steps[].experiment.analyses[].{name,templateName,args[].name,args[].valueFrom.fieldRef.fieldPath}",
    "spec.strategy.canary.steps[].{plugin.name,setMirrorRoute.name,setHeaderRoute.match[].headerName}",
    "spec.strategy.canary.trafficRouting.{istio.virtualService.name,istio.virtualServices[].name,managedRoutes[].name}",
    "spec.strategy.canary.trafficRouting.istio.destinationRule.{name,canarySubsetName,stableSubsetName}",
    "spec.strategy.canary.trafficRouting.alb.{servicePort,stickinessConfig.enabled,stickinessConfig.durationSeconds}",
    "spec.strategy.canary.trafficRouting.appMesh.{virtualService.name,virtualNodeGroup.canaryVirtualNodeRef}",
    "spec.strategy.canary.trafficRouting.appMesh.virtualNodeGroup.{stableVirtualNodeRef,canaryVirtualNodeRef.name,stableVirtualNodeRef.name}",
    "spec.strategy.canary.trafficRouting.{ambassador.mappings,apisix.route.name,traefik.weightedTraefikServiceName}",
    // Our extension.
    "spec.strategy.canary.trafficRouting.gatewayApi.httpRoutes[].name",
    "status.pauseConditions[].{reason,startTime}",
    "status.conditions[].{type,status,reason,message,lastUpdateTime,lastTransitionTime}",
    "status.canary.{currentStepAnalysisRunStatus,currentBackgroundAnalysisRunStatus}.{name,status}",
    "status.canary.weights.{canary,stable,canary.weight,stable.weight,additional[].weight}",
    "status.canary.stepPluginStatuses[].{index,name}",
    "status.blueGreen.{prePromotionAnalysisRunStatus,postPromotionAnalysisRunStatus}.{name,status}",
    "status.{alb,albs[]}.{loadBalancer,canaryTargetGroup,stableTargetGroup}.{name,arn}",
];

const EXPERIMENT: &[&str] = &[
    "spec",
    "spec.{templates,templates[].name,templates[].selector,templates[].template}",
    "spec.templates[].selector.matchExpressions[].{key,operator}",
    "spec.analyses[].{name,templateName,args[].name,args[].valueFrom.fieldRef.fieldPath}",
    "spec.analyses[].args[].valueFrom.secretKeyRef.{name,key}",
    "spec.{dryRun[].metricName,measurementRetention[].metricName,measurementRetention[].limit}",
    "status.templateStatuses[].{name,replicas,updatedReplicas,readyReplicas,availableReplicas}",
    "status.analysisRuns[].{name,analysisRun,phase}",
    "status.conditions[].{type,status,reason,message,lastUpdateTime,lastTransitionTime}",
];

/// What templates and runs have in common.
const METRICS: &[&str] = &[
    "spec",
    "spec.args[].{name,valueFrom.fieldRef.fieldPath,valueFrom.secretKeyRef.name,valueFrom.secretKeyRef.key}",
    "spec.{dryRun[].metricName,measurementRetention[].metricName,measurementRetention[].limit}",
    "spec.metrics[].{name,provider}",
    "spec.metrics[].provider.{prometheus,web}.headers[].{key,value}",
    "spec.metrics[].provider.{web.url,job.spec,newRelic.query,cloudWatch.metricDataQueries}",
    "spec.metrics[].provider.kayenta.{address,application,canaryConfigName,metricsAccountName,configurationAccountName}",
    "spec.metrics[].provider.kayenta.{storageAccountName,threshold,threshold.pass,threshold.marginal,scopes,scopes[].name}",
    "spec.metrics[].provider.kayenta.scopes[].{controlScope,experimentScope}",
    "spec.metrics[].provider.kayenta.scopes[].{controlScope,experimentScope}.{scope,region,step,start,end}",
];

const RUN: &[&str] = &[
    "spec.metrics",
    "status.phase",
    "status.metricResults[].{name,phase,measurements[].phase}",
];

#[test]
fn no_field_is_required_but_those_that_argo_requires() {
    for kind in KINDS {
        let schema = schema(kind);
        let mut found: BTreeSet<String> = required(&schema, "").collect();
        walk(&schema, "", &mut |path, below| found.extend(required(below, path)));
        let lists = match kind {
            "Rollout" => vec![ROLLOUT],
            "Experiment" => vec![EXPERIMENT],
            "AnalysisRun" => vec![METRICS, RUN],
            _ => vec![METRICS],
        };
        let expected: BTreeSet<String> = lists.concat().iter().flat_map(|pattern| expand(pattern)).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        let less: Vec<_> = expected.difference(&found).collect();
        assert!(
            more.is_empty() && less.is_empty(),
            "{kind}: required and should not be {more:#?}, the other way {less:#?}"
        );
    }
}

fn required<'s>(schema: &'s serde_json::Value, path: &str) -> impl Iterator<Item = String> + use<'s> {
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}.")
    };
    let names = schema["required"].as_array().into_iter().flatten();
    names.map(move |name| format!("{prefix}{}", name.as_str().unwrap()))
}
