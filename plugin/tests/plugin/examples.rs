//! The examples are what users copy: each must be free of problems, warnings included.

use std::path::{Path, PathBuf};

use sluice_plugin::lint;

fn folders() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let entries = std::fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn every_example_is_free_of_problems() {
    let folders = folders();
    assert!(!folders.is_empty(), "there are no examples");
    for folder in folders {
        let sources = lint::read(std::slice::from_ref(&folder)).unwrap();
        let report = lint::lint(&sources, true);
        assert_eq!(report.findings, [], "{}", folder.display());
        assert!(report.objects > 0, "{}: no object of ours", folder.display());
    }
}
