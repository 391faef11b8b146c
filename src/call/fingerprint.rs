//! What a request asked for, in short: to tell its repetition from another request, and to
//! name what differs.

use std::{fmt, hash::Hasher};

use fnv::FnvHasher;

/// The fields of a call, as callers name them, in the order of their marks.
const FIELDS: [&str; FIELDS_OF_A_CALL] = [
    "client_reference",
    "to",
    "caller_id",
    "flow",
    "audio",
    "variables",
    "start_time",
    "expire_time",
    "recipient",
    "locale",
    "retry",
    "labels",
];

/// How many fields a call has.
pub const FIELDS_OF_A_CALL: usize = 12;

/// The bytes before those of the calls: route, all_or_nothing, number of calls.
const HEAD: usize = 6;
/// The bytes of a call.
const CALL: usize = 2 * FIELDS_OF_A_CALL;

/// The fingerprint of a request's payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of everything that was asked for. Decides alone whether two are the same.
    pub digest: [u8; 32],
    /// A few bytes for each field, to name the first one that differs: [`Fields`]. Empty where
    /// it is not known.
    pub fields: Vec<u8>,
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two for each field of 5,000 calls tell nobody anything.
        f.debug_struct("Fingerprint").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Fingerprint {
    /// The first field in which two payloads differ: `route`, `calls` (more or fewer of
    /// them), `calls[3].to`. None when that is not known: of old records, and of two values
    /// that have the same mark by chance.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (first, second) = (Parts::of(&self.fields)?, Parts::of(&other.fields)?);
        if first.route != second.route {
            return Some("route".to_owned());
        }
        if first.all_or_nothing != second.all_or_nothing {
            return Some("all_or_nothing".to_owned());
        }
        if first.calls.len() != second.calls.len() {
            return Some("calls".to_owned());
        }
        let at = first.calls.iter().zip(second.calls).position(|(a, b)| a != b)?;
        let (call, field) = (at / FIELDS_OF_A_CALL, at % FIELDS_OF_A_CALL);
        Some(format!("calls[{call}].{}", FIELDS.get(field)?))
    }
}

/// The marks of a request, by what they are of.
struct Parts<'a> {
    route: [u8; 2],
    all_or_nothing: [u8; 2],
    /// Of all fields of all calls.
    calls: &'a [[u8; 2]],
}

impl<'a> Parts<'a> {
    /// None when this is not the list of as many calls as it says.
    fn of(fields: &'a [u8]) -> Option<Self> {
        let (marks, []) = fields.as_chunks() else { return None };
        let [route, all_or_nothing, count, calls @ ..] = marks else { return None };
        let count = usize::from(u16::from_le_bytes(*count));
        (calls.len() == count * FIELDS_OF_A_CALL).then_some(Self {
            route: *route,
            all_or_nothing: *all_or_nothing,
            calls,
        })
    }
}

/// Writes [`Fingerprint::fields`]: two bytes each for the route, for all_or_nothing, for the
/// number of calls, and for each field of each call. What is kept on disk is compared with
/// what later versions write: neither order nor hash may change.
#[derive(Debug)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// Begins with what is said of the whole request.
    pub fn new(route: Mark, all_or_nothing: Mark, calls: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + calls * CALL);
        bytes.extend(route.0);
        bytes.extend(all_or_nothing.0);
        // More than a request may have are written as another number, and so as unknown.
        bytes.extend(u16::try_from(calls).unwrap_or(u16::MAX).to_le_bytes());
        Self(bytes)
    }

    /// Adds the next call, its fields in the order of the API.
    pub fn call(&mut self, marks: [Mark; FIELDS_OF_A_CALL]) {
        self.0.extend(marks.iter().flat_map(|mark| mark.0));
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A field's value in two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; 2]);

impl Mark {
    /// A field that was left out.
    pub const NONE: Self = Self([0; 2]);

    /// Of a value, from all its parts in their order: never [`Mark::NONE`].
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = FnvHasher::default();
        for part in parts {
            // As bytes, with their number: the same on every machine, and no part runs into
            // the next one.
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        let hash = hasher.finish();
        let folded = (hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) & 0xffff;
        let [low, high, ..] = folded.max(1).to_le_bytes();
        Self([low, high])
    }

    /// Of a text that counts as left out when it is empty.
    pub fn of_text(text: &str) -> Self {
        if text.is_empty() { Self::NONE } else { Self::of([text.as_bytes()]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two calls, all fields but one the same.
    fn print(calls: usize, changed: Option<(usize, usize)>) -> Fingerprint {
        let mut fields = Fields::new(Mark::of_text("default"), Mark::NONE, calls);
        for call in 0..calls {
            let mut marks = [Mark::NONE; FIELDS_OF_A_CALL];
            marks[1] = Mark::of_text("+919900000100");
            if let Some((_, field)) = changed.filter(|(at, _)| *at == call) {
                marks[field] = Mark::of_text("changed");
            }
            fields.call(marks);
        }
        Fingerprint { digest: [0; 32], fields: fields.into_bytes() }
    }

    #[test]
    fn each_field_is_named() {
        let first = print(3, None);
        assert_eq!(first.difference(&first), None);
        for call in 0..3 {
            for (at, name) in FIELDS.iter().enumerate() {
                let second = print(3, Some((call, at)));
                let expected = Some(format!("calls[{call}].{name}"));
                assert_eq!(first.difference(&second), expected);
                assert_eq!(second.difference(&first), expected);
            }
        }
        assert_eq!(first.difference(&print(4, None)).as_deref(), Some("calls"));
        for (route, all, name) in [("other", false, "route"), ("default", true, "all_or_nothing")] {
            let all = if all { Mark::of_text("1") } else { Mark::NONE };
            let fields = Fields::new(Mark::of_text(route), all, 0).into_bytes();
            let second = Fingerprint { digest: [0; 32], fields };
            assert_eq!(first.difference(&second).as_deref(), Some(name), "before the calls");
        }
    }

    #[test]
    fn what_is_not_known_is_not_named() {
        let whole = print(2, None);
        let other = print(2, Some((0, 1)));
        for length in 0..whole.fields.len() {
            let cut = Fingerprint { digest: [0; 32], fields: whole.fields[..length].to_vec() };
            assert_eq!(cut.difference(&other), None, "{length}");
            assert_eq!(other.difference(&cut), None, "{length}");
        }
        let longer = Fingerprint { fields: [&whole.fields[..], &[0; CALL]].concat(), ..whole };
        assert_eq!(longer.difference(&other), None);
    }

    #[test]
    fn marks_are_the_same_for_ever() {
        // On disk: another value would name fields that do not differ.
        assert_eq!(Mark::of_text("").0, [0, 0]);
        assert_eq!(Mark::of_text("default").0, PINNED_DEFAULT);
        assert_eq!(Mark::of([b"ab".as_slice(), b"c"]).0, PINNED_PARTS);
        assert_ne!(Mark::of([b"a".as_slice(), b"bc"]).0, PINNED_PARTS);
        assert_ne!(Mark::of([]), Mark::NONE);
    }

    const PINNED_DEFAULT: [u8; 2] = [19, 249];
    const PINNED_PARTS: [u8; 2] = [36, 6];
}
