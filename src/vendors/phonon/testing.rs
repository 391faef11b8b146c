//! What the tests of this adapter share.

use std::path::Path;

use serde_json::Value;
use toml::de::DeTable;

use super::Phonon;
use crate::{
    call::{CallId, Order, Recipient},
    config::{Section, Source},
    http::{HttpReply, HttpRequest},
    vendors::{Outgoing, Placement, Vendor},
};

pub(super) const SECURITY_ID: &str =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Reads a section; gives the adapter and what was wrong, as the operator sees it.
pub(super) fn read(text: &str, directory: &Path) -> (Option<Phonon>, Vec<String>) {
    let environment = |name: &str| (name == "SECURITY_ID").then(|| SECURITY_ID.to_owned());
    let source = Source::new(text, directory, &environment);
    let table = DeTable::parse(text).unwrap();
    let mut section = Section::new(&source, "", 0, table.get_ref());
    let phonon = Phonon::read(&mut section);
    section.finish();
    (phonon, source.into_problems().iter().map(ToString::to_string).collect())
}

/// An adapter for a product, with more keys.
pub(super) fn phonon(product: &str, more: &str) -> Phonon {
    let text = format!(
        "product = \"{product}\"\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\n{more}"
    );
    let (phonon, problems) = read(&text, Path::new("."));
    assert_eq!(problems, [""; 0]);
    phonon.unwrap()
}

pub(super) fn realtime() -> Phonon {
    phonon("multicast", "")
}

pub(super) fn bulk() -> Phonon {
    phonon("multicast", "lane = \"bulk\"")
}

/// One that can be asked.
pub(super) fn pulling() -> Phonon {
    phonon("multicast", "results = { url = \"https://pull.example.com/v2/results\" }")
}

pub(super) fn order(to: &str) -> Order {
    Order {
        client_reference: None,
        to: vec![to.parse().unwrap()],
        caller_id: None,
        script: None,
        variables: Default::default(),
        start_time: None,
        expire_time: None,
        recipient: Recipient::default(),
        locale: None,
        retry: None,
        labels: Default::default(),
    }
}

/// The id of the call at a position.
pub(super) fn id(position: usize) -> CallId {
    format!("01900000-0000-7000-8000-{position:012}").parse().unwrap()
}

/// So many orders, to different numbers.
pub(super) fn orders(count: usize) -> Vec<Order> {
    (0..count).map(|i| order(&format!("9199{i:08}"))).collect()
}

pub(super) fn outgoing(orders: &[Order]) -> Vec<Outgoing<'_>> {
    orders.iter().enumerate().map(|(i, order)| Outgoing { id: id(i), dial: 0, order }).collect()
}

pub(super) fn reply(status: u16, body: &Value) -> HttpReply {
    HttpReply::json(status, body.to_string())
}

/// What an answer says of the one call of a batch.
pub(super) fn placed(phonon: &Phonon, reply: &HttpReply) -> Placement {
    let orders = orders(1);
    let mut placements = phonon.read_placement(&outgoing(&orders), reply);
    assert_eq!(placements.len(), 1);
    placements.remove(0)
}

pub(super) fn body(request: &HttpRequest) -> Value {
    serde_json::from_slice(request.body.bytes()).unwrap()
}
