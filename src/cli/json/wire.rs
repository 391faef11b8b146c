//! Protobuf as it lies on the wire.

use std::collections::BTreeMap;

use prost::encoding::{WireType, decode_key, decode_varint};

/// A value whose meaning its field's descriptor tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Raw<'_> {
    /// Of a map's key.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(n) => n.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// The values of a message by their fields' numbers. What can't be read ends it: the messages
/// were encoded here.
pub(super) fn fields(mut bytes: &[u8]) -> BTreeMap<u32, Vec<Raw<'_>>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    while let Some((number, value)) = next(&mut bytes) {
        found.entry(number).or_default().push(value);
    }
    found
}

fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Raw<'a>)> {
    let (number, kind) = decode_key(bytes).ok()?;
    let value = match kind {
        WireType::Varint => Raw::Number(decode_varint(bytes).ok()?),
        WireType::SixtyFourBit => Raw::Number(u64::from_le_bytes(fixed(bytes)?)),
        WireType::ThirtyTwoBit => Raw::Number(u32::from_le_bytes(fixed(bytes)?).into()),
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Raw::Bytes(value)
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    Some((number, value))
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*value)
}

/// The numbers of a repeated field, which may lie in one value.
pub(super) fn unpacked<'a>(value: &Raw<'a>, is_packable: bool) -> Vec<Raw<'a>> {
    match value {
        Raw::Bytes(bytes) if is_packable => {
            let mut bytes = *bytes;
            std::iter::from_fn(|| decode_varint(&mut bytes).ok().map(Raw::Number)).collect()
        }
        value => vec![*value],
    }
}
