//! Everything that was ever worth keeping of fuzzing, read once more: `fuzz/seeds/TARGET` and
//! `fuzz/found/TARGET`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

#[test]
fn every_input_that_was_kept_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, target) in fuzz::TARGETS {
        let mut inputs = 0;
        for folder in ["seeds", "found"] {
            let Ok(entries) = fs::read_dir(root.join(folder).join(name)) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                println!("{}", path.display());
                target(&fs::read(&path).unwrap());
                inputs += 1;
            }
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}

#[test]
fn every_target_is_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in fuzz::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is in no manifest");
        assert!(root.join("targets").join(format!("{name}.rs")).is_file(), "{name}");
    }
}
