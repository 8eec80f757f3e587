//! Secrets: read at the moment of use, in the namespace of the run, and kept nowhere.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::Value;
use sluice_analysis::args::is_object_name;
use sluice_analysis::{Needs, SecretRef, Secrets};

use crate::api::{self, CallError, READ_TIMEOUT};
use crate::context::Context;

/// The values of Secrets, read for this measurement only. What cannot be read is left out: the measurement then says what it
/// lacks.
pub async fn read(context: &Context, namespace: &str, needs: &Needs) -> Secrets {
    let mut secrets = Secrets::default();
    let names: BTreeSet<&str> = needs
        .secrets
        .iter()
        .chain(&needs.settings)
        .map(|wanted| wanted.name.as_str())
        .collect();
    for name in names {
        let Some(secret) = read_secret(context, namespace, name).await else {
            continue;
        };
        let value = |wanted: &SecretRef| {
            let data = secret.get("data")?.get(&wanted.key).and_then(Value::as_str)?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
            String::from_utf8(bytes).ok()
        };
        for wanted in needs.secrets.iter().filter(|wanted| wanted.name == name) {
            if let Some(value) = value(wanted) {
                secrets.insert(wanted.clone(), value);
            }
        }
        for wanted in needs.settings.iter().filter(|wanted| wanted.name == name) {
            if let Some(value) = value(wanted) {
                secrets.insert_setting(wanted.clone(), value);
            }
        }
    }
    secrets
}

async fn read_secret(context: &Context, namespace: &str, name: &str) -> Option<Value> {
    if !is_object_name(name) {
        return None;
    }
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    match api::call::<Value>(&context.client, api::get(&path), READ_TIMEOUT).await {
        Ok(secret) => Some(secret),
        Err(CallError::Forbidden(_)) => {
            let about = format!("reading Secrets in namespace {namespace}");
            let text = format!(
                "an AnalysisRun needs Secret {name}: grant get on it to the controller in this namespace (a Role with \
                 resourceNames is enough)"
            );
            context.notices.raise(&about, text);
            None
        }
        Err(_) => None,
    }
}
