//! The files in examples/config are taken as they are, by the command that checks them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config"))
}

fn check(file: &Path, variables: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
    command.env_clear().args(["check", "--config"]).arg(file);
    command.envs(variables.iter().map(|name| (name, SECRET)));
    command.output().unwrap()
}

/// Every name that the text has in `key = "..."`.
fn named(text: &str, key: &str) -> Vec<String> {
    let before = format!("{key} = \"");
    let after = text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| {
        line.split(&before).skip(1).filter_map(|after| after.split('"').next()).map(str::to_owned)
    });
    after.collect()
}

#[test]
fn each_is_right_with_its_secrets() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        // The files that it names are in a folder of their own.
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("dialplane.toml");
        fs::write(&file, &text).unwrap();
        fs::create_dir(place.path().join("tls")).unwrap();
        fs::create_dir(place.path().join("secrets")).unwrap();
        for (i, name) in named(&text, "file").iter().enumerate() {
            // Each caller has a token of its own.
            let last = char::from(b'a' + u8::try_from(i).unwrap());
            fs::write(place.path().join(name), format!("{}{last}\n", &SECRET[1..])).unwrap();
        }
        for name in ["server.pem", "server.key", "clients.pem"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name);
            fs::copy(from, place.path().join("tls").join(name)).unwrap();
        }
        let variables = named(&text, "env");
        let variables: Vec<_> = variables.iter().map(String::as_str).collect();
        let output = check(&file, &variables);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {wrong}", path.display());
        assert!(!told.contains("warning"), "{}: {told}", path.display());
        assert!(!told.contains(&SECRET[1..]), "{}: {told}", path.display());
        // And is explained: every key has a line about it.
        assert!(text.matches('#').count() > 10, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn without_its_secrets_each_says_what_is_missing() {
    for name in ["phonon", "mobtexting", "knovvu"] {
        let path = folder().join(format!("{name}.toml"));
        let output = check(&path, &[]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        for variable in named(&fs::read_to_string(&path).unwrap(), "env") {
            assert!(told.contains(&format!("{variable} is not set")), "{variable}: {told}");
        }
    }
}
