//! The scenarios of `simulations/scenarios/`: one file for each, and beside it the timeline that it must give.
//!
//! This is the one place of the crate that touches files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::file::{self, Prepared};
use crate::report;

/// A scenario of the library.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name of the file without its ending.
    pub name: String,
    /// The scenario.
    pub prepared: Prepared,
    /// Where its timeline is kept.
    pub golden: PathBuf,
}

/// Why a scenario of the library cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct LibraryError {
    /// The file.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

/// The folder of the library in this repository.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All scenarios of a folder, by name.
pub fn load(folder: &Path) -> Result<Vec<Entry>, LibraryError> {
    let failed = |path: &Path, problem: String| LibraryError {
        path: path.display().to_string(),
        problem,
    };
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, error.to_string()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    let load = |path: &PathBuf| one(path).map_err(|problem| failed(path, problem));
    paths.iter().map(load).collect()
}

/// The scenario of [`picture`].
const PICTURED: &str = "good";

/// The picture of the documentation: the split of a scenario of the library, and the file in which it is kept.
pub fn picture(entries: &[Entry]) -> Option<(PathBuf, String)> {
    let entry = entries.iter().find(|entry| entry.name == PICTURED)?;
    let report = entry.prepared.run(None, &mut |_| ()).ok()?;
    let picture = report::picture(report.rollouts.first()?, "A simulated canary: 5, 25, 50, 100 %");
    Some((
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/canary.svg"),
        picture,
    ))
}

fn one(path: &Path) -> Result<Entry, String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let scenario = file::read(&text_of(path)?).map_err(|error| error.to_string())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut objects: Vec<Value> = Vec::new();
    for manifest in &scenario.manifests {
        match manifest {
            Value::String(name) => {
                let text = text_of(&folder.join(name))?;
                let read: Vec<Value> =
                    serde_saphyr::from_multiple(&text).map_err(|error| format!("{name}: {error}"))?;
                objects.extend(read.into_iter().filter(|object| !object.is_null()));
            }
            object => objects.push(object.clone()),
        }
    }
    let prepared = file::prepare(&scenario, &name, objects).map_err(|error| error.to_string())?;
    Ok(Entry {
        prepared,
        golden: path.with_extension("txt"),
        name,
    })
}

fn text_of(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
