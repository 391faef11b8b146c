//! What is in `deploy/` is configured as the gateway takes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

use dialplane::config::{Config, Listen};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)).unwrap()
}

/// The configuration within a manifest: a text block, indented by four.
fn block(manifest: &str) -> String {
    let (_, after) = manifest.split_once("  dialplane.toml: |\n").unwrap();
    let lines = after.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n").collect()
}

/// With the secrets of the manifest, and the certificates of tests.
fn parsed(manifest: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let mut text = block(manifest);
    for line in manifest.lines() {
        let Some((name, value)) = line.trim().split_once(": \"") else { continue };
        let named = format!("/run/secrets/dialplane/{name}\"");
        if text.contains(&named) {
            let path = folder.path().join(name);
            fs::write(&path, value.trim_end_matches('"')).unwrap();
            text = text.replace(&named, &format!("{}\"", path.display()));
        }
    }
    for (name, file) in
        [("tls.crt", "server.pem"), ("tls.key", "server.key"), ("ca.crt", "clients.pem")]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(file);
        text = text.replace(&format!("/run/tls/{name}"), path.to_str().unwrap());
    }
    Config::parse(&text, Path::new("/nowhere"), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_sidecar_is_reached_over_a_socket_alone() {
    let manifest = read("kubernetes/sidecar.yaml");
    let config = parsed(&manifest);
    assert!(
        matches!(&config.server.listen, Listen::Unix(path) if path.starts_with("/run/dialplane"))
    );
    assert_eq!(config.server.admin.unwrap().port(), 9090);
    assert!(config.vendors["phonon-in"].adapter.callback().is_some());
}

#[test]
fn the_service_knows_its_callers() {
    let manifest = read("kubernetes/deployment.yaml");
    let config = parsed(&manifest);
    assert!(config.server.tls.as_ref().unwrap().client_ca.is_some());
    assert_eq!(config.callers.len(), 1);
    // Kubernetes waits for as long as the gateway takes to end.
    let (_, grace) = manifest.split_once("terminationGracePeriodSeconds: ").unwrap();
    let grace: u64 = grace.lines().next().unwrap().parse().unwrap();
    let server = &config.server;
    assert!(grace > (server.drain.unwrap() + server.drain_notice).as_secs() + 2);
}

#[test]
fn the_demonstration_is_of_every_vendor() {
    let config = Config::parse(&read("compose/dialplane.toml"), Path::new("/nowhere"), &|_| None);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let mut kinds: Vec<_> = config.vendors.values().map(|v| v.adapter.kind()).collect();
    kinds.sort();
    assert_eq!(kinds, ["knovvu", "mobtexting", "phonon"]);
}

#[test]
fn what_compose_mounts_is_there() {
    let compose = read("compose/compose.yaml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose");
    let mounts = compose.lines().filter_map(|line| line.trim().strip_prefix("- ."));
    let mounts: Vec<_> = mounts.filter_map(|line| line.split(':').next()).collect();
    assert!(mounts.len() > 4, "{mounts:?}");
    for mount in mounts {
        assert!(folder.join(format!(".{mount}")).exists(), "{mount}");
    }
}
