//! Knovvu's identity server (`knovvu.md 1`, K3): OAuth client credentials.

use axum::http::Method;
use jiff::Timestamp;
use serde_json::json;

use crate::sandbox::{
    traffic::{Incoming, Reply},
    world::World,
};

/// What issued tokens begin with: one that does and is not known was revoked, or has
/// ended.
const PREFIX: &str = "sandbox-token-";

/// How long a token is good, in seconds.
const LIFETIME: i64 = 86_399;

const SCOPES: [&str; 3] =
    ["orchestrator_external", "outboundmanager_external", "dataservice_external"];

/// Answers what lies under `/knovvu-identity`.
pub(in crate::sandbox) fn answer_identity(world: &World, incoming: &Incoming, path: &str) -> Reply {
    if path != "/connect/token" {
        return Reply::text(404, "no such path");
    }
    if incoming.method != Method::POST {
        return Reply::text(405, "only POST").with("allow", "POST");
    }
    let Some(form) = incoming.form() else { return refused(400, "invalid_request") };
    let field = |name| form.get(name).map(String::as_str).unwrap_or_default();
    if field("grant_type") != "client_credentials" {
        return refused(400, "unsupported_grant_type");
    }
    if ["", "bad-secret"].contains(&field("client_secret")) || field("client_id").is_empty() {
        return refused(401, "invalid_client");
    }
    let scope = field("scope");
    if scope.is_empty() || !scope.split(' ').all(|scope| SCOPES.contains(&scope)) {
        return refused(400, "invalid_scope");
    }
    let token = format!("{PREFIX}{}", world.new_id());
    world.issue(incoming.now, token.clone(), LIFETIME);
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": LIFETIME,
        "scope": scope,
    });
    Reply::json(200, &body)
}

fn refused(status: u16, error: &str) -> Reply {
    Reply::json(status, &json!({ "error": error }))
}

/// A token of this server that is still good, or any static one but `bad-token`.
pub(super) fn is_good(world: &World, now: Timestamp, token: &str) -> bool {
    if token.starts_with(PREFIX) { world.is_issued(now, token) } else { token != "bad-token" }
}
