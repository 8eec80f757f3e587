//! The manifests of the CustomResourceDefinitions.
//!
//! The schemas come from the Rust types and are then brought into the form that Argo's own CRDs have: no field is
//! nullable, so that the API server drops an explicit `null` instead of storing it; only Rollout has subresources.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::names::annotation::{EXTENSIONS, EXTENSIONS_V1};
use crate::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Rollout};

/// The command that writes the manifests again after a type was changed.
pub const REFRESH_COMMAND: &str = "cargo run -p sluice-crds --example write_crds";

/// The definitions of all kinds, as they are to be applied.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![
        finish(AnalysisRun::crd(), Subresources::None),
        finish(AnalysisTemplate::crd(), Subresources::None),
        finish(ClusterAnalysisTemplate::crd(), Subresources::None),
        finish(Experiment::crd(), Subresources::None),
        finish(Rollout::crd(), Subresources::Keep),
    ]
}

/// The definitions as JSON values, without the fields that are empty.
pub fn all_crds_json() -> Vec<Value> {
    let to_value = |crd| serde_json::to_value(&crd).expect("a CRD made of maps, lists and texts is JSON");
    all_crds().into_iter().map(to_value).collect()
}

#[derive(Clone, Copy)]
enum Subresources {
    Keep,
    /// AnalysisRun and Experiment have a status that is part of the object: clients write it with the rest.
    None,
}

fn finish(mut crd: CustomResourceDefinition, subresources: Subresources) -> CustomResourceDefinition {
    let marker = (EXTENSIONS.to_owned(), EXTENSIONS_V1.to_owned());
    crd.metadata.annotations = Some(BTreeMap::from([marker]));
    crd.metadata.labels = Some(BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "sluice".to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "sluice".to_owned()),
    ]));
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    for version in &mut crd.spec.versions {
        if matches!(subresources, Subresources::None) {
            version.subresources = None;
        }
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        let schema = schema.expect("the derive gives every version a schema");
        let mut value = serde_json::to_value(&*schema).expect("a schema is JSON");
        make_structural(&mut value);
        *schema = serde_json::from_value(value).expect("a schema without nullable is a schema");
    }
    crd
}

/// Removes `nullable` everywhere, and the line breaks that descriptions have from the source code. Gives int-or-string the
/// bounds that int32 has: a larger number would be stored, and then no client in any language could decode the object.
fn make_structural(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("nullable");
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                map.insert("minimum".to_owned(), i32::MIN.into());
                map.insert("maximum".to_owned(), i32::MAX.into());
            }
            map.values_mut().for_each(make_structural);
        }
        Value::Array(list) => list.iter_mut().for_each(make_structural),
        _ => {}
    }
}
