//! Numbers, ids and other single words. The input is one of them.

use dialplane::call::{
    CallId, CallerId, ClientReference, E164, NumberZones, RequestId, mask_digits, time_zone,
};

/// What can be parsed prints as something that parses to the same; nothing else gets in.
pub fn words(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(number) = text.parse::<E164>() {
        assert!((1..=15).contains(&number.digits().len()));
        assert!(number.digits().bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(number.plus().parse::<E164>().unwrap(), number);
        assert_eq!(number.digits().parse::<E164>().unwrap(), number);
        assert!(!format!("{number:?}").contains(number.digits()), "a number is printed");
        let _ = NumberZones::of(&number).map(|zones| zones.names().count());
    }
    if let Ok(id) = text.parse::<CallerId>() {
        assert_eq!(id.as_str().parse::<CallerId>().unwrap(), id);
    }
    if let Ok(id) = text.parse::<CallId>() {
        assert_eq!(id.to_string().parse::<CallId>().unwrap(), id);
        assert_eq!(CallId::from_bytes(*id.as_bytes()), id);
    }
    if let Ok(id) = text.parse::<RequestId>() {
        assert!((1..=128).contains(&id.as_str().chars().count()));
    }
    if let Ok(reference) = text.parse::<ClientReference>() {
        assert!((1..=128).contains(&reference.as_str().chars().count()));
    }
    let masked = mask_digits(text);
    let longest = masked.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    let before = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    assert!(longest <= before);
    let _ = time_zone(text);
}
