//! What anybody may ask, and what that may take.

use dialplane::telemetry::metrics::table;

use crate::{
    house::{House, soon},
    wire::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Wire, frame, headers},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const CREATE_CALLS: &str = "/dialplane.v1.CallService/CreateCalls";
const CALLERS: &str = "[callers.a]\ntoken = \"0123456789abcdef\"";
/// Nothing ends because of the time it takes.
const PATIENT: &str = "limits = { request_timeout = \"1h\" }";

/// Begins a request, and says so much of it.
fn begun(stream: u32, path: &str, said: &[u8]) -> Vec<u8> {
    let begin = frame(HEADERS, END_HEADERS, stream, &headers(path));
    [begin, frame(DATA, 0, stream, said)].concat()
}

async fn answered(wire: &mut Wire) {
    soon("an answer", head(wire)).await;
}

async fn head(wire: &mut Wire) {
    loop {
        let frame = wire.frame().await.expect("an answer");
        if frame.kind == HEADERS || frame.kind == RST_STREAM {
            return;
        }
    }
}

#[tokio::test]
async fn a_question_about_health_is_short() {
    let house = House::with(PATIENT, CALLERS).await;
    // One that announces four MiB, for which room would be made; and many small ones.
    let announced = [&[0][..], &(4_u32 << 20).to_be_bytes()].concat();
    for said in [announced, [0; 10_000].to_vec()] {
        let mut wire = Wire::open(house.address).await;
        assert!(wire.write(&begun(1, CHECK, &said)).await);
        answered(&mut wire).await;
    }
    house.end().await;
}

#[tokio::test]
async fn a_stranger_asks_a_few_questions_at_a_time() {
    let house = House::with(PATIENT, CALLERS).await;
    let mut wire = Wire::open(house.address).await;
    for question in 0..32 {
        assert!(wire.write(&begun(2 * question + 1, CHECK, &[])).await);
    }
    let other = Wire::open(house.address).await;
    assert!(wire.write(&begun(65, CHECK, &[])).await);
    answered(&mut wire).await;
    // Each connection for itself, and what is given up makes room.
    drop(other);
    assert!(wire.write(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await);
    let mut next = 67;
    loop {
        let whole = [0, 0, 0, 0, 0];
        let mut question = frame(HEADERS, END_HEADERS, next, &headers(CHECK));
        question.extend(frame(DATA, END_STREAM, next, &whole));
        assert!(wire.write(&question).await);
        let answer = loop {
            let frame = wire.frame().await.expect("an answer");
            if frame.kind == HEADERS {
                break frame;
            }
        };
        // A refusal has nothing after it.
        if answer.flags & END_STREAM == 0 {
            break;
        }
        next += 2;
    }
    house.end().await;
}

#[tokio::test]
async fn a_caller_that_goes_before_it_has_said_all_has_cancelled() {
    for reset in [true, false] {
        let house = House::open(PATIENT).await;
        let mut wire = Wire::agreed(house.address).await;
        assert!(wire.write(&begun(1, CREATE_CALLS, &[0, 0, 0])).await);
        // Its stream or its connection, once it was looked at.
        wire.write(&frame(6, 0, 0, &[1; 8])).await;
        while wire.frame().await.expect("a pong").kind != 6 {}
        if reset {
            assert!(wire.write(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await);
        } else {
            drop(wire);
        }
        let told = async {
            loop {
                let snapshot = house.running.gateway().measure().await;
                let family = snapshot.families().iter().find(|f| f.metric.name == table::RPCS.name);
                let codes = family.unwrap().samples.iter().map(|s| s.labels.clone());
                let codes: Vec<_> = codes.collect();
                let code = codes
                    .iter()
                    .find(|l| l[0].ends_with("/CreateCalls") && l[1] != "OK")
                    .map(|l| l[1].clone());
                if let Some(code) = code {
                    return code;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(soon("its end", told).await, "CANCELLED");
        house.end().await;
    }
}

#[tokio::test]
async fn a_stranger_that_speaks_makes_room_all_the_same() {
    let limits = "limits = { connections = 2, request_timeout = \"1h\" }";
    let house = House::with(limits, CALLERS).await;
    let mut known = house.caller_with("0123456789abcdef").await;
    assert!(known.is_served().await);
    let mut stranger = Wire::agreed(house.address).await;
    assert!(stranger.write(&begun(1, CHECK, &[])).await);
    let mut next = house.caller_with("0123456789abcdef").await;
    assert!(next.is_served().await);
    stranger.ended().await;
    // Those who are known stay.
    assert!(Wire::silent(house.address).await.ended().await.is_none());
    assert!(known.is_served().await && next.is_served().await);
    house.end().await;
}
