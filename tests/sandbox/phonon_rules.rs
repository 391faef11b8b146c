//! What Phonon refuses.

use std::net::IpAddr;

use super::*;

#[tokio::test]
async fn phonon_gives_every_code_to_the_flow_that_asks_for_it() {
    let sandbox = sandbox().await;
    let url = format!("{}{E1}", sandbox.urls().phonon);
    let table = [
        (201, "Checksum Repeated"),
        (202, "Invalid Security ID"),
        (203, "API Version not Supported"),
        (204, "Invalid SMS Gateway"),
        (205, "Invalid Contact Number"),
        (206, "Failure from Gateway"),
        (207, "DID Not Mapped"),
        (208, "No Mask Available"),
        (209, "Partial Success"),
        (210, "Invalid Mandatory Parameters"),
        (211, "Validity Expired"),
        (212, "Insufficient Balance"),
        (213, "No Data Available"),
        (301, "Invalid Flow ID"),
        (302, "Empty Call List"),
        (303, "Max Data List Size Exceeded"),
        (304, "Invalid Flow Version"),
        (400, "Invalid Format"),
        (401, "IP Not Whitelisted"),
        (402, "Phone Not Whitelisted"),
        (500, "Failure"),
        (999, "Code 999"),
    ];
    for (code, message) in table {
        let mut body = phonon(&[&["919900000000"]]);
        body["flow-id"] = json!(format!("CODE{code:04}"));
        let answer = post(&url, &body).await;
        let status = if (400..600).contains(&code) { code } else { 200 };
        assert_eq!(answer.status, u16::try_from(status).unwrap());
        let expected = json!({ "api-response-code": code, "api-response-message": message });
        assert_eq!(answer.json(), expected);
        let mut question = question(&["x"]);
        question["flow-id"] = body["flow-id"].clone();
        let answer = post(&sandbox.urls().phonon_results, &question).await.json();
        assert_eq!((&answer["api-response-code"], &answer["data"]), (&json!(code), &json!([])));
    }
    assert!(sandbox.dialed().is_empty());
    let mut body = phonon(&[&["919900000000"]]);
    body["flow-id"] = json!("CODE0200");
    assert_eq!(post(&url, &body).await.code(), (200, 200));
    assert_eq!(sandbox.dialed().len(), 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_enforces_its_rules() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    let url = format!("{}{E1}", urls.phonon);
    let call = phonon(&[&["919900000000"]])["calls"][0].clone();
    let named = |names: &[&str]| {
        let named = |name: &&str| {
            let mut call = call.clone();
            call["client-identifier"] = json!(name);
            call
        };
        names.iter().map(named).collect::<Value>()
    };
    let numbers = |list: Value| {
        let mut call = call.clone();
        call["contact-numbers"] = list;
        json!([call])
    };
    let start = |time: &str| {
        let mut call = call.clone();
        call["start-time"] = json!(time);
        json!([call])
    };
    let key = |name: &str| {
        let mut call = call.clone();
        call["keys"] = json!([{ "name": name, "value": "x" }]);
        json!([call])
    };
    for (field, value, code) in [
        ("security-id", json!("a".repeat(63)), 202),
        ("security-id", json!("0".repeat(64)), 202),
        ("security-id", json!("é".repeat(32)), 202),
        ("security-id", json!(null), 210),
        ("security-id", json!(1), 400),
        ("flow-id", json!("AbCd12345"), 301),
        ("flow-id", json!("NOFLOW00"), 301),
        ("api-version", json!("2.0"), 203),
        ("api-version", json!(1.0), 400),
        ("api-version", json!(null), 210),
        ("calls", json!([]), 302),
        ("calls", json!(vec![call.clone(); 501]), 303),
        ("calls", json!(null), 210),
        ("calls", json!({}), 400),
        ("calls", json!([1]), 400),
        ("calls", json!([call, call]), 210),
        ("calls", named(&[""]), 210),
        ("calls", named(&["a", "b", "a"]), 210),
        ("calls", numbers(json!(["+919900000000"])), 205),
        ("calls", numbers(json!([])), 210),
        ("calls", start("2020-01-01T00:00:00+05:30"), 400),
        ("calls", start("2999-01-01T00:00:00Z"), 400),
        ("calls", key("name"), 210),
        ("comment", json!("unknown field"), 400),
    ] {
        let mut body = phonon(&[&["919900000000"]]);
        body[field] = value;
        let answer = post(&url, &body).await;
        assert_eq!(answer.json()["api-response-code"], code, "{field}: {}", answer.text);
    }
    for text in ["", "{", "[]", "{\"a\":1,}"] {
        assert_eq!(send(posted(&url, text)).await.code(), (400, 400), "{text}");
    }
    let unlabelled = client().post(&url).body(phonon(&[&["919900000000"]]).to_string());
    assert_eq!(send(unlabelled).await.code(), (400, 400));
    assert_eq!(get(&url).await.status, 405);
    assert_eq!(post(&format!("{}/elsewhere", urls.phonon), &json!({})).await.status, 404);
    assert!(sandbox.dialed().is_empty());

    let mut most = phonon(&[&["919900000000"]]);
    let names: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    most["calls"] = named(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(post(&url, &most).await.code(), (200, 200));
    assert_eq!(sandbox.dialed().len(), 500);
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_processes_no_body_above_256_kb() {
    let sandbox = sandbox().await;
    for base in [sandbox.urls().phonon, sandbox.urls().phonon_bulk] {
        let sized = |size: usize| {
            let mut body = phonon(&[&["919900000000"]]);
            body["calls"][0]["keys"][0]["value"] = json!("");
            let rest = size - body.to_string().len();
            body["calls"][0]["keys"][0]["value"] = json!("x".repeat(rest));
            assert_eq!(body.to_string().len(), size);
            body
        };
        sandbox.forget();
        let url = format!("{base}{E1}");
        assert_eq!(post(&url, &sized(256 * 1024 + 1)).await.status, 413);
        assert!(sandbox.dialed().is_empty());
        assert!(matches!(post(&url, &sized(256 * 1024)).await.status, 200 | 202));
        assert_eq!(sandbox.dialed().len(), 1);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_takes_the_same_bytes_once_wherever_they_are_sent() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    let body = phonon(&[&["919900000000"]]).to_string();
    let both = tokio::join!(
        send(posted(&format!("{}{E1}", urls.phonon), body.clone())),
        send(posted(&format!("{}{E1}", urls.phonon), body.clone())),
    );
    let mut codes = [both.0.code().1, both.1.code().1];
    codes.sort_unstable();
    assert_eq!(codes, [200, 201]);
    for base in [format!("{}{E3}", urls.phonon), format!("{}{E1}", urls.phonon_bulk)] {
        assert_eq!(send(posted(&base, body.clone())).await.code(), (200, 201));
    }
    assert_eq!(sandbox.dials_of("+919900000000"), 1);
    // What was refused may come again.
    let refused = phonon(&[&["919900000011"]]).to_string();
    for _ in 0..2 {
        let url = format!("{}{E1}", urls.phonon);
        assert_eq!(send(posted(&url, refused.clone())).await.code(), (200, 212));
    }
    sandbox.forget();
    let url = format!("{}{E1}", urls.phonon);
    assert_eq!(send(posted(&url, body)).await.code(), (200, 200));
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_whitelists_addresses_and_test_numbers() {
    let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
    let options = Options { phonon_whitelist: Some(vec![elsewhere]), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let urls = sandbox.urls();
    let body = phonon(&[&["919900000000"]]);
    assert_eq!(post(&format!("{}{E1}", urls.phonon), &body).await.code(), (401, 401));
    assert_eq!(post(&urls.phonon_results, &question(&["x"])).await.code(), (401, 401));
    let bulk = post(&format!("{}{E1}", urls.phonon_bulk), &body).await;
    assert_eq!((bulk.status, bulk.text.as_str()), (403, "Forbidden"));
    assert!(sandbox.dialed().is_empty());
    sandbox.stop().await;

    let options = Options {
        phonon_whitelist: Some(vec!["127.0.0.1".parse().unwrap()]),
        phonon_test_numbers: vec!["919900000021".to_owned()],
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let url = format!("{}{E1}", sandbox.urls().phonon);
    for (numbers, expected) in [
        (&["919900000021"][..], (200, 200)),
        (&["919900000022"], (402, 402)),
        (&["919900000021", "919900000022"], (402, 402)),
    ] {
        let mut body = phonon(&[numbers]);
        body["api-version"] = json!("TEST");
        assert_eq!(post(&url, &body).await.code(), expected, "{numbers:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_limits_calls_a_minute_in_real_time_only() {
    let options = Options { rate_limit: Some(3), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let urls = sandbox.urls();
    let url = format!("{}{E1}", urls.phonon);
    let body = |a, b| phonon(&[&[a], &[b]]);
    assert_eq!(post(&url, &body("919900000021", "919900000022")).await.status, 200);
    let refused = post(&url, &body("919900000023", "919900000024")).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(post(&url, &phonon(&[&["919900000025"]])).await.status, 200);
    let bulk = format!("{}{E1}", urls.phonon_bulk);
    assert_eq!(post(&bulk, &body("919900000026", "919900000027")).await.status, 202);
    sandbox.stop().await;
}
