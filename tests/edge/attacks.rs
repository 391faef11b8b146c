//! Others don't notice an attack: they are served while it goes on. How fast, `cargo bench
//! --bench attack` tells.

use tokio::task::JoinSet;

use crate::{
    house::{House, soon, to},
    wire::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, Wire, frame, headers},
};

const LIST_VENDORS: &str = "/dialplane.v1.CallService/ListVendors";
const CREATE_CALLS: &str = "/dialplane.v1.CallService/CreateCalls";

/// As many connections of 10,000 as this process may have both ends of, with room to spare.
fn crowd() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<usize>().ok()
    });
    10_000.min(most.unwrap_or(1_024).saturating_sub(600) / 2)
}

#[tokio::test]
async fn thousands_say_nothing() {
    let house = House::open("").await;
    let mut before = house.caller().await;
    assert!(before.is_served().await);
    let mut silent = Vec::new();
    for _ in 0..crowd() {
        silent.push(Wire::silent(house.address).await);
    }
    // Who is in, and who comes now.
    for _ in 0..20 {
        assert!(before.is_served().await);
        assert!(house.caller().await.is_served().await);
    }
    before.call("").await.unwrap();
    house.end().await;
}

/// Is served again and again as long as others do something.
async fn served_meanwhile(house: &House, mut attack: JoinSet<()>) {
    let mut before = house.caller().await;
    for _ in 0..20 {
        assert!(before.is_served().await);
        before.call("").await.unwrap();
        assert!(house.caller().await.is_served().await);
    }
    attack.shutdown().await;
}

#[tokio::test]
async fn some_reset_what_they_begin() {
    let house = House::open("").await;
    let mut attack = JoinSet::new();
    for _ in 0..8 {
        let address = house.address;
        attack.spawn(async move {
            loop {
                let mut wire = Wire::open(address).await;
                let mut flood = Vec::new();
                for stream in (1..2_001).step_by(2) {
                    let headers = headers(LIST_VENDORS);
                    flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers));
                    flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                }
                wire.write(&flood).await;
            }
        });
    }
    served_meanwhile(&house, attack).await;
    house.end().await;
}

#[tokio::test]
async fn some_send_a_byte_at_a_time() {
    let house = House::open("").await;
    let mut attack = JoinSet::new();
    for _ in 0..50 {
        let address = house.address;
        attack.spawn(async move {
            let mut wire = Wire::open(address).await;
            for stream in (1..101).step_by(2) {
                let begun = frame(HEADERS, END_HEADERS, stream, &headers(CREATE_CALLS));
                wire.write(&begun).await;
            }
            loop {
                for stream in (1..101).step_by(2) {
                    wire.write(&frame(DATA, 0, stream, &[0])).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        });
    }
    served_meanwhile(&house, attack).await;
    house.end().await;
}

#[tokio::test]
async fn some_send_much() {
    let house = House::open("").await;
    let mut attack = JoinSet::new();
    for _ in 0..8 {
        let mut caller = house.caller().await;
        attack.spawn(async move {
            loop {
                // 5 MiB in one message, of which nothing comes.
                let mut call = to("+919900000100");
                call.labels.insert("note".into(), "x".repeat(5 * 1024 * 1024));
                caller.create("", "", vec![call]).await.unwrap_err();
            }
        });
    }
    served_meanwhile(&house, attack).await;
    house.end().await;
}

#[tokio::test]
async fn some_send_headers_without_an_end() {
    let house = House::open("").await;
    let mut attack = JoinSet::new();
    for _ in 0..8 {
        let address = house.address;
        attack.spawn(async move {
            loop {
                let mut wire = Wire::open(address).await;
                let mut flood = frame(HEADERS, 0, 1, &headers(CREATE_CALLS));
                let mut block = Vec::new();
                while block.len() < 16_000 {
                    crate::wire::field(&mut block, "x", &"y".repeat(100));
                }
                flood.extend(frame(crate::wire::CONTINUATION, 0, 1, &block).repeat(64));
                wire.write(&flood).await;
            }
        });
    }
    served_meanwhile(&house, attack).await;
    house.end().await;
}

#[tokio::test]
async fn some_say_what_is_nothing() {
    let house = House::open("").await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for size in 1..100 {
        let mut bytes = if size % 2 == 0 { PREFACE.to_vec() } else { Vec::new() };
        for _ in 0..size * 13 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.push(state as u8);
        }
        let mut wire = Wire::silent(house.address).await;
        wire.write(&bytes).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await;
        wire.ended().await;
    }
    assert!(soon("a caller", house.caller()).await.is_served().await);
    house.end().await;
}
