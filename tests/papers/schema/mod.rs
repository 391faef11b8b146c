//! schema/dialplane.schema.json says of each key what the parser does, and of each document whether
//! it has the right form.

use std::{collections::BTreeSet, path::Path};

use boon::{Compiler, SchemaIndex, Schemas};
use dialplane::{config::Config, config::Problem};
use serde_json::{Value, json};

mod documents;
mod keys;
mod mistakes;
mod walk;

pub const SCHEMA: &str = include_str!("../../../schema/dialplane.schema.json");

/// Every table that there is, with what has to be in it.
const BASE: &str = r#"
[server]
listen = "unix:/run/dialplane.sock"
tls = { certificate = "server.pem", key = "server.key", client_ca = "clients.pem" }
callbacks_tls = { certificate = "server.pem", key = "server.key" }
admin_tls = { certificate = "server.pem", key = "server.key" }
limits = {}
callback_limits = {}

[ledger]

[vendors.phonon]
kind = "phonon"
product = "dialer"
security_id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
results = { url = "https://results.example.com/pull?x=1" }
encryption = { public_key_file = "key.pem" }
callback = { user = "u", password = "p" }
timeout = "5m"
rate = { calls = 1 }
breaker = {}
batch = {}

[vendors.mobtexting]
kind = "mobtexting"
access_token = { env = "TOKEN" }
callback = { secret = "s" }
timeout = "5m"
rate = { requests = 1 }
breaker = {}
batch = {}

[vendors.knovvu]
kind = "knovvu"
base_url = "https://ivr.example.com"
project = "p"
orchestrator_url = "https://orchestrator.example.com"
oauth = { identity_url = "https://identity.example.com", client_id = "i", client_secret = "s" }
number_format = { national = "90" }
timeout = "5m"
rate = { requests = 1 }
breaker = {}
batch = {}

[routes.default]
vendors = ["phonon", "mobtexting", "knovvu"]
window = { from = "09:00", to = "21:00", zone = "callee" }

[callers.someone]
token = "aaaaaaaaaaaaaaaa"
"#;

pub struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    pub fn read() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let place = "file:///dialplane.schema.json";
        compiler.add_resource(place, serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let index = compiler.compile(place, &mut schemas).unwrap_or_else(|e| panic!("{e:#}"));
        Self { schemas, index }
    }

    /// What is wrong with a document, if anything is.
    pub fn refuses(&self, document: &Value) -> Option<String> {
        self.schemas.validate(document, self.index).err().map(|error| format!("{error:#}"))
    }
}

pub fn base() -> Value {
    toml::from_str(BASE).unwrap()
}

/// Puts a value where it belongs.
pub fn put(document: &mut Value, path: &[String], value: Value) {
    let mut at = document;
    for part in path {
        if !at.is_object() {
            *at = json!({});
        }
        at = at.as_object_mut().unwrap().entry(part.clone()).or_insert(Value::Null);
    }
    *at = value;
}

/// A document as an operator writes it.
pub fn toml_of(document: &Value) -> String {
    let root = document.as_object().unwrap();
    root.iter().map(|(key, value)| format!("{key} = {}\n", inline(value))).collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The mistakes that the parser finds in a document.
pub fn mistakes(document: &Value) -> Vec<Problem> {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let environment = |name: &str| (name == "TOKEN").then(|| "token".to_owned());
    match Config::parse(&toml_of(document), &certificates, &environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.list().to_vec(),
    }
}

/// Those of one key, and of what is in it.
pub fn mistakes_at(document: &Value, path: &[String]) -> Vec<String> {
    let key = path.join(".");
    let within = format!("{key}.");
    let all = mistakes(document).into_iter();
    all.filter(|problem| problem.key == key || problem.key.starts_with(&within))
        .map(|problem| problem.to_string())
        .collect()
}

#[test]
fn the_base_is_right_but_for_a_file() {
    let keys: BTreeSet<_> = mistakes(&base()).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, BTreeSet::from(["vendors.phonon.encryption.public_key_file".to_owned()]));
    assert_eq!(Schema::read().refuses(&base()), None);
}
