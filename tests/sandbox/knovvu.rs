//! Knovvu: calls, their results, what it refuses, and its tokens.

use dialplane::sandbox::{Options, Sandbox, Spelling, System};

use super::*;

#[tokio::test]
async fn knovvu_takes_a_call_and_tells_each_end() {
    let words = ["Answered", "Busy", "No Answer", "Rejected", "Invalid Number"]
        .into_iter()
        .chain(["Temporarily Unavailable", "Error", "Answered"]);
    let words: Vec<&str> = words.collect();
    for spelling in [Spelling::Spaced, Spelling::Joined] {
        let options = Options { knovvu_states: spelling, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        for (index, word) in words.iter().enumerate() {
            let taken =
                knovvu_call(&sandbox, &knovvu(&format!("+9053200000{index:02}"), "t")).await;
            assert_eq!(taken.status, 200);
            let id = taken.json()["UniqueId"].clone();
            let url = format!("{}/v2/callresult", sandbox.urls().knovvu);
            let told = post(&url, &json!({ "UniqueIds": ["unknown", id] })).await.json();
            let word = match spelling {
                Spelling::Spaced => (*word).to_owned(),
                Spelling::Joined => word.replace(' ', ""),
            };
            let row = json!({ "UniqueId": id, "CallRequestId": "", "CallState": word });
            assert_eq!(told, json!({ "CallResults": [row] }));
        }
        let dialed = sandbox.dialed();
        assert_eq!(dialed[0].reference.as_deref(), Some("conversation-1"));
        assert_eq!(dialed[0].system, System::Knovvu);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn knovvu_enforces_its_rules_and_does_what_the_number_says() {
    let sandbox = sandbox().await;
    let mut incomplete = knovvu("05320000000", "t");
    incomplete.as_object_mut().unwrap().remove("Tenant");
    assert_eq!(knovvu_call(&sandbox, &incomplete).await.status, 400);
    assert_eq!(knovvu_call(&sandbox, &knovvu("05320000000", "bad-token")).await.status, 401);
    for (number, status) in
        [("05320000010", 400), ("05320000011", 402), ("05320000012", 429), ("05320000013", 500)]
    {
        let answer = knovvu_call(&sandbox, &knovvu(number, "t")).await;
        assert_eq!(answer.status, status, "{number}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
    }
    let partial = knovvu_call(&sandbox, &knovvu("05320000017", "t")).await;
    assert_eq!((partial.status, partial.json()), (200, json!({ "UniqueId": "" })));
    let url = format!("{}/v2/callresult", sandbox.urls().knovvu);
    for wrong in [json!({}), json!({ "UniqueIds": [] }), json!({ "UniqueIds": [1] })] {
        assert_eq!(post(&url, &wrong).await.status, 400);
    }
    assert_eq!(get(&url).await.status, 405);
    assert!(sandbox.dialed().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn knovvu_issues_tokens_that_can_be_revoked() {
    let sandbox = sandbox().await;
    let url = format!("{}/connect/token", sandbox.urls().knovvu_identity);
    let token = |form: &str| {
        let request = client().post(&url).body(form.to_owned());
        send(request.header("content-type", "application/x-www-form-urlencoded"))
    };
    let good = "grant_type=client_credentials&client_id=me&client_secret=a%26b&scope=outboundmanager_external";
    let issued = token(good).await.json();
    assert_eq!((&issued["token_type"], &issued["expires_in"]), (&json!("Bearer"), &json!(86_399)));
    let issued = issued["access_token"].as_str().unwrap().to_owned();
    let call = |number: &str| knovvu(number, &issued);
    assert_eq!(knovvu_call(&sandbox, &call("05320000021")).await.status, 200);
    sandbox.revoke_tokens();
    assert_eq!(knovvu_call(&sandbox, &call("05320000022")).await.status, 401);
    let renewed = token(good).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(knovvu_call(&sandbox, &knovvu("05320000023", &renewed)).await.status, 200);
    let revoke = client().delete(format!("{}/tokens", sandbox.urls().sandbox));
    assert_eq!(send(revoke).await.status, 200);
    assert_eq!(knovvu_call(&sandbox, &knovvu("05320000024", &renewed)).await.status, 401);
    for (from, to, status, error) in [
        ("a%26b", "bad-secret", 401, "invalid_client"),
        ("a%26b", "", 401, "invalid_client"),
        ("client_credentials", "password", 400, "unsupported_grant_type"),
        ("outboundmanager_external", "everything", 400, "invalid_scope"),
    ] {
        let refused = token(&good.replace(from, to)).await;
        assert_eq!((refused.status, refused.json()), (status, json!({ "error": error })));
    }
    assert_eq!(post(&url, &json!({})).await.json(), json!({ "error": "invalid_request" }));
    sandbox.stop().await;
}
