//! What is posted to the callback port. The input is four parts, each but the last ended by a
//! line feed: the query, the content type, the `Authorization` header, and the body.

use dialplane::{
    http::Delivery,
    vendors::{MAX_PUSHED, Push, Told, bounds},
};

use super::{
    replies::follow,
    vendors::{VENDORS, placed},
};

/// What anybody may post: read without trust, never proven by chance, and never more than the
/// gateway takes.
pub fn callback(input: &[u8]) {
    let mut parts = input.splitn(4, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (query, content_type, authorization) = (text(), text(), text());
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    let delivery = Delivery {
        token: Some(query.clone()),
        query: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        content_type: content_type.to_ascii_lowercase(),
        authorization: Some(authorization).filter(|header| !header.is_empty()),
        body: parts.next().unwrap_or_default().to_vec().into(),
    };
    for vendor in VENDORS.iter() {
        let Some(callback) = vendor.callback() else { continue };
        let push = callback.read(&delivery).ok();
        let proven = callback.is_authentic(&delivery, push.as_ref());
        // The proofs are in no corpus but as these words.
        let knows = [
            "0123456789abcdef-proof",
            "0123456789abcdef-hand",
            "dmVuZG9yOjAxMjM0NTY3ODlhYmNkZWYtcHJvb2Y",
        ];
        let said = String::from_utf8_lossy(input);
        assert!(!proven || knows.iter().any(|proof| said.contains(proof)) || said.contains("\\u"));
        let Some(Push::News(pieces)) = push else { continue };
        assert!(pieces.len() <= MAX_PUSHED, "{} pieces", pieces.len());
        for piece in pieces {
            if let Some(id) = &piece.vendor_call_id {
                assert!(id.len() <= bounds::MAX_ID_BYTES, "an id of {}", id.len());
                assert!(vendor.aliases(id).contains(id), "an id is its own alias");
            }
            for call in placed() {
                if let Told::Result(report) = callback.told(&piece.said, &call) {
                    follow(report);
                }
            }
        }
    }
}
