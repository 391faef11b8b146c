//! Every example of a configuration that there is has the form that the schema says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Schema, base};

/// Files of these kinds, from the root, but not what is built or tested with.
fn files(ends: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<_> =
        ["docs", "deploy", "examples/config"].iter().map(|name| root.join(name)).collect();
    found.push(root.join("README.md"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    let is_meant = |path: &PathBuf| {
        path.extension().is_some_and(|end| ends.iter().any(|wanted| end == *wanted))
    };
    found.into_iter().filter(is_meant).collect()
}

/// What stands between fences, or is a text block of a manifest.
fn blocks(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "md" => {
            let after = text.split("```toml\n").skip(1);
            after.filter_map(|after| after.split("```").next()).map(str::to_owned).collect()
        }
        "yaml" => {
            let after = text.split("dialplane.toml: |\n").skip(1);
            after
                .map(|after| {
                    let lines = after.lines();
                    let lines =
                        lines.take_while(|line| line.is_empty() || line.starts_with("    "));
                    lines.map(|line| format!("{}\n", line.trim())).collect()
                })
                .collect()
        }
        _ => vec![text],
    }
}

#[test]
fn every_example_has_the_right_form() {
    let (schema, mut seen) = (Schema::read(), 0);
    for path in files(&["md", "toml", "yaml"]) {
        for block in blocks(&path) {
            let place = path.display();
            let document: Result<Value, _> = toml::from_str(&block);
            let mut document = document.unwrap_or_else(|e| panic!("{place}: {e}\n{block}"));
            let root = document.as_object_mut().unwrap();
            // Those of documents are pieces of one as a rule.
            for section in ["vendors", "routes"] {
                root.entry(section).or_insert_with(|| base()[section].take());
            }
            let wrong = schema.refuses(&document);
            assert_eq!(wrong, None, "{place}:\n{block}");
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen}");
}

#[test]
fn every_key_of_the_schema_is_explained() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md"))
            .unwrap();
    let is_told = |key: &str| {
        let parts = ["`", " ", ".", "{ ", "["];
        parts.iter().any(|before| {
            [" ", "`", ".", "]"].iter().any(|after| text.contains(&format!("{before}{key}{after}")))
        })
    };
    let keys = super::walk::walk().keys.into_iter();
    let missing: Vec<_> = keys.filter(|key| !is_told(key.path.last().unwrap())).collect();
    let missing: Vec<_> = missing.iter().map(|key| key.path.join(".")).collect();
    assert_eq!(missing, [""; 0]);
}
