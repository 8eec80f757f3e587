//! The commands, one file each.

pub mod abort;
pub mod check;
pub mod completion;
pub mod explain;
pub mod get;
pub mod lint;
pub mod list;
pub mod pause;
pub mod promote;
pub mod retry;
pub mod simulate;
pub mod status;
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
