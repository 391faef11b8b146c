//! The toy, which posts results as well.

use std::sync::Arc;

use dialplane::{
    call::{CallState, Fault, Order, Report},
    config::{Secret, Section},
    http::{Delivery, HttpReply, HttpRequest},
    vendors::{
        Callback, Capabilities, Context, DefaultLimits, Malformed, Objection, Outgoing, Placed,
        Placement, Push, Pushed, Registration, Told, Vendor,
    },
};
use serde_json::Value;

use crate::toy;

pub const REGISTRATION: Registration = Registration { kind: "poster", build };

#[derive(Debug)]
struct Poster {
    toy: Arc<dyn Vendor>,
    secret: Option<Proof>,
}

#[derive(Debug)]
struct Proof(Secret);

fn build(section: &mut Section<'_>) -> Option<Arc<dyn Vendor>> {
    let secret = section.has("callback").then(|| section.required_secret("callback"));
    let toy = (toy::REGISTRATION.build)(section)?;
    Some(Arc::new(Poster { toy, secret: secret.flatten().map(Proof) }))
}

impl Callback for Proof {
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed> {
        let body: Value =
            serde_json::from_slice(&delivery.body).map_err(|_| Malformed("not JSON"))?;
        if body.get("hello").is_some() {
            return Ok(Push::Handshake { proof: None, answer: body });
        }
        let pieces = body.as_array().ok_or(Malformed("no list"))?;
        let text = |piece: &Value, key| piece.get(key)?.as_str().map(str::to_owned);
        let piece = |piece: &Value| Pushed {
            vendor_call_id: text(piece, "id"),
            call_id: text(piece, "ours").and_then(|id| id.parse().ok()),
            said: piece.clone(),
            keep: true,
        };
        Ok(Push::News(pieces.iter().map(piece).collect()))
    }

    fn is_authentic(&self, delivery: &Delivery, _: Option<&Push>) -> bool {
        let header = delivery.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer "));
        let query = delivery.query.iter().find(|(name, _)| name == "key").map(|(_, v)| v.as_str());
        delivery.token.as_deref().or(header).or(query).is_some_and(|told| self.0.is(told))
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Bearer")
    }

    fn told(&self, said: &Value, _: &Placed<'_>) -> Told {
        let state = match said["state"].as_str() {
            Some("reached") => CallState::Answered,
            Some("missed") => CallState::NoAnswer,
            Some("ask") => return Told::Ask,
            _ => return Told::Nothing,
        };
        Told::Result(Report { state: Some(state), ..Report::default() })
    }
}

impl Vendor for Poster {
    fn kind(&self) -> &'static str {
        REGISTRATION.kind
    }

    fn domain(&self) -> &'static str {
        self.toy.domain()
    }

    fn capabilities(&self) -> &Capabilities {
        self.toy.capabilities()
    }

    fn default_limits(&self) -> DefaultLimits {
        self.toy.default_limits()
    }

    fn check(&self, order: &Order) -> Vec<Objection> {
        self.toy.check(order)
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        self.toy.batches(orders)
    }

    fn place(&self, batch: &[Outgoing<'_>], context: &Context<'_>) -> Result<HttpRequest, Fault> {
        self.toy.place(batch, context)
    }

    fn read_placement(&self, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
        self.toy.read_placement(batch, reply)
    }

    fn questions(&self, calls: &[Placed<'_>]) -> Vec<Vec<usize>> {
        self.toy.questions(calls)
    }

    fn ask(&self, calls: &[Placed<'_>], context: &Context<'_>) -> Option<HttpRequest> {
        self.toy.ask(calls, context)
    }

    fn read_answer(&self, calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault> {
        self.toy.read_answer(calls, reply)
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.secret.as_ref().map(|proof| proof as &dyn Callback)
    }

    /// As it is, and in capital letters.
    fn aliases(&self, vendor_call_id: &str) -> Vec<String> {
        vec![vendor_call_id.to_owned(), vendor_call_id.to_uppercase()]
    }
}
