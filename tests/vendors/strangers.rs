//! Whatever a caller writes into a call, it goes to the configured vendor, as the configured account: no
//! field of a request is an address, a credential or a header.

use dialplane::{
    call::{Order, Recipient, Script},
    http::{Header, HttpRequest},
};
use proptest::prelude::*;
use serde_json::Value;

use crate::subjects::{SECRET, SUBJECTS, Subject, context, outgoing, plain};

/// Texts that mean something to addresses, headers, JSON and forms.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "https://evil.test/",
            "//evil.test/",
            "@evil.test:1/",
            "../../admin",
            "..%2f..%2fadmin",
            "a?security-id=other",
            "a&access_token=other",
            "a#fragment",
            "a\r\nHost: evil.test\r\n\r\n",
            "\",\"security-id\":\"other\",\"x\":\"",
            "${jndi:ldap://evil.test/}",
            "\u{0}",
            "security-id",
            "flow-id",
            "client-identifier",
            "token",
            "access_token",
            "AccessToken",
            "Project",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,24}",
    ]
}

prop_compose! {
    fn order()(
        script in prop_oneof![
            Just(None),
            text().prop_map(|text| Some(Script::Flow(text))),
            text().prop_map(|text| Some(Script::Audio(text))),
        ],
        variables in prop::collection::btree_map(text(), text(), 0..3),
        (name, email, locale) in (text(), text(), prop::option::of(text())),
        reference in "[ -~]{1,24}",
        labels in prop::collection::btree_map(text(), text(), 0..2),
    ) -> Order {
        Order {
            script,
            variables,
            recipient: Recipient { name, email },
            locale,
            client_reference: reference.parse().ok(),
            labels,
            ..plain(0)
        }
    }
}

fn placed(subject: &Subject, order: &Order) -> Option<HttpRequest> {
    let orders = [(dialplane::call::CallId::from_bytes([7; 16]), order.clone())];
    if !subject.vendor.check(order).is_empty() {
        return None;
    }
    subject.vendor.place(&outgoing(&orders), &context()).ok()
}

/// Who is addressed, and as whom.
fn address(request: &HttpRequest) -> (String, String, Vec<(&'static str, String)>) {
    let header = |(name, header): &(&'static str, Header)| {
        let value = match header {
            Header::Plain(text) => text.clone(),
            Header::Secret(prefix, secret) => format!("{prefix}{}", secret.expose()),
        };
        (*name, value)
    };
    let url = &request.url;
    let origin = format!("{}://{:?}:{:?}", url.scheme(), url.host_str(), url.port());
    (origin, url.path().to_owned(), request.headers.iter().map(header).collect())
}

/// Where the credential is in a JSON body.
fn credentials(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| {
                credentials(value, &format!("{at}/{name}"), found);
            });
        }
        Value::Array(items) => items.iter().for_each(|item| credentials(item, at, found)),
        Value::String(text) if text == SECRET => found.push(at.to_owned()),
        _ => {}
    }
}

fn credentials_of(request: &HttpRequest) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(body) = serde_json::from_slice(request.body.bytes()) {
        credentials(&body, "", &mut found);
    }
    found
}

proptest! {
    #[test]
    fn a_request_changes_neither_address_nor_account(order in order()) {
        for subject in SUBJECTS.iter() {
            let usual = placed(subject, &plain(0)).unwrap();
            let Some(request) = placed(subject, &order) else { continue };
            prop_assert_eq!(address(&request), address(&usual), "{}", subject.name);
            prop_assert_eq!(credentials_of(&request), credentials_of(&usual), "{}", subject.name);
            prop_assert!(request.url.username().is_empty() && request.url.password().is_none());
            // A name twice may mean the second one to the other end.
            let mut names: Vec<_> = request.url.query_pairs().map(|(name, _)| name).collect();
            names.sort();
            let all = names.len();
            names.dedup();
            prop_assert_eq!(names.len(), all, "{}", subject.name);
        }
    }
}
