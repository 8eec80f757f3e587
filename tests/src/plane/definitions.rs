//! Custom resource definitions: the Gateway API's and our own, created over the API and waited for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};

use super::{READY_WITHIN, Start};
use crate::client::{Client, documents};

/// Installs all of them at once and waits until each is served.
pub(super) async fn install(start: &Start, client: &Client) -> Result<()> {
    let mut folders = vec![start.inside.programs.gateway_crds.clone()];
    folders.extend(start.config.definitions.iter().cloned());
    let mut definitions = Vec::new();
    for folder in &folders {
        for file in files(folder)? {
            definitions.extend(read(&file)?);
        }
    }
    try_join_all(definitions.iter().map(|definition| create(client, definition))).await?;
    start.ready("custom resource definitions");
    Ok(())
}

/// The stable kinds of the Gateway API (`gateway.networking.k8s.io_*`) and every file of our own.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let experiment = name.starts_with("gateway.networking.x-k8s.io");
        // The admission policy guards upgrades from one release of these definitions to another.
        let policy = name.contains("_vap_");
        name.ends_with(".yaml") && !experiment && !policy
    });
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<CustomResourceDefinition>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    documents(&text)
        .with_context(|| format!("read {}", file.display()))?
        .into_iter()
        .map(|value| serde_json::from_value(value).with_context(|| format!("{} is no definition", file.display())))
        .collect()
}

async fn create(client: &Client, definition: &CustomResourceDefinition) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.kube());
    let name = definition.name_any();
    api.create(&PostParams::default(), definition)
        .await
        .with_context(|| format!("create the definition {name}"))?;
    client
        .wait_for(&api, &name, "the definition to be served", READY_WITHIN, established)
        .await?;
    Ok(())
}

fn established(definition: Option<&CustomResourceDefinition>) -> bool {
    let conditions = definition.and_then(|definition| definition.status.as_ref()?.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Established" && one.status == "True"))
}
