//! The project's small HTTP backend; see `sluice_tests::backend` for what can be set.

use anyhow::{Context as _, Result};
use sluice_tests::backend::{Behaviour, serve};

fn main() -> Result<()> {
    let behaviour = Behaviour::from_variables(|name| std::env::var(name).ok())?;
    // One thread: hundreds of backends run side by side in a test.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(behaviour))
}
