//! The commands, one file each.

pub mod abort;
pub mod check;
pub mod completion;
pub mod create;
pub mod explain;
pub mod get;
mod get_run;
pub mod lint;
pub mod list;
mod list_runs;
pub mod pause;
pub mod promote;
pub mod retry;
pub mod simulate;
pub mod status;
pub mod terminate;
pub mod version;

use crate::{cluster::Cluster, text::Screen};

/// Does something to each of several Rollouts. What fails for one does not keep it from the others.
async fn each(
    cluster: &Cluster,
    names: &[String],
    screen: &mut Screen<'_>,
    act: impl AsyncFn(&Cluster, &str) -> anyhow::Result<String>,
) -> anyhow::Result<u8> {
    let mut errors = Vec::new();
    for name in names {
        match act(cluster, name).await {
            Ok(message) => screen.line(message)?,
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    if errors.is_empty() {
        Ok(0)
    } else {
        Err(anyhow::anyhow!("{}", errors.join("; ")))
    }
}

/// Says that there was nothing to act on, where the present revision is the stable one.
fn idle(rollout: &serde_json::Value) -> &'static str {
    let hash = |field: &str| rollout.pointer(field).and_then(serde_json::Value::as_str);
    let (stable, current) = (hash("/status/stableRS"), hash("/status/currentPodHash"));
    if stable.is_some() && stable == current {
        " (no update was under way)"
    } else {
        ""
    }
}
