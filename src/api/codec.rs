//! The API's codec: protobuf whose requests are counted before they are decoded.
//!
//! An empty CallSpec is 2 bytes on the wire and some 300 in memory, so what a request
//! takes is bounded by the number of its fields, not only by its length.

use std::marker::PhantomData;

use bytes::Buf;
use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::{create::MAX_CALLS, refusal::invalid_request, suppressions::MAX_SUPPRESSED};
use crate::{
    call::{MAX_SELECTED, Violation},
    proto::{
        AddSuppressionsRequest, AddSuppressionsResponse, CancelCallsRequest, CancelCallsResponse,
        CreateCallsRequest, CreateCallsResponse, GetCallResultsRequest, GetCallResultsResponse,
        ListSuppressionsRequest, ListSuppressionsResponse, ListVendorsRequest, ListVendorsResponse,
        RemoveSuppressionsRequest, RemoveSuppressionsResponse, WatchCallResultsRequest,
        WatchCallResultsResponse,
    },
};

/// The most length-delimited fields of a request itself. More than any request may
/// have: somewhat too many calls are still told how many they are.
const MAX_ENTRIES: usize = 6_000;

/// The most fields of a request and of what it directly holds. The largest valid
/// request has some 760,000: 5,000 calls with 100 variables, 32 labels, 10 numbers and
/// ten other fields.
const MAX_FIELDS: usize = 1_000_000;

/// A repeated field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    /// Its number in the message.
    pub tag: u32,
    /// Its name, as violations tell it.
    pub name: &'static str,
    /// How many entries are valid.
    pub max: usize,
}

/// A message of the API, with what has to be counted of it.
pub trait Counted: Message + Default {
    /// The repeated fields of a request. Without any the message isn't counted: nothing
    /// in it can grow, or it is an answer, which comes from a gateway one trusts.
    const REPEATED: &'static [Repeated] = &[];
}

impl Counted for CreateCallsRequest {
    const REPEATED: &'static [Repeated] = &[Repeated { tag: 3, name: "calls", max: MAX_CALLS }];
}

/// How a request selects calls.
const SELECTION: &[Repeated] = &[
    Repeated { tag: 1, name: "call_ids", max: MAX_SELECTED },
    Repeated { tag: 3, name: "client_references", max: MAX_SELECTED },
];

impl Counted for GetCallResultsRequest {
    const REPEATED: &'static [Repeated] = SELECTION;
}

impl Counted for WatchCallResultsRequest {
    const REPEATED: &'static [Repeated] = SELECTION;
}

impl Counted for CancelCallsRequest {
    const REPEATED: &'static [Repeated] = SELECTION;
}

impl Counted for AddSuppressionsRequest {
    const REPEATED: &'static [Repeated] =
        &[Repeated { tag: 1, name: "numbers", max: MAX_SUPPRESSED }];
}

impl Counted for RemoveSuppressionsRequest {
    const REPEATED: &'static [Repeated] =
        &[Repeated { tag: 1, name: "numbers", max: MAX_SUPPRESSED }];
}

impl Counted for ListSuppressionsRequest {
    const REPEATED: &'static [Repeated] =
        &[Repeated { tag: 3, name: "numbers", max: MAX_SELECTED }];
}

impl Counted for ListVendorsRequest {}

impl Counted for CreateCallsResponse {}
impl Counted for GetCallResultsResponse {}
impl Counted for WatchCallResultsResponse {}
impl Counted for CancelCallsResponse {}
impl Counted for ListVendorsResponse {}
impl Counted for AddSuppressionsResponse {}
impl Counted for RemoveSuppressionsResponse {}
impl Counted for ListSuppressionsResponse {}

/// [`ProstCodec`], which refuses requests of too many fields before it decodes them.
#[derive(Debug, Clone)]
pub struct BoundedCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Counted + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// The decoder of [`BoundedCodec`].
#[derive(Debug, Clone)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Counted> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The message in one piece; of tonic's buffer it is a slice, not a copy.
        let bytes = buf.copy_to_bytes(buf.remaining());
        if !U::REPEATED.is_empty() {
            count(&bytes).map_err(|excess| refusal(excess, U::REPEATED))?;
        }
        // As ProstCodec tells it.
        U::decode(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

fn refusal(excess: Excess, repeated: &[Repeated]) -> Status {
    let tag = match excess {
        Excess::Entries { tag } | Excess::Fields { tag } => tag,
    };
    let field = repeated.iter().find(|field| field.tag == tag).or(repeated.first());
    let violations = field.map(|&Repeated { name, max, .. }| {
        let description = match excess {
            Excess::Entries { .. } => {
                format!("has more than {MAX_ENTRIES} entries; at most {max} are allowed")
            }
            Excess::Fields { .. } => format!(
                "the request has more than {MAX_FIELDS} fields in all; at most {MAX_FIELDS} are allowed"
            ),
        };
        Violation::new(name, description)
    });
    invalid_request(violations.as_slice())
}

/// How many fields a message has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fields {
    /// Length-delimited fields of the message itself.
    entries: usize,
    /// Its fields, and those of its length-delimited fields, read as messages.
    all: usize,
}

/// Too many fields, with the number of the field of the message where it was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    Entries { tag: u32 },
    Fields { tag: u32 },
}

/// Counts the fields of an encoded message up to the limits, as far as it is valid:
/// what comes after an error prost never sees. Allocates nothing.
fn count(mut bytes: &[u8]) -> Result<Fields, Excess> {
    let mut fields = Fields::default();
    while let Some(Field { tag, content }) = next_field(&mut bytes) {
        fields.all += 1;
        if let Some(mut content) = content {
            fields.entries += 1;
            if fields.entries > MAX_ENTRIES {
                return Err(Excess::Entries { tag });
            }
            while fields.all <= MAX_FIELDS && next_field(&mut content).is_some() {
                fields.all += 1;
            }
        }
        if fields.all > MAX_FIELDS {
            return Err(Excess::Fields { tag });
        }
    }
    Ok(fields)
}

/// A field on the wire.
struct Field<'a> {
    tag: u32,
    /// Of a length-delimited one.
    content: Option<&'a [u8]>,
}

/// Takes the next field; none at the end and where the bytes aren't protobuf. The
/// marks of a group count as fields beside what is between them.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    if bytes.is_empty() {
        return None;
    }
    let (tag, wire_type) = decode_key(bytes).ok()?;
    let length = match wire_type {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => 0,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Field { tag, content: (wire_type == WireType::LengthDelimited).then_some(content) })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use prost::Name;
    use prost_types::{
        DescriptorProto, FileDescriptorSet,
        field_descriptor_proto::{Label, Type},
    };

    use super::*;
    use crate::proto::{CallSpec, DESCRIPTORS};

    /// A field of that many bytes, all of them the same two.
    fn filled(key: u8, pair: [u8; 2], pairs: usize) -> Vec<u8> {
        let mut bytes = vec![key];
        prost::encoding::encode_varint(pairs as u64 * 2, &mut bytes);
        bytes.extend(pair.repeat(pairs));
        bytes
    }

    #[test]
    fn counts_each_wire_type_and_stops_at_what_is_none() {
        let cases: [(&[u8], usize, usize); 13] = [
            (&[], 0, 0),
            (&[0x08, 0x96, 0x01], 0, 1),
            (&[0x09, 1, 2, 3, 4, 5, 6, 7, 8], 0, 1),
            (&[0x0d, 1, 2, 3, 4], 0, 1),
            (&[0x1a, 0x00, 0x1a, 0x00], 2, 2),
            // Inside the first: a field; then what is no key.
            (&[0x1a, 0x03, 0x12, 0x00, 0x07, 0x1a, 0x00], 2, 3),
            // Not deeper than that.
            (&[0x1a, 0x04, 0x12, 0x02, 0x12, 0x00], 1, 2),
            // A group around a field, then another field.
            (&[0x3b, 0x1a, 0x00, 0x3c, 0x1a, 0x00], 2, 4),
            // Longer than what is there; no end of a number; wire type 7; field 0.
            (&[0x1a, 0x00, 0x1a, 0x05, 0x00], 1, 1),
            (&[0x1a, 0x00, 0x08, 0xff], 1, 1),
            (&[0x1a, 0x00, 0x0f, 0x1a, 0x00], 1, 1),
            (&[0x1a, 0x00, 0x02, 0x00], 1, 1),
            (&[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 0, 0),
        ];
        for (bytes, entries, all) in cases {
            assert_eq!(count(bytes), Ok(Fields { entries, all }), "{bytes:x?}");
        }
    }

    #[test]
    fn the_limits_are_exact() {
        let entries = [0x1a, 0x00].repeat(MAX_ENTRIES);
        assert_eq!(count(&entries), Ok(Fields { entries: MAX_ENTRIES, all: MAX_ENTRIES }));
        let more = [entries, vec![0x0a, 0x00]].concat();
        assert_eq!(count(&more), Err(Excess::Entries { tag: 1 }));

        let nested = filled(0x1a, [0x12, 0x00], MAX_FIELDS - 1);
        assert_eq!(count(&nested), Ok(Fields { entries: 1, all: MAX_FIELDS }));
        let more = [nested, vec![0x20, 0x01]].concat();
        assert_eq!(count(&more), Err(Excess::Fields { tag: 4 }));
        let nested = filled(0x1a, [0x12, 0x00], MAX_FIELDS);
        assert_eq!(count(&nested), Err(Excess::Fields { tag: 3 }));
        let flat = [0x20, 0x01].repeat(MAX_FIELDS + 1);
        assert_eq!(count(&flat), Err(Excess::Fields { tag: 4 }));
    }

    #[test]
    fn the_largest_valid_request_passes() {
        let map = |n: usize| (0..n).map(|i| (format!("n{i}"), "v".to_owned())).collect();
        let call = CallSpec {
            to: vec!["+919900000100".into(); 10],
            variables: map(100),
            labels: map(32),
            ..Default::default()
        };
        let one = CreateCallsRequest { calls: vec![call], ..Default::default() }.encode_to_vec();
        let fields = count(&one.repeat(MAX_CALLS)).unwrap();
        assert_eq!(fields, Fields { entries: MAX_CALLS, all: MAX_CALLS * 143 });
        // Room for the other fields of a call, of which there are ten.
        assert!(fields.all + MAX_CALLS * 10 + 4 < MAX_FIELDS);
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (excess, field) in [
            (Excess::Entries { tag: 1 }, "call_ids: has more than 6000 entries; "),
            (Excess::Entries { tag: 3 }, "client_references: has more than 6000 entries; "),
            (Excess::Entries { tag: 2 }, "call_ids: "),
            (Excess::Fields { tag: 3 }, "client_references: the request has more than 1000000 "),
        ] {
            let status = refusal(excess, SELECTION);
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().starts_with(field), "{}", status.message());
        }
    }

    /// All messages by their full name, with a leading dot as references have it.
    fn messages() -> HashMap<String, DescriptorProto> {
        fn add(all: &mut HashMap<String, DescriptorProto>, scope: &str, message: &DescriptorProto) {
            let name = format!("{scope}.{}", message.name());
            message.nested_type.iter().for_each(|nested| add(all, &name, nested));
            all.insert(name, message.clone());
        }
        let mut all = HashMap::new();
        for file in FileDescriptorSet::decode(DESCRIPTORS).unwrap().file {
            let scope = format!(".{}", file.package());
            file.message_type.iter().for_each(|message| add(&mut all, &scope, message));
        }
        all
    }

    /// What the count relies on: that it knows what repeats in a request, and that
    /// nothing does below the level that it sees.
    fn fits_its_descriptor<M: Counted + Name>() {
        let messages = messages();
        let fields = |name: &str| messages[name].field.clone();
        let request = fields(&format!(".{}", M::full_name()));
        let repeated: Vec<_> = request
            .iter()
            .filter(|field| field.label() == Label::Repeated)
            .map(|field| (u32::try_from(field.number()).unwrap(), field.name()))
            .collect();
        let told: Vec<_> = M::REPEATED.iter().map(|field| (field.tag, field.name)).collect();
        assert_eq!(told, repeated, "{}", M::full_name());

        let of_messages = |field: &prost_types::FieldDescriptorProto| {
            (field.r#type() == Type::Message).then(|| field.type_name().to_owned())
        };
        let mut deeper: Vec<_> = request.iter().filter_map(of_messages).collect();
        deeper =
            deeper.iter().flat_map(|name| fields(name)).filter_map(|f| of_messages(&f)).collect();
        while let Some(name) = deeper.pop() {
            for field in fields(&name) {
                assert_ne!(field.label(), Label::Repeated, "{name}.{}", field.name());
                deeper.extend(of_messages(&field));
            }
        }
    }

    #[test]
    fn requests_repeat_nothing_that_is_not_counted() {
        fits_its_descriptor::<CreateCallsRequest>();
        fits_its_descriptor::<GetCallResultsRequest>();
        fits_its_descriptor::<WatchCallResultsRequest>();
        fits_its_descriptor::<CancelCallsRequest>();
        fits_its_descriptor::<ListVendorsRequest>();
        fits_its_descriptor::<AddSuppressionsRequest>();
        fits_its_descriptor::<RemoveSuppressionsRequest>();
        fits_its_descriptor::<ListSuppressionsRequest>();
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let fields = count(&bytes).unwrap();
            prop_assert!(fields.entries <= fields.all && fields.all <= bytes.len());
        }

        /// Also with an end that is none: nothing is decoded that wasn't counted.
        #[test]
        fn nothing_is_decoded_uncounted(
            start in prop::collection::vec(prop::sample::select(vec![0x1a, 0, 1, 2, 0x12, 0x0a, 0x3b, 0x3c, 0x20]), 0..60),
            end in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let bytes = [start, end].concat();
            let fields = count(&bytes).unwrap();
            let mut request = CreateCallsRequest::default();
            // What was decoded before an error stays in the message.
            let _ = request.merge(bytes.as_slice());
            prop_assert!(request.calls.len() <= fields.entries);
            let numbers: usize = request.calls.iter().map(|call| call.to.len()).sum();
            prop_assert!(request.calls.len() + numbers <= fields.all);
        }

        #[test]
        fn what_prost_wrote_is_counted_exactly(
            calls in prop::collection::vec((0_usize..12, 0_usize..12, any::<bool>()), 0..40),
            route in "[a-z]{0,3}",
            validate_only: bool,
        ) {
            let within: usize = calls.iter().map(|&(to, labels, locale)| to + labels + usize::from(locale)).sum();
            let request = CreateCallsRequest {
                calls: calls
                    .iter()
                    .map(|&(to, labels, locale)| CallSpec {
                        to: vec!["+919900000100".into(); to],
                        labels: (0..labels).map(|i| (format!("l{i}"), "ä".repeat(i))).collect(),
                        locale: if locale { "hi-IN".into() } else { String::new() },
                        ..Default::default()
                    })
                    .collect(),
                validate_only,
                ..Default::default()
            };
            let top = calls.len() + usize::from(validate_only);
            prop_assert_eq!(
                count(&request.encode_to_vec()),
                Ok(Fields { entries: calls.len(), all: top + within })
            );
            // A text counts as itself, and at most as what could be read out of it.
            let with_route = CreateCallsRequest { route: route.clone(), ..request };
            let fields = count(&with_route.encode_to_vec()).unwrap();
            prop_assert_eq!(fields.entries, calls.len() + usize::from(!route.is_empty()));
            prop_assert!(fields.all <= top + within + 1 + route.len());
        }
    }
}
