//! What is told to write in place of a mistake.

use super::{mistakes, with};

#[test]
fn what_was_meant_is_told() {
    for (server, vendor, route, meant) in [
        ("callbacks = \"localhost:8080\"", "", "", "did you mean \"127.0.0.1:8080\"?"),
        ("admin = \":9090\"", "", "", "did you mean \"127.0.0.1:9090\"?"),
        ("listen = 50051", "", "", "expected a string, in quotes"),
        ("require_request_id = \"yes\"", "", "", "true or false; did you mean true?"),
        ("drain = 30", "", "", "did you mean \"30s\"?"),
        ("drain = \"5 minutes\"", "", "", "did you mean \"5m\"?"),
        ("limts = {}", "", "", "did you mean limits?"),
        ("", "max_in_flight = \"1_000\"", "", "to 1000; did you mean 1000?"),
        ("", "poll_interval = \"90sec\"", "", "did you mean \"90s\"?"),
        ("", "breaker = \"off\"", "", "did you mean false?"),
        ("", "", "schedule = \"gatway\"", "did you mean \"gateway\"?"),
        ("", "", "outside_window = \"Refuse\"", "did you mean \"refuse\"?"),
    ] {
        let found = mistakes(&with(server, vendor, route)).join("\n");
        assert!(found.contains(meant), "{server}{vendor}{route}: {found}");
    }
    let text = with("", "", "").replace("vendors = [\"a\"]", "vendors = \"a\"");
    assert!(mistakes(&text).join("\n").contains("did you mean [\"a\"]?"), "{text}");
    let text = with("", "", "") + "[callers.c]\ntoken = \"0123456789abcdef\"\nroutes = [\"rr\"]\n";
    assert!(mistakes(&text).join("\n").contains("did you mean \"r\"?"), "{text}");
}

#[test]
fn nothing_is_meant_by_what_could_not_be() {
    for vendor in
        ["timeout = 600", "timeout = \"1.5s\"", "max_in_flight = \"many\"", "timeout = true"]
    {
        let found = mistakes(&with("", vendor, "")).join("\n");
        assert!(!found.is_empty() && !found.contains("did you mean"), "{vendor}: {found}");
    }
}
