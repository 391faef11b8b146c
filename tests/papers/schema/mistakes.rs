//! What the parser refuses for its form, the schema refuses as well.

use serde_json::Value;

use super::{BASE, Schema, mistakes};

#[test]
fn mistakes_of_form_are_refused_by_both() {
    let schema = Schema::read();
    for (right, wrong) in [
        ("[ledger]", "[leger]"),
        ("[routes.default]", "[route.default]"),
        ("[vendors.phonon]", "[vendors.\"pho non\"]"),
        ("kind = \"knovvu\"", "kind = \"knovu\""),
        ("kind = \"knovvu\"", "kind = \"mobtexting\""),
        ("product = \"dialer\"\n", ""),
        ("product = \"dialer\"", "flow_id = \"short\"\nproduct = \"dialer\""),
        ("project = \"p\"", "project = \"\""),
        ("project = \"p\"", "project = \"p\"\nflow_id = \"7\""),
        ("{ env = \"TOKEN\" }", "{ env = \"TOKEN\", file = \"f\" }"),
        ("{ env = \"TOKEN\" }", "{ enw = \"TOKEN\" }"),
        ("{ env = \"TOKEN\" }", "{}"),
        ("access_token = { env = \"TOKEN\" }", "bridge = \"1234\""),
        (
            "access_token = { env = \"TOKEN\" }",
            "access_token = \"t\"\nflow_id = \"7\"\naudio = \"https://x.test/a\"",
        ),
        ("base_url = \"https://ivr.example.com\"", "base_url = \"ivr.example.com\""),
        ("client_id = \"i\", ", ""),
        ("oauth = {", "access_token = \"t\"\noauth = {"),
        ("rate = { calls = 1 }", "rate = {}"),
        ("rate = { calls = 1 }", "rate = { calls = \"many\" }"),
        ("rate = { calls = 1 }", "rate = 500"),
        ("from = \"09:00\"", "from = \"9:00\""),
        ("to = \"21:00\"", "to = \"25:00\""),
        ("zone = \"callee\"", "zone = \"callee\", days = []"),
        ("zone = \"callee\"", "zone = \"callee\", days = [\"someday\"]"),
        (", zone = \"callee\"", ""),
        ("window = {", "outside_window = \"wait\"\nwindw = {"),
        ("[\"phonon\", \"mobtexting\", \"knovvu\"]", "[]"),
        ("[\"phonon\", \"mobtexting\", \"knovvu\"]", "[\"phonon\", \"phonon\"]"),
        ("[\"phonon\", \"mobtexting\", \"knovvu\"]", "\"phonon\""),
        ("token = \"aaaaaaaaaaaaaaaa\"", "suppressions = true"),
        ("token = \"aaaaaaaaaaaaaaaa\"", "token = \"aaaaaaaaaaaaaaaa\"\nroutes = []"),
        ("[ledger]", "[ledger]\nurl = \"postgres://db\""),
        ("[ledger]", "[ledger]\nurl = \"sqlite://host/db\""),
        ("listen = \"unix:/run/dialplane.sock\"", "listen = \"localhost:50051\""),
        ("listen = \"unix:/run/dialplane.sock\"", "listen = 50051"),
        ("limits = {}", "limits = {}\nsocket_mode = \"rw\""),
        ("limits = {}", "limits = {}\ninsecure = [\"everything\"]"),
        ("limits = {}", "limits = { streams = \"1024\" }"),
        ("key = \"server.key\", client_ca", "client_ca"),
    ] {
        assert_eq!(BASE.matches(right).count().min(1), 1, "{right}");
        let text = BASE.replacen(right, wrong, 1);
        let document: Value = toml::from_str(&text).unwrap_or_else(|e| panic!("{wrong}: {e}"));
        // One file is not there, in the base as well.
        assert!(mistakes(&document).len() > 1, "the parser takes {wrong}");
        assert!(schema.refuses(&document).is_some(), "the schema takes {wrong}");
    }
}

#[test]
fn what_is_not_there_is_missed_by_both() {
    let schema = Schema::read();
    for section in ["vendors", "routes"] {
        for wrong in [None, Some(Value::Object(Default::default()))] {
            let mut document = super::base();
            let root = document.as_object_mut().unwrap();
            root.remove(section);
            root.extend(wrong.map(|wrong| (section.to_owned(), wrong)));
            assert!(mistakes(&document).len() > 1, "{section}");
            assert!(schema.refuses(&document).is_some(), "{section}");
        }
    }
}
