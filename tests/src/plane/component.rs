//! One process of the plane, with its log.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use crate::inside::Inside;

/// How much of a log an error shows.
const TAIL_LINES: usize = 15;
/// How much of a log is read for that; longer lines than this are rare and cut.
const TAIL_BYTES: u64 = 16 * 1024;

/// One process of the plane.
#[derive(Debug)]
pub struct Component {
    /// Its name, also that of its log.
    pub name: String,
    child: Child,
    id: u32,
    log: PathBuf,
}

impl Component {
    /// Starts a program whose output goes to `<logs>/<name>.log`. It ends when the value is dropped, or with the namespace.
    pub fn start(
        inside: &Inside,
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let log = inside.logs.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open the log {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(&inside.state)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the log between output and errors")?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}: {}", program.display()))?;
        let id = child.id().with_context(|| format!("{name} ended at once"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            id,
            log,
        })
    }

    /// The id of the process, as it is seen inside.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, if it did.
    pub fn death(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("{} ended: {status}", self.name)),
            Err(error) => Some(format!("the state of {} is not known: {error}", self.name)),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(no log: {error:#})"))
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        self.child
            .wait()
            .await
            .with_context(|| format!("wait for {}", self.name))
    }
}

fn tail(log: &Path) -> Result<String> {
    let mut file = File::open(log).with_context(|| format!("open {}", log.display()))?;
    let length = fs::metadata(log)
        .with_context(|| format!("read {}", log.display()))?
        .len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
        .context("seek in the log")?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .with_context(|| format!("read {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let log = std::env::temp_dir().join(format!("sluice-tail-{}", std::process::id()));
        let lines: Vec<String> = (0..5000).map(|line| format!("line {line}")).collect();
        fs::write(&log, lines.join("\n")).expect("the folder for temporary files can be written");
        let seen = tail(&log).expect("the file is there");
        fs::remove_file(&log).expect("the file is there");
        assert_eq!(seen.lines().count(), TAIL_LINES);
        assert!(seen.starts_with("line 4985\n") && seen.ends_with("line 4999"), "{seen}");
    }
}
