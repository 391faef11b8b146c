//! Knovvu's push (`knovvu.md 5b`). Only that the UniqueId is sent is documented: the
//! body is that and nothing else, a hint to ask.

use serde_json::json;

use super::{
    Telling,
    post::{JSON, Letter, loopback},
};
use crate::sandbox::journal::Call;

pub(super) fn letter(call: &Call, telling: &Telling) -> Option<Letter> {
    Some(Letter {
        system: call.system,
        url: loopback(telling.destination.as_deref()?).ok()?,
        authorization: None,
        content_type: JSON,
        body: json!({ "UniqueId": call.id }).to_string(),
    })
}
