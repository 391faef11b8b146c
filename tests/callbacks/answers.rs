//! What is answered, by status.

use dialplane::gateway::PushCounts;
use reqwest::{Method, Response};
use serde_json::json;

use crate::house::{House, SECRET};

async fn told(answer: Response) -> (u16, String) {
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn what_is_not_there_is_not_found_whatever_it_is() {
    let house = House::open().await;
    let unknown = (404, r#"{"error":"not found"}"#.to_owned());
    for path in [
        "/",
        "/callbacks",
        "/callbacks/",
        "/callbacks/nobody",
        "/callbacks/mute",
        "/callbacks/mute/token",
        "/callbacks/one/a/b",
        "/callbacks/%ff",
        "/callbacks/ONE",
    ] {
        for method in [Method::POST, Method::GET] {
            let request = house.client.request(method, house.url(path)).bearer_auth(SECRET);
            let answer = request.body("[]").send().await.unwrap();
            assert_eq!(told(answer).await, unknown, "{path}");
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn only_post_is_taken() {
    let house = House::open().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = house.client.request(method, house.url("/callbacks/one/x"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["allow"], "POST");
        assert_eq!(told(answer).await.0, 405);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_wrong_proof_is_refused_alike_whatever_comes_with_it() {
    let house = House::open().await;
    let good = json!([{ "id": "t-1", "state": "reached" }]).to_string();
    let hello = json!({ "hello": "x" }).to_string();
    let mut seen = Vec::new();
    for body in [good.as_str(), &hello, "", "no JSON", "\u{0}"] {
        for proof in [None, Some("Bearer wrong"), Some("Basic eDp5"), Some("")] {
            let mut request = house.client.post(house.url("/callbacks/one")).body(body.to_owned());
            if let Some(proof) = proof {
                request = request.header("authorization", proof);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
            seen.push(told(answer).await);
        }
        // Of two, nobody knows which is meant.
        let request = house.client.post(house.url("/callbacks/one")).body(body.to_owned());
        let proof = format!("Bearer {SECRET}");
        let request = request.header("authorization", &proof).header("authorization", "Bearer x");
        seen.push(told(request.send().await.unwrap()).await);
    }
    seen.dedup();
    assert_eq!(seen, [(401, r#"{"error":"not authorized"}"#.to_owned())]);
    assert_eq!(house.counts("one"), PushCounts { unauthentic: 25, ..PushCounts::default() });
    assert_eq!(house.ledger.kept_count(), 0);
    house.stop().await;
}

#[tokio::test]
async fn what_the_vendor_wrote_wrongly_is_told() {
    let house = House::open().await;
    for (body, why) in [("no JSON", "not JSON"), ("{}", "no list"), ("", "not JSON")] {
        let request = house.client.post(house.url("/callbacks/one")).bearer_auth(SECRET);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(told(answer).await, (400, json!({ "error": why }).to_string()));
    }
    assert_eq!(house.counts("one"), PushCounts { malformed: 3, ..PushCounts::default() });
    let fields = "a=b&".repeat(65);
    let answer = house.client.post(house.url(&format!("/callbacks/one?{fields}")));
    assert_eq!(told(answer.send().await.unwrap()).await.0, 400);
    house.stop().await;
}

#[tokio::test]
async fn a_proof_may_be_in_the_path_or_the_query() {
    let house = House::open().await;
    for path in [
        "/callbacks/one/s3cr3t%2Fof%20the%20poster",
        "/callbacks/%6fne?key=s3cr3t%2Fof+the%20poster",
    ] {
        let request = house.client.post(house.url(path)).body(r#"{"hello":"x"}"#);
        let answer = request.send().await.unwrap();
        assert_eq!(told(answer).await, (200, r#"{"hello":"x"}"#.to_owned()), "{path}");
        let request = house.client.post(house.url(path)).body("[]");
        assert_eq!(told(request.send().await.unwrap()).await, (200, "{}".to_owned()), "{path}");
    }
    assert_eq!(house.counts("one"), PushCounts::default());
    house.stop().await;
}
