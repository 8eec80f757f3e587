//! The lines that people type, as commands.

use crate::commands::Command;
use crate::store::{Key, Kind};

/// The lines that are understood.
const UNDERSTOOD: &str = "`kubectl sluice promote|abort|retry|pause NAME`, `kubectl argo rollouts promote|abort|retry \
    rollout|pause|undo|restart NAME`, `kubectl argo rollouts set image NAME CONTAINER=IMAGE`, `kubectl scale rollout/NAME \
    --replicas=N`, `kubectl delete KIND NAME`";

/// Reads a line.
pub(super) fn command(line: &str) -> Result<Command, String> {
    let mut words: Vec<&str> = line
        .split_whitespace()
        .map(|word| word.trim_matches(['\'', '"']))
        .collect();
    let namespace = take_value(&mut words, &["-n", "--namespace"])?.unwrap_or("default");
    let full = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or(name);
        format!("{namespace}/{name}")
    };
    let unknown = || format!("`{line}` is not understood: {UNDERSTOOD}");
    let rest = match words.as_slice() {
        ["kubectl", "sluice", rest @ ..]
        | ["kubectl-sluice", rest @ ..]
        | ["kubectl", "argo", "rollouts", rest @ ..] => rest,
        ["kubectl", "scale", ..] => return scale(words, &full).ok_or_else(unknown),
        ["kubectl", "delete", target @ ..] => return delete(target, namespace).ok_or_else(unknown),
        _ => return Err(unknown()),
    };
    let (flags, plain): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| word.starts_with('-'));
    let command = match (plain.as_slice(), flags.as_slice()) {
        (["promote", name], []) => Command::Promote(full(name)),
        (["promote", name], ["--full"]) => Command::PromoteFull(full(name)),
        (["abort", name], []) => Command::Abort(full(name)),
        (["retry", "rollout" | "ro", name] | ["retry", name], []) => Command::Retry(full(name)),
        (["pause", name], []) => Command::Pause(full(name)),
        (["restart", name], []) => Command::Restart(full(name)),
        (["undo", name], []) => Command::Undo(full(name), None),
        (["undo", name], [flag]) => {
            let revision = flag.strip_prefix("--to-revision=").and_then(|text| text.parse().ok());
            Command::Undo(full(name), Some(revision.ok_or_else(unknown)?))
        }
        (["set", "image", name, image], []) => {
            let (_, image) = image.split_once('=').ok_or_else(unknown)?;
            Command::SetImage(full(name), image.to_owned())
        }
        _ => return Err(unknown()),
    };
    Ok(command)
}

/// The value of a flag, taken out of the words.
fn take_value<'w>(words: &mut Vec<&'w str>, names: &[&str]) -> Result<Option<&'w str>, String> {
    for index in 0..words.len() {
        let word = words[index];
        let joined = names.iter().find_map(|name| word.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = joined {
            words.remove(index);
            return Ok(Some(value));
        }
        if names.contains(&word) {
            if index + 1 >= words.len() {
                return Err(format!("{word} needs a value"));
            }
            words.remove(index);
            return Ok(Some(words.remove(index)));
        }
    }
    Ok(None)
}

fn scale(mut words: Vec<&str>, full: &impl Fn(&str) -> String) -> Option<Command> {
    let replicas = take_value(&mut words, &["--replicas"]).ok()??.parse().ok()?;
    let name = match words.as_slice() {
        ["kubectl", "scale", "rollout" | "rollouts" | "ro", name] => name,
        ["kubectl", "scale", target] => target.strip_prefix("rollout/").or(target.strip_prefix("rollouts/"))?,
        _ => return None,
    };
    Some(Command::Scale(full(name), replicas))
}

fn delete(target: &[&str], namespace: &str) -> Option<Command> {
    let (kind, name) = match target {
        [kind, name] => (*kind, *name),
        [target] => target.split_once('/')?,
        _ => return None,
    };
    Some(Command::Delete(Key::new(kind_of(kind)?, namespace, name)))
}

/// A kind as people write it.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    let name = name.to_lowercase();
    let known = [
        (Kind::Rollout, &["rollout", "rollouts", "ro"][..]),
        (Kind::AnalysisTemplate, &["analysistemplate", "analysistemplates"]),
        (
            Kind::ClusterAnalysisTemplate,
            &["clusteranalysistemplate", "clusteranalysistemplates"],
        ),
        (Kind::AnalysisRun, &["analysisrun", "analysisruns", "ar"]),
        (Kind::Deployment, &["deployment", "deployments", "deploy"]),
        (Kind::ReplicaSet, &["replicaset", "replicasets", "rs"]),
        (Kind::Service, &["service", "services", "svc"]),
        (Kind::HttpRoute, &["httproute", "httproutes"]),
    ];
    known
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()))
        .map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_typed() {
        let shop = || "default/shop".to_owned();
        let rows = [
            ("kubectl sluice promote shop", Command::Promote(shop())),
            ("kubectl sluice promote shop --full", Command::PromoteFull(shop())),
            ("kubectl argo rollouts abort shop", Command::Abort(shop())),
            ("kubectl argo rollouts retry rollout shop", Command::Retry(shop())),
            ("kubectl sluice retry shop -n eu", Command::Retry("eu/shop".to_owned())),
            ("kubectl sluice pause shop", Command::Pause(shop())),
            ("kubectl argo rollouts undo shop", Command::Undo(shop(), None)),
            (
                "kubectl argo rollouts undo shop --to-revision=1",
                Command::Undo(shop(), Some(1)),
            ),
            (
                "kubectl argo rollouts set image shop '*=shop:v2'",
                Command::SetImage(shop(), "shop:v2".to_owned()),
            ),
            ("kubectl scale rollout/shop --replicas=5", Command::Scale(shop(), 5)),
            ("kubectl scale --replicas 5 rollout shop", Command::Scale(shop(), 5)),
            (
                "kubectl delete svc shop",
                Command::Delete(Key::new(Kind::Service, "default", "shop")),
            ),
        ];
        for (line, expected) in rows {
            assert_eq!(command(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_says_what_is() {
        for line in [
            "",
            "ls",
            "kubectl sluice promot shop",
            "kubectl scale rollout/shop",
            "kubectl sluice promote shop --fast",
        ] {
            let error = command(line).expect_err(line);
            assert!(error.contains("kubectl sluice promote"), "{line}: {error}");
        }
    }
}
