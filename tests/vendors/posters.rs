//! What the vendors of the suite post: every documented form, and how each proves itself.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use dialplane::{
    call::CallId,
    http::{Delivery, HttpReply},
    vendors::Vendor,
};
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use crate::subjects::{BASE, SECRET, vendor};

/// What every poster knows: a password, a bearer secret or a token.
pub const PROOF: &str = "0123456789abcdef-proof";

/// How a call ended, as the vendor tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody answered, and talked for seven seconds.
    Answered,
    Busy,
    NoAnswer,
}

pub const OUTCOMES: [Outcome; 3] = [Outcome::Answered, Outcome::Busy, Outcome::NoAnswer];

/// Which call a push is about: the vendor's id and ours, and the number.
pub struct About<'a> {
    pub vendor_call_id: &'a str,
    pub call_id: CallId,
    pub number: &'a str,
}

/// What the gateway makes of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As much as the answer to a question.
    Result,
    /// A reason to ask.
    Hint,
}

/// One form of a push.
pub struct Form {
    pub name: &'static str,
    pub weight: Weight,
    pub write: fn(&About<'_>, Outcome) -> Delivery,
}

/// A vendor that was told how to prove itself, and one that was not.
pub struct Poster {
    pub name: &'static str,
    pub vendor: Arc<dyn Vendor>,
    pub silent: Arc<dyn Vendor>,
    /// Puts a proof into a delivery; right if it is [`PROOF`].
    pub prove: fn(Delivery, &str) -> Delivery,
    pub forms: Vec<Form>,
    /// The answer to a question that says the same.
    pub pulled: fn(&About<'_>, Outcome) -> HttpReply,
}

pub static POSTERS: LazyLock<Vec<Poster>> =
    LazyLock::new(|| vec![phonon(), mobtexting(), knovvu(), toy()]);

fn posted(content_type: &str, body: String) -> Delivery {
    Delivery { content_type: content_type.to_owned(), body: body.into(), ..Delivery::default() }
}

fn as_json(body: &Value) -> Delivery {
    posted("application/json", body.to_string())
}

fn as_form(body: &Map<String, Value>) -> Delivery {
    let mut form = Serializer::new(String::new());
    for (name, value) in body {
        form.append_pair(name, &value.as_str().map_or(value.to_string(), str::to_owned));
    }
    posted("application/x-www-form-urlencoded", form.finish())
}

fn as_form_of(body: &Value) -> Delivery {
    as_form(body.as_object().unwrap())
}

fn in_path(delivery: Delivery, proof: &str) -> Delivery {
    Delivery { token: Some(proof.to_owned()), ..delivery }
}

fn phonon() -> Poster {
    fn leg(about: &About<'_>, outcome: Outcome, length: &str) -> Value {
        let mut leg = json!({
            "cdrId": "81e30000-7b55-4142-9493-000000000000##pbx-1",
            "startTime": "2024-07-01T10:15:00.08+05:30", "endTime": "2024-07-01T10:15:20+05:30",
            "calleeNumber": about.number, "incoming": false, "calleeType": "VISITOR",
            "hangupCause": if outcome == Outcome::Busy { "17" } else { "16" }, "duration": "0",
        });
        if outcome == Outcome::Answered {
            leg["connectTime"] = json!("2024-07-01T10:15:13+05:30");
            leg["duration"] = json!(length);
        }
        leg
    }
    fn custom(about: &About<'_>, outcome: Outcome) -> Value {
        json!({
            "flowStatus": "COMPLETED", "phonon-uuid": about.vendor_call_id, "method": "POST",
            "callDetails": [leg(about, outcome, "7000")],
        })
    }
    let keys = format!(
        "security_id = \"{SECRET}\"\nflow_id = \"AbCd1234\"\nproduct = \"outbound\"\n\
         results = {{ url = \"{BASE}/pull\" }}\n"
    );
    let login = format!("callback = {{ user = \"vendor\", password = \"{PROOF}\" }}");
    let form = |name, write| Form { name, weight: Weight::Result, write };
    Poster {
        name: "phonon",
        vendor: vendor("phonon", &format!("{keys}{login}")),
        silent: vendor("phonon", &keys),
        prove: |delivery, proof| {
            let login = STANDARD.encode(format!("vendor:{proof}"));
            Delivery { authorization: Some(format!("Basic {login}")), ..delivery }
        },
        forms: vec![
            form("phonon.md 5b", |about, outcome| {
                let legs = [leg(about, outcome, "7000")];
                as_json(
                    &json!({ "body": { "phonon-uuid": about.vendor_call_id, "callDetails": legs } }),
                )
            }),
            form("phonon.md 5c", |about, outcome| {
                let mut leg = leg(about, outcome, "7");
                leg.as_object_mut().unwrap().remove("calleeType");
                as_json(&json!({ "phonon-uuid": about.vendor_call_id, "callDetails": [leg] }))
            }),
            form("phonon.md 5d, JSON", |about, outcome| as_json(&custom(about, outcome))),
            form("phonon.md 5d, form", |about, outcome| as_form_of(&custom(about, outcome))),
            form("phonon.md 5d, our id", |about, outcome| {
                let mut body = custom(about, outcome);
                body.as_object_mut().unwrap().remove("phonon-uuid");
                body["keys"] = json!([{
                    "name": "$flow.key.dialplane_call_id", "value": about.call_id.to_string(),
                }]);
                as_json(&body)
            }),
        ],
        pulled: |about, outcome| {
            let body = json!({ "api-response-code": 200, "data": [custom(about, outcome)] });
            HttpReply::json(200, body.to_string())
        },
    }
}

fn mobtexting() -> Poster {
    fn row(about: &About<'_>, outcome: Outcome) -> Value {
        let status = match outcome {
            Outcome::Answered => "ANSWER",
            Outcome::Busy => "BUSY",
            Outcome::NoAnswer => "NOANSWER",
        };
        json!({
            "id": about.vendor_call_id, "to": about.number, "status": status,
            "start_at": "2024-07-01 10:15:13", "end_at": "2024-07-01 10:15:20", "duration": "7",
        })
    }
    fn standard(about: &About<'_>, outcome: Outcome) -> Value {
        let mut body = row(about, outcome);
        let fields = body.as_object_mut().unwrap();
        let id = fields.remove("id").unwrap();
        fields.insert("mid".to_owned(), id);
        fields.insert("to".to_owned(), about.number.parse::<u64>().unwrap().into());
        body
    }
    let keys =
        format!("access_token = \"{SECRET}\"\nbridge = \"918000000001\"\nflow_id = \"77\"\n");
    let form = |name, weight, write| Form { name, weight, write };
    Poster {
        name: "mobtexting",
        vendor: vendor("mobtexting", &format!("{keys}callback = {{ secret = \"{PROOF}\" }}")),
        silent: vendor("mobtexting", &keys),
        prove: |delivery, proof| Delivery {
            authorization: Some(format!("Bearer {proof}")),
            ..delivery
        },
        forms: vec![
            form("standard", Weight::Hint, |about, outcome| as_json(&standard(about, outcome))),
            form("composed, JSON", Weight::Result, |about, outcome| as_json(&row(about, outcome))),
            form("composed, form", Weight::Result, |about, outcome| {
                as_form_of(&row(about, outcome))
            }),
        ],
        pulled: |about, outcome| {
            let body = json!({ "status": 200, "data": [row(about, outcome)] });
            HttpReply::json(200, body.to_string())
        },
    }
}

fn knovvu() -> Poster {
    fn rows(about: &About<'_>, outcome: Outcome) -> Value {
        let state = match outcome {
            Outcome::Answered => "Answered",
            Outcome::Busy => "Busy",
            Outcome::NoAnswer => "No Answer",
        };
        json!({ "CallResults": [{ "UniqueId": about.vendor_call_id, "CallState": state }] })
    }
    let keys = format!(
        "access_token = \"{SECRET}\"\nproject = \"P\"\nscenario_path = \"https://ivr.test/s\"\n\
         orchestrator_url = \"https://orchestrator.test\"\ndisplay_number = \"200\"\n"
    );
    let destination =
        |path: &str| format!("{keys}result_destination = \"https://gateway.test/{path}\"");
    let form = |name, write| Form { name, weight: Weight::Hint, write };
    Poster {
        name: "knovvu",
        vendor: vendor("knovvu", &destination(&format!("callbacks/v/{PROOF}"))),
        silent: vendor("knovvu", &destination("elsewhere")),
        prove: in_path,
        forms: vec![
            form("the id", |about, _| as_json(&json!({ "UniqueId": about.vendor_call_id }))),
            form("rows", |about, outcome| as_json(&rows(about, outcome))),
            form("a form", |about, _| as_form_of(&json!({ "UniqueId": about.vendor_call_id }))),
            form("text", |about, _| posted("text/plain", about.vendor_call_id.to_owned())),
            form("a query", |about, _| Delivery {
                query: vec![("UniqueId".to_owned(), about.vendor_call_id.to_owned())],
                ..Delivery::default()
            }),
        ],
        pulled: |about, outcome| HttpReply::json(200, rows(about, outcome).to_string()),
    }
}

fn toy() -> Poster {
    fn states(about: &About<'_>, outcome: Outcome) -> Value {
        let word = if outcome == Outcome::Answered { "reached" } else { "missed" };
        json!({ about.vendor_call_id: word })
    }
    let keys = format!("key = \"{SECRET}\"\n");
    Poster {
        name: "toy",
        vendor: vendor("toy", &format!("{keys}callback = \"{PROOF}\"")),
        silent: vendor("toy", &keys),
        prove: in_path,
        forms: vec![Form {
            name: "states",
            weight: Weight::Result,
            write: |about, outcome| as_json(&states(about, outcome)),
        }],
        pulled: |about, outcome| {
            HttpReply::json(200, json!({ "states": states(about, outcome) }).to_string())
        },
    }
}
