//! The rights of `deploy/`, given to a user of a plane: what the end-to-end tests need is what users grant, and no more.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::client::documents;
use crate::plane::{Plane, User};

/// The namespace in which a controller of the whole cluster has its Lease.
pub const OWN_NAMESPACE: &str = "sluice";

/// Gives a user the rights of a controller for one namespace, or for the whole cluster.
pub async fn grant(plane: &Plane, user: User, namespace: Option<&str>) -> Result<()> {
    let (file, own) = match namespace {
        Some(namespace) => ("namespaced.yaml", namespace),
        None => ("cluster.yaml", OWN_NAMESPACE),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("deploy")
        .join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for document in documents(&text.replace("NAMESPACE", own))? {
        if let Some(object) = for_user(document, user) {
            plane.client.apply(own, &object.to_string()).await?;
        }
    }
    Ok(())
}

/// Namespaces and roles as they are, bindings for the user instead of the account, nothing else.
fn for_user(mut object: Value, user: User) -> Option<Value> {
    match object["kind"].as_str()? {
        "Namespace" | "ClusterRole" | "Role" => Some(object),
        "ClusterRoleBinding" | "RoleBinding" => {
            let name = format!("{}-{}", object["metadata"]["name"].as_str()?, user.name());
            object["metadata"]["name"] = name.into();
            let group = "rbac.authorization.k8s.io";
            object["subjects"] = json!([{ "apiGroup": group, "kind": "User", "name": user.name() }]);
            Some(object)
        }
        _ => None,
    }
}
