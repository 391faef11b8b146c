//! How the simulated vendors push: how often, in which order, how long.

use dialplane::sandbox::{HandshakeError, Pace, PhononBody};

use super::{receiver::*, *};

/// Pushes Phonon's results to a receiver.
fn phonon_webhook(receiver: &Receiver) -> Webhooks {
    Webhooks { phonon: receiver.phonon(PhononBody::Custom), ..Webhooks::default() }
}

fn mobtexting_webhook(receiver: &Receiver) -> Webhooks {
    let mobtexting = receiver.mobtexting(MobTextingBody::Composed);
    Webhooks { mobtexting, ..Webhooks::default() }
}

/// The same once more at once, up to `retries` times.
fn retrying(retries: u32) -> Pushing {
    Pushing { retries, retry_after: Duration::ZERO, ..Pushing::default() }
}

#[tokio::test]
async fn the_same_push_comes_as_often_as_asked_for() {
    let mut receiver = Receiver::start().await;
    let pushing = Pushing { times: 3, ..Pushing::default() };
    let sandbox = pushing_sandbox(mobtexting_webhook(&receiver), pushing).await;
    mobtexting_call(&sandbox, "919900000000").await;
    let first = receiver.next().await.body;
    assert_eq!(receiver.next().await.body, first);
    assert_eq!(receiver.next().await.body, first);
    assert_eq!(pushes(&sandbox, 3).await.len(), 3);
    sandbox.forget();
    assert!(sandbox.pushes().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn the_latest_goes_first() {
    let mut receiver = Receiver::start().await;
    let pushing = Pushing { reordered: true, ..Pushing::default() };
    let webhooks = phonon_webhook(&receiver);
    let pace = Pace::Lifelike;
    let options = Options { webhooks, pushing, pace, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    phonon_call(&sandbox, &phonon_with_id(&["919900000001", "919900000005"])).await;
    let said = |got: Got| got.json()["flowStatus"].as_str().unwrap().to_owned();
    assert_eq!(said(receiver.next().await), "COMPLETED");
    assert_eq!(said(receiver.next().await), "REATTEMPT_SCHEDULED");
    sandbox.stop().await;

    let pushing = Pushing { reordered: true, ..Pushing::default() };
    let sandbox = pushing_sandbox(phonon_webhook(&receiver), pushing).await;
    let numbers = ["919900000020", "919900000021", "919900000022"];
    phonon_call(&sandbox, &phonon(&numbers.each_ref().map(std::slice::from_ref))).await;
    for number in numbers.iter().rev() {
        assert_eq!(receiver.next().await.json()["callDetails"][0]["calleeNumber"], *number);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_push_may_overtake_the_answer() {
    let mut receiver = Receiver::held().await;
    let pushing = Pushing { early: true, delay: PATIENCE * 100, ..Pushing::default() };
    let sandbox = pushing_sandbox(mobtexting_webhook(&receiver), pushing.clone()).await;
    let url = format!("{}outgoing/send", sandbox.urls().mobtexting);
    let request = authorized(posted(&url, mobtexting("919900000000").to_string()), "token");
    let order = tokio::spawn(send(request));
    let pushed = receiver.next().await.json();
    // It can't be: the push is not answered yet.
    assert!(!order.is_finished());
    receiver.let_go();
    let answer = order.await.unwrap().json();
    assert_eq!(answer["data"][0]["id"], pushed["id"]);
    assert_eq!(sandbox.pushes().len(), 1);

    // Pushed, and then never answered.
    let request = authorized(posted(&url, mobtexting("919900000015").to_string()), "token");
    let order = tokio::spawn(request.send());
    receiver.next().await;
    receiver.let_go();
    assert!(order.await.unwrap().is_err());

    // A call that starts later holds nothing back.
    sandbox.set_webhooks(phonon_webhook(&receiver));
    let mut later = phonon(&[&["919900000000"]]);
    later["calls"][0]["start-time"] = json!(START);
    phonon_call(&sandbox, &later).await;
    assert_eq!((sandbox.pushes().len(), receiver.rest()), (2, 0));
    sandbox.stop().await;
}

#[tokio::test]
async fn mobtexting_tries_again_until_200_or_202() {
    let mut receiver = Receiver::with_statuses(&[500, 404, 302, 202]).await;
    let pushing = Pushing { concurrency: 1, ..retrying(9) };
    let sandbox = pushing_sandbox(mobtexting_webhook(&receiver), pushing).await;
    let id = mobtexting_call(&sandbox, "919900000000").await;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(receiver.next().await.body);
    }
    assert!(bodies.iter().all(|body| body.contains(&id) && *body == bodies[0]));
    // 202 was enough: the next is another call's.
    let id = mobtexting_call(&sandbox, "919900000000").await;
    assert!(receiver.next().await.body.contains(&id));
    let pushes = pushes(&sandbox, 5).await;
    let statuses: Vec<_> = pushes.iter().map(|push| push.status.unwrap()).collect();
    assert_eq!(statuses, [500, 404, 302, 202, 200]);
    sandbox.stop().await;

    let mut receiver = Receiver::with_statuses(&[204, 201, 200]).await;
    let sandbox = pushing_sandbox(mobtexting_webhook(&receiver), retrying(1)).await;
    let first = mobtexting_call(&sandbox, "919900000000").await;
    assert!(receiver.next().await.body.contains(&first));
    assert!(receiver.next().await.body.contains(&first));
    let id = mobtexting_call(&sandbox, "919900000000").await;
    assert!(receiver.next().await.body.contains(&id));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_others_try_again_only_when_a_server_is_in_trouble() {
    let mut receiver = Receiver::with_statuses(&[503, 404, 302, 204]).await;
    let pushing = Pushing { concurrency: 1, ..retrying(9) };
    let sandbox = pushing_sandbox(phonon_webhook(&receiver), pushing).await;
    for (number, attempts) in [("919900000000", 2), ("919900000001", 1), ("919900000002", 1)] {
        let id = phonon_call(&sandbox, &phonon_with_id(&[number])).await;
        for _ in 0..attempts {
            assert!(receiver.next().await.body.contains(&id));
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn nobody_there_disturbs_nothing() {
    let address = {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap()
    };
    let webhooks = Webhooks { knovvu: true, ..Webhooks::default() };
    let sandbox = pushing_sandbox(webhooks, Pushing { early: true, ..retrying(2) }).await;
    let mut body = knovvu("05320000000", "t");
    body["ResultDestination"] = json!(format!("http://{address}/"));
    assert_eq!(knovvu_call(&sandbox, &body).await.status, 200);
    let pushes = pushes(&sandbox, 3).await;
    assert!(pushes.iter().all(|push| push.status.is_none()));
    assert_eq!(sandbox.handshake().await, Err(HandshakeError::NoWebhook));
    sandbox.stop().await;
}

#[tokio::test]
async fn nobody_elsewhere_is_contacted() {
    let mut receiver = Receiver::start().await;
    let mut webhooks = mobtexting_webhook(&receiver);
    let mut elsewhere = receiver.phonon(PhononBody::Dlr);
    elsewhere.as_mut().unwrap().url = "http://192.0.2.1/{flow}".into();
    webhooks.phonon = elsewhere;
    assert!(webhooks.check().unwrap_err().starts_with("phonon.url is not on this machine"));
    let pushing = Pushing { concurrency: 1, early: true, ..Pushing::default() };
    let sandbox = pushing_sandbox(webhooks.clone(), pushing).await;
    phonon_call(&sandbox, &phonon_with_id(&["919900000000"])).await;
    mobtexting_call(&sandbox, "919900000000").await;
    receiver.next().await;
    assert_eq!(sandbox.pushes().len(), 1);
    webhooks.mobtexting.as_mut().unwrap().url = "http://example.test/".into();
    sandbox.set_webhooks(webhooks);
    assert!(matches!(sandbox.handshake().await, Err(HandshakeError::Address(_))));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_handshake_wants_its_challenge_back() {
    let mut receiver = Receiver::answering(|index, got| {
        let said: Value = serde_json::from_str(&got.body).unwrap();
        match index {
            0 => (200, json!({ "challenge": said["challenge"] }).to_string()),
            1 => (200, json!({ "challenge": "another" }).to_string()),
            2 => (200, "no JSON".to_owned()),
            _ => (202, json!({ "challenge": said["challenge"] }).to_string()),
        }
    })
    .await;
    let sandbox = pushing_sandbox(mobtexting_webhook(&receiver), Pushing::default()).await;
    assert_eq!(sandbox.handshake().await, Ok(200));
    let got = receiver.next().await;
    assert_eq!((got.path.as_str(), got.query.as_str()), ("/mobtexting", "a=b&token=t0ken+t0ken"));
    let json = got.json();
    assert_eq!(json.as_object().unwrap().len(), 2);
    assert_eq!(json["validation_key"], "t0ken t0ken");
    assert!(json["challenge"].as_str().unwrap().len() >= 16);
    assert_eq!(sandbox.handshake().await, Err(HandshakeError::Challenge));
    assert_eq!(sandbox.handshake().await, Err(HandshakeError::Challenge));
    assert_eq!(sandbox.handshake().await, Err(HandshakeError::Status(202)));
    drop(receiver);
    assert!(sandbox.pushes().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_no_push() {
    let mut receiver = Receiver::held().await;
    let pushing = Pushing { early: true, ..Pushing::default() };
    let sandbox = pushing_sandbox(mobtexting_webhook(&receiver), pushing).await;
    let url = format!("{}outgoing/send", sandbox.urls().mobtexting);
    let request = authorized(posted(&url, mobtexting("919900000000").to_string()), "token");
    let order = tokio::spawn(request.send());
    receiver.next().await;
    // One more that waits for its time, which does not come.
    sandbox.set_pushing(Pushing { delay: PATIENCE * 100, ..Pushing::default() });
    mobtexting_call(&sandbox, "919900000000").await;
    let started = std::time::Instant::now();
    sandbox.stop().await;
    assert!(started.elapsed() < Duration::from_secs(8), "shorter than a push may take");
    assert!(order.await.unwrap().is_err());
    assert_eq!(receiver.rest(), 0);
}

#[tokio::test]
async fn other_programs_set_webhooks_and_see_pushes_without_credentials() {
    let mut receiver = Receiver::answering(|_, got| (200, got.body.clone())).await;
    let sandbox = sandbox().await;
    let own = sandbox.urls().sandbox;
    let put = |body: Value| {
        let request = client().put(format!("{own}/webhooks"));
        send(request.header("content-type", "application/json").body(body.to_string()))
    };
    let settings = json!({
        "mobtexting": {
            "url": format!("{}/callbacks/mobtexting/t0k3n-t0k3n", receiver.url),
            "secret": "s3cret-s3cret",
            "token": "t0k3n-t0k3n",
            "body": "standard",
        },
        "knovvu": true,
        "pushing": { "times": 2, "retries": 0 },
    });
    assert_eq!(put(settings).await.status, 200);
    assert_eq!(send(client().post(format!("{own}/handshake"))).await.status, 200);
    assert!(receiver.next().await.query.contains("t0k3n"));
    let wrong = put(json!({ "phonon": { "url": "http://example.test/", "user": "u" } })).await;
    let reason = "phonon.url is not on this machine (127.0.0.1, ::1 or localhost)";
    assert_eq!((wrong.status, wrong.json()), (400, json!({ "reason": reason })));
    assert_eq!(put(json!([])).await.status, 400);
    // What was wrong changed nothing.
    mobtexting_call(&sandbox, "919900000000").await;
    pushes(&sandbox, 2).await;
    let seen = get(&format!("{own}/pushes")).await;
    assert!(!seen.text.contains("s3cret") && !seen.text.contains("t0k3n"), "{}", seen.text);
    let seen = seen.json()["pushes"].clone();
    assert_eq!(seen.as_array().unwrap().len(), 2);
    assert_eq!(seen[0]["url"], format!("{}/callbacks/mobtexting/***", receiver.url));
    assert_eq!((&seen[0]["system"], &seen[0]["status"]), (&json!("mobtexting"), &json!(200)));
    assert_eq!(seen[0]["body"]["to"], 919_900_000_000_u64);
    assert_eq!(put(json!({})).await.status, 200);
    assert_eq!(send(client().post(format!("{own}/handshake"))).await.status, 502);
    sandbox.stop().await;
}
