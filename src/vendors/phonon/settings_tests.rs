use std::path::Path;

use crate::vendors::{
    Vendor,
    phonon::{
        encryption::tests::public_key_pem,
        settings::{ApiVersion, PullVersion},
        testing::{SECURITY_ID, phonon, read},
    },
};

fn problems(text: &str) -> Vec<String> {
    read(text, Path::new(".")).1
}

/// A right section but for the lines given.
fn problems_of(product: &str, more: &str) -> Vec<String> {
    let text = format!("product = \"{product}\"\nsecurity_id = \"{SECURITY_ID}\"\n{more}");
    let (phonon, problems) = read(&text, Path::new("."));
    assert_eq!(phonon.is_none(), !problems.is_empty(), "{problems:?}");
    problems
}

fn with_key(product: &str, more: &str) -> (Option<super::super::Phonon>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("public_key.pem"), public_key_pem()).unwrap();
    std::fs::write(directory.path().join("other.pem"), "not a key").unwrap();
    let text = format!("product = \"{product}\"\nsecurity_id = \"{SECURITY_ID}\"\n{more}");
    read(&text, directory.path())
}

#[test]
fn addresses_follow_from_product_and_lane() {
    let cases = [
        ("outbound", "", "https://central.phonon.io/kairos-apis/outbound/create"),
        ("dialer", "", "https://central.phonon.io/kairos-apis/outbounddialer/create"),
        ("multicast", "", "https://central.phonon.io/kairos-apis/outbound/create"),
        (
            "multicast",
            "lane = \"realtime\"",
            "https://central.phonon.io/kairos-apis/outbound/create",
        ),
        (
            "multicast",
            "lane = \"bulk\"",
            "https://central-api.phonon.io/kairos-apis/outbound/create",
        ),
        (
            "dialer",
            "base_url = \"http://127.0.0.1:9/phonon\"",
            "http://127.0.0.1:9/phonon/kairos-apis/outbounddialer/create",
        ),
        (
            "dialer",
            "base_url = \"http://127.0.0.1:9/phonon/\"\npath = \"/create\"",
            "http://127.0.0.1:9/phonon/create",
        ),
        ("outbound", "path = \"/v9/create\"", "https://central.phonon.io/v9/create"),
    ];
    for (product, more, url) in cases {
        assert_eq!(phonon(product, more).settings.create_url.as_str(), url, "{product} {more}");
    }
}

#[test]
fn encrypted_requests_go_to_paths_of_their_own() {
    let key = "encryption = { public_key_file = \"public_key.pem\" }";
    for (product, path) in [
        ("outbound", "/kairos-apis/enc/outbound/create"),
        ("dialer", "/kairos-apis/enc/outbounddialer/create"),
    ] {
        let (phonon, problems) = with_key(product, key);
        assert_eq!(problems, [""; 0]);
        assert_eq!(phonon.unwrap().settings.create_url.path(), path);
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    let plain = phonon("outbound", "").settings;
    assert_eq!(plain.api_version, ApiVersion::Production);
    assert!(plain.encryption.is_none() && plain.results.is_none() && plain.callback.is_none());
    assert_eq!(plain.flow_id.as_deref(), Some("AbCd1234"));
    let test = phonon("dialer", "api_version = \"TEST\"").settings;
    assert_eq!(test.api_version, ApiVersion::Test);
    assert_eq!(problems_of("multicast", ""), [""; 0], "a call may name its flow");
}

#[test]
fn versions_of_the_pull_api_are_numbers_or_words() {
    let cases = [
        ("", PullVersion::V2),
        (", version = 2", PullVersion::V2),
        (", version = 1", PullVersion::V1),
        (", version = \"v1\"", PullVersion::V1),
        (", version = \"v2\"", PullVersion::V2),
    ];
    for (version, expected) in cases {
        let more = format!("results = {{ url = \"https://pull.example.com/p\"{version} }}");
        let phonon = phonon("multicast", &more);
        assert!(phonon.capabilities().pull_results);
        let pull = phonon.settings.results.unwrap();
        assert_eq!((pull.version, pull.url.as_str()), (expected, "https://pull.example.com/p"));
    }
    assert!(!phonon("multicast", "").capabilities().pull_results);
}

#[test]
fn the_address_of_the_pull_api_may_have_a_query_and_is_not_told() {
    let more = "results = { url = \"https://pull.example.com/p?key=s3cret\" }";
    let settings = phonon("multicast", more).settings;
    assert!(!format!("{settings:?}").contains("s3cret"));
    assert_eq!(settings.results.unwrap().url.query(), Some("key=s3cret"));
    let bulk = "lane = \"bulk\"\nbase_url = \"https://central-api.phonon.io\"";
    assert_eq!(problems_of("multicast", bulk), [""; 0]);
}

#[test]
fn callbacks_are_kept_and_do_not_print() {
    let phonon = phonon("multicast", "callback = { user = \"vendor\", password = \"hunter2\" }");
    let login = phonon.settings.callback.as_ref().unwrap();
    assert_eq!((login.user.expose(), login.password.expose()), ("vendor", "hunter2"));
    assert!(!format!("{phonon:?}").contains("hunter2"));
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = "product = \"sms\"\nlane = \"fast\"\nsecurity_id = \"short\"\nflow_id = \"nine99999\"\n\
                api_version = \"2.0\"\nbase_url = \"ftp://x\"\npath = \"create\"\nresults = { version = 3 }\n\
                callback = { user = \"a:b\" }\nflow = \"x\"\n";
    let expected = [
        "line 1: product: is \"sms\"; expected one of \"outbound\", \"dialer\", \"multicast\"",
        "line 2: lane: is \"fast\"; expected one of \"realtime\", \"bulk\"",
        "line 3: security_id: has 5 characters",
        "line 4: flow_id: is \"nine99999\"; expected 8 letters and digits",
        "line 5: api_version: is \"2.0\"",
        "line 6: base_url: ",
        "line 7: path: is \"create\"",
        "line 8: results.url: is missing",
        "line 8: results.version: is 3; expected a whole number from 1 to 2",
        "line 9: callback.password: is missing",
        "line 9: callback.user: has a colon",
        "line 10: flow: is not a key here",
    ];
    let found = problems(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    let nothing = problems("");
    assert_eq!(nothing.len(), 2, "{nothing:?}");
    assert!(nothing[0].contains("product: is missing"), "{nothing:?}");
    assert!(nothing[1].contains("security_id: is missing"), "{nothing:?}");
}

#[test]
fn keys_that_contradict_each_other_are_mistakes() {
    let cases = [
        ("outbound", "lane = \"realtime\"", "lane: only product"),
        ("dialer", "lane = \"bulk\"", "lane: only product"),
        ("multicast", "api_version = \"TEST\"", "api_version: product"),
        (
            "multicast",
            "lane = \"bulk\"\nresults = { url = \"https://a.example.com\" }",
            "results: the bulk lane",
        ),
        (
            "outbound",
            "results = { url = \"https://a.example.com\", version = \"v3\" }",
            "results.version: is \"v3\"",
        ),
        (
            "outbound",
            "results = { url = \"https://a.example.com\", version = true }",
            "results.version: is a boolean",
        ),
        ("outbound", "results = 2", "results: is an integer"),
        ("outbound", "base_url = \"https://central-api.phonon.io\"", "lane = \"bulk\""),
        ("dialer", "base_url = \"http://CENTRAL-API.phonon.io:80/x\"", "lane = \"bulk\""),
        ("multicast", "base_url = \"https://central-api.phonon.io/\"", "lane = \"bulk\""),
        ("outbound", "base_url = \"https://a.example.com/?k=1\"", "base_url: has a query"),
        (
            "outbound",
            "results = { url = \"\" }",
            "results.url: is empty; expected an address such as https://api.example.com",
        ),
        (
            "outbound",
            "callback = { user = \"\", password = \"x\" }",
            "callback.user: is empty; expected the user",
        ),
        ("outbound", "path = \"/create?x=1\"", "path: is"),
        ("outbound", "flow_id = \"AbCd-234\"", "flow_id: is"),
        ("outbound", "callback = { password = \"x\" }", "callback.user: is missing"),
    ];
    for (product, more, expected) in cases {
        let found = problems_of(product, more);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn a_key_that_is_none_is_a_mistake() {
    let cases = [
        ("outbound", "encryption = {}", "encryption.public_key_file: is missing"),
        (
            "outbound",
            "encryption = { public_key_file = \"none.pem\" }",
            "encryption.public_key_file: can't read",
        ),
        (
            "outbound",
            "encryption = { public_key_file = \"other.pem\" }",
            "encryption.public_key_file: is not readable as PEM",
        ),
        (
            "outbound",
            "encryption = { public_key_file = \"public_key.pem\", padding = \"none\" }",
            "encryption.padding: is \"none\"",
        ),
        (
            "multicast",
            "encryption = { public_key_file = \"public_key.pem\" }",
            "encryption: product = \"multicast\" takes no",
        ),
        (
            "dialer",
            "encryption = { public_key_file = \"public_key.pem\", key = 1 }",
            "encryption.key: is not a key here",
        ),
    ];
    for (product, more, expected) in cases {
        let (_, found) = with_key(product, more);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn the_security_id_is_never_told() {
    for secret in ["0123456789abcdef".repeat(4).replace('f', "-"), "s3cr3t".to_owned()] {
        let found = problems(&format!("product = \"outbound\"\nsecurity_id = \"{secret}\"\n"));
        assert_eq!(found.len(), 1);
        assert!(!found[0].contains(&secret), "{found:?}");
    }
    let text = "product = \"outbound\"\nsecurity_id = { env = \"SECURITY_ID\" }\n";
    let (phonon, _) = read(text, Path::new("."));
    let phonon = phonon.unwrap();
    assert_eq!(phonon.settings.security_id.expose(), SECURITY_ID);
    assert!(!format!("{phonon:?}").contains(SECURITY_ID));
}
