//! Requests made to cost memory: small on the wire, large once decoded.

use bytes::{BufMut, Bytes};
use dialplane::proto::{CreateCallsRequest, GetCallResultsRequest};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};

use crate::harness::{Explained, Gateway, to, with_sandbox};

/// Sends bytes as they are, so that the test doesn't build what the gateway shall not.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}

async fn refused(gateway: &Gateway, rpc: &'static str, body: Vec<u8>) -> Explained {
    let mut client = Grpc::new(gateway.channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(Bytes::from(body));
    let status = client.unary(request, PathAndQuery::from_static(rpc), Raw).await.unwrap_err();
    let error = Explained::of(&status);
    assert_eq!(error.code, Code::InvalidArgument);
    assert_eq!(error.info.reason, "INVALID_REQUEST");
    assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("dialplane", "no"));
    error
}

const CREATE_CALLS: &str = "/dialplane.v1.CallService/CreateCalls";
const GET_CALL_RESULTS: &str = "/dialplane.v1.CallService/GetCallResults";

#[tokio::test]
async fn millions_of_empty_fields_are_refused_undecoded() {
    let (sandbox, mut gateway) = with_sandbox().await;

    let calls = [0x1a, 0x00].repeat(2_000_000);
    let error = refused(&gateway, CREATE_CALLS, calls).await;
    assert_eq!(error.fields(), ["calls"]);
    assert_eq!(error.message, "calls: has more than 6000 entries; at most 5000 are allowed");

    // One call to two million empty numbers.
    let mut numbers = vec![0x1a];
    prost::encoding::encode_varint(4_000_000, &mut numbers);
    numbers.extend([0x12, 0x00].repeat(2_000_000));
    let error = refused(&gateway, CREATE_CALLS, numbers).await;
    assert_eq!(error.fields(), ["calls"]);
    assert!(error.message.contains("more than 1000000 fields"), "{}", error.message);

    for (key, field) in [(0x0a, "call_ids"), (0x1a, "client_references")] {
        let selection = [key, 0x00].repeat(2_000_000);
        assert_eq!(refused(&gateway, GET_CALL_RESULTS, selection).await.fields(), [field]);
    }

    assert!(sandbox.log().is_empty());
    gateway.call("phonon-multicast", "+919900000100").await.unwrap();
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn somewhat_too_many_are_told_how_many_they_are() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for n in [5_001, 6_000] {
        let calls = vec![to(""); n];
        let request = CreateCallsRequest { calls, ..Default::default() };
        let error = Explained::of(&gateway.send(request).await.unwrap_err());
        assert_eq!(error.message, format!("calls: has {n} calls; expected 1 to 5000"));
    }
    let call_ids = vec!["x".to_owned(); 6_000];
    let request = GetCallResultsRequest { call_ids, ..Default::default() };
    let error = Explained::of(&gateway.results(request).await.unwrap_err());
    assert!(error.message.starts_with("call_ids: has 6000 entries"), "{}", error.message);
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}
