//! Mistakes: all at once, each with its line and what was expected.

use std::fs;

use super::{mistakes, parse, with};
use crate::config::{Config, ConfigError};

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
