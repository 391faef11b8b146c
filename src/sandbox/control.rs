//! The sandbox's own endpoints, for programs that can't look into this process.
//! Credentials are masked here.

use axum::http::{Method, Uri};
use serde_json::{Map, Value, json};

use super::{
    Dialed, Exchange, Posted, Webhooks, push,
    traffic::{Incoming, Reply},
    world::World,
};

const MASK: &str = "***";

/// Names whose values are credentials, in lower case without hyphens and underscores.
const SECRET_NAMES: [&str; 9] = [
    "accesstoken",
    "authorization",
    "clientsecret",
    "cookie",
    "proxyauthorization",
    "requestdigitalsignaturevalue",
    "requestencryptedvalue",
    "securityid",
    "xapikey",
];

/// Answers what lies under `/sandbox`.
pub(super) async fn answer(world: &World, incoming: &Incoming, path: &str) -> Reply {
    match (&incoming.method, path) {
        (&Method::GET, "/dialed") => {
            let mut dialed = world.dialed();
            if let Some(number) = incoming.parameters().get("number") {
                let wanted = super::fate::digits(number);
                let same = |number: &String| super::fate::digits(number) == wanted;
                dialed.retain(|call| call.numbers.iter().any(same));
            }
            Reply::json(
                200,
                &json!({ "dialed": dialed.iter().map(dialed_json).collect::<Vec<_>>() }),
            )
        }
        (&Method::GET, "/log") => {
            let log: Vec<Value> = world.log().iter().map(exchange_json).collect();
            Reply::json(200, &json!({ "log": log }))
        }
        (&Method::DELETE, "/log") => {
            world.forget();
            Reply::json(200, &json!({}))
        }
        (&Method::DELETE, "/tokens") => {
            world.revoke_tokens();
            Reply::json(200, &json!({}))
        }
        (&Method::GET, "/phonon-public-key.pem") => match world.key() {
            Some(key) => Reply::text(200, key.public_pem()),
            None => Reply::text(500, "no key could be made"),
        },
        (&Method::PUT, "/webhooks") => set_webhooks(world, incoming),
        (&Method::POST, "/handshake") => match push::handshake(world).await {
            Ok(_) => Reply::json(200, &json!({})),
            Err(error) => Reply::json(502, &json!({ "reason": error.to_string() })),
        },
        (&Method::GET, "/pushes") => {
            let secrets = secrets(world.pushes.settings().0);
            let pushes = world.pushes.posted();
            let pushes: Vec<Value> = pushes.iter().map(|p| posted_json(p, &secrets)).collect();
            Reply::json(200, &json!({ "pushes": pushes }))
        }
        _ => Reply::json(
            404,
            &json!({ "endpoints": [
            "GET /sandbox/dialed", "GET /sandbox/log", "DELETE /sandbox/log",
            "DELETE /sandbox/tokens", "GET /sandbox/phonon-public-key.pem",
            "PUT /sandbox/webhooks", "POST /sandbox/handshake", "GET /sandbox/pushes",
        ] }),
        ),
    }
}

fn dialed_json(dialed: &Dialed) -> Value {
    json!({
        "system": dialed.system.name(),
        "vendor_call_id": dialed.vendor_call_id,
        "numbers": dialed.numbers,
        "reference": dialed.reference,
        "time": dialed.time.to_string(),
    })
}

/// Takes all settings at once, or none.
fn set_webhooks(world: &World, incoming: &Incoming) -> Reply {
    let read = incoming.json().ok_or_else(|| "no JSON object".to_owned());
    match read.and_then(|settings| push::read(&settings)) {
        Ok((webhooks, pushing)) => {
            world.pushes.set_webhooks(webhooks);
            world.pushes.set_pushing(pushing);
            Reply::json(200, &json!({}))
        }
        Err(reason) => Reply::json(400, &json!({ "reason": reason })),
    }
}

/// Whatever an address or a body might repeat.
fn secrets(webhooks: Webhooks) -> Vec<String> {
    let phonon = webhooks.phonon.map(|webhook| webhook.password);
    let mobtexting = webhooks.mobtexting.map(|webhook| [webhook.secret, webhook.token]);
    let secrets = phonon.into_iter().chain(mobtexting.into_iter().flatten());
    secrets.filter(|secret| !secret.is_empty()).collect()
}

fn posted_json(posted: &Posted, secrets: &[String]) -> Value {
    let masked = |text: &str| {
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    };
    json!({
        "time": posted.time.to_string(),
        "system": posted.system.name(),
        "url": masked(&posted.url),
        "body": masked_body(&masked(&posted.body)),
        "status": posted.status,
    })
}

fn exchange_json(exchange: &Exchange) -> Value {
    let headers: Map<String, Value> = exchange
        .headers
        .iter()
        .map(|(name, value)| {
            let value = if is_secret(name) { MASK } else { value };
            (name.clone(), Value::from(value))
        })
        .collect();
    json!({
        "time": exchange.time.to_string(),
        "system": exchange.system.name(),
        "method": exchange.method,
        "path": masked_path(&exchange.path),
        "headers": headers,
        "body": masked_body(&exchange.body),
        "body_bytes": exchange.body.len(),
        "status": exchange.status,
    })
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    SECRET_NAMES.contains(&plain.to_ascii_lowercase().as_str())
}

fn masked_path(path: &str) -> String {
    match path.split_once('?') {
        Some((path, query)) => format!("{path}?{}", masked_fields(query)),
        None => path.to_owned(),
    }
}

/// `a=1&access_token=***`
fn masked_fields(fields: &str) -> String {
    let masked = fields.split('&').map(|field| match field.split_once('=') {
        Some((name, _)) if is_secret(&unescaped(name)) => format!("{name}={MASK}"),
        _ => field.to_owned(),
    });
    masked.collect::<Vec<_>>().join("&")
}

/// A name with its percent escapes undone, so that one can't hide behind them.
fn unescaped(name: &str) -> String {
    let uri = format!("/?n={name}").parse::<Uri>().ok();
    let read = uri.and_then(|uri| {
        axum::extract::Query::<std::collections::HashMap<String, String>>::try_from_uri(&uri).ok()
    });
    read.and_then(|mut query| query.0.remove("n")).unwrap_or_else(|| name.to_owned())
}

/// JSON and forms with their credentials masked; of anything else only its length,
/// since what can't be read can't be masked.
fn masked_body(body: &str) -> Value {
    if body.is_empty() {
        return Value::from("");
    }
    if let Ok(mut json) = serde_json::from_str::<Value>(body) {
        mask(&mut json);
        return json;
    }
    let is_form = body.contains('=') && !body.contains(['{', '"', '<', ' ', '\n']);
    Value::from(if is_form { masked_fields(body) } else { "not readable, not shown".to_owned() })
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if is_secret(name) {
                    *value = Value::from(MASK);
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_masked_wherever_they_stand() {
        let json = masked_body(r#"{"a":[{"AccessToken":"s3cret"}],"security-id":"s3cret","b":1}"#);
        assert_eq!(json, json!({ "a": [{ "AccessToken": "***" }], "security-id": "***", "b": 1 }));
        let form = masked_body("client_id=me&client_secret=s3cret&scope=x");
        assert_eq!(form, json!("client_id=me&client_secret=***&scope=x"));
        assert_eq!(masked_body("a=1&client%5Fsecret=s3cret"), json!("a=1&client%5Fsecret=***"));
        assert_eq!(masked_body(r#"{"AccessToken":"s3cret"#), json!("not readable, not shown"));
        assert_eq!(masked_path("/x?id=1&access_token=s3cret"), "/x?id=1&access_token=***");
        assert!(is_secret("Authorization"));
        assert!(!is_secret("project"));
    }

    proptest! {
        #[test]
        fn never_panics(text: String) {
            masked_body(&text);
            masked_path(&text);
        }
    }
}
