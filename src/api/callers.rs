//! Who calls: known by a token, by a certificate that TLS has verified, or by both.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::time::Instant;
use tonic::{
    Request,
    codegen::http::{self, HeaderMap, header::AUTHORIZATION},
};

use crate::{config, gateway::Scope, listen::Peer};

/// Somebody who may use the API.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    name: String,
    token: Option<[u8; 32]>,
    certificate: Option<String>,
    scope: Scope,
    suppressions: bool,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("name", &self.name).field("scope", &self.scope).finish()
    }
}

impl Caller {
    fn new(caller: &config::Caller) -> Self {
        Self {
            name: caller.name.clone(),
            token: caller.token,
            certificate: caller.certificate.clone(),
            scope: caller.routes.clone().map_or_else(Scope::default, Scope::of),
            suppressions: caller.suppressions,
        }
    }

    /// Its configured name, which may be logged.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Everybody who may use the API; with nobody in it, anybody may.
#[derive(Debug, Clone, Default)]
pub struct Callers(Vec<Arc<Caller>>);

impl Callers {
    /// Those of the configuration.
    pub fn new(callers: &BTreeMap<String, config::Caller>) -> Self {
        let mut all: Vec<_> = callers.values().map(Caller::new).map(Arc::new).collect();
        // Who proves more is looked for first.
        all.sort_by_key(|caller| {
            (caller.token.is_none(), caller.token.is_none() || caller.certificate.is_none())
        });
        Self(all)
    }

    /// Whether somebody is among them with the very same proofs and rights.
    pub(super) fn have(&self, caller: &Caller) -> bool {
        self.0.iter().any(|own| **own == *caller)
    }

    /// Who it is. How long that takes tells nothing of what a right token is like.
    pub(super) fn who(&self, headers: &HeaderMap, peer: &Peer) -> Who {
        if self.0.is_empty() {
            return Who::Anybody;
        }
        let token = bearer(headers).map(config::Caller::digest_of);
        let mut found = None;
        for caller in &self.0 {
            let has_token = match (&caller.token, &token) {
                (None, _) => true,
                (Some(own), Some(token)) => verify_slices_are_equal(own, token).is_ok(),
                (Some(_), None) => false,
            };
            let has_certificate = caller.certificate.as_ref().is_none_or(|name| peer.is(name));
            let proves = caller.token.is_some() || caller.certificate.is_some();
            if found.is_none() && has_token && has_certificate && proves {
                found = Some(caller);
            }
        }
        found.map_or(Who::Stranger, |caller| Who::Caller(Arc::clone(caller)))
    }
}

/// The token of the one `authorization: Bearer` there is.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next().filter(|_| all.next().is_none())?.as_bytes();
    let (scheme, token) = first.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Who sent an RPC.
#[derive(Debug, Clone)]
pub(super) enum Who {
    /// Nobody has to say.
    Anybody,
    /// One of those who are configured.
    Caller(Arc<Caller>),
    /// Somebody else.
    Stranger,
}

impl Who {
    /// The caller, if it is a known one.
    pub(super) fn caller(&self) -> Option<&Arc<Caller>> {
        match self {
            Self::Caller(caller) => Some(caller),
            Self::Anybody | Self::Stranger => None,
        }
    }
}

/// What is known of an RPC before its body is read: an extension of its request.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// When its headers were there. The caller's time runs from then on; a handler runs only
    /// once it has the whole body.
    pub(super) at: Instant,
    pub(super) who: Who,
    /// Where it comes from; none of a Unix socket.
    pub(super) from: Option<SocketAddr>,
}

impl Arrived {
    /// The caller, if callers have to say who they are and this one is known.
    pub fn caller(&self) -> Option<&Arc<Caller>> {
        self.who.caller()
    }

    /// Whether it is let in.
    pub(super) fn is_known<B>(request: &http::Request<B>) -> bool {
        let arrived = request.extensions().get::<Self>();
        arrived.is_some_and(|arrived| !matches!(arrived.who, Who::Stranger))
    }
}

/// What the caller of a request may see and use. The services are reached by those alone
/// whom [`Arrived::is_known`] lets in.
pub(super) fn scope<T>(request: &Request<T>) -> Scope {
    match request.extensions().get::<Arrived>() {
        Some(Arrived { who: Who::Caller(caller), .. }) => caller.scope.clone(),
        Some(_) | None => Scope::default(),
    }
}

/// Whether the caller of a request may use the do-not-call list.
pub(super) fn may_suppress<T>(request: &Request<T>) -> bool {
    match request.extensions().get::<Arrived>() {
        Some(Arrived { who: Who::Caller(caller), .. }) => caller.suppressions,
        Some(_) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str, token: Option<&str>, certificate: Option<&str>) -> Arc<Caller> {
        Arc::new(Caller::new(&config::Caller {
            name: name.into(),
            token: token.map(|token| config::Caller::digest_of(token.as_bytes())),
            certificate: certificate.map(str::to_owned),
            routes: None,
            suppressions: true,
        }))
    }

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_is_known_however_it_is_written() {
        let callers = Callers(vec![caller("a", Some("token-of-a"), None)]);
        let who = |values: &[&str]| match callers.who(&with(values), &Peer::default()) {
            Who::Caller(caller) => caller.name.clone(),
            Who::Anybody => "anybody".into(),
            Who::Stranger => "stranger".into(),
        };
        for good in ["Bearer token-of-a", "bearer token-of-a", "BEARER  token-of-a "] {
            assert_eq!(who(&[good]), "a", "{good}");
        }
        for bad in ["Bearer token-of-b", "Bearer", "Bearer ", "Basic token-of-a", "token-of-a", ""]
        {
            assert_eq!(who(&[bad]), "stranger", "{bad}");
        }
        assert_eq!(who(&[]), "stranger");
        assert_eq!(who(&["Bearer token-of-a", "Bearer token-of-a"]), "stranger");
        assert!(matches!(Callers::default().who(&with(&[]), &Peer::default()), Who::Anybody));
    }

    #[test]
    fn who_is_asked_for_both_has_to_show_both() {
        let callers = Callers(vec![caller("a", Some("token-of-a"), Some("a.example.test"))]);
        let who = callers.who(&with(&["Bearer token-of-a"]), &Peer::default());
        assert!(matches!(who, Who::Stranger));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let callers = Callers(vec![caller("a", Some("token-of-a"), Some("a.example.test"))]);
        let shown =
            format!("{callers:?} {:?}", callers.who(&with(&["Bearer x"]), &Peer::default()));
        assert!(shown.contains("\"a\"") && !shown.contains("token") && !shown.contains("example"));
    }
}
