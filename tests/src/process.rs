//! What a process costs, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc/<id>/stat`: `USER_HZ`, which Linux fixes at 100 on every architecture we run on.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Processor time, user and system together, in steps of 10 ms.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident_bytes: u64,
    /// Most resident memory so far, in bytes.
    pub peak_resident_bytes: u64,
}

/// What the process with this id has used so far; an error when there is none.
pub fn usage(id: u32) -> Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{id}/{file}");
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    };
    let cpu = cpu(&read("stat")?).with_context(|| format!("/proc/{id}/stat has another format"))?;
    let status = read("status")?;
    let kilobytes = |name: &str| {
        kilobytes(&status, name).with_context(|| format!("/proc/{id}/status has no {name}; has the process ended?"))
    };
    Ok(Usage {
        cpu,
        resident_bytes: kilobytes("VmRSS:")? * 1024,
        peak_resident_bytes: kilobytes("VmHWM:")? * 1024,
    })
}

/// Fields 14 and 15, counted behind the name of the program, which may hold spaces and brackets.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a ) (b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1000 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("42 (short) S 1"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let own = usage(std::process::id()).expect("this process is there");
        assert!(
            own.resident_bytes > 100_000 && own.peak_resident_bytes >= own.resident_bytes,
            "{own:?}"
        );
    }
}
