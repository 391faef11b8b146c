//! From an HTTP request to a delivery, and to its answer.

use std::{convert::Infallible, sync::Arc};

use hyper::{
    HeaderMap, Method, Request,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE},
    http::request::Parts,
};
use percent_encoding::percent_decode_str;
use tokio::{sync::Semaphore, time::timeout};
use url::form_urlencoded;

use super::{
    Limits,
    answer::{self, Answer},
    body::{self, NoBody},
    told,
};
use crate::{
    gateway::Gateway,
    http::Delivery,
    telemetry::{Trace, Traced},
};

/// Fields of a query.
const MAX_FIELDS: usize = 64;

/// Where deliveries are handed in.
#[derive(Debug)]
pub(super) struct Desk {
    gateway: Gateway,
    limits: Limits,
    bodies: Semaphore,
    hands: Arc<Semaphore>,
}

/// A path of ours, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) vendor: String,
    pub(super) token: Option<String>,
}

/// Who is meant, and the query's fields; or why nobody is.
type Addressed = Result<(Address, Vec<(String, String)>), Answer>;

impl Desk {
    pub(super) fn new(gateway: Gateway, limits: Limits) -> Self {
        let bodies = Semaphore::new(limits.bodies);
        Self { gateway, limits, bodies, hands: Arc::new(Semaphore::new(limits.deliveries)) }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Answers a request, whatever it is. A vendor may say to which trace of its own it belongs:
    /// nobody has proven to be a vendor yet, so it is of a new one.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        let addressed = self.addressed(&head);
        let trace = Trace::of_rpc(None);
        let mut span = told::begin(&trace, &head.method, addressed.as_ref().ok().map(|(to, _)| to));
        let answer = self.taken(head, addressed, body).within(trace).await;
        told::end(&mut span, answer.status());
        self.gateway.metrics().callback_answered(answer.status().as_u16());
        Ok(answer)
    }

    async fn taken(&self, head: Parts, addressed: Addressed, body: Incoming) -> Answer {
        let Ok(Ok(_place)) = timeout(self.limits.body, self.bodies.acquire()).await else {
            return answer::last(answer::later("1"));
        };
        let most = if addressed.is_ok() { self.limits.body_bytes } else { 0 };
        let body = body::read(body, most, self.limits.body).await;
        match (addressed, body) {
            (Ok((Address { vendor, token }, query)), Ok(body)) => {
                let content_type = content_type(&head.headers);
                let authorization = authorization(&head.headers);
                let delivery = Delivery { token, query, content_type, authorization, body };
                self.hand_in(vendor, delivery).await
            }
            (Ok(_), Err(NoBody::TooLarge)) => answer::too_large(),
            (Ok(_), Err(NoBody::TooSlow)) => answer::too_slow(),
            (Ok(_), Err(NoBody::Broken)) => {
                answer::last(answer::malformed("the body can't be read"))
            }
            // Whoever still sends is not listened to any more.
            (Err(refusal), Err(NoBody::TooSlow | NoBody::Broken)) => answer::last(refusal),
            (Err(refusal), Ok(_) | Err(NoBody::TooLarge)) => refusal,
        }
    }

    /// Who is meant, and the query's fields; or why nobody is.
    fn addressed(&self, head: &Parts) -> Addressed {
        let address = address(head.uri.path())
            .filter(|address| self.gateway.has_callback(&address.vendor))
            .ok_or_else(answer::not_found)?;
        if head.method != Method::POST {
            return Err(answer::not_allowed());
        }
        let query = fields(head.uri.query())
            .ok_or_else(|| answer::malformed("the query has too many fields"))?;
        Ok((address, query))
    }

    async fn hand_in(&self, vendor: String, delivery: Delivery) -> Answer {
        // Not every vendor posts again: better that one waits for its turn, of which there
        // are no more than connections.
        let hand = Arc::clone(&self.hands).acquire_owned();
        let Ok(Ok(hand)) = timeout(self.limits.body, hand).await else {
            return answer::later("1");
        };
        let gateway = self.gateway.clone();
        // A vendor that hangs up still keeps this hand busy until the work is done.
        let deliver = async move {
            let delivered = gateway.deliver(&vendor, delivery).await;
            drop(hand);
            delivered
        };
        let work = tokio::spawn(deliver.here());
        work.await.map_or_else(|_| answer::later("5"), answer::of)
    }
}

/// The vendor and the token of `/callbacks/{vendor}[/{token}]`.
fn address(path: &str) -> Option<Address> {
    let mut parts = path.strip_prefix("/callbacks/")?.split('/');
    let decoded = |part: &str| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
    let vendor = decoded(parts.next()?)?;
    let token = match parts.next() {
        Some(token) => Some(decoded(token)?).filter(|token| !token.is_empty()),
        None => None,
    };
    parts.next().is_none().then_some(Address { vendor, token })
}

/// The query's fields, decoded, unless they are too many.
fn fields(query: Option<&str>) -> Option<Vec<(String, String)>> {
    let fields: Vec<_> = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .take(MAX_FIELDS + 1)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    (fields.len() <= MAX_FIELDS).then_some(fields)
}

fn content_type(headers: &HeaderMap) -> String {
    let whole = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Of two, nobody knows which is meant.
fn authorization(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded() {
        for (path, expected) in [
            ("/callbacks/v", Some(("v", None))),
            ("/callbacks/v/", Some(("v", None))),
            ("/callbacks/v/t0k3n", Some(("v", Some("t0k3n")))),
            ("/callbacks/%76/a%2Fb%20c+d", Some(("v", Some("a/b c+d")))),
            ("/callbacks/", Some(("", None))),
            ("/callbacks/v/t/x", None),
            ("/callbacks/v/%ff", None),
            ("/callbacks/%ff", None),
            ("//callbacks/v", None),
            ("/Callbacks/v", None),
            ("/callbacks", None),
            ("/", None),
            ("*", None),
            ("", None),
        ] {
            let expected = expected.map(|(vendor, token)| Address {
                vendor: vendor.to_owned(),
                token: token.map(str::to_owned),
            });
            assert_eq!(address(path), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded_and_bounded() {
        let own = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(fields(None), Some(vec![]));
        assert_eq!(
            fields(Some("a=%20b&c&a=%ff")),
            Some(vec![own("a", " b"), own("c", ""), own("a", "\u{fffd}")])
        );
        assert!(fields(Some(&"a&".repeat(64))).is_some());
        assert!(fields(Some(&"a&".repeat(65))).is_none());
    }

    #[test]
    fn headers_are_read_with_care() {
        let mut headers = HeaderMap::new();
        assert_eq!((content_type(&headers), authorization(&headers)), (String::new(), None));
        headers.insert(CONTENT_TYPE, "Application/JSON ; charset=utf-8".parse().unwrap());
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(content_type(&headers), "application/json");
        assert_eq!(authorization(&headers), Some("Bearer x".to_owned()));
        headers.append(AUTHORIZATION, "Bearer y".parse().unwrap());
        assert_eq!(authorization(&headers), None);
    }
}
