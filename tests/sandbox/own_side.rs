//! The sandbox's own side: its pace, its logs, its bounds.

use dialplane::sandbox::{Options, Pace, Sandbox};

use super::*;

#[tokio::test]
async fn a_lifelike_call_is_over_after_a_while() {
    let options = Options { pace: Pace::Lifelike, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let taken = knovvu_call(&sandbox, &knovvu("05320000001", "t")).await.json();
    let sent = mobtexting_send(&sandbox, &mobtexting("919900000001")).await.json();
    let id = sent["data"][0]["id"].as_str().unwrap();
    let row = mobtexting_status(&sandbox, id).await.json()["data"][0].clone();
    assert_eq!((&row["status"], &row["start_at"]), (&json!("queued"), &json!(null)));
    let question = json!({ "UniqueIds": [taken["UniqueId"]] });
    let url = format!("{}/v2/callresult", sandbox.urls().knovvu);
    assert_eq!(post(&url, &question).await.json(), json!({ "CallResults": [] }));
    let told = async {
        loop {
            let told = post(&url, &question).await.json();
            if told["CallResults"] != json!([]) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(told["CallResults"][0]["CallState"], "Busy");
    sandbox.stop().await;
}

#[tokio::test]
async fn other_programs_see_the_logs_without_credentials() {
    let sandbox = sandbox().await;
    let own = sandbox.urls().sandbox;
    let secret = "s3cret-s3cret";
    knovvu_call(&sandbox, &knovvu("05320000000", secret)).await;
    let url = format!("{}outgoing/send?access_token={secret}", sandbox.urls().mobtexting);
    let request = posted(&url, mobtexting("919900000001").to_string());
    send(authorized(request, secret)).await;
    let form = format!("grant_type=x&client_secret={secret}");
    let token = client().post(format!("{}/connect/token", sandbox.urls().knovvu_identity));
    let token = token.header("content-type", "application/x-www-form-urlencoded").body(form);
    send(token).await;
    get(&format!("http://{}/elsewhere", sandbox.address())).await;

    let dialed = get(&format!("{own}/dialed")).await.json();
    assert_eq!(dialed["dialed"].as_array().unwrap().len(), 2);
    assert_eq!(dialed["dialed"][0]["reference"], "conversation-1");
    let one = get(&format!("{own}/dialed?number=%2B919900000001")).await.json();
    assert_eq!(one["dialed"].as_array().unwrap().len(), 1);

    let log = get(&format!("{own}/log")).await;
    assert!(!log.text.contains(secret), "{}", log.text);
    let log = log.json();
    let seen: Vec<(&str, u64)> = log["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["system"].as_str().unwrap(), e["status"].as_u64().unwrap()))
        .collect();
    let expected =
        [("knovvu", 200), ("mobtexting", 200), ("knovvu-identity", 400), ("nowhere", 404)];
    assert_eq!(seen, expected);
    // In this process it is as it was sent.
    let raw = sandbox.log();
    assert!(raw[0].body.contains(secret));
    assert!(raw[1].headers.contains(&("authorization".into(), format!("Bearer {secret}"))));
    assert!(!format!("{raw:?}").contains(secret));

    assert_eq!(send(client().delete(format!("{own}/log"))).await.status, 200);
    assert_eq!(get(&format!("{own}/log")).await.json(), json!({ "log": [] }));
    assert_eq!(get(&format!("{own}/dialed")).await.json(), json!({ "dialed": [] }));
    assert_eq!(get(&format!("{own}/what")).await.status, 404);
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let sandbox = Sandbox::start(Options { keep: 2, ..Options::default() }).await.unwrap();
    for number in ["05320000021", "05320000022", "05320000023"] {
        knovvu_call(&sandbox, &knovvu(number, "t")).await;
    }
    assert_eq!((sandbox.dialed().len(), sandbox.log().len()), (2, 2));
    assert_eq!(sandbox.dials_of("05320000021"), 0);
    sandbox.stop().await;
}
