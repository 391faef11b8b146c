//! MobTexting: `outgoing/send` and `outgoing/callstatus`.

use axum::http::Method;
use serde_json::json;

use super::{
    traffic::{Answer, Incoming, Reply},
    world::World,
};

mod send;
mod status;

pub(super) use status::{local, seconds, word};

/// Answers what lies under `/mobtexting`.
pub(super) fn answer(world: &World, incoming: &Incoming, path: &str) -> Answer {
    if path == "/login" {
        return Reply::text(200, "log in").into();
    }
    let Some(endpoint) = path.strip_prefix("/api/v2/") else {
        return error(404, "Not found").into();
    };
    if incoming.method == Method::GET
        && let Err(seconds) = world.admit_read(incoming.now)
    {
        return too_fast(seconds).into();
    }
    match token(incoming).as_str() {
        "" | "bad-token" => return unauthenticated(incoming).into(),
        "forbidden" => return error(403, "Forbidden").into(),
        _ => {}
    }
    match (endpoint, &incoming.method) {
        ("outgoing/send", &Method::POST) => send::answer(world, incoming),
        ("outgoing/callstatus", &Method::GET) => status::answer(world, incoming).into(),
        ("outgoing/send" | "outgoing/callstatus", _) => error(405, "Method not allowed").into(),
        _ => error(404, "Not found").into(),
    }
}

/// The bearer token, or the query's `access_token` where there is no header.
fn token(incoming: &Incoming) -> String {
    let header = incoming.header("authorization");
    if header.is_empty() {
        return incoming.parameters().remove("access_token").unwrap_or_default();
    }
    header.strip_prefix("Bearer ").unwrap_or_default().trim().to_owned()
}

/// JSON for those who ask for it, the login page for everybody else.
fn unauthenticated(incoming: &Incoming) -> Reply {
    if incoming.header("accept").contains("application/json") {
        return error(401, "Unauthenticated");
    }
    let page = "<!DOCTYPE html><title>Redirecting to /mobtexting/login</title>";
    let mut reply = Reply::text(302, page).with("location", "/mobtexting/login");
    reply.headers.retain(|(name, _)| *name != "content-type");
    reply.with("content-type", "text/html; charset=utf-8")
}

/// The shape that every error has (`mobtexting.md 4`).
fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "status": "ERROR", "code": status, "message": message }))
}

fn too_fast(seconds: i64) -> Reply {
    error(429, "Too many requests").with("retry-after", seconds.to_string())
}
