//! What is said of configurations.

use std::{fs, path::PathBuf};

use super::*;

const PHONON: &str = "[vendors.p]\nkind = \"phonon\"\nproduct = \"outbound\"\nflow_id = \"AbCd1234\"\n\
     security_id = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n";
const KNOVVU: &str = "[vendors.k]\nkind = \"knovvu\"\nbase_url = \"https://k.example.test\"\n\
     project = \"p\"\naccess_token = \"a\"\nscenario_path = \"https://s.example.test\"\n\
     orchestrator_url = \"https://o.example.test\"\ndisplay_number = \"200\"\n";

/// In a folder that is there as long as the first is.
fn read(text: &str) -> (tempfile::TempDir, PathBuf, Config, Origins) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dialplane.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let (config, origins) = Config::load_with_origins(&file).unwrap_or_else(|e| panic!("{e}"));
    (folder, file, config, origins)
}

fn warned(text: &str) -> Vec<String> {
    let (_folder, file, config, origins) = read(text);
    let warnings = warnings::warnings(&config, &origins, &file);
    warnings.iter().map(Warning::to_string).collect()
}

fn told(text: &str, about: &str) -> String {
    let (_folder, _, config, origins) = read(text);
    let topics = topics(&config, &origins);
    let topic = topics.iter().find(|topic| topic.about == about);
    topic.unwrap_or_else(|| panic!("{topics:?}")).lines.join("\n")
}

#[track_caller]
fn expect(told: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(told.contains(piece), "expected {piece:?} in:\n{told}");
    }
}

#[test]
fn routes_tell_when_they_call_who_schedules_and_who_is_next() {
    let text = format!(
        "{PHONON}{KNOVVU}[routes.default]\nvendors = [\"p\"]\nschedule = \"vendor\"\n\
         [routes.office]\nvendors = [\"p\", \"k\"]\nqueue = true\noutside_window = \"refuse\"\n\
         window = {{ from = \"09:00\", to = \"18:00\", days = [\"mon\", \"fri\"], zone = \"callee\" }}\n\
         caller_id = \"+911140000000\"\nflow_id = \"AbCd1234\""
    );
    expect(
        &told(&text, "routes.default"),
        &[
            "Calls go to p. There is no other vendor",
            "shows the vendor's own number, and has the vendor's own script",
            "at any time",
            "schedules by itself gets a call at once",
            "refuses at once what would get it too late",
        ],
    );
    expect(
        &told(&text, "routes.office"),
        &[
            "Calls go to p and k, in this order",
            "shows +911140000000, and has flow AbCd1234",
            "09:00-18:00 mon, fri (callee); at other times calls are refused",
            "The gateway holds a call until its start_time",
            "waits on disk",
        ],
    );
}

#[test]
fn vendors_tell_what_they_get_and_how_results_come() {
    let text = format!(
        "[server]\ncallbacks = \"127.0.0.1:8080\"\n{PHONON}callback = {{ user = \"u\", password = \"p\" }}\n\
         results = {{ url = \"https://r.example.test/\" }}\nbreaker = false\n{KNOVVU}\
         rate = {{ calls = 10, requests = 60, per = \"30s\" }}\n\
         result_destination = \"https://c.example.test/callbacks/k/0123456789abcdef\"\n\
         [routes.default]\nvendors = [\"p\", \"k\"]"
    );
    expect(
        &told(&text, "vendors.p"),
        &[
            "no more than 500 calls in any 1m: the vendor's published limit",
            "may take 30s, of that 5s to connect",
            "the same bytes are sent again for up to 10m",
            "its breaker is off",
            "https://YOUR-HOST/callbacks/p with HTTP Basic authentication",
            "a proxy with TLS passes it on to 127.0.0.1:8080",
            "first after 10s",
            "once more after 1d; then the call is UNKNOWN",
            "security_id is in the configuration itself",
            "callback.password is in",
        ],
    );
    expect(
        &told(&text, "vendors.k"),
        &[
            "takes one call in each exchange",
            "10 calls and 60 requests in any 30s, questions for results among them",
            "your rate, in place of calls at any rate",
            "never sent again",
            "https://YOUR-HOST/callbacks/k/TOKEN",
        ],
    );
    let (_folder, _, config, origins) = read(&text);
    let all = format!("{:?}", topics(&config, &origins));
    for secret in ["aaaaaaaaaaaa", "0123456789abcdef", "r.example.test"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[test]
fn listeners_callers_and_the_ledger_are_told() {
    let text = format!(
        "[server]\nlisten = \"0.0.0.0:50051\"\ninsecure = [\"listen\"]\nadmin = \"127.0.0.1:9090\"\n\
         drain = \"1m\"\ndrain_notice = \"5s\"\n[ledger]\nurl = \"sqlite:/srv/calls.db\"\n\
         retain = \"90d\"\n{PHONON}[routes.r]\nvendors = [\"p\"]\n\
         [callers.billing]\ntoken = \"0123456789abcdef\"\nroutes = [\"r\"]\n\
         [callers.ops]\ntoken = \"0123456789abcdeg\""
    );
    expect(
        &told(&text, "server"),
        &[
            "0.0.0.0:50051, which other machines reach, in the clear",
            "Nobody but billing and ops may use the API",
            "takes no posts of vendors",
            "127.0.0.1:9090, which this machine alone reaches",
            "takes calls for 5s more, then finishes what is under way for up to 1m",
        ],
    );
    expect(
        &told(&text, "callers.billing"),
        &["through r alone, and may not use the do-not-call list", "token is in the configuration"],
    );
    expect(&told(&text, "callers.ops"), &["all routes, and keeps the do-not-call list"]);
    expect(&told(&text, "ledger"), &["in /srv/calls.db", "kept for 90d"]);
    expect(&told(&text, "routes"), &["no route named default"]);
}

#[test]
fn what_is_right_has_no_warnings() {
    let text = format!(
        "[server]\ncallbacks = \"127.0.0.1:8080\"\n{PHONON}callback = {{ user = \"u\", password = \"p\" }}\n\
         {KNOVVU}[routes.default]\nvendors = [\"p\", \"k\"]"
    );
    assert_eq!(warned(&text), [""; 0]);
}

#[test]
fn what_is_probably_not_meant_is_told() {
    let routes = "[routes.default]\nvendors = [\"k\"]\n";
    let mob = "[vendors.m]\nkind = \"mobtexting\"\naccess_token = \"t\"\n";
    let cases: [(String, &[&str]); 12] = [
        (
            format!("[server]\ncallbacks = \"127.0.0.1:8080\"\n{KNOVVU}{routes}"),
            &["server.callbacks: is 127.0.0.1:8080, and no vendor was told"],
        ),
        (
            format!(
                "{PHONON}callback = {{ user = \"u\", password = \"p\" }}\n[routes.default]\nvendors = [\"p\"]"
            ),
            &[
                "vendors.p: can post results, and server.callbacks is not set",
                "vendors.p: posts nothing",
            ],
        ),
        (
            format!("{PHONON}[routes.default]\nvendors = [\"p\"]"),
            &["vendors.p: posts nothing that is taken, and can't be asked"],
        ),
        (
            format!("{KNOVVU}{PHONON}results = {{ url = \"https://r.test\" }}\n{routes}"),
            &["vendors.p: is in no route"],
        ),
        (
            format!(
                "[server]\nlisten = \"0.0.0.0:50051\"\ninsecure = true\n{KNOVVU}{routes}[callers.a]\ntoken = \"0123456789abcdef\""
            ),
            &["server.listen: is 0.0.0.0:50051, without tls: the tokens of a go"],
        ),
        (
            format!("[ledger]\nurl = \"sqlite::memory:\"\n{KNOVVU}{routes}"),
            &["ledger.url: forgets"],
        ),
        (
            format!("[ledger]\nurl = \"sqlite:/tmp/a.db\"\n{KNOVVU}{routes}"),
            &["ledger.url: is in /tmp/"],
        ),
        (
            format!("{KNOVVU}give_up_after = \"5s\"\n{routes}"),
            &[
                "vendors.k.give_up_after: is 5s, and poll_interval 10s",
                "vendors.k.give_up_after: is 5s, and timeout 30s",
            ],
        ),
        (
            format!("[server]\ndrain = \"10s\"\n{KNOVVU}{routes}"),
            &["server.drain: is 10s, and vendors.k may take 30s"],
        ),
        (
            format!(
                "[server]\ncallbacks = \"127.0.0.1:8080\"\n{KNOVVU}result_destination = \"https://c.test/callbacks/other/0123456789abcdef\"\n{routes}"
            ),
            &[
                "vendors.k.result_destination: leads to /callbacks/other/..., and this gateway takes its posts at /callbacks/k/...",
            ],
        ),
        (
            format!("{mob}[routes.default]\nvendors = [\"m\"]\ncaller_id = \"+918000000001\""),
            &["routes.default: a call that names no "],
        ),
        (
            format!(
                "{PHONON}results = {{ url = \"https://r.test\" }}\n{mob}bridge = \"1234\"\n[routes.default]\nvendors = [\"p\", \"m\"]\naudio = \"https://x.test/a.mp3\""
            ),
            &["routes.default: calls that say nothing else pass over p: Phonon plays no audio"],
        ),
    ];
    for (text, expected) in cases {
        let warnings = warned(&text);
        assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.starts_with(expected), "{warning}");
        }
    }
}

#[test]
fn a_secret_in_a_file_for_everybody_is_told_of() {
    let (_folder, file, config, origins) =
        read(&format!("{KNOVVU}[routes.default]\nvendors = [\"k\"]"));
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let warnings = warnings::warnings(&config, &origins, &file);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].key, "vendors.k.access_token");
}

#[test]
fn long_lines_are_broken_between_words() {
    let text = wrapped(&"word ".repeat(60), "  - ");
    assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    assert!(text.lines().skip(1).all(|line| line.starts_with("    word")), "{text}");
    assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
}

#[test]
fn what_does_not_hold_is_not_told() {
    // Nobody can ask, so no questions count; and a pause may be longer than the longest.
    let vendor = |breaker: &str| {
        let text = format!(
            "{PHONON}rate = {{ requests = 10 }}\nbreaker = {breaker}\n[routes.default]\nvendors = [\"p\"]"
        );
        told(&text, "vendors.p")
    };
    let long = vendor("{ pause = \"1h\" }");
    expect(
        &long,
        &[
            "no more than 10 requests in any 1m: your rate",
            "After 5 failures of its own in a row it gets no calls for 1h, and again as long while it fails on.",
        ],
    );
    assert!(!long.contains("questions"), "{long}");
    expect(
        &vendor("{ failures = 1 }"),
        &[
            "After a failure of its own it gets no calls for 30s, and for longer while it fails on, up to 5m.",
        ],
    );
}

#[test]
fn where_a_vendor_posts_is_what_it_is_told() {
    let text = format!(
        "[server]\ncallbacks = \"127.0.0.1:8080\"\n{KNOVVU}\
         result_destination = \"https://c.test/callbacks/other/0123456789abcdef\"\n\
         [routes.default]\nvendors = [\"k\"]"
    );
    expect(&told(&text, "vendors.k"), &["https://YOUR-HOST/callbacks/other/TOKEN, as configured"]);
}

#[test]
fn tls_on_a_socket_is_told() {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");
    let text = format!(
        "[server]\nlisten = \"unix:/run/d.sock\"\ntls = {{ certificate = \"{files}/server.pem\", \
         key = \"{files}/server.key\", client_ca = \"{files}/clients.pem\" }}\n{PHONON}\
         [routes.default]\nvendors = [\"p\"]"
    );
    expect(
        &told(&text, "server"),
        &[
            "0600 let in, over TLS, for those who show a certificate of an authority in",
            "Whoever shows such a certificate may use all of the API.",
        ],
    );
}
