//! Short-lived access tokens, for vendors that want them: fetched once for all who
//! need one, renewed before they end.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::{account::Account, fault::UNREACHABLE_WAIT, meter::Outcome, traced::Errand};
use crate::{
    call::{CallError, Cause},
    config::Secret,
    http::{Failure, HttpRequest},
    vendors::Token,
};

/// The token of an account, if it has one now.
#[derive(Debug, Default)]
pub(super) struct TokenStore {
    // Held while a token is fetched, on purpose: whoever else needs one waits for it
    // instead of fetching another.
    state: Mutex<State>,
    // Beside it, to be read without waiting.
    last: RwLock<Option<Secret>>,
}

impl TokenStore {
    /// The token that was fetched last, whatever became of it.
    pub(super) fn last(&self) -> Option<Secret> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// When the last attempt to get one failed, and why: whoever waited for it need not
    /// make another, for an identity server that hangs would be waited for in turn.
    failed: Option<(Instant, CallError)>,
}

#[derive(Debug, Clone)]
struct Held {
    secret: Secret,
    renew_at: Instant,
    generation: u64,
}

/// A token to send, and which one it is.
#[derive(Debug)]
pub(super) struct TokenUse {
    pub secret: Secret,
    pub generation: u64,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) struct NoToken {
    pub error: CallError,
    /// It was somebody else who asked for it, and who was told.
    pub is_shared: bool,
}

impl Account {
    /// The token to send; none for vendors without. `refused` names a token that the
    /// vendor did not take: it is not given again.
    pub(super) async fn token(&self, refused: Option<u64>) -> Result<Option<TokenUse>, NoToken> {
        let Some(request) = self.adapter().token_request() else {
            return Ok(None);
        };
        let asked_at = Instant::now();
        let mut state = self.tokens.state.lock().await;
        if let Some((at, error)) = &state.failed
            && *at >= asked_at
        {
            return Err(NoToken { error: error.clone(), is_shared: true });
        }
        let generation = state.held.as_ref().map_or(0, |h| h.generation);
        if let Some(h) = &state.held
            && refused != Some(h.generation)
            && Instant::now() < h.renew_at
        {
            return Ok(Some(TokenUse { secret: h.secret.clone(), generation }));
        }
        let token = match self.fetch(&request).await {
            Ok(token) => token,
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                return Err(NoToken { error, is_shared: false });
            }
        };
        let generation = generation + 1;
        state.held = Some(Held {
            secret: token.secret.clone(),
            renew_at: Instant::now() + early(token.expires_in),
            generation,
        });
        *self.tokens.last.write().unwrap_or_else(PoisonError::into_inner) =
            Some(token.secret.clone());
        Ok(Some(TokenUse { secret: token.secret, generation }))
    }

    /// Nothing was said of a call yet, so whatever goes wrong here, nobody was dialled.
    async fn fetch(&self, request: &HttpRequest) -> Result<Token, CallError> {
        let reply = self.send(request, Errand::Token, 0).await.map_err(|failure| {
            let what = match failure {
                Failure::NotSent { .. } => "can't be reached",
                Failure::InDoubt { .. } => "did not answer",
            };
            let message = format!("{}'s identity server {what}; nothing was sent", self.name());
            CallError {
                retry_after: Some(UNREACHABLE_WAIT),
                ..CallError::new(Cause::Unreachable, "TOKEN_UNAVAILABLE", message)
            }
        })?;
        let token = self.adapter().read_token(&reply);
        self.meter.ended(Errand::Token, Outcome::of_answer(&token));
        token.map_err(|fault| self.vendor_error(fault, Some(reply.status)))
    }
}

/// Nine tenths of a token's life (knovvu.md 6.4), and never longer than a month, so
/// that a vendor's odd number can't overflow the clock.
fn early(life: Duration) -> Duration {
    life.min(Duration::from_secs(30 * 86_400)) * 9 / 10
}
