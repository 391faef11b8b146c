//! MobTexting: calls, their results, and what it refuses.

use dialplane::sandbox::{AnswerForm, Options, Sandbox};

use super::*;

#[tokio::test]
async fn mobtexting_takes_a_call_and_tells_each_end() {
    for form in [AnswerForm::Newest, AnswerForm::Older] {
        let options = Options { mobtexting_answers: form, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        for (number, word) in [
            ("919900000000", "ANSWER"),
            ("919900000001", "BUSY"),
            ("919900000002", "NOANSWER"),
            ("919900000003", "BUSY"),
            ("919900000004", "CONGESTION"),
            ("919900000005", "CHANUNAVAIL"),
            ("919900000006", "CHANUNAVAIL"),
            ("919900000042", "ANSWER"),
        ] {
            let taken = mobtexting_send(&sandbox, &mobtexting(number)).await;
            assert_eq!(taken.status, 200);
            let taken = taken.json();
            let id = taken["data"][0]["id"].as_str().unwrap();
            assert_eq!(taken["data"][0]["mobile"], number);
            let told = mobtexting_status(&sandbox, &id.replace(':', "%3A")).await.json();
            assert_eq!(told["status"], 200);
            let row = &told["data"][0];
            assert_eq!((row["id"].as_str(), row["status"].as_str()), (Some(id), Some(word)));
            if form == AnswerForm::Newest {
                assert_eq!((&taken["status"], id.len()), (&json!("OK"), 36));
                assert_eq!((row["to"].as_str(), row.get("duration")), (Some(number), None));
            } else {
                assert_eq!((&taken["status"], id.ends_with(":1")), (&json!(200), true));
                assert_eq!(row["mobile"], number);
                assert_eq!(row["duration"].as_str().unwrap().len(), 8);
            }
        }
        let url = format!("{}outgoing/callstatus?mobile=919900000042", sandbox.urls().mobtexting);
        let rows = send(authorized(client().get(url), "token")).await.json();
        assert_eq!(rows["data"].as_array().unwrap().len(), 1);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn mobtexting_wants_a_good_token() {
    let sandbox = sandbox().await;
    let url = format!("{}outgoing/send", sandbox.urls().mobtexting);
    let request = || posted(&url, mobtexting("919900000000").to_string());
    let refused = send(authorized(request(), "bad-token")).await;
    assert_eq!((refused.status, &refused.json()["status"]), (401, &json!("ERROR")));
    assert_eq!(send(authorized(request(), "forbidden")).await.status, 403);
    assert_eq!(send(request().header("accept", "application/json")).await.status, 401);
    let redirected = send(request().header("authorization", "Bearer bad-token")).await;
    assert_eq!(redirected.status, 302);
    assert!(redirected.headers["location"].to_str().unwrap().ends_with("/login"));
    assert!(sandbox.dialed().is_empty());
    let by_query = posted(&format!("{url}?access_token=x"), mobtexting("919900000000").to_string());
    assert_eq!(send(by_query).await.status, 200);
    sandbox.stop().await;
}

#[tokio::test]
async fn mobtexting_enforces_its_rules() {
    let sandbox = sandbox().await;
    for (field, value) in [
        ("to", json!("+919900000000")),
        ("bridge", json!(918_000_000_001_u64)),
        ("audio", json!("https://example.test/a.mp3")),
        ("interval", json!(7)),
        ("variables", json!({ "otp": "4711" })),
        ("variables[otp]", json!(4711)),
    ] {
        let mut body = mobtexting("919900000000");
        body[field] = value;
        let answer = mobtexting_send(&sandbox, &body).await;
        assert_eq!((answer.status, &answer.json()["status"]), (422, &json!("ERROR")), "{field}");
    }
    let url = format!("{}outgoing/send", sandbox.urls().mobtexting);
    assert_eq!(send(authorized(posted(&url, "{"), "token")).await.status, 400);
    assert_eq!(send(authorized(client().get(&url), "token")).await.status, 405);
    let url = format!("{}finance/nothing", sandbox.urls().mobtexting);
    assert_eq!(send(authorized(client().get(&url), "token")).await.status, 404);
    assert_eq!(mobtexting_status(&sandbox, "unknown").await.status, 404);
    assert_eq!(mobtexting_status(&sandbox, "x&mobile=919900000000").await.status, 422);
    assert!(sandbox.dialed().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn mobtexting_limits_reads() {
    let options = Options { mobtexting_reads_per_minute: 2, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    for status in [404, 404, 429] {
        let answer = mobtexting_status(&sandbox, "unknown").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
    }
    assert_eq!(mobtexting_send(&sandbox, &mobtexting("919900000000")).await.status, 200);
    sandbox.stop().await;
}

#[tokio::test]
async fn mobtexting_refuses_or_half_takes_what_the_number_says() {
    let sandbox = sandbox().await;
    for (number, status) in
        [("919900000010", 422), ("919900000011", 402), ("919900000012", 429), ("919900000013", 500)]
    {
        let answer = mobtexting_send(&sandbox, &mobtexting(number)).await;
        assert_eq!((answer.status, &answer.json()["status"]), (status, &json!("ERROR")));
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
    }
    let partial = mobtexting_send(&sandbox, &mobtexting("919900000017")).await;
    assert_eq!(partial.status, 200);
    assert_eq!((&partial.json()["status"], &partial.json()["data"]), (&json!("OK"), &json!([])));
    assert!(sandbox.dialed().is_empty());
    sandbox.stop().await;
}
