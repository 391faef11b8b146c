use std::path::Path;

use toml::de::DeTable;

use super::*;
use crate::config::{Problem, Source};

const LEAST: &str = "base_url = \"https://va.example.test:22222\"\nproject = \"Demo\"\n\
                     orchestrator_url = \"https://orchestrator.example.test\"\n";

fn read_text(text: &str) -> (Option<Settings>, Vec<Problem>) {
    let environment = |_: &str| None;
    let source = Source::new(text, Path::new("."), &environment);
    let table = DeTable::parse(text).unwrap();
    let mut section = Section::new(&source, "k", 0, table.get_ref());
    let settings = read(&mut section);
    let _ = section.string("timeout");
    section.finish();
    (settings, source.into_problems())
}

fn problems_of(extra: &str) -> Vec<String> {
    let (settings, problems) = read_text(&format!("{LEAST}{extra}"));
    assert!(settings.is_none(), "{extra}");
    problems.into_iter().map(|problem| problem.key).collect()
}

fn format_of(extra: &str) -> NumberFormat {
    let (settings, problems) = read_text(&format!("{LEAST}access_token = \"t\"\n{extra}"));
    assert_eq!(problems, []);
    settings.unwrap().number_format
}

#[test]
fn little_is_enough() {
    let (settings, problems) = read_text(&format!("{LEAST}access_token = \"t\"\ntimeout = \"5s\""));
    assert_eq!(problems, []);
    let settings = settings.unwrap();
    assert_eq!(settings.base_url.as_str(), "https://va.example.test:22222/");
    assert_eq!((settings.project.as_str(), settings.tenant.as_str()), ("Demo", "Default"));
    // As configured, without a slash of ours.
    assert_eq!(settings.orchestrator_url, "https://orchestrator.example.test");
    assert_eq!(settings.project_header, ProjectHeader::Name);
    assert_eq!(settings.number_format, NumberFormat::Digits);
    assert!(settings.scenario_path.is_none() && settings.display_number.is_none());
    assert!(settings.locale.is_none() && settings.result_destination.is_none());
}

#[test]
fn everything_is_read_and_secrets_do_not_print() {
    let (settings, problems) = read_text(
        r#"
        base_url = "https://va.example.test:22222/prefix"
        project = "Demo Project"
        tenant = "Acme"
        oauth = { identity_url = "https://identity.test", client_id = "dial", client_secret = "sesame", scope = "orchestrator_external" }
        scenario_path = "https://ivr.example.test/scenario"
        orchestrator_url = "https://orchestrator.example.test/v1"
        display_number = "200"
        locale = "tr-TR"
        result_destination = "https://gateway.test/callbacks/k/t0k3n-of-sixteen?x=1"
        project_header = "empty"
        number_format = { national = "90", prefix = "0" }
        "#,
    );
    assert_eq!(problems, []);
    let settings = settings.unwrap();
    assert_eq!(settings.base_url.as_str(), "https://va.example.test:22222/prefix/");
    let Access::OAuth(client) = &settings.access else { panic!() };
    assert_eq!(client.identity_url.as_str(), "https://identity.test/");
    assert_eq!((client.id.as_str(), client.secret.expose()), ("dial", "sesame"));
    assert_eq!(client.scope.as_deref(), Some("orchestrator_external"));
    assert_eq!(settings.project_header, ProjectHeader::Empty);
    let printed = format!("{settings:?}");
    for secret in ["sesame", "t0k3n"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let (settings, problems) = read_text(
        "tenant = \"\"\ndisplay_number = \"desk\"\nlocale = \"tr_TR\"\n\
         project_header = \"maybe\"\nnumber_format = \"national\"\nresult_destination = \"x\"",
    );
    assert!(settings.is_none());
    let mut keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "k.access_token",
            "k.base_url",
            "k.display_number",
            "k.locale",
            "k.number_format",
            "k.orchestrator_url",
            "k.project",
            "k.project_header",
            "k.result_destination",
            "k.tenant",
        ]
    );
}

#[test]
fn there_is_exactly_one_source_of_tokens() {
    assert_eq!(problems_of(""), ["k.access_token"]);
    let client =
        "oauth = { identity_url = \"https://i.test\", client_id = \"a\", client_secret = \"b\" }";
    assert_eq!(problems_of(&format!("access_token = \"t\"\n{client}")), ["k.oauth"]);
    let mut keys = problems_of("oauth = { scope = \"x\" }");
    keys.sort_unstable();
    assert_eq!(keys, ["k.oauth.client_id", "k.oauth.client_secret", "k.oauth.identity_url"]);
    assert_eq!(problems_of("oauth = \"x\""), ["k.oauth"]);
    let (settings, problems) = read_text(&format!("{LEAST}{client}"));
    assert_eq!(problems, []);
    assert!(matches!(settings.unwrap().access, Access::OAuth(client) if client.scope.is_none()));
}

#[test]
fn messages_hold_no_destination() {
    let text = format!("{LEAST}access_token = \"t\"\nresult_destination = \"gw/t0k3n\"");
    let (settings, problems) = read_text(&text);
    assert!(settings.is_none());
    assert!(!problems[0].to_string().contains("t0k3n"));
}

#[test]
fn an_address_of_the_gateways_needs_a_token() {
    let read = |address: &str| {
        read_text(&format!("{LEAST}access_token = \"t\"\nresult_destination = \"{address}\""))
    };
    for (path, is_ours) in [
        ("callbacks/k/0123456789abcdef", true),
        ("callbacks/k/0123456789abcdef?x=1", true),
        ("behind/a/proxy/callbacks/k/0123456789%C3%A4bcdef", true),
        ("callbacks/callbacks/0123456789abcdef", true),
        ("", false),
        ("results", false),
        ("callbacks", false),
        ("callbacks/k/0123456789abcdef/more", false),
        ("Callbacks/k/0123456789abcdef", false),
    ] {
        let (settings, problems) = read(&format!("https://gateway.test/{path}"));
        assert_eq!(problems, [], "{path}");
        assert_eq!(settings.unwrap().callback.is_some(), is_ours, "{path}");
    }
    for path in [
        "callbacks/k",
        "callbacks/k/",
        "callbacks/k?token=0123456789abcdef",
        "callbacks/k/0123456789abcde",
        "callbacks/k/%30123456789abcd",
        "callbacks/k/%ff0123456789abcdef",
    ] {
        let (settings, problems) = read(&format!("https://gateway.test/{path}"));
        assert!(settings.is_none(), "{path}");
        let text = problems[0].to_string();
        assert!(text.contains("expected a token of at least 16 characters"), "{text}");
        assert!(!text.contains("0123456789"), "{text}");
    }
}

#[test]
fn a_project_that_fits_no_header_needs_another_choice() {
    let turkish = LEAST.replace("Demo", "Çağrı") + "access_token = \"t\"\n";
    for (choice, fits) in [("name", false), ("empty", true), ("none", true)] {
        let (settings, problems) = read_text(&format!("{turkish}project_header = \"{choice}\""));
        assert_eq!((settings.is_some(), problems.is_empty()), (fits, fits), "{choice}");
    }
}

#[test]
fn numbers_have_four_forms() {
    let turkish: E164 = "+905000000000".parse().unwrap();
    let indian: E164 = "+919900000002".parse().unwrap();
    for (text, written) in [
        ("", Some("905000000000")),
        ("number_format = \"digits\"", Some("905000000000")),
        ("number_format = \"e164\"", Some("+905000000000")),
        ("number_format = { national = \"90\", prefix = \"0\" }", Some("05000000000")),
        ("number_format = { national = \"90\" }", Some("5000000000")),
        ("number_format = { national = \"91\" }", None),
    ] {
        assert_eq!(format_of(text).write(&turkish).as_deref(), written, "{text}");
    }
    let national = format_of("number_format = { national = \"91\", prefix = \"0\" }");
    assert_eq!(national.write(&indian).as_deref(), Some("09900000002"));
}

#[test]
fn wrong_number_formats_are_named() {
    for (text, key) in [
        ("\"plus\"", "k.number_format"),
        ("7", "k.number_format"),
        ("{ prefix = \"0\" }", "k.number_format.national"),
        ("{ national = \"+90\" }", "k.number_format.national"),
        ("{ national = \"0\" }", "k.number_format.national"),
        ("{ national = \"9012\" }", "k.number_format.national"),
        ("{ national = \"90\", prefix = \"zero\" }", "k.number_format.prefix"),
    ] {
        assert_eq!(problems_of(&format!("access_token = \"t\"\nnumber_format = {text}")), [key]);
    }
    let (_, problems) = read_text(&format!(
        "{LEAST}access_token = \"t\"\nnumber_format = {{ national = \"90\", x = \"y\" }}"
    ));
    assert_eq!(problems[0].key, "k.number_format.x");
}
