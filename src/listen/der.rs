//! As much of DER as there is no library for here: what a certificate is made of, value by value.

/// The tag of a sequence.
pub const SEQUENCE: u8 = 0x30;

/// Takes the next value of DER: its tag, and what is in it. None at the end, and where it is
/// no DER.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, mut rest) = rest.split_first()?;
    let length = match length {
        0..=0x7f => usize::from(length),
        0x81..=0x82 => {
            let (digits, after) = rest.split_at_checked(usize::from(length & 0x7f))?;
            rest = after;
            digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit))
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((tag, content))
}
