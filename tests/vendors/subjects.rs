//! The vendors that the suite is run for, and what is asked of them.

use std::{collections::BTreeMap, path::Path, sync::Arc, sync::LazyLock};

use dialplane::{
    call::{CallId, E164, Order, Recipient, Script},
    config::Config,
    http::HttpReply,
    vendors::{Context, Outgoing, Placed, REGISTRY, Registration, Vendor},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::toy;

/// The credential of every subject. 64 letters and digits, as Phonon wants them.
pub const SECRET: &str = "c0ffee00c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77";

/// Where every subject is; below it everything it sends has to stay.
pub const BASE: &str = "https://vendor.test:8443/behind/a/proxy";

/// A configured vendor, and what it answers.
pub struct Subject {
    pub name: &'static str,
    pub vendor: Arc<dyn Vendor>,
    /// What is sent can't be read, and is never the same twice.
    pub encrypted: bool,
    /// The body is believed whatever the HTTP status (phonon.md 6.2).
    pub body_before_status: bool,
    yes: fn(&[Outgoing<'_>]) -> Value,
    over: fn(&str) -> Value,
}

impl Subject {
    /// The answer that takes every call of a batch.
    pub fn yes(&self, batch: &[Outgoing<'_>]) -> HttpReply {
        HttpReply::json(200, (self.yes)(batch).to_string())
    }

    /// The answer that calls are over.
    pub fn over(&self, calls: &[Placed<'_>]) -> HttpReply {
        let id = calls[0].vendor_call_id.unwrap();
        HttpReply::json(200, (self.over)(id).to_string())
    }
}

/// The registry and one vendor more.
pub fn registry() -> Vec<Registration> {
    REGISTRY.iter().copied().chain([toy::REGISTRATION]).collect()
}

pub static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
    let phonon = |name, keys: &str| Subject {
        name,
        vendor: vendor(
            "phonon",
            &format!("security_id = \"{SECRET}\"\nflow_id = \"AbCd1234\"\n{keys}"),
        ),
        encrypted: keys.contains("encryption"),
        body_before_status: true,
        yes: phonon_yes,
        over: phonon_over,
    };
    let pulled = format!("results = {{ url = \"{BASE}/pull\", version = 2 }}\n");
    let mobtexting = |name, keys: &str| Subject {
        name,
        vendor: vendor(
            "mobtexting",
            &format!("access_token = \"{SECRET}\"\nbridge = \"918000000001\"\n{keys}"),
        ),
        encrypted: false,
        body_before_status: false,
        yes: |_| json!({ "status": "OK", "message": "queued", "data": [{ "id": "v-0", "credits": 1 }] }),
        over: |id| json!({ "status": 200, "data": [{ "id": id, "status": "ANSWER" }] }),
    };
    let knovvu = vendor(
        "knovvu",
        &format!(
            "access_token = \"{SECRET}\"\nproject = \"P\"\nscenario_path = \"https://ivr.test/s\"\n\
             orchestrator_url = \"https://orchestrator.test\"\ndisplay_number = \"200\"",
        ),
    );
    vec![
        phonon("phonon-outbound", &format!("product = \"outbound\"\n{pulled}")),
        phonon("phonon-dialer", &format!("product = \"dialer\"\n{}", pulled.replace("= 2", "= 1"))),
        phonon(
            "phonon-multicast",
            &format!("product = \"multicast\"\nlane = \"realtime\"\n{pulled}"),
        ),
        Subject {
            yes: |_| json!({ "api-response-code": 202, "api-response-message": "Accepted", "request-id": "r-0" }),
            ..phonon("phonon-bulk", BULK)
        },
        phonon(
            "phonon-encrypted",
            &format!(
                "product = \"outbound\"\nencryption = {{ public_key_file = \"public_key.pem\" }}\n{pulled}"
            ),
        ),
        mobtexting("mobtexting-flow", "flow_id = \"77\""),
        mobtexting("mobtexting-audio", "audio = \"https://sounds.test/a.mp3\""),
        Subject {
            name: "knovvu",
            vendor: knovvu,
            encrypted: false,
            body_before_status: false,
            yes: |_| json!({ "UniqueId": "v-0" }),
            over: |id| json!({ "CallResults": [{ "UniqueId": id, "CallState": "Answered" }] }),
        },
        Subject {
            name: "toy",
            vendor: vendor("toy", &format!("key = \"{SECRET}\"")),
            encrypted: false,
            body_before_status: false,
            yes: |batch| {
                let taken: BTreeMap<_, _> =
                    batch.iter().map(|o| (o.id.to_string(), "v-0")).collect();
                json!({ "taken": taken })
            },
            over: |id| json!({ "states": { id: "reached" } }),
        },
    ]
});

/// The bulk lane can't be asked: without pushes nothing would be heard of its calls.
const BULK: &str = "product = \"multicast\"\nlane = \"bulk\"\n\
                    callback = { user = \"vendor\", password = \"hunter-2\" }";

/// A configured vendor of a kind.
pub fn vendor(kind: &str, keys: &str) -> Arc<dyn Vendor> {
    let text = format!(
        "[vendors.v]\nkind = \"{kind}\"\nbase_url = \"{BASE}\"\n{keys}\n[routes.r]\nvendors = [\"v\"]\n"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendors");
    let config = Config::parse_with(&registry(), &text, &folder, &|_| None)
        .unwrap_or_else(|problems| panic!("{kind}: {problems}"));
    Arc::clone(&config.vendors["v"].adapter)
}

fn phonon_yes(batch: &[Outgoing<'_>]) -> Value {
    let taken = |outgoing: &Outgoing<'_>| json!({ "client-identifier": outgoing.id.to_string(), "phonon-uuid": "v-0" });
    json!({
        "api-response-code": 200, "api-response-message": "Success", "request-id": "r-0",
        "call-details": batch.iter().map(taken).collect::<Vec<_>>(),
    })
}

fn phonon_over(id: &str) -> Value {
    json!({
        "api-response-code": 200, "api-response-message": "Success",
        "data": [{
            "phonon-uuid": id,
            "flow-status": "COMPLETED",
            "call-details": [{
                "calleeType": "VISITOR",
                "startTime": "2026-03-01T14:30:00+05:30",
                "endTime": "2026-03-01T14:30:30+05:30",
                "hangupCause": "17",
                "duration": "0",
            }],
        }],
    })
}

/// A number that no other order has.
pub fn number(index: usize) -> E164 {
    format!("9199{index:08}").parse().unwrap()
}

/// One number and nothing else: everything that is needed besides is configured.
pub fn plain(index: usize) -> Order {
    Order {
        client_reference: None,
        to: vec![number(index)],
        caller_id: None,
        script: None,
        variables: BTreeMap::new(),
        start_time: None,
        expire_time: None,
        recipient: Recipient::default(),
        locale: None,
        retry: None,
        labels: BTreeMap::new(),
    }
}

/// Orders with no script of their own and with one of two.
pub fn orders(count: usize) -> Vec<(CallId, Order)> {
    let script = |index: usize| match index % 3 {
        0 => None,
        1 => Some(Script::Flow("AbCd1234".to_owned())),
        _ => Some(Script::Flow("WxYz5678".to_owned())),
    };
    let order = |index| Order { script: script(index), ..plain(index) };
    (0..count).map(|index| (CallId::generate(), order(index))).collect()
}

pub fn outgoing(orders: &[(CallId, Order)]) -> Vec<Outgoing<'_>> {
    orders.iter().map(|(id, order)| Outgoing { id: *id, dial: 0, order }).collect()
}

/// Those of a list that a batch or a question is about.
pub fn at<T: Copy>(all: &[T], indices: &[usize]) -> Vec<T> {
    indices.iter().map(|index| all[*index]).collect()
}

pub fn context() -> Context<'static> {
    Context { now: "2026-03-01T10:00:00Z".parse::<Timestamp>().unwrap(), token: None }
}

#[test]
fn every_registered_kind_is_a_subject() {
    for registration in registry() {
        let kinds = SUBJECTS.iter().map(|subject| subject.vendor.kind());
        assert!(kinds.into_iter().any(|kind| kind == registration.kind), "{registration:?}");
    }
    for subject in SUBJECTS.iter() {
        assert!(!format!("{:?}", subject.vendor).contains(SECRET), "{}", subject.name);
        assert!(subject.vendor.domain().contains('.'), "{}", subject.name);
    }
}
