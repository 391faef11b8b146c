//! What a configuration may not say of its listeners and callers.

use dialplane::config::Config;

use crate::house::{certificates, text};

fn mistakes(server: &str, sections: &str) -> Vec<String> {
    let text = text(server, sections, "http://127.0.0.1:1");
    match Config::parse(&text, &certificates(), &|_| None) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            // Without the file's name.
            let shown = problems.to_string();
            let lines = shown.lines().filter_map(|line| line.split_once(".toml:"));
            let mut told: Vec<_> = lines.map(|(_, told)| told.to_owned()).collect();
            if told.len() > 1 {
                told.retain(|line| !line.is_empty());
            }
            told
        }
    }
}

const TLS: &str = "certificate = \"server.pem\", key = \"server.key\"";
const CA: &str = "client_ca = \"clients.pem\"";
const CALLER: &str = "[callers.a]\ntoken = \"0123456789abcdef\"";

#[test]
fn what_others_reach_is_encrypted_and_knows_who_comes() {
    let open = |key: &str| format!("{key} = \"0.0.0.0:5000\"");
    let with = |key: &str, more: &str| format!("{}\n{more}", open(key));
    let tls = format!("{{ {TLS} }}");
    let mutual = format!("{{ {TLS}, {CA} }}");
    let cases = [
        (with("listen", ""), "", "nothing encrypts what is said there; expected a loopback"),
        (with("listen", &format!("tls = {tls}")), "", "whoever reaches it may use it; expected"),
        (with("listen", ""), CALLER, "nothing encrypts"),
        (with("listen", &format!("tls = {tls}")), CALLER, ""),
        (with("listen", &format!("tls = {mutual}")), "", ""),
        (with("listen", "insecure = true"), "", ""),
        (with("listen", "insecure = [\"listen\"]"), "", ""),
        (with("listen", "insecure = [\"callbacks\", \"admin\"]"), "", "nothing encrypts"),
        (
            with("callbacks", ""),
            "",
            "nothing encrypts what is said there; expected a loopback \
          address, or callbacks_tls, or insecure",
        ),
        (with("callbacks", &format!("callbacks_tls = {tls}")), "", ""),
        (with("callbacks", &format!("tls = {mutual}")), "", "nothing encrypts"),
        (with("callbacks", "insecure = [\"callbacks\"]"), "", ""),
        (with("admin", &format!("admin_tls = {tls}")), CALLER, "whoever reaches it may use it"),
        (with("admin", &format!("admin_tls = {mutual}")), "", ""),
        (with("admin", "insecure = [\"admin\"]"), "", ""),
        ("listen = \"unix:/run/x.sock\"".into(), "", ""),
    ];
    for (server, sections, expected) in cases {
        let told = mistakes(&server, sections);
        match expected {
            "" => assert_eq!(told, [""; 0], "{server}"),
            expected => {
                assert_eq!(told.len(), 1, "{server}: {told:?}");
                assert!(
                    told[0].starts_with("2: server.") && told[0].contains(expected),
                    "{told:?}"
                );
            }
        }
    }
}

#[test]
fn files_are_looked_into() {
    let cases = [
        ("tls = 1", "2: server.tls: is an integer; expected a table"),
        (
            "tls = { key = \"server.key\" }",
            "2: server.tls.certificate: is missing; expected the path",
        ),
        (
            "tls = { certificate = \"server.pem\" }",
            "2: server.tls.key: is missing; expected the path",
        ),
        (
            "tls = { certificate = \"none.pem\", key = \"server.key\" }",
            "2: server.tls.certificate: can't read",
        ),
        (
            "tls = { certificate = \"make\", key = \"server.key\" }",
            "2: server.tls.certificate: holds no certificate in PEM",
        ),
        (
            "tls = { certificate = \"server.pem\", key = \"server.pem\" }",
            "2: server.tls.key: holds no private key in PEM",
        ),
        (
            "tls = { certificate = \"server.pem\", key = \"next.key\" }",
            "2: server.tls.key: is not that of the certificate",
        ),
        (
            "callbacks_tls = { certificate = \"server.pem\", key = \"next.key\" }",
            "2: server.callbacks_tls.key: is not that",
        ),
        (
            "admin_tls = { certificate = \"server.pem\", key = \"server.key\", client_ca = \"server.key\" }",
            "2: server.admin_tls.client_ca: holds no certificate",
        ),
        (
            "tls = { certificate = \"server.pem\", key = \"server.key\", ca = \"x\" }",
            "2: server.tls.ca: is not a key here",
        ),
    ];
    for (server, expected) in cases {
        let told = mistakes(server, "");
        assert_eq!(told.len(), 1, "{server}: {told:?}");
        assert!(told[0].starts_with(expected), "{told:?}");
    }
}

#[test]
fn callers_prove_who_they_are() {
    let tls = format!("tls = {{ {TLS}, {CA} }}");
    let caller = |keys: &str| format!("[callers.a]\n{keys}");
    let good = "token = \"0123456789abcdef\"";
    let cases = [
        ("", caller(good), ""),
        (&tls, caller("certificate = \"billing\""), ""),
        (&tls, caller(&format!("{good}\ncertificate = \"billing\"\nroutes = [\"alpha\"]")), ""),
        ("", caller(""), "callers.a.token: is missing; expected token, certificate or both"),
        ("", caller("token = \"0123456789abcde\""), "callers.a.token: is no token; expected 16 to"),
        ("", caller("token = \"0123456789 abcdef\""), "callers.a.token: is no token"),
        ("", caller("certificate = \"billing\""), "callers.a.certificate: can't be made sure of"),
        (
            "",
            caller(&format!("{good}\nroutes = [\"gamma\"]")),
            "callers.a.routes: there is no route \"gamma\"",
        ),
        ("", caller(&format!("{good}\nroutes = []")), "callers.a.routes: is empty"),
        ("", caller(&format!("{good}\nroute = \"alpha\"")), "callers.a.route: is not a key here"),
        (
            "",
            format!("{}\n[callers.b]\n{good}", caller(good)),
            "callers.b.token: is that of callers.a",
        ),
        ("", format!("[callers.\"a b\"]\n{good}"), "callers.\"a b\": has a wrong name"),
    ];
    for (server, sections, expected) in cases {
        let told = mistakes(server, &sections);
        match expected {
            "" => assert_eq!(told, [""; 0], "{sections}"),
            expected => {
                assert_eq!(told.len(), 1, "{sections}: {told:?}");
                assert!(told[0].contains(expected), "{told:?}");
                assert!(!told[0].contains("0123456789"), "{told:?}");
            }
        }
    }
}

#[test]
fn no_caller_is_not_one() {
    for sections in ["[callers]", "[callers]\n\n"] {
        let told = mistakes("", sections);
        assert!(told.len() == 1 && told[0].contains("callers: is empty"), "{told:?}");
    }
}

#[test]
fn limits_have_their_bounds() {
    for (server, expected) in [
        ("limits = { connections = 0 }", "server.limits.connections: is 0; expected"),
        ("limits = { request_timeout = \"1ms\" }", "server.limits.request_timeout: is \"1ms\""),
        (
            "limits = { stream = 1 }",
            "server.limits.stream: is not a key here; did you mean streams",
        ),
        ("callback_limits = { body_bytes = 1 }", "server.callback_limits.body_bytes: is 1"),
        ("insecure = [\"all\"]", "server.insecure: holds \"all\"; expected true or false"),
        (
            "listen = \"unix:/x\"\nsocket_mode = \"660x\"",
            "server.socket_mode: is \"660x\"; expected octal",
        ),
        (
            "listen = \"unix:/x\"\nsocket_mode = \"4755\"",
            "server.socket_mode: is \"4755\"; expected octal",
        ),
        ("socket_mode = \"0660\"", "server.socket_mode: is for a Unix socket"),
    ] {
        let told = mistakes(server, "");
        assert_eq!(told.len(), 1, "{server}: {told:?}");
        assert!(told[0].contains(expected), "{told:?}");
    }
    let config = Config::parse(
        &text(
            "callback_limits = { connections = 9 }\nlimits = { idle_timeout = \"1m\" }",
            CALLER,
            "http://x.test",
        ),
        &certificates(),
        &|_| None,
    );
    let config = config.unwrap();
    assert_eq!(config.server.callback_limits.connections_per_peer, 5);
    let shown = format!("{config:?}");
    assert!(!shown.contains("0123456789abcdef"));
}
