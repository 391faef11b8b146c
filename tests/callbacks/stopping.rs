//! How it starts and ends.

use std::time::Duration;

use dialplane::{
    callbacks::{Bound, Limits, ServeError},
    cli::{StartError, start},
    gateway::Delivered,
    http::Delivery,
};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::house::{House, SECRET, config, rest, vendors, written};

#[tokio::test]
async fn a_gateway_that_stops_puts_deliveries_off() {
    let house = House::open().await;
    house.gateway.stop();
    let answer = house.post("one", &json!([{ "id": "a" }])).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"5".parse().unwrap())
    );
    let delivered = house.gateway.deliver("nobody", Delivery::default()).await;
    assert!(matches!(delivered, Delivered::NoSuchCallback), "{delivered:?}");
    assert_eq!(house.ledger.kept_count(), 0);
    house.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_nobody_who_is_idle() {
    let last = Duration::from_millis(200);
    let house = House::limited(Limits { last, ..Limits::default() }).await;
    let [mut fresh, mut idle, mut half] =
        [house.connect().await, house.connect().await, house.connect().await];
    let good = written("one", &json!([]));
    idle.write_all(good.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut idle, &mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    half.write_all(&good.as_bytes()[..20]).await.unwrap();
    let address = house.address;
    house.stop().await;
    for stream in [&mut fresh, &mut idle, &mut half] {
        assert!(!rest(stream).await.contains("HTTP/1.1 200"));
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let house = House::open().await;
    house.ledger.open.send_replace(false);
    let mut stream = house.connect().await;
    stream.write_all(written("one", &json!([{ "id": "a" }])).as_bytes()).await.unwrap();
    house.ledger.begun.acquire().await.unwrap().forget();
    let ledger = house.ledger.clone();
    let (answer, ()) = tokio::join!(
        async {
            ledger.open.send_replace(true);
            rest(&mut stream).await
        },
        house.stop()
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(ledger.kept_count(), 1);
}

#[tokio::test]
async fn a_whole_gateway_listens_where_it_is_told() {
    let text = |server: &str| {
        config(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{server}\n[ledger]\nurl = \"sqlite::memory:\"\n{}",
            vendors("http://127.0.0.1:1")
        ))
    };
    let running = start(&text("")).await.unwrap();
    assert_eq!(running.callbacks(), None);
    running.stop().await;

    let running = start(&text("callbacks = \"127.0.0.1:0\"")).await.unwrap();
    let address = running.callbacks().unwrap();
    let client = reqwest::Client::new();
    let request = client.post(format!("http://{address}/callbacks/one")).bearer_auth(SECRET);
    let answer = request.body(r#"{"hello":1}"#).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), r#"{"hello":1}"#);

    let taken = format!("callbacks = \"{address}\"");
    let error = start(&text(&taken)).await.unwrap_err();
    assert!(matches!(error, StartError::Callbacks(ServeError::Listen { .. })), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    running.stop().await;
    assert_eq!(Bound::new(address).await.unwrap().address(), address);
}
