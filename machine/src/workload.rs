//! The workload that a Rollout takes its pod template from (`spec.workloadRef`): a Deployment, a ReplicaSet or a PodTemplate.

use std::borrow::Cow;

use serde::Deserialize as _;
use serde_json::Value;
use sluice_crds::{LabelSelector, Rollout};
use sluice_traffic::ObjectRef;

use crate::{Fact, World};

/// The workload that a Rollout names; `None` where it names none, or nothing that can be one.
pub fn object(rollout: &Rollout) -> Option<ObjectRef> {
    let reference = rollout.spec.workload_ref.as_ref()?;
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Some(ObjectRef {
        api_version: text(&reference.api_version)?,
        kind: text(&reference.kind)?,
        namespace: rollout.metadata.namespace.clone().unwrap_or_default(),
        name: text(&reference.name)?,
    })
}

/// The workload as it was read; `None` where the Rollout has a template of its own.
pub fn fact(world: &World) -> Option<&Fact<Value>> {
    world.rollout.spec.workload_ref.as_ref()?;
    Some(
        object(&world.rollout)
            .and_then(|object| world.objects.get(&object))
            .unwrap_or(&Fact::Absent),
    )
}

/// The pod template: the Rollout's own, or that of its workload. `None` where there is none, or it could not be read.
pub fn template(world: &World) -> Option<&Value> {
    match fact(world) {
        None => world.rollout.spec.template.as_ref(),
        // A PodTemplate has it at the top.
        Some(fact) => {
            let workload = fact.known()?;
            workload.pointer("/spec/template").or_else(|| workload.get("template"))
        }
    }
}

/// The selector of the pods: the Rollout's own or that of its workload; of a PodTemplate, the labels of its template.
pub fn selector(world: &World) -> Option<Cow<'_, LabelSelector>> {
    if let Some(own) = &world.rollout.spec.selector {
        return Some(Cow::Borrowed(own));
    }
    let workload = fact(world)?.known()?;
    if let Some(selector) = workload.pointer("/spec/selector") {
        return LabelSelector::deserialize(selector).ok().map(Cow::Owned);
    }
    let labels = workload.pointer("/template/metadata/labels")?.as_object()?;
    let labels = labels
        .iter()
        .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Some(Cow::Owned(LabelSelector {
        match_labels: Some(labels.collect::<Option<_>>()?),
        match_expressions: None,
    }))
}
