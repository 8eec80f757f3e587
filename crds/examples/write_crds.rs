//! Writes `crds/yaml/` again after a type was changed.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    fs::create_dir_all(&folder)?;
    for (name, content) in sluice_crds::yaml::yaml_files() {
        fs::write(folder.join(&name), content)?;
        println!("wrote {name}");
    }
    Ok(())
}
