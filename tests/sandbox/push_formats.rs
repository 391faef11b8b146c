//! What the simulated vendors push, to the byte.

use dialplane::sandbox::{Pace, PhononBody, System};

use super::{receiver::*, *};

/// The names of an object's fields.
fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// A receiver, and a sandbox that pushes Phonon's results to it.
async fn phonon_side(body: PhononBody, pace: Pace) -> (Receiver, Sandbox) {
    let receiver = Receiver::start().await;
    let webhooks = Webhooks { phonon: receiver.phonon(body), ..Webhooks::default() };
    let sandbox = Sandbox::start(Options { webhooks, pace, ..Options::default() }).await.unwrap();
    (receiver, sandbox)
}

async fn legs_by_pull(sandbox: &Sandbox, id: &str) -> Value {
    let answer = post(&sandbox.urls().phonon_results, &question(&[id])).await.json();
    answer["data"][0]["callDetails"].clone()
}

#[tokio::test]
async fn phonons_newest_format_has_a_wrapper_and_milliseconds() {
    let (mut receiver, sandbox) = phonon_side(PhononBody::Dlr, Pace::Instant).await;
    let id = phonon_call(&sandbox, &phonon_with_id(&["919900000002", "919900000100"])).await;
    let got = receiver.next().await;
    assert_eq!((got.path.as_str(), got.query.as_str()), ("/phonon/AbCd1234", ""));
    assert_eq!(got.headers["authorization"], "Basic dXNlcjpwYXNzIHdvcmQ=");
    let json = got.json();
    assert_eq!(names(&json), ["body"]);
    let body = &json["body"];
    assert_eq!(names(body), ["callDetails", "keys", "phonon-uuid"]);
    assert_eq!(body["phonon-uuid"], id.as_str());
    assert_eq!(body["callDetails"], legs_by_pull(&sandbox, &id).await);
    let legs = body["callDetails"].as_array().unwrap();
    assert_eq!(legs.len(), 2);
    assert!(legs[0].get("connectTime").is_none());
    assert_eq!((&legs[0]["hangupCause"], &legs[0]["duration"]), (&json!("5"), &json!("0")));
    let leg = &legs[1];
    for name in ["cdrId", "startTime", "connectTime", "endTime", "calleeNumber", "didNumber"] {
        assert!(leg[name].is_string(), "{name}");
    }
    assert_eq!(leg["hangupCause"], "16");
    assert_eq!(leg["is_ringing"], "true");
    assert_eq!((&leg["incoming"], &leg["remoteHangup"]), (&json!(false), &json!(true)));
    assert_eq!(leg["foreignCallIds"], json!([]));
    assert_eq!(names(&leg["dtmfPressesd"][0]), ["eventTime", "key", "label"]);
    let time = |name: &str| leg[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let talked = time("endTime").duration_since(time("connectTime"));
    assert_eq!(leg["duration"], talked.as_millis().to_string());
    assert_eq!(body["keys"][1]["name"], "$flow.key.dialplane_call_id");
    assert_eq!(body["keys"][1]["value"], "call-1");

    let pushes = pushes(&sandbox, 1).await;
    assert_eq!(pushes[0].url, format!("{}/phonon/AbCd1234", receiver.url));
    assert_eq!((&pushes[0].body, pushes[0].status), (&got.body, Some(200)));
    assert!(!format!("{pushes:?}").contains("9199"));

    // What has nothing to say is left out.
    let mut body = phonon(&[&["919900000004"]]);
    body["calls"][0]["keys"] = json!([]);
    let id = phonon_call(&sandbox, &body).await;
    let json = receiver.next().await.json();
    assert_eq!(json, json!({ "body": { "phonon-uuid": id } }));
    sandbox.stop().await;
}

#[tokio::test]
async fn phonons_older_format_has_seconds_and_no_wrapper() {
    let (mut receiver, sandbox) = phonon_side(PhononBody::FlowEnd, Pace::Instant).await;
    let id = phonon_call(&sandbox, &phonon_with_id(&["919900000001", "919900000000"])).await;
    let json = receiver.next().await.json();
    assert_eq!(names(&json), ["callDetails", "keys", "phonon-uuid", "recordingUrls"]);
    assert_eq!(json["phonon-uuid"], id.as_str());
    assert_eq!(names(&json["keys"][0]), ["name", "value"]);
    assert_eq!(json["keys"][0]["value"], "Asha & \"Co\"");
    let recording = &json["recordingUrls"][0];
    assert_eq!(names(recording), ["recordedFileName", "recordedFilePublicPath"]);
    let legs = legs_by_pull(&sandbox, &id).await;
    let missed = &json["callDetails"][0];
    assert_eq!((&missed["hangupCause"], &missed["duration"]), (&json!("17"), &json!("0")));
    let leg = &json["callDetails"][1];
    let ms: u64 = legs[1]["duration"].as_str().unwrap().parse().unwrap();
    assert_eq!(leg["duration"], (ms / 1000).to_string());
    let mut fields = names(leg);
    fields.retain(|name| *name != "duration");
    assert_eq!(fields.len(), 7);
    assert!(fields.iter().all(|name| leg[name] == legs[1][name]));
    sandbox.stop().await;
}

#[tokio::test]
async fn phonons_custom_format_has_a_status_and_an_echo() {
    let (mut receiver, sandbox) = phonon_side(PhononBody::Custom, Pace::Instant).await;
    for (number, status) in [
        ("919900000000", "COMPLETED"),
        ("919900000002", "COMPLETED"),
        ("919900000004", "INVALID_CONTACT_NUMBER"),
        ("919900000006", "FAILURE"),
    ] {
        let id = phonon_call(&sandbox, &phonon_with_id(&[number])).await;
        let mut json = receiver.next().await.json();
        let legs = json.as_object_mut().unwrap().remove("callDetails").unwrap();
        let expected = json!({
            "flowStatus": status,
            "phonon-uuid": id,
            "method": "POST",
            "dialplane_call_id": "call-1",
        });
        assert_eq!(json, expected);
        assert_eq!(legs.as_array().unwrap().is_empty(), number.ends_with("04"));
    }
    // Nothing to echo.
    phonon_call(&sandbox, &phonon(&[&["919900000000"]])).await;
    assert!(receiver.next().await.json().get("dialplane_call_id").is_none());

    let phonon = receiver.phonon(PhononBody::CustomForm);
    sandbox.set_webhooks(Webhooks { phonon, ..Webhooks::default() });
    let id = phonon_call(&sandbox, &phonon_with_id(&["919900000001"])).await;
    let form = receiver.next().await.form();
    let field = |name: &str| form.iter().find(|(n, _)| n == name).unwrap().1.as_str();
    assert_eq!((field("flowStatus"), field("phonon-uuid")), ("COMPLETED", id.as_str()));
    assert_eq!(field("dialplane_call_id"), "call-1");
    let legs: Value = serde_json::from_str(field("callDetails")).unwrap();
    assert_eq!(legs, legs_by_pull(&sandbox, &id).await);
    sandbox.stop().await;
}

#[tokio::test]
async fn phonons_bulk_calls_are_pushed_with_the_id_that_nobody_was_told() {
    let (mut receiver, sandbox) = phonon_side(PhononBody::Dlr, Pace::Instant).await;
    let url = format!("{}{E1}", sandbox.urls().phonon_bulk);
    assert_eq!(post(&url, &phonon_with_id(&["919900000000"])).await.status, 202);
    let got = receiver.next().await;
    assert_eq!(got.path, "/phonon-bulk/AbCd1234");
    let body = got.json()["body"].clone();
    assert_eq!(body["phonon-uuid"], sandbox.dialed()[0].vendor_call_id.as_str());
    assert_eq!(body["keys"][1]["value"], "call-1");
    assert_eq!(pushes(&sandbox, 1).await[0].system, System::PhononBulk);
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_tells_of_each_alternate_that_another_follows() {
    let (mut receiver, sandbox) = phonon_side(PhononBody::Custom, Pace::Lifelike).await;
    let numbers = ["919900000001", "919900000004", "919900000006"];
    phonon_call(&sandbox, &phonon_with_id(&numbers)).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let json = receiver.next().await.json();
        let legs = json["callDetails"].as_array().unwrap().len();
        let last = json["callDetails"][legs - 1]["calleeNumber"].clone();
        let last = &last.as_str().unwrap()[10..];
        told.push(format!("{} {legs} {last}", json["flowStatus"].as_str().unwrap()));
    }
    let expected = ["REATTEMPT_SCHEDULED 1 01", "FAILURE 2 06"];
    assert_eq!(told, expected);
    sandbox.stop().await;
}

/// From `start_at` to `end_at`.
fn seconds(row: &Value) -> String {
    let time = |name: &str| {
        let text = row[name].as_str().unwrap();
        jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).unwrap()
    };
    time("end_at").duration_since(time("start_at")).as_secs().to_string()
}

#[tokio::test]
async fn mobtextings_formats() {
    let mut receiver = Receiver::start().await;
    let sandbox = sandbox().await;
    for (number, word) in [
        ("919900000000", "ANSWER"),
        ("919900000001", "BUSY"),
        ("919900000002", "NOANSWER"),
        ("919900000004", "CONGESTION"),
        ("919900000005", "CHANUNAVAIL"),
    ] {
        let set = |receiver: &Receiver, body| {
            let mobtexting = receiver.mobtexting(body);
            sandbox.set_webhooks(Webhooks { mobtexting, ..Webhooks::default() });
        };
        set(&receiver, MobTextingBody::Standard);
        let id = mobtexting_call(&sandbox, number).await;
        let got = receiver.next().await;
        assert_eq!((got.path.as_str(), got.query.as_str()), ("/mobtexting", "a=b"));
        assert_eq!(got.headers["authorization"], "Bearer s3cret-s3cret");
        let json = got.json();
        let told = mobtexting_status(&sandbox, &id).await.json()["data"][0].clone();
        let duration = seconds(&told);
        let mut expected = json!({
            "bridge": 918_000_000_001_u64,
            "from": 918_000_000_001_u64,
            "to": number.parse::<u64>().unwrap(),
            "source": "OBD",
            "mid": id,
            "flow_id": 77,
            "start_at": told["start_at"],
            "end_at": told["end_at"],
            "duration": duration,
            "status": word,
        });
        if word == "ANSWER" {
            expected["recording_url"] = json["recording_url"].clone();
            assert!(json["recording_url"].is_string());
        }
        assert_eq!(json, expected);

        set(&receiver, MobTextingBody::Composed);
        let id = mobtexting_call(&sandbox, number).await;
        let json = receiver.next().await.json();
        let fields = ["duration", "end_at", "id", "start_at", "status", "to"];
        assert_eq!(names(&json), fields);
        assert_eq!((&json["id"], &json["to"]), (&json!(id), &json!(number)));
        assert_eq!((&json["status"], &json["duration"]), (&json!(word), &json!(seconds(&json))));

        set(&receiver, MobTextingBody::ComposedForm);
        let id = mobtexting_call(&sandbox, number).await;
        let form = receiver.next().await.form();
        assert!(
            form.contains(&("id".into(), id)) && form.contains(&("status".into(), word.into()))
        );
        assert_eq!(form.len(), 6);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn knovvu_sends_an_id_and_nothing_else() {
    let mut receiver = Receiver::start().await;
    let webhooks = Webhooks { knovvu: true, ..Webhooks::default() };
    let pushing = Pushing { concurrency: 1, ..Pushing::default() };
    let sandbox = pushing_sandbox(webhooks, pushing).await;
    // Nobody to push to, and somebody elsewhere.
    assert_eq!(knovvu_call(&sandbox, &knovvu("05320000000", "t")).await.status, 200);
    let mut body = knovvu("05320000000", "t");
    body["ResultDestination"] = json!("http://192.0.2.1/results");
    assert_eq!(knovvu_call(&sandbox, &body).await.status, 200);
    body["ResultDestination"] = json!(format!("{}/results?x=y", receiver.url));
    let id = knovvu_call(&sandbox, &body).await.json()["UniqueId"].clone();
    let got = receiver.next().await;
    assert_eq!((got.path.as_str(), got.query.as_str()), ("/results", "x=y"));
    assert_eq!(got.json(), json!({ "UniqueId": id }));
    assert!(got.headers.get("authorization").is_none());
    let pushes = pushes(&sandbox, 1).await;
    assert_eq!((pushes.len(), &pushes[0].url), (1, &format!("{}/results", receiver.url)));
    sandbox.stop().await;
}
