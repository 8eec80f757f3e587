//! The cluster in a box as a person gets it: what is printed works from outside, and Ctrl-C takes all of it away.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_person_can_use_the_cluster_from_outside_and_ctrl_c_ends_it() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("up-{}", std::process::id()));
    let mut outer = Command::new(env!("CARGO_BIN_EXE_sluice-box"))
        .args(["up", "--empty", "--folder"])
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built with this test");
    let output = BufReader::new(outer.stdout.take().expect("it is piped"));
    let mut said = Vec::new();
    for line in output.lines() {
        said.push(line.expect("it is text"));
        if said.last().is_some_and(|line| line.starts_with("Ctrl-C ends")) {
            break;
        }
    }
    let said = said.join("\n");
    assert!(
        said.contains(&format!("export KUBECONFIG={}/kubeconfig", folder.display())),
        "it said:\n{said}"
    );

    let nodes = Command::new(folder.join("bin/kubectl"))
        .args(["get", "nodes", "--output=jsonpath={.items[*].metadata.name}"])
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .output()
        .expect("kubectl is linked");
    let names = String::from_utf8_lossy(&nodes.stdout);
    assert_eq!(names, "box", "kubectl said: {}", String::from_utf8_lossy(&nodes.stderr));

    let id = Pid::from_raw(i32::try_from(outer.id()).expect("ids are small")).expect("it is not 0");
    kill_process(id, Signal::INT).expect("it runs");
    let status = outer.wait().expect("it ends");
    // It fails by itself when a process is left, see sluice_tests::inside.
    assert!(status.success(), "it ended with {status}");
    assert!(!fs::exists(&folder).expect("it can be asked"), "the folder is removed");
}
