//! MobTexting's check of a new webhook (`mobtexting.md 5b`).

use std::io;

use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::post::{self, Letter};
use crate::sandbox::{System, world::World};

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Why MobTexting would not take a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// None is set.
    #[error("no MobTexting webhook is set")]
    NoWebhook,
    /// It leads elsewhere, or is no address.
    #[error("the webhook's url {0}")]
    Address(&'static str),
    /// Nobody answered.
    #[error("nobody answered")]
    Unreachable,
    /// Answered with another status than 200.
    #[error("answered with status {0}")]
    Status(u16),
    /// Answered without the challenge.
    #[error("the answer lacks the challenge")]
    Challenge,
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        Self::other(error)
    }
}

/// Posts the token and a challenge, and wants the challenge back. Gives the status.
pub(in crate::sandbox) async fn run(world: &World) -> Result<u16, HandshakeError> {
    let webhook = world.pushes.settings().0.mobtexting.ok_or(HandshakeError::NoWebhook)?;
    let mut url = post::loopback(&webhook.url).map_err(HandshakeError::Address)?;
    url.query_pairs_mut().append_pair("token", &webhook.token);
    let challenge = world.new_id();
    let body = json!({ "validation_key": webhook.token, "challenge": challenge });
    let letter = Letter {
        system: System::MobTexting,
        url,
        authorization: None,
        content_type: post::JSON,
        body: body.to_string(),
    };
    let answer = post::send(&post::client(), &letter).await;
    let answer = answer.map_err(|_| HandshakeError::Unreachable)?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(HandshakeError::Status(status));
    }
    let text =
        timeout(post::PATIENCE, Limited::new(answer.into_body(), MAX_ANSWER).collect()).await;
    let Ok(Ok(text)) = text else { return Err(HandshakeError::Challenge) };
    let said: Value =
        serde_json::from_slice(&text.to_bytes()).map_err(|_| HandshakeError::Challenge)?;
    let same = said.get("challenge").and_then(Value::as_str) == Some(challenge.as_str());
    if same { Ok(status) } else { Err(HandshakeError::Challenge) }
}
