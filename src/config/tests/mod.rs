//! The configuration file as an operator meets it.

use std::{fs, path::Path, time::Duration};

use proptest::prelude::*;

use super::{Breaker, Config, ConfigError, Listen, Problems, Rate};
use crate::call::Script;

mod meant;
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
fn every_mistake_is_told_at_once() {
    let text = r#"[server]
listen = "0.0.0.0:50051"
callbacks = "localhost:80"
admn = "127.0.0.1:9090"
[ledger]
url = "postgres://user:c4n4ry-s3cr3t@db"
[vendors.one]
kind = "flws"
[vendors.two]
kind = "flows"
base_url = "https://user:c4n4ry-s3cr3t@api.example.com"
token = { env = "NOT_SET" }
timeout = "1s"
connect_timeout = "2s"
rate = { per = "1m" }
max_in_flight = 0
poll_interval = 5
flow = "x"
[vendors."thr ee"]
kind = "audio"
[routes.default]
vendors = [
  "two",
  "thre",
  "two",
]
flow_id = "f"
audio = "ftp://a"
caller_id = "12x"
[routes.none]
vendors = []
[metrics]
"#;
    let problems = parse(text).unwrap_err();
    let shown = problems.to_string();
    let expected = r#"21 mistakes in dialplane.toml
dialplane.toml:2: server.listen: 0.0.0.0:50051 can be reached from other machines, and nothing encrypts what is said there; expected a loopback address, or tls and a way to know callers (client_ca in it, or [callers.NAME] sections), or insecure = true in [server] when something in front of the gateway encrypts and authenticates
dialplane.toml:3: server.callbacks: is "localhost:80"; expected an IP address and a port, such as "127.0.0.1:8080"; did you mean "127.0.0.1:80"?
dialplane.toml:4: server.admn: is not a key here; did you mean admin?
dialplane.toml:6: ledger.url: names no ledger; expected sqlite:PATH, such as sqlite:/var/lib/dialplane/ledger.db, or sqlite::memory:
dialplane.toml:8: vendors.one.kind: is "flws"; expected one of "flows", "audio", "silent"; did you mean "flows"?
dialplane.toml:11: vendors.two.base_url: holds credentials, which belong into keys of their own; expected an address such as https://api.example.com
dialplane.toml:12: vendors.two.token: the environment variable NOT_SET is not set
dialplane.toml:14: vendors.two.connect_timeout: is 2s; expected no more than the timeout of 1s, which covers connecting
dialplane.toml:15: vendors.two.rate: limits nothing; expected calls, requests or both, such as { calls = 500, per = "1m" }
dialplane.toml:16: vendors.two.max_in_flight: is 0; expected a whole number from 1 to 1000
dialplane.toml:17: vendors.two.poll_interval: is an integer; expected a time with its unit from 100ms to 1d, such as "500ms", "30s", "1m" or "2h"; did you mean "5s"?
dialplane.toml:18: vendors.two.flow: is not a key here; did you mean flow_id?
dialplane.toml:19: vendors."thr ee": has a wrong name; expected 1 to 63 letters, digits, - and _
dialplane.toml:19: vendors."thr ee".token: is missing; expected a string, { env = "NAME" } or { file = "path" }
dialplane.toml:24: routes.default.vendors: there is no vendor "thre"; did you mean "thr ee"?
dialplane.toml:25: routes.default.vendors: names "two" twice; expected each vendor once
dialplane.toml:28: routes.default.audio: is no http or https address; expected one, or the vendor's id of the file
dialplane.toml:28: routes.default.audio: stands beside flow_id; expected one of the two, not both
dialplane.toml:29: routes.default.caller_id: expected 2 to 15 digits, with an optional +
dialplane.toml:31: routes.none.vendors: is empty; expected a list of names of [vendors.NAME] sections, in order of preference
dialplane.toml:32: metrics: is not a key here; known are callers, ledger, routes, server, vendors"#;
    assert_eq!(shown, expected);
}

#[test]
fn an_empty_file_lacks_vendors_and_routes() {
    assert_eq!(
        mistakes(""),
        [
            "1 routes: is missing; expected at least one [routes.NAME] section",
            "1 vendors: is missing; expected at least one [vendors.NAME] section",
        ]
    );
    assert_eq!(
        mistakes("[vendors]\n[routes]\n"),
        [
            "1 vendors: is empty; expected at least one [vendors.NAME] section",
            "2 routes: is empty; expected at least one [routes.NAME] section",
        ]
    );
    assert_eq!(
        mistakes("vendors = 1\nroutes = [{}]\nserver = \"x\""),
        [
            "1 vendors: is an integer; expected a table",
            "2 routes: is an array; expected a table",
            "3 server: is a string; expected a table",
        ]
    );
}

#[test]
fn each_wrong_value_says_what_was_expected() {
    let cases = [
        ("listen = \"unix:\"", "", "", "2 server.listen: is \"unix:\"; expected an IP"),
        ("listen = 50051", "", "", "2 server.listen: is an integer; expected a string"),
        ("listen = \"[::]:1\"", "", "", "2 server.listen: [::]:1 can be reached from other"),
        ("callbacks = \"10.0.0.1:80\"", "", "", "2 server.callbacks: 10.0.0.1:80 can be"),
        ("callbacks = \"unix:/x\"", "", "", "2 server.callbacks: is \"unix:/x\"; expected an IP"),
        ("admin = \"127.0.0.1:50051\"", "", "", "2 server.admin: is the address of listen as well"),
        ("insecure = 1", "", "", "2 server.insecure: is an integer; expected true or false"),
        (
            "require_request_id = \"yes\"",
            "",
            "",
            "2 server.require_request_id: is a string; expected true or false",
        ),
        (
            "listen = \"127.0.0.1:5\"\ncallbacks = \"[::ffff:127.0.0.1]:5\"",
            "",
            "",
            "3 server.callbacks: is the address of listen as well",
        ),
        (
            "listen = \"unix:/x\"\nsocket_mode = \"+660\"",
            "",
            "",
            "3 server.socket_mode: is \"+660\"; expected octal digits",
        ),
        (
            "",
            "base_url = \" https://x\"",
            "",
            "6 vendors.a.base_url: is not an http or https address",
        ),
        ("", "base_url = \"https:x\"", "", "6 vendors.a.base_url: is not an http or https address"),
        (
            "",
            "base_url = \"http:\\\\x\"",
            "",
            "6 vendors.a.base_url: is not an http or https address",
        ),
        ("", "timeout = \"6m\"", "", "6 vendors.a.timeout: is \"6m\"; expected a time with its"),
        ("", "connect_timeout = \"1ms\"", "", "6 vendors.a.connect_timeout: is \"1ms\"; expected"),
        ("", "rate = {}", "", "6 vendors.a.rate: limits nothing; expected calls, requests"),
        ("", "rate = { calls = 0 }", "", "6 vendors.a.rate.calls: is 0; expected a whole number"),
        (
            "",
            "rate = { calls = 1, pr = 2 }",
            "",
            "6 vendors.a.rate.pr: is not a key here; did you mean per?",
        ),
        ("", "rate = 5", "", "6 vendors.a.rate: is an integer; expected a table"),
        (
            "",
            "breaker = \"off\"",
            "",
            "6 vendors.a.breaker: is a string; expected false, or a table such as { failures = 5, pause = \"30s\" }",
        ),
        (
            "",
            "breaker = { failures = 0 }",
            "",
            "6 vendors.a.breaker.failures: is 0; expected a whole number from 1 to 1000",
        ),
        (
            "",
            "breaker = { pause = 30 }",
            "",
            "6 vendors.a.breaker.pause: is an integer; expected a time with its unit from 100ms to 1h",
        ),
        (
            "",
            "breaker = { failure = 3 }",
            "",
            "6 vendors.a.breaker.failure: is not a key here; did you mean failures?",
        ),
        ("", "max_in_flight = 1001", "", "6 vendors.a.max_in_flight: is 1001; expected a whole"),
        ("", "max_in_flight = 1.5", "", "6 vendors.a.max_in_flight: is a float; expected a whole"),
        ("", "ca_file = \"no.pem\"", "", "6 vendors.a.ca_file: can't read /nonexistent/no.pem"),
        (
            "",
            "give_up_after = \"31d\"",
            "",
            "6 vendors.a.give_up_after: is \"31d\"; expected a time",
        ),
        ("", "token_ = 1", "", "6 vendors.a.token_: is not a key here; did you mean token?"),
        ("", "", "audio = \"x.wav\"", "9 routes.r.audio: none of the route's vendors plays audio"),
        ("", "", "flow_id = \"\"", "9 routes.r.flow_id: is empty; leave the key out instead"),
        ("", "", "vendor = \"a\"", "9 routes.r.vendor: is not a key here; did you mean vendors?"),
        (
            "",
            "",
            "caller_id = \"1\"",
            "9 routes.r.caller_id: expected 2 to 15 digits, with an optional +",
        ),
    ];
    for (server, vendor, route, expected) in cases {
        let found = mistakes(&with(server, vendor, route));
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with(expected)),
            "{server}{vendor}{route}: {found:#?}"
        );
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
fn broken_lines_are_told_all_and_the_rest_is_still_read() {
    let text = "[server]\nlisten = \n[vendors.a]\nkind = \"flows\"\ntoken = \"t\"\nbase_url = https://x\nmax_in_flight = 0\ntoken = \"again\"\n[routes.r\nvendors = [\"a\"]\n";
    assert_eq!(
        mistakes(text),
        [
            "2 : string values must be quoted, expected literal string",
            "6 : string values must be quoted, expected literal string",
            "7 vendors.a.max_in_flight: is 0; expected a whole number from 1 to 1000",
            "8 : duplicate key",
            "9 : unclosed table, expected `]`",
        ]
    );
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
fn a_file_is_named_in_its_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    assert!(matches!(Config::load(&path), Err(ConfigError::Unreadable { .. })));
    let missing = Config::load(&path).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("can't read {}: ", path.display())), "{missing}");

    fs::write(&path, "[server]\nadmin = 1\n[vendors.x]\nkind = \"nobody\"\n[routes.default]\nvendors = [\"x\"]\n").unwrap();
    let shown = Config::load(&path).unwrap_err().to_string();
    let at = path.display();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], format!("2 mistakes in {at}"));
    assert_eq!(
        lines[1],
        format!("{at}:2: server.admin: is an integer; expected a string, in quotes")
    );
    assert!(lines[2].starts_with(&format!(
        "{at}:4: vendors.x.kind: is \"nobody\"; expected one of \"phonon\""
    )));

    fs::write(&path, b"[server]\n# \xff\n").unwrap();
    let shown = Config::load(&path).unwrap_err().to_string();
    assert_eq!(shown, format!("1 mistake in {at}\n{at}:2: is not UTF-8 text"));
}

#[test]
fn secrets_from_files_lose_their_line_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), format!("{CANARY}\r\n")).unwrap();
    let text = GOOD.replace("{ env = \"TOKEN\" }", "{ file = \"token\" }");
    assert!(parse_in(folder.path(), &text).is_ok());
    fs::write(folder.path().join("token"), "\n").unwrap();
    let message = parse_in(folder.path(), &text).unwrap_err().list()[0].message.clone();
    assert_eq!(message, "the secret is empty");
    let text = text.replace("\"token\"", "\"/dev/zero\"");
    let message = parse_in(folder.path(), &text).unwrap_err().list()[0].message.clone();
    assert_eq!(message, "can't read /dev/zero: it has more than 1 MiB");
}

#[test]
fn secrets_from_variables_lose_their_line_end_and_hold_none() {
    let text = with("", "", "").replace("\"t\"", "{ env = \"TOKEN\" }");
    let read = |value: &str| {
        let value = value.to_owned();
        let environment = move |_: &str| Some(value.clone());
        Config::parse_with(toy::REGISTRY, &text, Path::new("/nonexistent"), &environment)
    };
    let secrets = &read("to ken\r\n").unwrap().vendors["a"].secrets;
    assert!(secrets[0].is("to ken"), "{}", secrets.len());
    for wrong in ["to\nken", "token\0", "\u{feff}token", "\ttoken"] {
        let message = read(wrong).unwrap_err().list()[0].message.clone();
        assert_eq!(message, "holds a line end or another character that can't be seen");
    }
    assert_eq!(read("\n").unwrap_err().list()[0].message, "the secret is empty");
}

#[test]
fn a_socket_has_a_path_that_fits() {
    let listen = |length: usize| {
        mistakes(&with(&format!("listen = \"unix:/{}\"", "x".repeat(length)), "", ""))
    };
    assert_eq!(listen(90), [] as [&str; 0]);
    assert!(listen(120)[0].starts_with("2 server.listen: is too long for a socket's path"));
}

#[test]
fn secrets_do_not_print() {
    let shown = format!("{:?}", parse(GOOD).unwrap());
    assert!(shown.contains("***") && !shown.contains(CANARY), "{shown}");

    // Wherever a secret is put by mistake, what is said of it does not repeat it.
    let lines = [
        "base_url = \"https://x/?token=c4n4ry-s3cr3t\"",
        "base_url = \"https://c4n4ry-s3cr3t@x\"",
        "base_url = \"c4n4ry-s3cr3t\"",
        "base_url = \"https://u:c4n4ry-s3cr3t@x:99999\"",
        "token = [\"c4n4ry-s3cr3t\"]",
        "token = { env = \"c4n4ry-s3cr3t\" }",
        "token = { value = \"c4n4ry-s3cr3t\" }",
        "token = { env = \"A\", file = \"b\", c = \"c4n4ry-s3cr3t\" }",
        "access_token = \"c4n4ry-s3cr3t\"",
        "token = \"c4n4ry-s3cr3t",
        "token = c4n4ry-s3cr3t",
        "token = \"\\c4n4ry-s3cr3t\"",
        "rate = [\"c4n4ry-s3cr3t\"]",
    ];
    for line in lines {
        let text = with("", line, "").replace("token = \"t\"\n", "");
        let problems = parse(&text).unwrap_err();
        assert!(!format!("{problems} {problems:?}").contains(CANARY), "{problems}");
    }
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
