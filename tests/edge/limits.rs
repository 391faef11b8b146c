//! How much one may take.

use dialplane::proto::{ListVendorsRequest, WatchCallResultsRequest};
use tokio::io::AsyncWriteExt;
use tonic::Code;

use crate::{
    house::{House, client, reason, soon, tls, to},
    wire::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PREFACE,
        RST_STREAM, Wire, field, frame, headers,
    },
};

const CREATE_CALLS: &str = "/dialplane.v1.CallService/CreateCalls";

#[tokio::test]
async fn who_says_nothing_is_cut() {
    let house = House::open("limits = { handshake_timeout = \"200ms\" }").await;
    for said in [&b""[..], b"P", &PREFACE[..23]] {
        let mut wire = Wire::silent(house.address).await;
        assert!(wire.write(said).await);
        assert_eq!(wire.ended().await, None);
    }
    // Whoever speaks something else is cut at once.
    let mut wire = Wire::silent(house.address).await;
    assert!(wire.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await);
    assert_eq!(wire.ended().await, None);
    assert!(house.caller().await.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn within_tls_too() {
    let limits = "limits = { handshake_timeout = \"200ms\" }";
    let house = House::open(&format!(
        "tls = {{ certificate = \"server.pem\", key = \"server.key\" }}\n{limits}"
    ))
    .await;
    let mut wire = Wire::silent(house.address).await;
    assert!(wire.write(&[0x16, 3, 1]).await);
    assert_eq!(wire.ended().await, None);
    let mut stream = tls(house.address, None, b"h2").await.unwrap();
    stream.write_all(b"PRI").await.unwrap();
    let ended = tokio::io::AsyncReadExt::read_u8(&mut stream);
    assert!(soon("the end", ended).await.is_err());
    house.end().await;
}

#[tokio::test]
async fn the_oldest_silent_connection_makes_room() {
    let house = House::open("limits = { connections = 2 }").await;
    let mut first = house.caller().await;
    assert!(first.is_served().await);
    let mut silent = Wire::silent(house.address).await;
    let mut second = house.caller().await;
    assert!(second.is_served().await);
    assert_eq!(silent.ended().await, None);
    // Both that are in have spoken, and nobody makes room any more.
    let mut third = Wire::silent(house.address).await;
    assert_eq!(third.ended().await, None);
    assert!(first.is_served().await && second.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn one_address_may_be_given_a_part_of_the_room() {
    let house = House::open("limits = { connections_per_peer = 1 }").await;
    let mut first = house.caller().await;
    assert!(first.is_served().await);
    assert_eq!(Wire::silent(house.address).await.ended().await, None);
    assert!(first.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn a_connection_has_so_many_rpcs_at_a_time() {
    let house = House::open("limits = { streams = 2 }").await;
    let mut caller = house.caller().await;
    assert!(caller.is_served().await);
    let one = caller.watch(WatchCallResultsRequest::default()).await.unwrap();
    let _two = caller.watch(WatchCallResultsRequest::default()).await.unwrap();
    let mut waiting = Box::pin(caller.calls.list_vendors(ListVendorsRequest {}));
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("three at a time"),
        () = async { assert!(house.caller().await.is_served().await) } => {}
    }
    drop(one);
    soon("its turn", waiting).await.unwrap();
    house.end().await;
}

#[tokio::test]
async fn large_headers_are_refused() {
    let house = House::open("").await;
    let mut caller = house.caller().await;
    let mut request = tonic::Request::new(ListVendorsRequest {});
    let long = "x".repeat(1024 * 1024);
    request.metadata_mut().insert("long", long.parse().unwrap());
    soon("an answer", caller.calls.list_vendors(request)).await.unwrap_err();
    assert!(house.caller().await.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn large_requests_are_refused() {
    let house = House::open("limits = { request_bytes = 2048 }").await;
    let mut caller = house.caller().await;
    let mut call = to("+919900000100");
    call.labels.insert("note".into(), "x".repeat(2_048));
    let refused = caller.create("", "", vec![call]).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    caller.call("").await.unwrap();
    assert_eq!(house.dialled(), 1);
    house.end().await;
}

/// The headers of a CreateCalls, and of its message so many bytes of those it announces.
fn begun(stream: u32, announced: u32, sent: usize) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &headers(CREATE_CALLS));
    let mut message = vec![0];
    message.extend(announced.to_be_bytes());
    message.resize(sent, 0);
    for part in message.chunks(16_384) {
        bytes.extend(frame(DATA, 0, stream, part));
    }
    bytes
}

/// What the trailers say, which are not packed beyond their letters: `grpc-status` is told as
/// a number.
async fn answered(wire: &mut Wire) -> bool {
    loop {
        match wire.frame().await {
            None => return false,
            Some(frame) if frame.kind == HEADERS || frame.kind == RST_STREAM => return true,
            Some(_) => {}
        }
    }
}

#[tokio::test]
async fn a_request_has_to_be_there_in_time() {
    let house = House::open("limits = { request_timeout = \"200ms\" }").await;
    let mut wire = Wire::open(house.address).await;
    assert!(wire.write(&begun(1, 1_000, 6)).await);
    assert!(answered(&mut wire).await);
    // A byte at a time is no better.
    let mut slow = Wire::open(house.address).await;
    assert!(slow.write(&begun(1, 1_000, 6)).await);
    let (mut reading, mut writing) = slow.stream.split();
    let dripping = async {
        loop {
            if writing.write_all(&frame(DATA, 0, 1, &[0])).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let cut = async {
        let mut head = [0; 9];
        loop {
            tokio::io::AsyncReadExt::read_exact(&mut reading, &mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            tokio::io::AsyncReadExt::read_exact(&mut reading, &mut payload).await.unwrap();
            if head[3] == HEADERS {
                return;
            }
        }
    };
    tokio::select! {
        () = dripping => {}
        () = soon("an answer", cut) => {}
    }
    assert_eq!(house.dialled(), 0);
    house.end().await;
}

#[tokio::test]
async fn the_error_of_a_slow_request_says_so() {
    let house = House::open("limits = { request_timeout = \"200ms\" }").await;
    let mut caller = house.caller().await;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(CREATE_CALLS);
    let mut grpc = tonic::client::Grpc::new(caller.services.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<
        dialplane::proto::CreateCallsRequest,
        dialplane::proto::CreateCallsResponse,
    >::default();
    let request = tonic::Request::new(tokio_stream::pending());
    let late = soon("an answer", grpc.client_streaming(request, path, codec)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&late), ("dialplane".into(), "REQUEST_TOO_SLOW".into()));
    assert!(caller.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn what_is_read_at_once_is_bounded_and_small_requests_are_read_all_the_same() {
    let limits = "limits = { request_bytes = 1048576, reading_bytes = 1048576 }";
    let house = House::open(limits).await;
    let mut greedy = Wire::agreed(house.address).await;
    assert!(greedy.write(&begun(1, 1_048_000, 1_000_000)).await);
    let mut caller = house.caller().await;
    let large = || (0..9_000).map(|_| to(&"9".repeat(100))).collect::<Vec<_>>();
    let refused = soon("a full room", async {
        loop {
            let mut request = tonic::Request::new(dialplane::proto::CreateCallsRequest {
                calls: large(),
                ..Default::default()
            });
            request.set_timeout(std::time::Duration::from_millis(500));
            let refused = soon("an answer", caller.calls.create_calls(request)).await.unwrap_err();
            // Whatever the greedy one sent may not have arrived yet.
            if refused.code() != Code::InvalidArgument {
                break refused;
            }
        }
    })
    .await;
    // The client's own clock may be first.
    if refused.code() == Code::ResourceExhausted {
        assert_eq!(reason(&refused).1, "OVERLOADED");
    }
    caller.call("").await.unwrap();
    drop(greedy);
    let mut request = tonic::Request::new(dialplane::proto::CreateCallsRequest {
        calls: large(),
        ..Default::default()
    });
    request.set_timeout(crate::house::PATIENCE);
    let read = soon("an answer", caller.calls.create_calls(request)).await.unwrap_err();
    assert_eq!(read.code(), Code::InvalidArgument);
    house.end().await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let house = House::open("").await;
    let mut wire = Wire::open(house.address).await;
    let mut flood = Vec::new();
    // In one piece: whoever gives up one at a time has it looked at.
    for stream in (1..20_001).step_by(2) {
        let headers = headers(CREATE_CALLS);
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    wire.write(&flood).await;
    assert_eq!(wire.ended().await, Some(ENHANCE_YOUR_CALM));
    assert!(house.caller().await.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let house = House::open("").await;
    let mut wire = Wire::open(house.address).await;
    assert!(wire.write(&frame(HEADERS, 0, 1, &headers(CREATE_CALLS))).await);
    let mut more = Vec::new();
    while more.len() < 16_000 {
        field(&mut more, "x", &"y".repeat(100));
    }
    let more = frame(CONTINUATION, 0, 1, &more);
    let mut sent = 0;
    // Without an end, until nobody takes it any more.
    while wire.write(&more).await {
        sent += more.len();
        assert!(sent < 64 * 1024 * 1024, "it is all taken");
    }
    assert!(house.caller().await.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn a_unix_socket_is_its_owners_unless_told_otherwise() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dialplane.sock");
    for (key, mode) in [("", 0o600), ("socket_mode = \"0660\"", 0o660)] {
        let house = House::open(&format!("listen = \"unix:{}\"\n{key}", path.display())).await;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
        let endpoint = tonic::transport::Endpoint::from_shared(format!("unix:{}", path.display()));
        let channel = endpoint.unwrap().connect().await.unwrap();
        assert!(client(channel, "").is_served().await);
        house.end().await;
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn no_request_is_taken_that_there_is_no_room_to_read() {
    let limits = |mib: u32| {
        format!(
            "listen = \"127.0.0.1:0\"\nlimits = {{ request_bytes = {0}, reading_bytes = {0} }}",
            mib << 20
        )
    };
    let mut house = House::open(&limits(1)).await;
    // The room for reading stays as it was at first.
    let text = crate::house::text(&limits(8), "", "http://127.0.0.1:9");
    let config = dialplane::config::Config::parse(&text, &crate::house::certificates(), &|_| None);
    let changes = house.running.reload(&config.unwrap()).await.unwrap();
    assert!(changes.pending.contains(&"server.limits.reading_bytes"), "{changes:?}");
    let mut caller = house.caller().await;
    let mut request = tonic::Request::new(dialplane::proto::CreateCallsRequest {
        calls: (0..30_000).map(|_| to(&"9".repeat(100))).collect(),
        ..Default::default()
    });
    request.set_timeout(std::time::Duration::from_secs(3));
    let refused = soon("an answer", caller.calls.create_calls(request)).await.unwrap_err();
    // Refused for its size, and not after it has kept all room from others for as long as it may.
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    house.end().await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "kept").unwrap();
    let listen = dialplane::config::Listen::Unix(path.clone());
    assert!(dialplane::api::Bound::new(&listen).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    // What a run that was killed has left is taken.
    let left = folder.path().join("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());
    dialplane::api::Bound::new(&dialplane::config::Listen::Unix(left)).await.unwrap();
}
