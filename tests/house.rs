//! What the house says of itself has to be true: the rooms' arrows, and the tables of
//! the documentation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use dialplane::{
    api::code_of,
    call::Cause,
    gateway::FAILOVER,
    vendors::{knovvu::codes as knovvu, mobtexting::codes as mobtexting, phonon},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(room: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src").join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_of_tests(&path) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {room}");
    found
}

/// `tests.rs`, `place_tests.rs`, `testing.rs`, `tests/...`: what a test does is its own
/// business.
fn is_of_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    name.ends_with("tests")
        || name == "testing"
        || path.components().any(|c| c.as_os_str() == "tests")
}

/// Lines of a room that mention one of the words outside of comments.
fn mentions(room: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(room) {
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn the_domain_and_the_adapters_are_pure() {
    let impure = [
        "tokio",
        "hyper",
        "tonic",
        "rusqlite",
        "axum",
        "std::net",
        "std::fs",
        "SystemTime",
        "Timestamp::now",
        "async fn",
    ];
    for room in ["call", "vendors"] {
        assert_eq!(mentions(room, &impure), Vec::<String>::new());
    }
    assert_eq!(mentions("call", &["crate::"]), Vec::<String>::new(), "the domain knows nobody");
}

#[test]
fn arrows_point_one_way() {
    let rules: [(&str, &[&str]); 9] = [
        (
            "vendors",
            &["crate::gateway", "crate::api", "crate::ledger", "crate::cli", "crate::sandbox"],
        ),
        (
            "ledger",
            &["crate::gateway", "crate::api", "crate::vendors", "crate::http", "crate::cli"],
        ),
        (
            "gateway",
            &[
                "crate::api",
                "crate::callbacks",
                "crate::cli",
                "crate::sandbox",
                "tonic",
                "hyper",
                "rusqlite",
            ],
        ),
        (
            "callbacks",
            &[
                "crate::api",
                "crate::call::",
                "crate::cli",
                "crate::ledger",
                "crate::proto",
                "crate::sandbox",
                "crate::vendors",
                "tonic",
                "rusqlite",
                "client::",
            ],
        ),
        (
            "admin",
            &[
                "crate::call::",
                "crate::callbacks",
                "crate::cli",
                "crate::ledger",
                "crate::proto",
                "crate::sandbox",
                "crate::vendors",
                "rusqlite",
            ],
        ),
        (
            "telemetry",
            &[
                "crate::admin",
                "crate::api",
                "crate::call::",
                "crate::callbacks",
                "crate::cli",
                "crate::gateway",
                "crate::ledger",
                "crate::sandbox",
                "crate::vendors",
                "rusqlite",
            ],
        ),
        (
            "http",
            &["crate::gateway", "crate::api", "crate::vendors", "crate::ledger", "crate::cli"],
        ),
        (
            "listen",
            &[
                "crate::api",
                "crate::call",
                "crate::cli",
                "crate::gateway",
                "crate::http",
                "crate::ledger",
                "crate::sandbox",
                "crate::vendors",
                "hyper",
                "tonic",
                "rusqlite",
            ],
        ),
        (
            "sandbox",
            &[
                "crate::vendors",
                "crate::http",
                "crate::call",
                "crate::gateway",
                "crate::api",
                "crate::config",
                "crate::ledger",
            ],
        ),
    ];
    for room in ["call", "vendors", "ledger", "sandbox"] {
        let mut found = mentions(room, &["crate::telemetry"]);
        // What is counted under the disk's roof is told from there.
        found.retain(|line| room != "ledger" || !line.contains("crate::telemetry::metrics"));
        assert_eq!(found, Vec::<String>::new(), "{room} is observed from outside");
    }
    for (room, forbidden) in rules {
        assert_eq!(mentions(room, forbidden), Vec::<String>::new());
    }
}

#[test]
fn every_vendor_is_one_folder_and_one_line() {
    let registry = fs::read_to_string(root().join("src/vendors/mod.rs")).unwrap();
    for entry in fs::read_dir(root().join("src/vendors")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(
                registry.contains(&format!("{name}::REGISTRATION")),
                "{name} is not registered"
            );
        }
    }
}

/// The rows of the table below a heading, as cells.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let section = text
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no heading {heading}"));
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

fn code(cause: Cause) -> String {
    // UNAVAILABLE for Unavailable, ALREADY_EXISTS for AlreadyExists.
    let mut name = String::new();
    for c in format!("{:?}", code_of(cause)).chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn state(cause: Cause) -> String {
    if cause == Cause::InDoubt { "UNCONFIRMED" } else { "FAILED" }.to_owned()
}

fn outcome(cause: Option<Cause>) -> (String, String) {
    cause.map_or(("OK".to_owned(), "ACCEPTED".to_owned()), |cause| (code(cause), state(cause)))
}

#[test]
fn the_documented_phonon_codes_are_those_of_the_code() {
    let expected: Vec<_> = phonon::CODES
        .iter()
        .map(|row| {
            let (code, state) = outcome(row.cause);
            vec![row.code.to_string(), row.name.to_owned(), code, state]
        })
        .collect();
    assert_eq!(table("docs/errors.md", "Phonon"), expected);
}

#[test]
fn the_documented_mobtexting_answers_are_those_of_the_code() {
    use mobtexting::Observed;
    let expected: Vec<_> = mobtexting::READINGS
        .iter()
        .map(|row| {
            let seen = match row.observed {
                Observed::Status(status) => status.to_string(),
                Observed::Login => "redirect to /login, or its page".to_owned(),
                Observed::Error => "2xx, body status ERROR without a code".to_owned(),
                Observed::UnknownStatus => "2xx, any other body status".to_owned(),
                Observed::NoCallId => "2xx, body status OK, no call id".to_owned(),
                Observed::Unreadable => "2xx, not JSON".to_owned(),
            };
            vec![seen, row.reason.to_owned(), code(row.cause), state(row.cause)]
        })
        .collect();
    assert_eq!(table("docs/errors.md", "MobTexting"), expected);
}

#[test]
fn the_documented_knovvu_answers_are_those_of_the_code() {
    use knovvu::Observed;
    let expected: Vec<_> = knovvu::READINGS
        .iter()
        .map(|row| {
            let seen = match row.observed {
                Observed::Status(status) => status.to_string(),
                Observed::NoUniqueId => "2xx, no UniqueId".to_owned(),
                Observed::Unreadable => "2xx, not JSON".to_owned(),
            };
            vec![seen, row.reason.to_owned(), code(row.cause), state(row.cause)]
        })
        .collect();
    assert_eq!(table("docs/errors.md", "Knovvu"), expected);
}

#[test]
fn the_documented_failovers_are_those_of_the_code() {
    let expected: Vec<_> = FAILOVER
        .iter()
        .map(|row| {
            let moves = if row.moves_on { "yes" } else { "no" };
            vec![format!("{:?}", row.cause), moves.to_owned(), row.because.to_owned()]
        })
        .collect();
    assert_eq!(table("docs/guarantees.md", "When the next vendor is tried"), expected);
}

#[test]
fn the_documented_causes_are_those_of_the_code() {
    let rows = table("docs/errors.md", "Causes");
    let documented: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[2].clone())).collect();
    let expected: Vec<_> =
        Cause::ALL.iter().map(|cause| (format!("{cause:?}"), code(*cause))).collect();
    assert_eq!(documented, expected);
}

/// A line of a table names a file, and a function in it.
fn tests_of(document: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut found = Vec::new();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    for cell in rows.filter_map(|line| line.trim_end_matches('|').rsplit('|').next()) {
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        for pair in names.chunks(2) {
            if let [file, test] = pair
                && file.ends_with(".rs")
            {
                found.push(((*file).to_owned(), (*test).to_owned()));
            }
        }
    }
    found
}

#[test]
fn each_threat_has_the_test_that_is_named() {
    let tests = tests_of("docs/threat-model.md");
    assert!(tests.len() > 30, "{tests:?}");
    for (file, test) in tests {
        let text = fs::read_to_string(root().join(&file)).unwrap_or_default();
        assert!(text.contains(&format!("fn {test}(")), "{file} has no {test}");
    }
}

/// What a heading is called in an address: letters, digits, "-" and "_", words joined by "-".
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// The documents for people, from the root.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root().to_owned(), root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && folder != root() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn documents_refer_to_what_is_there() {
    let documents = documents();
    assert!(documents.len() > 10, "{documents:?}");
    let mut broken = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in text.split("](").skip(1).filter_map(|after| after.split(')').next()) {
            if link.starts_with("http") || link.contains(char::is_whitespace) {
                continue;
            }
            let (path, at) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let is_there = target.exists()
                && (at.is_empty()
                    || fs::read_to_string(&target)
                        .unwrap_or_default()
                        .lines()
                        .any(|line| line.starts_with('#') && anchor(line) == at));
            if !is_there {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
