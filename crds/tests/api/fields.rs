//! Every field of the documented API is in the schemas. The table is written by hand from the API's documentation, not
//! from the types: a field that is forgotten in a type fails here.

use crate::support::*;

/// A line per part of an object: where it is, and the fields in it. `{a,b}` stands for several.
const FIELDS: &[(&str, &str, &str)] = &[
    // Rollout.spec
    (
        "Rollout",
        "spec",
        "replicas selector template workloadRef minReadySeconds revisionHistoryLimit rollbackWindow paused \
         progressDeadlineSeconds progressDeadlineAbort restartAt analysis strategy",
    ),
    (
        "Rollout",
        "spec.selector",
        "matchLabels matchExpressions[].{key,operator,values}",
    ),
    ("Rollout", "spec.workloadRef", "apiVersion kind name scaleDown"),
    ("Rollout", "spec.rollbackWindow", "revisions"),
    (
        "Rollout",
        "spec.analysis",
        "successfulRunHistoryLimit unsuccessfulRunHistoryLimit",
    ),
    ("Rollout", "spec.strategy", "canary blueGreen"),
    (
        "Rollout",
        "spec.strategy.blueGreen",
        "activeService previewService previewReplicaCount autoPromotionEnabled autoPromotionSeconds maxUnavailable \
         scaleDownDelaySeconds scaleDownDelayRevisionLimit abortScaleDownDelaySeconds prePromotionAnalysis \
         postPromotionAnalysis antiAffinity {preview,active}Metadata.{labels,annotations}",
    ),
    (
        "Rollout",
        "spec.strategy.{canary,blueGreen}.antiAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution.weight",
    ),
    (
        "Rollout",
        "spec.strategy.canary",
        "canaryService stableService steps[] trafficRouting maxSurge maxUnavailable analysis antiAffinity \
         {canary,stable}Metadata.{labels,annotations} scaleDownDelaySeconds scaleDownDelayRevisionLimit \
         abortScaleDownDelaySeconds dynamicStableScale pingPong.{pingService,pongService} minPodsPerReplicaSet \
         replicaProgressThreshold.{type,value}",
    ),
    ("Rollout", "spec.strategy.canary.analysis", "startingStep"),
    (
        "Rollout",
        "spec.strategy.{canary.analysis,canary.steps[].analysis,blueGreen.prePromotionAnalysis,blueGreen.postPromotionAnalysis}",
        "templates[].{templateName,clusterScope} args[].{name,value} args[].valueFrom.{podTemplateHashValue,fieldRef.fieldPath} \
         dryRun[].metricName measurementRetention[].{metricName,limit} analysisRunMetadata.{labels,annotations}",
    ),
    (
        "Rollout",
        "spec.strategy.canary.steps[]",
        "setWeight pause.duration setCanaryScale.{weight,replicas,matchTrafficWeight} setHeaderRoute.{name,match[]} \
         setHeaderRoute.match[].headerName setHeaderRoute.match[].headerValue.{exact,prefix,regex} \
         setMirrorRoute.{name,match[],percentage} setMirrorRoute.match[].{method,path,headers{}}.{exact,prefix,regex} \
         analysis experiment plugin.{name,config}",
    ),
    (
        "Rollout",
        "spec.strategy.canary.steps[].experiment",
        "templates[].{name,specRef,replicas,metadata,selector,weight,service.name} templates[].metadata.{labels,annotations} \
         templates[].selector.{matchLabels,matchExpressions} duration \
         analyses[].{name,templateName,clusterScope,args[],requiredForCompletion} analyses[].args[].{name,value} \
         analyses[].args[].valueFrom.{podTemplateHashValue,fieldRef.fieldPath} \
         dryRun[].metricName analysisRunMetadata.{labels,annotations} scaleDownDelaySeconds",
    ),
    (
        "Rollout",
        "spec.strategy.canary.trafficRouting",
        "istio nginx alb smi.{rootService,trafficSplitName} ambassador.mappings[] appMesh \
         traefik.weightedTraefikServiceName apisix.route.{name,rules[]} plugins managedRoutes[].name maxTrafficWeight",
    ),
    (
        "Rollout",
        "spec.strategy.canary.trafficRouting.istio",
        "{virtualService,virtualServices[]}.{name,routes[],tlsRoutes[],tcpRoutes[]} \
         {virtualService,virtualServices[]}.tlsRoutes[].{port,sniHosts[]} {virtualService,virtualServices[]}.tcpRoutes[].port \
         destinationRule.{name,canarySubsetName,stableSubsetName,additionalSubsetNames[]}",
    ),
    (
        "Rollout",
        "spec.strategy.canary.trafficRouting.nginx",
        "stableIngress stableIngresses[] annotationPrefix additionalIngressAnnotations{} canaryIngressAnnotations{}",
    ),
    (
        "Rollout",
        "spec.strategy.canary.trafficRouting.alb",
        "ingress ingresses[] servicePort rootService annotationPrefix stickinessConfig.{enabled,durationSeconds}",
    ),
    (
        "Rollout",
        "spec.strategy.canary.trafficRouting.appMesh",
        "virtualService.{name,routes[]} virtualNodeGroup.{canaryVirtualNodeRef,stableVirtualNodeRef}.name",
    ),
    // Our extension.
    (
        "Rollout",
        "spec.strategy.canary.trafficRouting.gatewayApi",
        "httpRoute namespace rules[] httpRoutes[].{name,rules[]} ackTimeoutSeconds drainSeconds",
    ),
    // Rollout.status
    (
        "Rollout",
        "status",
        "abort abortedAt pauseConditions[].{reason,startTime} controllerPause currentPodHash currentStepHash currentStepIndex \
         stableRS replicas updatedReplicas readyReplicas availableReplicas HPAReplicas selector collisionCount \
         observedGeneration workloadObservedGeneration restartedAt promoteFull phase message \
         conditions[].{type,status,reason,message,lastUpdateTime,lastTransitionTime}",
    ),
    (
        "Rollout",
        "status.canary",
        "weights.{canary,stable,additional[]}.{weight,serviceName,podTemplateHash} weights.verified \
         {currentStepAnalysisRunStatus,currentBackgroundAnalysisRunStatus}.{name,status,message} currentExperiment \
         stablePingPong stepPluginStatuses[].{index,name,phase,message,operation,startedAt,updatedAt,finishedAt} \
         stepPluginStatuses[].{executions,backoff,disabled,status}",
    ),
    (
        "Rollout",
        "status.blueGreen",
        "previewSelector activeSelector scaleUpPreviewCheckPoint \
         {prePromotionAnalysisRunStatus,postPromotionAnalysisRunStatus}.{name,status,message}",
    ),
    (
        "Rollout",
        "status.{alb,albs[]}",
        "{loadBalancer,canaryTargetGroup,stableTargetGroup}.{name,arn,fullName} ingress",
    ),
    (
        "Rollout",
        "status.duration",
        "rolloutStartedAt manualPauseStartedAt totalManualPauseDurationSeconds finishedAt completionStatus",
    ),
    // Templates and runs
    (
        "{AnalysisTemplate,ClusterAnalysisTemplate}",
        "spec",
        "metrics[] args[] dryRun[].metricName measurementRetention[].{metricName,limit} templates[].{templateName,clusterScope}",
    ),
    (
        "AnalysisRun",
        "spec",
        "metrics[] args[] terminate dryRun[].metricName measurementRetention[].{metricName,limit} \
         ttlStrategy.{secondsAfterCompletion,secondsAfterFailure,secondsAfterSuccess}",
    ),
    (
        "{AnalysisTemplate,ClusterAnalysisTemplate,AnalysisRun}",
        "spec.args[]",
        "name value valueFrom.{secretKeyRef.name,secretKeyRef.key,fieldRef.fieldPath}",
    ),
    (
        "{AnalysisTemplate,ClusterAnalysisTemplate,AnalysisRun}",
        "spec.metrics[]",
        "name interval initialDelay count successCondition failureCondition failureLimit inconclusiveLimit \
         consecutiveErrorLimit consecutiveSuccessLimit provider",
    ),
    (
        "{AnalysisTemplate,ClusterAnalysisTemplate,AnalysisRun}",
        "spec.metrics[].provider",
        "prometheus.{address,query,authentication,timeout,insecure,headers[],rangeQuery} prometheus.headers[].{key,value} \
         prometheus.rangeQuery.{start,end,step} \
         {prometheus,web}.authentication.{sigv4.region,sigv4.profile,sigv4.roleArn,basicAuth.username,basicAuth.password} \
         {prometheus,web}.authentication.oauth2.{tokenUrl,clientId,clientSecret,scopes[]} \
         web.{method,url,headers[],body,jsonBody,timeoutSeconds,jsonPath,insecure} web.headers[].{key,value} \
         job.{spec,metadata} datadog.{query,queries{},formula,interval,apiVersion,aggregator,secretRef.name,secretRef.namespaced} \
         newRelic.{query,profile,timeout} wavefront.{address,query} graphite.{address,query} influxdb.{profile,query} \
         skywalking.{address,query,interval} plugin",
    ),
    (
        "{AnalysisTemplate,ClusterAnalysisTemplate,AnalysisRun}",
        "spec.metrics[].provider.cloudWatch",
        "interval metricDataQueries[].{id,expression,label,period,returnData} \
         metricDataQueries[].metricStat.{period,stat,unit,metric.metricName,metric.namespace} \
         metricDataQueries[].metricStat.metric.dimensions[].{name,value}",
    ),
    (
        "{AnalysisTemplate,ClusterAnalysisTemplate,AnalysisRun}",
        "spec.metrics[].provider.kayenta",
        "address application canaryConfigName metricsAccountName configurationAccountName storageAccountName \
         threshold.{pass,marginal} scopes[].name scopes[].{controlScope,experimentScope}.{scope,region,step,start,end}",
    ),
    (
        "AnalysisRun",
        "status",
        "phase message startedAt completedAt {runSummary,dryRunSummary}.{count,successful,failed,inconclusive,error} \
         metricResults[].{name,phase,message,dryRun,metadata{},count,successful,failed,inconclusive,error} \
         metricResults[].{consecutiveError,consecutiveSuccess} \
         metricResults[].measurements[].{phase,message,value,startedAt,finishedAt,resumeAt,metadata{}}",
    ),
    // Experiment
    (
        "Experiment",
        "spec",
        "templates[].{name,replicas,minReadySeconds,selector,template,service.name} duration progressDeadlineSeconds terminate \
         templates[].selector.{matchLabels,matchExpressions} \
         analyses[].{name,templateName,clusterScope,requiredForCompletion} analyses[].args[].{name,value} \
         analyses[].args[].valueFrom.{secretKeyRef.name,secretKeyRef.key,fieldRef.fieldPath} scaleDownDelaySeconds \
         dryRun[].metricName measurementRetention[].{metricName,limit} analysisRunMetadata.{labels,annotations}",
    ),
    (
        "Experiment",
        "status",
        "phase message availableAt templateStatuses[].{name,replicas,updatedReplicas,readyReplicas,availableReplicas,status} \
         templateStatuses[].{message,lastTransitionTime,collisionCount,serviceName,podTemplateHash} \
         analysisRuns[].{name,analysisRun,phase,message} \
         conditions[].{type,status,reason,message,lastUpdateTime,lastTransitionTime}",
    ),
];

#[test]
fn every_documented_field_is_in_the_schema() {
    let mut missing = Vec::new();
    let mut count = 0;
    for (kinds, part, fields) in FIELDS {
        for kind in expand(kinds) {
            let known = paths(&schema(&kind));
            let full = |part: &String| {
                fields
                    .split_whitespace()
                    .flat_map(|field| expand(&format!("{part}.{field}")))
                    .collect()
            };
            let wanted: Vec<String> = expand(part).iter().flat_map::<Vec<_>, _>(full).collect();
            count += wanted.len();
            missing.extend(
                wanted
                    .into_iter()
                    .filter(|path| !known.contains(path))
                    .map(|path| format!("{kind} {path}")),
            );
        }
    }
    assert!(missing.is_empty(), "not in the schema: {missing:#?}");
    assert!(count > 600, "the table was not read: {count} fields");
}

#[test]
fn every_field_of_the_schema_is_documented() {
    for kind in KINDS {
        let lines = FIELDS
            .iter()
            .filter(|(kinds, ..)| expand(kinds).iter().any(|one| one == kind));
        let mut known = Vec::new();
        for (_, part, fields) in lines {
            for part in expand(part) {
                known.extend(
                    fields
                        .split_whitespace()
                        .flat_map(|field| expand(&format!("{part}.{field}"))),
                );
            }
        }
        // A path is known if the table has it or something below it.
        let unknown = |path: &String| {
            !known.iter().any(|one| {
                one.starts_with(path.as_str())
                    || path.starts_with(&format!("{one}["))
                    || path.starts_with(&format!("{one}{{"))
            })
        };
        let unknown: Vec<_> = paths(&schema(kind)).into_iter().filter(unknown).collect();
        assert!(
            unknown.is_empty(),
            "{kind} has fields that the table lacks: {unknown:#?}"
        );
    }
}
