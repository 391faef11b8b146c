//! Pushes that are wrong, strange, late or not the vendor's.

use dialplane::proto::{Call, CallState};
use serde_json::{Value, json};

use crate::setup::{PASSWORD, PATH_TOKEN, SECRET, TOKEN, Town, USER, Ways};

/// A gateway whose vendors don't post by themselves.
async fn silent() -> (Town, reqwest::Client) {
    let town = Town::start(Ways { push: false, ..Ways::default() }).await;
    (town, reqwest::Client::new())
}

fn phonon(uuid: &str, connected: bool) -> Value {
    let mut leg = json!({
        "cdrId": "leg-1", "calleeType": "VISITOR", "calleeNumber": "919900000099",
        "startTime": "2024-07-01T10:15:00.08+05:30", "endTime": "2024-07-01T10:17:19.131+05:30",
        "hangupCause": "17", "duration": "0",
    });
    if connected {
        leg["cdrId"] = "leg-2".into();
        leg["connectTime"] = "2024-07-01T10:15:13.901+05:30".into();
        leg["duration"] = "125230".into();
    }
    json!({ "body": { "phonon-uuid": uuid, "callDetails": [leg] } })
}

struct Poster<'a>(&'a Town, &'a reqwest::Client);

impl Poster<'_> {
    async fn phonon(&self, password: &str, body: String) -> u16 {
        let url = format!("http://{}/callbacks/phonon-multicast", self.0.callbacks);
        let request = self.1.post(url).basic_auth(USER, Some(password)).body(body);
        request.send().await.unwrap().status().as_u16()
    }

    async fn mobtexting(&self, secret: &str, body: String) -> u16 {
        let url = format!("http://{}/callbacks/mobtexting", self.0.callbacks);
        let request =
            self.1.post(url).bearer_auth(secret).header("content-type", "application/json");
        request.body(body).send().await.unwrap().status().as_u16()
    }

    async fn knovvu(&self, token: &str, body: String) -> u16 {
        let url = format!("http://{}/callbacks/knovvu/{token}", self.0.callbacks);
        self.1.post(url).body(body).send().await.unwrap().status().as_u16()
    }
}

async fn accepted(town: &mut Town, route: &str) -> Call {
    let call = town.gateway.call(route, "+919900000099").await.unwrap();
    assert_eq!(call.state(), CallState::Accepted);
    call
}

async fn now(town: &mut Town, call: &Call) -> Call {
    let request = dialplane::proto::GetCallResultsRequest {
        call_ids: vec![call.call_id.clone()],
        ..Default::default()
    };
    town.gateway.results(request).await.unwrap().calls.remove(0)
}

#[tokio::test]
async fn a_result_stays_whatever_is_pushed_later_but_for_an_answer() {
    let (mut town, http) = silent().await;
    let call = accepted(&mut town, "phonon-multicast").await;
    let uuid = call.vendor_call_id.clone();
    let busy = phonon(&uuid, false).to_string();
    let answered = phonon(&uuid, true).to_string();
    let mut seen = Vec::new();
    for body in [&busy, &busy, &answered, &busy, &answered] {
        assert_eq!(Poster(&town, &http).phonon(PASSWORD, body.clone()).await, 200);
        seen.push(now(&mut town, &call).await);
    }
    let states: Vec<_> = seen.iter().map(Call::state).collect();
    use CallState::{Answered, Busy};
    assert_eq!(states, [Busy, Busy, Answered, Answered, Answered]);
    assert_eq!(seen[0].revision, seen[1].revision, "told twice, changed once");
    assert_eq!(seen[2].revision, seen[4].revision);
    assert_eq!(seen[4].attempts.len(), 2, "both legs are there");
    town.stop().await;
}

#[tokio::test]
async fn who_is_not_the_vendor_changes_nothing() {
    let (mut town, http) = silent().await;
    for route in ["phonon-multicast", "mobtexting", "knovvu"] {
        let call = accepted(&mut town, route).await;
        let id = &call.vendor_call_id;
        let poster = Poster(&town, &http);
        let mobtexting = json!({ "id": id, "to": "919900000099", "status": "BUSY" }).to_string();
        let statuses = match route {
            "phonon-multicast" => {
                let body = phonon(id, true).to_string();
                [poster.phonon("wrong", body.clone()).await, poster.phonon("", "{".into()).await]
            }
            "mobtexting" => [
                poster.mobtexting("wrong", mobtexting).await,
                poster.mobtexting(TOKEN, "{".into()).await,
            ],
            _ => {
                let body = json!({ "UniqueId": id }).to_string();
                [poster.knovvu("wrong", body).await, poster.knovvu("x", "{".into()).await]
            }
        };
        assert_eq!(statuses, [401, 401], "{route}");
        let after = now(&mut town, &call).await;
        assert_eq!((after.state(), after.revision), (CallState::Accepted, call.revision));
    }
    town.stop().await;
}

#[tokio::test]
async fn malformed_and_unknown_pushes_do_no_harm() {
    let (town, http) = silent().await;
    let poster = Poster(&town, &http);
    for body in ["{", "null", "[]x", "{\"phonon-uuid\": 7}"] {
        let status = poster.phonon(PASSWORD, body.to_owned()).await;
        assert!(status == 400 || status == 200, "{body}: {status}");
    }
    assert_eq!(poster.phonon(PASSWORD, "not json".into()).await, 400);
    assert_eq!(poster.mobtexting(SECRET, "not json".into()).await, 400);
    // Of calls nobody knows: taken, for the vendor can do nothing about it.
    assert_eq!(poster.phonon(PASSWORD, phonon("nobody", true).to_string()).await, 200);
    let unknown = json!({ "id": "nobody", "status": "ANSWER" }).to_string();
    assert_eq!(poster.mobtexting(SECRET, unknown).await, 200);
    let unknown = json!({ "UniqueId": "nobody" }).to_string();
    assert_eq!(poster.knovvu(PATH_TOKEN, unknown).await, 200);
    town.stop().await;
}

#[tokio::test]
async fn mobtextings_handshake_is_answered_to_whoever_knows_the_token() {
    let (town, http) = silent().await;
    let ask = |token: &str| {
        let url = format!("http://{}/callbacks/mobtexting?token={token}", town.callbacks);
        let body = json!({ "validation_key": token, "challenge": "c-4711" }).to_string();
        http.post(url).header("content-type", "application/json").body(body).send()
    };
    let answer = ask(TOKEN).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body, json!({ "challenge": "c-4711" }));
    assert_eq!(ask("wrong").await.unwrap().status(), 401);
    assert!(town.sandbox.handshake().await.is_err(), "the sandbox has no webhook here");
    town.stop().await;

    let town = Town::start(Ways::default()).await;
    assert_eq!(town.sandbox.handshake().await.unwrap(), 200);
    town.stop().await;
}

#[tokio::test]
async fn a_hint_makes_the_gateway_ask_and_nothing_else() {
    let (mut town, http) = silent().await;
    let call = accepted(&mut town, "knovvu").await;
    let lies = json!({ "CallResults": [{ "UniqueId": call.vendor_call_id, "CallState": "Busy" }] });
    assert_eq!(Poster(&town, &http).knovvu(PATH_TOKEN, lies.to_string()).await, 200);
    let (_, end) = town.follow(&call).await;
    assert_eq!(end.state(), CallState::Answered, "what the vendor says when it is asked");
    town.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_a_push_that_brings_our_id_back() {
    let mut town = Town::start(Ways::default()).await;
    // 15: taken, and the connection reset before the answer.
    for route in ["phonon-outbound", "phonon-multicast", "phonon-bulk"] {
        let call = town.gateway.call(route, "+919900000015").await.unwrap();
        // The push may be faster than the connection's end.
        assert!(matches!(call.state(), CallState::Unconfirmed | CallState::Answered));
        let (states, end) = town.follow(&call).await;
        assert_eq!(end.state(), CallState::Answered, "{states:?}");
        assert!(!end.vendor_call_id.is_empty() && end.error.is_none());
    }
    town.stop().await;
}
