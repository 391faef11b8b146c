//! What a reload changes at the ports, and what it does not.

use tonic::Code;

use crate::house::{House, to};

const A: &str = "[callers.a]\ntoken = \"0123456789abcdef\"\n";
const NARROW: &str = "[callers.a]\ntoken = \"0123456789abcdef\"\nroutes = [\"alpha\"]\n";
const B: &str = "[callers.b]\ntoken = \"fedcba9876543210\"\n";

#[tokio::test]
async fn callers_are_those_of_the_newest_configuration() {
    let mut house = House::with("", A).await;
    let mut a = house.caller_with("0123456789abcdef").await;
    let mut b = house.caller_with("fedcba9876543210").await;
    assert!(a.is_served().await && !b.is_served().await);
    a.call("beta").await.unwrap();

    // On the connections that are there.
    assert_eq!(house.reload("", &format!("{NARROW}{B}")).await, [vec!["callers"], vec![]]);
    assert!(b.is_served().await);
    assert_eq!(a.call("beta").await.unwrap_err().code(), Code::PermissionDenied);
    a.call("alpha").await.unwrap();

    assert_eq!(house.reload("", B).await, [vec!["callers"], vec![]]);
    assert!(!a.is_served().await && b.is_served().await);
    assert_eq!(house.reload("", B).await, [vec![], vec![]] as [Vec<&str>; 2]);
    house.end().await;
}

#[tokio::test]
async fn limits_are_those_of_the_newest_configuration_from_the_next_connection_on() {
    let mut house = House::open("").await;
    let many = || (0..100).map(|n| to(&format!("+91990000{n:04}"))).collect();
    let mut before = house.caller().await;
    before.create("", "", many()).await.unwrap();
    let changed = house.reload("limits = { request_bytes = 1024 }", "").await;
    assert_eq!(changed, [vec!["server.limits"], vec![]]);
    before.create("", "", many()).await.unwrap();
    let refused = house.caller().await.create("", "", many()).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    house.end().await;
}

#[tokio::test]
async fn what_takes_a_restart_is_named() {
    let mut house = House::open("").await;
    for (server, keys) in [
        ("limits = { reading_bytes = 67108864 }", vec!["server.limits.reading_bytes"]),
        ("callback_limits = { deliveries = 3 }", vec!["server.callback_limits"]),
        ("callbacks = \"127.0.0.1:0\"", vec!["server.callbacks"]),
        ("admin = \"127.0.0.1:0\"", vec!["server.admin"]),
        (
            "tls = { certificate = \"server.pem\", key = \"server.key\" }\n\
             admin_tls = { certificate = \"server.pem\", key = \"server.key\" }",
            vec!["server.tls", "server.admin_tls"],
        ),
        (
            "callbacks_tls = { certificate = \"server.pem\", key = \"server.key\" }",
            vec!["server.callbacks_tls"],
        ),
    ] {
        let [_, pending] = house.reload(server, "").await;
        assert_eq!(pending, keys, "{server}");
    }
    // What was named is named until it is as it was, or the gateway was restarted.
    let [_, pending] = house.reload("admin = \"127.0.0.1:0\"", "").await;
    assert_eq!(pending, ["server.admin"]);
    assert_eq!(house.reload("", "").await[1], [] as [&str; 0]);
    house.end().await;
}
