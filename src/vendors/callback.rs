//! What a vendor posts by itself: read first and without trust, then verified, then
//! applied.

use std::fmt;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{Placed, bounds::MAX_ID_BYTES};
use crate::{
    call::{CallId, Report},
    http::Delivery,
};

/// Calls in one delivery.
pub const MAX_PUSHED: usize = 500;

/// Reads what a vendor posts. An account has one only when it was told how the vendor
/// proves who it is.
pub trait Callback: Send + Sync {
    /// Reads a delivery without trusting it: whoever reaches the port may have sent it.
    ///
    /// # Errors
    /// When it is none of the vendor's forms.
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed>;

    /// Whether the delivery proves to be the vendor's. `push` is what was read of it, for
    /// vendors whose proof is in the body. Takes the same time whatever is wrong with a
    /// secret ([`crate::config::Secret::is`]).
    fn is_authentic(&self, delivery: &Delivery, push: Option<&Push>) -> bool;

    /// How the vendor is asked for its proof: the `WWW-Authenticate` of a 401. None when
    /// it is in the address.
    fn challenge(&self) -> Option<&'static str>;

    /// The name after `/callbacks/` in the address that the vendor is given, where it is known.
    fn posts_to(&self) -> Option<&str> {
        None
    }

    /// What a piece of a delivery says of the call it was found to be about.
    fn told(&self, said: &Value, call: &Placed<'_>) -> Told;
}

/// A delivery, read. Prints without what was said and without the proof.
#[derive(Clone, PartialEq)]
pub enum Push {
    /// The vendor wants to see that somebody is here. The proof it brought along, if its
    /// form has one, and the JSON it wants to see.
    Handshake {
        /// What it sent to prove itself.
        proof: Option<String>,
        /// What it is answered.
        answer: Value,
    },
    /// News of calls; of none when the vendor only tries the address.
    News(Vec<Pushed>),
}

/// A piece of a delivery: what it says of one call. Prints without that.
#[derive(Clone, PartialEq)]
pub struct Pushed {
    /// The vendor's id of the call, where it is told.
    pub vendor_call_id: Option<String>,
    /// Ours, where the vendor gives it back.
    pub call_id: Option<CallId>,
    /// What [`Callback::told`] reads.
    pub said: Value,
    /// Whether it is worth keeping while its call is not known yet: what may well be of no
    /// call at all, and is no more than a hint, is not.
    pub keep: bool,
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake { proof, .. } => {
                f.debug_struct("Handshake").field("proof", &proof.is_some()).finish_non_exhaustive()
            }
            Self::News(pieces) => f.debug_tuple("News").field(pieces).finish(),
        }
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushed")
            .field("vendor_call_id", &self.vendor_call_id)
            .field("call_id", &self.call_id)
            .finish_non_exhaustive()
    }
}

/// What a piece of a delivery comes to.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "made one at a time, and taken apart at once")]
pub enum Told {
    /// News of the call.
    Result(Report),
    /// The vendor should be asked about it now.
    Ask,
    /// It is about another call after all, or about nothing.
    Nothing,
}

/// A delivery that is none of the vendor's forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The body of a delivery. What it is called says little of it: the content type of a
/// callback is often whatever somebody chose in a portal.
pub(super) enum Posted {
    /// Nothing, or blanks.
    Nothing,
    /// JSON, whatever it is called.
    Json(Value),
    /// A form, each name once: the first.
    Form(Map<String, Value>),
    /// Neither.
    Other,
}

/// Takes a delivery's body apart. JSON comes first; a form has to be called one, or not to
/// be called anything.
pub(super) fn posted(delivery: &Delivery) -> Posted {
    let body = delivery.body.trim_ascii();
    if body.is_empty() {
        return Posted::Nothing;
    }
    if let Ok(value) = serde_json::from_slice(body) {
        return Posted::Json(value);
    }
    if !matches!(delivery.content_type.as_str(), "" | "application/x-www-form-urlencoded") {
        return Posted::Other;
    }
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name).or_insert_with(|| Value::String(value.into_owned()));
    }
    Posted::Form(fields)
}

/// What follows the scheme in an `Authorization` header, if it is this scheme, in any case
/// (RFC 9110, 11.1).
pub(super) fn credentials<'a>(delivery: &'a Delivery, scheme: &str) -> Option<&'a str> {
    let (name, rest) = delivery.authorization.as_deref()?.trim().split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim_start())
}

/// An id as a vendor posts it.
///
/// # Errors
/// When it is longer than any id, or holds what no id holds.
pub(super) fn posted_id(text: String) -> Result<String, Malformed> {
    if text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) {
        return Err(Malformed("has an id of a call that can't be one"));
    }
    Ok(text)
}

/// The news of a delivery.
///
/// # Errors
/// When there is none, or there are more than [`MAX_PUSHED`].
pub(super) fn news(pieces: Vec<Pushed>) -> Result<Push, Malformed> {
    match pieces.len() {
        0 => Err(Malformed("names no call")),
        1..=MAX_PUSHED => Ok(Push::News(pieces)),
        _ => Err(Malformed("names more calls than one delivery may")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(content_type: &str, body: &str) -> Delivery {
        Delivery {
            content_type: content_type.to_owned(),
            body: body.to_owned().into(),
            ..Delivery::default()
        }
    }

    #[test]
    fn json_is_read_whatever_it_is_called() {
        for name in ["", "application/json", "text/plain", "application/x-www-form-urlencoded"] {
            assert!(matches!(posted(&delivery(name, " {\"a\":1} ")), Posted::Json(_)), "{name}");
            assert!(matches!(posted(&delivery(name, " \r\n")), Posted::Nothing), "{name}");
        }
    }

    #[test]
    fn a_form_has_to_be_called_one() {
        for name in ["", "application/x-www-form-urlencoded"] {
            let Posted::Form(fields) = posted(&delivery(name, "a=1&b=x%20y&a=2")) else { panic!() };
            assert_eq!(Value::Object(fields), serde_json::json!({ "a": "1", "b": "x y" }));
        }
        assert!(matches!(posted(&delivery("text/html", "a=1")), Posted::Other));
    }

    #[test]
    fn schemes_are_read_in_any_case() {
        let sent =
            |text: &str| Delivery { authorization: Some(text.to_owned()), ..Delivery::default() };
        for text in ["Bearer x", "bearer x", "BEARER   x", " Bearer x "] {
            assert_eq!(credentials(&sent(text), "Bearer"), Some("x"), "{text}");
        }
        for text in ["", "x", "Bearer", "Bearerx", "Basic x"] {
            assert_eq!(credentials(&sent(text), "Bearer"), None, "{text}");
        }
        assert_eq!(credentials(&Delivery::default(), "Bearer"), None);
    }

    #[test]
    fn what_was_said_does_not_print() {
        let said = serde_json::json!({ "to": "919900000001", "validation_key": "sesame" });
        let pushed = Pushed { vendor_call_id: None, call_id: None, said: said.clone(), keep: true };
        let handshake = Push::Handshake { proof: Some("sesame".to_owned()), answer: said };
        let printed = format!("{:?} {handshake:?}", Push::News(vec![pushed]));
        assert!(!printed.contains("9199") && !printed.contains("sesame"), "{printed}");
    }
}
