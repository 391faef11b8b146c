//! A vendor as small as one can be: all that a new one takes is a module like this and
//! its [`REGISTRATION`] in the registry.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dialplane::{
    call::{CallState, Cause, E164, Fault, Order, Report, Script},
    config::{Secret, Section},
    http::{Body, Delivery, Header, HttpReply, HttpRequest, Method},
    vendors::{
        Callback, Capabilities, Context, DefaultLimits, MAX_PUSHED, Malformed, Objection, Outgoing,
        Placed, Placement, Push, Pushed, Registration, Told, Vendor, bounds::MAX_ID_BYTES,
        fault_of_status,
    },
};
use serde_json::{Map, Value, json};
use url::Url;

pub const REGISTRATION: Registration = Registration { kind: "toy", build };

const CAPABILITIES: Capabilities = Capabilities {
    flows: true,
    audio: false,
    schedules: false,
    retries: false,
    caller_id: false,
    pull_results: true,
    push_results: false,
    cancels: false,
    max_numbers: 2,
    max_batch: 3,
};

#[derive(Debug)]
struct Toy {
    base_url: Url,
    key: Secret,
    capabilities: Capabilities,
    callback: Option<Posts>,
}

/// What it posts: the states of calls, with a token in the address.
#[derive(Debug)]
struct Posts(Secret);

fn build(section: &mut Section<'_>) -> Option<Arc<dyn Vendor>> {
    let (base_url, key) = (section.url("base_url"), section.required_secret("key"));
    let callback = section.secret("callback").map(Posts);
    let capabilities = Capabilities { push_results: callback.is_some(), ..CAPABILITIES };
    Some(Arc::new(Toy { base_url: base_url?, key: key?, capabilities, callback }))
}

fn state_of(word: &str) -> Option<CallState> {
    match word {
        "reached" => Some(CallState::Answered),
        "missed" => Some(CallState::NoAnswer),
        _ => None,
    }
}

impl Callback for Posts {
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed> {
        let states: HashMap<String, Value> =
            serde_json::from_slice(&delivery.body).map_err(|_| Malformed("is no object"))?;
        let is_id = |id: &String| (1..=MAX_ID_BYTES).contains(&id.len());
        if states.len() > MAX_PUSHED || !states.keys().all(is_id) {
            return Err(Malformed("names too many calls, or none"));
        }
        let piece =
            |(id, said)| Pushed { vendor_call_id: Some(id), call_id: None, said, keep: true };
        Ok(Push::News(states.into_iter().map(piece).collect()))
    }

    fn is_authentic(&self, delivery: &Delivery, _: Option<&Push>) -> bool {
        delivery.token.as_deref().is_some_and(|token| self.0.is(token))
    }

    fn challenge(&self) -> Option<&'static str> {
        None
    }

    fn told(&self, said: &Value, _: &Placed<'_>) -> Told {
        match said.as_str().and_then(state_of) {
            None => Told::Nothing,
            state => Told::Result(Report { state, ..Report::default() }),
        }
    }
}

impl Toy {
    fn post(&self, path: &str, body: &Value) -> HttpRequest {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        HttpRequest {
            method: Method::Post,
            url,
            headers: vec![("Authorization", Header::Secret("Bearer ", self.key.clone()))],
            body: Body::Json(body.to_string().into()),
        }
    }
}

/// The object at a key of a 2xx answer, with nothing but texts in it.
fn texts(reply: &HttpReply, key: &str) -> Option<HashMap<String, String>> {
    let value: Value = serde_json::from_slice(&reply.body).ok()?;
    let fields = value.get(key)?.as_object()?;
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    (200..300).contains(&reply.status).then(|| fields.iter().filter_map(text).collect())
}

impl Vendor for Toy {
    fn kind(&self) -> &'static str {
        REGISTRATION.kind
    }

    fn domain(&self) -> &'static str {
        "toy.example"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn default_limits(&self) -> DefaultLimits {
        DefaultLimits {
            calls_per_minute: None,
            requests_per_minute: None,
            max_in_flight: 2,
            poll_interval: Duration::from_secs(10),
            give_up_after: Duration::from_secs(3_600),
        }
    }

    fn check(&self, order: &Order) -> Vec<Objection> {
        let cannot = |wanted: bool, field: &str| {
            wanted.then(|| Objection::unsupported(field, "is more than a toy can do"))
        };
        [
            cannot(order.to.len() > CAPABILITIES.max_numbers, "to"),
            cannot(matches!(order.script, Some(Script::Audio(_))), "audio"),
            cannot(order.caller_id.is_some(), "caller_id"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..orders.len()).collect();
        all.chunks(CAPABILITIES.max_batch).map(<[usize]>::to_vec).collect()
    }

    fn place(&self, batch: &[Outgoing<'_>], _: &Context<'_>) -> Result<HttpRequest, Fault> {
        let call = |outgoing: &Outgoing<'_>| {
            let to: Vec<_> = outgoing.order.to.iter().map(E164::digits).collect();
            json!({ "id": outgoing.id.to_string(), "to": to })
        };
        Ok(self.post("/calls", &batch.iter().map(call).collect()))
    }

    fn read_placement(&self, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
        let taken = texts(reply, "taken");
        let read = |outgoing: &Outgoing<'_>| match &taken {
            None => Placement::Fault(fault_of_status(reply)),
            Some(taken) => match taken.get(&outgoing.id.to_string()) {
                Some(id) if id.trim().is_empty() => {
                    Placement::Fault(Fault::new(Cause::InDoubt, "NO_ID", "taken without an id"))
                }
                Some(id) => Placement::Accepted {
                    vendor_call_id: Some(id.clone()),
                    vendor_request_id: None,
                    data: Map::new(),
                },
                None => Placement::Fault(Fault::new(Cause::NotAllowed, "LEFT_OUT", "not taken")),
            },
        };
        batch.iter().map(read).collect()
    }

    fn questions(&self, calls: &[Placed<'_>]) -> Vec<Vec<usize>> {
        let known = (0..calls.len()).filter(|index| calls[*index].vendor_call_id.is_some());
        let known: Vec<usize> = known.collect();
        if known.is_empty() { Vec::new() } else { vec![known] }
    }

    fn ask(&self, calls: &[Placed<'_>], _: &Context<'_>) -> Option<HttpRequest> {
        let ids: Vec<_> = calls.iter().filter_map(|call| call.vendor_call_id).collect();
        Some(self.post("/states", &json!(ids)))
    }

    fn read_answer(&self, calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault> {
        let unreadable = || Fault::new(Cause::Unreadable, "UNREADABLE", "no states");
        let states = texts(reply, "states").ok_or_else(unreadable)?;
        let read = |call: &Placed<'_>| {
            let state = state_of(states.get(call.vendor_call_id?)?);
            Some(Report { state, ..Report::default() })
        };
        Ok(calls.iter().map(|call| read(call).unwrap_or_default()).collect())
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.callback.as_ref().map(|posts| posts as &dyn Callback)
    }
}
