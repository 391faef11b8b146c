//! Phonon: real time and dialer, plain and encrypted, bulk, and results by pull.

use axum::http::Method;

use super::{
    traffic::{Answer, Incoming, Reply},
    world::World,
};

mod codes;
mod order;
mod place;
mod results;
mod sealed;

pub(super) use results::{leg_json, status};
pub(super) use sealed::Key;

use codes::Code;
use place::Lane;

/// The longest body that is processed, in bytes: 256 KB (`phonon.md 1`).
const MAX_BODY: usize = 256 * 1024;

/// Answers for the real-time host (E1, E3 to E6).
pub(super) fn answer(world: &World, incoming: &Incoming, path: &str) -> Answer {
    let lane = match path {
        "/kairos-apis/outbound/create" | "/kairos-apis/outbounddialer/create" => Some(Lane::Plain),
        "/kairos-apis/enc/outbound/create" | "/kairos-apis/enc/outbounddialer/create" => {
            Some(Lane::Sealed)
        }
        "/results/v1" | "/results/v2" => None,
        _ => return Reply::text(404, "no such path").into(),
    };
    if incoming.method != Method::POST {
        return Reply::text(405, "only POST").with("allow", "POST").into();
    }
    if !is_whitelisted(world, incoming) {
        return Code::IP_NOT_WHITELISTED.reply().into();
    }
    if is_too_large(incoming) {
        return Reply::text(413, "the body is larger than 256 KB").into();
    }
    match lane {
        Some(lane) => place::answer(world, incoming, lane),
        None if path == "/results/v1" => results::answer(world, incoming, false).into(),
        None => results::answer(world, incoming, true).into(),
    }
}

/// Answers for the bulk host (E2).
pub(super) fn answer_bulk(world: &World, incoming: &Incoming, path: &str) -> Answer {
    if path != "/kairos-apis/outbound/create" {
        return Reply::text(404, "no such path").into();
    }
    if incoming.method != Method::POST {
        return Reply::text(405, "only POST").with("allow", "POST").into();
    }
    if !is_whitelisted(world, incoming) {
        return Reply::text(403, "Forbidden").into();
    }
    if is_too_large(incoming) {
        return Reply::text(413, "the body is larger than 256 KB").into();
    }
    place::answer(world, incoming, Lane::Bulk)
}

fn is_whitelisted(world: &World, incoming: &Incoming) -> bool {
    let whitelist = world.options.phonon_whitelist.as_ref();
    whitelist.is_none_or(|addresses| addresses.contains(&incoming.peer))
}

fn is_too_large(incoming: &Incoming) -> bool {
    incoming.body.as_ref().is_none_or(|body| body.len() > MAX_BODY)
}
