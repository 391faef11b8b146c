//! The configuration file as an operator meets it.

use std::{fs, path::Path, time::Duration};

use proptest::prelude::*;

use super::{Breaker, Config, Listen, Problems, Rate};
use crate::call::Script;

mod meant;
mod mistakes;
mod secrets;
mod toy;
mod window;

const CANARY: &str = "c4n4ry-s3cr3t";

const GOOD: &str = r#"
[server]
listen = "127.0.0.1:50052"
callbacks = "127.0.0.1:8080"
admin = "[::1]:9090"

[ledger]
url = "sqlite:/var/lib/dialplane/ledger.db"
retain = "90d"

[vendors.flows-in]
kind = "flows"
base_url = "https://api.example.com/v1"
token = { env = "TOKEN" }
flow_id = "AbCd1234"
timeout = "10s"
connect_timeout = "2s"
rate = { requests = 1_000, per = "30s" }
max_in_flight = 3
poll_interval = "1m"
give_up_after = "2h"

[vendors.audio_2]
kind = "audio"
token = "c4n4ry-s3cr3t"

[routes.default]
vendors = ["flows-in", "audio_2"]
caller_id = "+911140000000"
flow_id = "f-1"

[routes.spoken]
vendors = ["audio_2"]
audio = "https://cdn.example.com/a.wav"
window = { from = "09:00", to = "21:00", days = ["mon", "Tuesday"], zone = "callee" }
outside_window = "refuse"
schedule = "gateway"
"#;

fn environment(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| CANARY.to_owned())
}

fn parse_in(directory: &Path, text: &str) -> Result<Config, Problems> {
    Config::parse_with(toy::REGISTRY, text, directory, &environment)
}

fn parse(text: &str) -> Result<Config, Problems> {
    parse_in(Path::new("/nonexistent"), text)
}

/// The mistakes of a text as "LINE KEY: MESSAGE", or nothing.
fn mistakes(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            problems.list().iter().map(|p| format!("{} {}: {}", p.line, p.key, p.message)).collect()
        }
    }
}

/// A good file with other lines in [server], in the vendor and in the route.
fn with(server: &str, vendor: &str, route: &str) -> String {
    format!(
        "[server]\n{server}\n[vendors.a]\nkind = \"flows\"\ntoken = \"t\"\n{vendor}\n[routes.r]\nvendors = [\"a\"]\n{route}\n"
    )
}

#[test]
fn a_good_file_says_everything() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.server.listen, Listen::Tcp("127.0.0.1:50052".parse().unwrap()));
    assert_eq!(config.server.callbacks, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.server.admin, Some("[::1]:9090".parse().unwrap()));
    assert_eq!(config.ledger, "sqlite:/var/lib/dialplane/ledger.db");
    assert_eq!(config.retain, Duration::from_secs(90 * 86_400));

    let flows = &config.vendors["flows-in"];
    assert_eq!((flows.name.as_str(), flows.adapter.kind()), ("flows-in", "flows"));
    assert_eq!(flows.link.timeout, Duration::from_secs(10));
    assert_eq!(flows.link.connect_timeout, Duration::from_secs(2));
    let rate = Rate { calls: None, requests: Some(1_000), per: Duration::from_secs(30) };
    assert_eq!((flows.rate, flows.max_in_flight), (rate, 3));
    assert_eq!(flows.poll_interval, Duration::from_secs(60));
    assert_eq!(flows.give_up_after, Duration::from_secs(7_200));

    let route = &config.routes["default"];
    assert_eq!(route.vendors, ["flows-in", "audio_2"]);
    assert_eq!(route.caller_id.as_ref().unwrap().as_str(), "+911140000000");
    assert_eq!(route.script, Some(Script::Flow("f-1".to_owned())));
    let audio = Script::Audio("https://cdn.example.com/a.wav".to_owned());
    assert_eq!(config.routes["spoken"].script, Some(audio));
}

#[test]
fn what_is_left_out_has_a_default() {
    let config =
        parse("[vendors.a]\nkind = \"flows\"\ntoken = \"t\"\n[routes.r]\nvendors = [\"a\"]")
            .unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:50051");
    assert_eq!((config.server.callbacks, config.server.admin), (None, None));
    assert_eq!(config.ledger, "sqlite:dialplane.db");
    assert_eq!(config.retain, Duration::from_secs(30 * 86_400));
    let vendor = &config.vendors["a"];
    assert_eq!(vendor.link.timeout, Duration::from_secs(30));
    assert_eq!(vendor.link.connect_timeout, Duration::from_secs(5));
    assert!(vendor.link.ca.is_none());
    let rate = Rate { calls: Some(500), requests: None, per: Duration::from_secs(60) };
    assert_eq!((vendor.rate, vendor.max_in_flight), (rate, 7));
    assert_eq!(vendor.poll_interval, Duration::from_secs(11));
    assert_eq!(vendor.give_up_after, Duration::from_secs(3_600));
    assert_eq!(vendor.breaker, Some(Breaker { failures: 5, pause: Duration::from_secs(30) }));
    let route = &config.routes["r"];
    assert!(route.caller_id.is_none() && route.script.is_none());
}

#[test]
fn a_breaker_is_set_or_turned_off() {
    let breaker =
        |failures, seconds| Some(Breaker { failures, pause: Duration::from_secs(seconds) });
    for (text, expected) in [
        ("breaker = { failures = 3, pause = \"1m\" }", breaker(3, 60)),
        ("breaker = { pause = \"2s\" }", breaker(5, 2)),
        ("breaker = { failures = 1 }", breaker(1, 30)),
        ("breaker = {}", breaker(5, 30)),
        ("breaker = true", breaker(5, 30)),
        ("breaker = false", None),
    ] {
        let config = parse(&with("", text, "")).unwrap();
        assert_eq!(config.vendors["a"].breaker, expected, "{text}");
    }
}

#[test]
fn calls_wait_five_milliseconds_for_others_unless_told_otherwise() {
    for (text, milliseconds) in [
        ("", 5),
        ("batch = {}", 5),
        ("batch = { max_delay = \"20ms\" }", 20),
        ("batch.max_delay = \"1s\"", 1_000),
        ("batch.max_delay = \"0ms\"", 0),
        ("batch.max_delay = 0", 0),
    ] {
        let config = parse(&with("", text, "")).unwrap();
        assert_eq!(config.vendors["a"].max_delay, Duration::from_millis(milliseconds), "{text}");
    }
    for text in ["batch = 5", "batch.max_delay = 5", "batch.max_delay = \"2s\"", "batch.delay = 0"]
    {
        assert!(parse(&with("", text, "")).is_err(), "{text}");
    }
}

#[test]
fn a_request_id_is_required_when_that_is_said() {
    for (server, required) in
        [("", false), ("require_request_id = false", false), ("require_request_id = true", true)]
    {
        let config = parse(&with(server, "", "")).unwrap();
        assert_eq!(config.server.require_request_id, required, "{server}");
    }
}

#[test]
fn what_an_operator_says_aloud_is_taken() {
    let cases = [
        "insecure = true\nlisten = \"0.0.0.0:50051\"\nadmin = \"10.0.0.1:9090\"",
        "listen = \"unix:/run/dialplane.sock\"\nadmin = \"127.0.0.1:50051\"",
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ncallbacks = \"127.0.0.1:0\"",
        "listen = \"[::ffff:127.0.0.1]:5\"",
    ];
    for server in cases {
        assert_eq!(mistakes(&with(server, "", "")), [] as [&str; 0], "{server}");
    }
    for url in ["sqlite::memory:", "sqlite:a.db", "sqlite:/a/b.db"] {
        let text = format!("[ledger]\nurl = {url:?}\n{}", with("", "", ""));
        assert_eq!(parse(&text).unwrap().ledger, url);
    }
    for url in [
        "sqlite:",
        "sqlite://a.db",
        "a.db",
        "sqlite:a?mode=ro",
        "postgres://db",
        "sqlite::Memory:",
        "sqlite:/srv/",
    ] {
        let text = format!("[ledger]\nurl = {url:?}\n{}", with("", "", ""));
        assert!(mistakes(&text)[0].starts_with("2 ledger.url: names no ledger"), "{url}");
    }
}

#[test]
fn what_is_over_is_kept_for_a_day_at_least() {
    let text = |retain: &str| format!("[ledger]\nretain = {retain}\n{}", with("", "", ""));
    for (retain, hours) in [("\"24h\"", 24), ("\"1d\"", 24), ("\"3650d\"", 87_600)] {
        let config = parse(&text(retain)).unwrap();
        assert_eq!(config.retain, Duration::from_secs(hours * 3_600), "{retain}");
    }
    for retain in ["\"23h\"", "\"86399s\"", "\"3651d\"", "\"0s\"", "\"for ever\"", "30"] {
        let mistakes = mistakes(&text(retain));
        assert!(mistakes[0].starts_with("2 ledger.retain: is "), "{mistakes:?}");
        assert!(mistakes[0].contains("a time with its unit from 1d to 3650d"), "{mistakes:?}");
    }
}

#[test]
fn a_route_needs_a_vendor_that_can() {
    let vendors = "[vendors.f]\nkind = \"flows\"\ntoken = \"t\"\n[vendors.a]\nkind = \"audio\"\ntoken = \"t\"\n";
    let on = |route: &str| mistakes(&format!("{vendors}[routes.r]\n{route}"));
    assert_eq!(
        on("vendors = [\"a\", \"f\"]\nflow_id = \"x\"\ncaller_id = \"12\""),
        [] as [&str; 0]
    );
    assert_eq!(on("vendors = [\"a\", \"f\"]\naudio = \"x\""), [] as [&str; 0]);
    assert_eq!(
        on("vendors = [\"a\"]\nflow_id = \"x\"\ncaller_id = \"12\""),
        [
            "9 routes.r.flow_id: none of the route's vendors runs flows; expected audio",
            "10 routes.r.caller_id: none of the route's vendors takes one with a call; leave it out",
        ]
    );
}

#[test]
fn a_vendor_that_vanishes_without_a_word_is_a_mistake() {
    let text = with("", "", "").replace("\"flows\"", "\"silent\"");
    assert!(
        mistakes(&text)
            .contains(&"4 vendors.a.kind: a silent vendor can't be made of these keys".to_owned())
    );
}

#[test]
fn names_are_short_and_plain() {
    let named = |name: &str| {
        mistakes(&format!(
            "[vendors.{name:?}]\nkind = \"flows\"\ntoken = \"t\"\n[routes.r]\nvendors = [{name:?}]"
        ))
    };
    for name in ["a", "A-1_b", &"x".repeat(63)] {
        assert_eq!(named(name), [] as [&str; 0], "{name}");
    }
    for name in ["", "a.b", "a b", "ä", "a\nb", &"x".repeat(64)] {
        let found = named(name);
        assert!(found[0].contains("has a wrong name; expected 1 to 63 letters"), "{found:?}");
        assert!(!found[0].contains('\n'));
    }
    assert!(named("")[0].starts_with("1 vendors.\"\": has"), "{:?}", named(""));
}

#[test]
fn certificates_are_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let good = include_bytes!("../../../tests/certificates/ca.pem");
    fs::write(folder.path().join("good.pem"), good).unwrap();
    fs::write(folder.path().join("none.pem"), "nothing\n").unwrap();
    let coded = b"-----BEGIN CERTIFICATE-----\ngarbage=\n-----END CERTIFICATE-----\n";
    fs::write(folder.path().join("coded.pem"), coded).unwrap();
    fs::write(folder.path().join("cut.pem"), &good[..good.len() / 2]).unwrap();
    let key = include_bytes!("../../../tests/certificates/server.key");
    fs::write(folder.path().join("key.pem"), key).unwrap();
    let parse = |file: &str| parse_in(folder.path(), &with("", &format!("ca_file = {file:?}"), ""));

    assert_eq!(parse("good.pem").unwrap().vendors["a"].link.ca.as_deref(), Some(good.as_slice()));
    for file in ["none.pem", "key.pem"] {
        let message = parse(file).unwrap_err().list()[0].message.clone();
        assert_eq!(message, "the file holds no certificate; expected certificates in PEM");
    }
    let message = parse("cut.pem").unwrap_err().list()[0].message.clone();
    assert!(message.starts_with("the file can't be read as PEM"), "{message}");
    let message = parse("coded.pem").unwrap_err().list()[0].message.clone();
    assert!(message.starts_with("the file holds a certificate that can't be used"), "{message}");
}

#[test]
fn a_socket_has_a_path_that_fits() {
    let listen = |length: usize| {
        mistakes(&with(&format!("listen = \"unix:/{}\"", "x".repeat(length)), "", ""))
    };
    assert_eq!(listen(90), [] as [&str; 0]);
    assert!(listen(120)[0].starts_with("2 server.listen: is too long for a socket's path"));
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn any_toml_like_text_is_read_without_a_panic(
        lines in prop::collection::vec("(\\[(server|vendors\\.a|routes\\.r|ledger)\\]|[a-z_]{1,9} = (-?[0-9_]{1,20}|\"[^\"]{0,9}\"|\\[[\"a,1]{0,9}\\]|\\{[a-z =\",]{0,12}\\}))", 0..12)
    ) {
        let _ = parse(&lines.join("\n"));
    }

    #[test]
    fn a_mutilated_file_gives_no_panic_and_no_secret(
        cuts in prop::collection::vec((0..GOOD.len(), 0..9_usize, "[\\x00-\\x7f]{0,3}"), 1..6)
    ) {
        let mut text = GOOD.to_owned();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &new);
        }
        if let Err(problems) = parse(&text) {
            let lines = text.lines().count().max(1) + 1;
            prop_assert!(!problems.list().is_empty());
            prop_assert!(problems.list().iter().all(|p| (1..=lines).contains(&p.line)));
            prop_assert_eq!(problems.to_string().lines().count(), problems.list().len() + 1);
        }
    }
}
