//! The sandbox over real HTTP: each system's happy path, each rule, each number.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, TcpStream},
    time::Duration,
};

use dialplane::sandbox::{AnswerForm, Options, Pace, Sandbox, Spelling, System};
use serde_json::{Value, json};

/// Long enough for any machine; only ever waited for in full when something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

const E1: &str = "/kairos-apis/outbound/create";
const E3: &str = "/kairos-apis/outbounddialer/create";

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// HTTP status and Phonon's code.
    fn code(&self) -> (u16, u64) {
        (self.status, self.json()["api-response-code"].as_u64().unwrap())
    }
}

fn client() -> reqwest::Client {
    let none = reqwest::redirect::Policy::none();
    reqwest::Client::builder().redirect(none).no_proxy().timeout(PATIENCE).build().unwrap()
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

fn posted(url: &str, body: impl Into<String>) -> reqwest::RequestBuilder {
    client().post(url).header("content-type", "application/json").body(body.into())
}

async fn post(url: &str, body: &Value) -> Answer {
    send(posted(url, body.to_string())).await
}

async fn get(url: &str) -> Answer {
    send(client().get(url)).await
}

async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

// ---------------------------------------------------------------------------- Phonon

fn security_id() -> String {
    "a1".repeat(32)
}

/// A date that is in no past for a long time.
const START: &str = "2999-07-01T10:15:00+05:30";

/// Now in India, as Phonon wants it.
fn now_in_india() -> String {
    let offset = jiff::tz::Offset::from_seconds(19_800).unwrap();
    offset.to_datetime(jiff::Timestamp::now()).strftime("%Y-%m-%dT%H:%M:%S+05:30").to_string()
}

/// A request with one call for each list of numbers.
fn phonon(calls: &[&[&str]]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(index, numbers)| {
            json!({
                "client-identifier": format!("order-{index}"),
                "start-time": now_in_india(),
                "contact-numbers": numbers,
                "keys": [{ "name": "$flow.key.name", "value": "Asha" }],
            })
        })
        .collect();
    json!({
        "api-version": "1.0",
        "security-id": security_id(),
        "flow-id": "AbCd1234",
        "calls": calls,
    })
}

fn question(ids: &[&str]) -> Value {
    json!({
        "security-id": security_id(),
        "flow-id": "AbCd1234",
        "phonon-uuids": ids,
        "fetch-attempt": "ALL",
    })
}

#[tokio::test]
async fn phonon_takes_a_call_and_tells_its_result() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    for path in [E1, E3] {
        sandbox.forget();
        let taken = post(&format!("{}{path}", urls.phonon), &phonon(&[&["919900000100"]])).await;
        assert_eq!(taken.code(), (200, 200));
        let taken = taken.json();
        assert_eq!(taken["api-response-message"], "Success");
        assert_eq!(taken["request-id"].as_str().unwrap().len(), 36);
        assert_eq!(taken["call-details"][0]["client-identifier"], "order-0");
        let id = taken["call-details"][0]["phonon-uuid"].as_str().unwrap();

        let result = post(&urls.phonon_results, &question(&[id, "unknown"])).await.json();
        let rows = result["data"].as_array().unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["phonon-uuid"], id);
        assert_eq!(rows[0]["request-id"], taken["request-id"]);
        assert_eq!(rows[0]["flowStatus"], "COMPLETED");
        let leg = &rows[0]["callDetails"][0];
        assert_eq!(leg["calleeNumber"], "919900000100");
        assert_eq!(leg["calleeType"], "VISITOR");
        assert_eq!(leg["hangupCause"], "16");
        assert_eq!(leg["dtmfPressesd"][0]["key"], "1");
        let time = |name: &str| leg[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let talked = time("endTime").duration_since(time("connectTime")).as_millis();
        assert_eq!(leg["duration"], talked.to_string());
        assert!(talked > 0);

        let old = json!({ "phonon-uuids": [id], "fetch-attempt": "LAST" });
        assert_eq!(post(&urls.phonon_results_v1, &old).await.json()["data"], result["data"]);

        let dialed = sandbox.dialed();
        assert_eq!(dialed.len(), 1);
        assert_eq!(dialed[0].system, System::Phonon);
        assert_eq!(dialed[0].vendor_call_id, id);
        assert_eq!(dialed[0].reference.as_deref(), Some("order-0"));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_tells_each_end_of_a_call() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    for (numbers, status, causes) in [
        (&["919900000000"][..], "COMPLETED", &["16"][..]),
        (&["919900000001"], "COMPLETED", &["17"]),
        (&["919900000002"], "COMPLETED", &["5"]),
        (&["919900000003"], "COMPLETED", &["21"]),
        (&["919900000004"], "INVALID_CONTACT_NUMBER", &[]),
        (&["919900000005"], "COMPLETED", &["20"]),
        (&["919900000006"], "FAILURE", &["41"]),
        (&["919900000099"], "COMPLETED", &["16"]),
        (
            &["919900000001", "919900000002", "919900000000", "919900000003"],
            "COMPLETED",
            &["17", "5", "16"],
        ),
        (&["919900000004", "919900000001"], "COMPLETED", &["17"]),
    ] {
        let taken = post(&format!("{}{E1}", urls.phonon), &phonon(&[numbers])).await.json();
        let id = taken["call-details"][0]["phonon-uuid"].as_str().unwrap();
        let result = post(&urls.phonon_results, &question(&[id])).await.json();
        let row = &result["data"][0];
        assert_eq!(row["flowStatus"], status, "{numbers:?}");
        let legs = row["callDetails"].as_array().cloned().unwrap_or_default();
        let told: Vec<&str> = legs.iter().map(|leg| leg["hangupCause"].as_str().unwrap()).collect();
        assert_eq!(told, causes, "{numbers:?}");
        for leg in &legs {
            let answered = leg["hangupCause"] == "16";
            assert_eq!(leg.get("connectTime").is_some(), answered, "{leg}");
            assert_eq!(leg["duration"] != "0", answered, "{leg}");
        }
    }
    sandbox.stop().await;
}

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
    most["calls"] = json!(vec![call.clone(); 500]);
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
async fn phonon_bulk_gives_no_ids() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    let url = format!("{}{E1}", urls.phonon_bulk);
    let body = phonon(&[&["919900000000"], &["919900000017"]]);
    let taken = post(&url, &body).await;
    assert_eq!(taken.status, 202);
    let taken = taken.json();
    assert_eq!(taken["api-response-code"], 202);
    assert_eq!(taken["api-response-message"], "Accepted");
    assert!(taken["call-details"].is_null() && taken["request-id"].is_string());
    let dialed = sandbox.dialed();
    assert_eq!(dialed.len(), 2);
    assert_eq!(dialed[0].system, System::PhononBulk);
    // A code 202 that is no success.
    let mut wrong = phonon(&[&["919900000000"]]);
    wrong["security-id"] = json!("short");
    assert_eq!(post(&url, &wrong).await.code(), (200, 202));
    let mut testing = phonon(&[&["919900000000"]]);
    testing["api-version"] = json!("TEST");
    assert_eq!(post(&url, &testing).await.code(), (200, 203));
    let id = dialed[0].vendor_call_id.as_str();
    assert_eq!(post(&urls.phonon_results, &question(&[id])).await.code(), (200, 213));
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

#[tokio::test]
async fn phonon_refuses_or_half_takes_what_the_number_says() {
    let sandbox = sandbox().await;
    let url = format!("{}{E1}", sandbox.urls().phonon);
    assert_eq!(post(&url, &phonon(&[&["919900000010"]])).await.code(), (200, 205));
    assert_eq!(post(&url, &phonon(&[&["919900000011"]])).await.code(), (200, 212));
    assert_eq!(post(&url, &phonon(&[&["919900000013"]])).await.code(), (500, 500));
    let limited = post(&url, &phonon(&[&["919900000012"]])).await;
    assert_eq!((limited.status, &limited.headers["retry-after"]), (429, &"1".parse().unwrap()));
    // The first that names trouble decides for all.
    let mixed = phonon(&[&["919900000000"], &["919900000011"], &["919900000010"]]);
    assert_eq!(post(&url, &mixed).await.code(), (200, 212));
    // An alternate names none.
    assert!(sandbox.dialed().is_empty());
    let alternate = phonon(&[&["919900000000", "919900000011"]]);
    assert_eq!(post(&url, &alternate).await.code(), (200, 200));

    sandbox.forget();
    let partial = phonon(&[&["919900000000"], &["919900000017"], &["919900000001"]]);
    let partial = post(&url, &partial).await;
    assert_eq!(partial.code(), (200, 209));
    let details = partial.json()["call-details"].as_array().cloned().unwrap();
    let given: Vec<bool> = details.iter().map(|d| d["phonon-uuid"].is_string()).collect();
    assert_eq!(given, [true, false, true]);
    assert_eq!(details[1]["client-identifier"], "order-1");
    assert_eq!(sandbox.dials_of("919900000017"), 0);
    assert_eq!(sandbox.dialed().len(), 2);
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_tells_results_to_the_right_flow_and_when_they_are_there() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    let mut body = phonon(&[&["919900000000"], &["919900000001"]]);
    body["calls"][1]["start-time"] = json!(START);
    let taken = post(&format!("{}{E1}", urls.phonon), &body).await.json();
    let id =
        |index: usize| taken["call-details"][index]["phonon-uuid"].as_str().unwrap().to_owned();
    let (now, later) = (id(0), id(1));
    let both = post(&urls.phonon_results, &question(&[&now, &later])).await.json();
    assert_eq!(both["data"].as_array().unwrap().len(), 1);
    let nothing = post(&urls.phonon_results, &question(&[&later])).await.json();
    let expected = json!({
        "api-response-code": 213, "api-response-message": "No Data Available", "data": [],
    });
    assert_eq!(nothing, expected);
    for (field, other) in [("flow-id", "EfGh5678".to_owned()), ("security-id", "b".repeat(64))] {
        let mut foreign = question(&[&now]);
        foreign[field] = json!(other);
        assert_eq!(post(&urls.phonon_results, &foreign).await.code(), (200, 213), "{field}");
    }
    let ids = vec!["x"; 201];
    assert_eq!(post(&urls.phonon_results, &question(&ids)).await.code(), (200, 303));
    assert_eq!(post(&urls.phonon_results, &question(&ids[1..])).await.code(), (200, 213));
    for (field, value, code) in [
        ("fetch-attempt", json!("FIRST"), 400),
        ("fetch-attempt", json!(null), 210),
        ("phonon-uuids", json!([{ "id": "x" }]), 400),
        ("phonon-uuids", json!([]), 210),
        ("security-id", json!("short"), 202),
        ("flow-id", json!("NOFLOW00"), 301),
        ("more", json!(1), 400),
    ] {
        let mut wrong = question(&["x"]);
        wrong[field] = value;
        let answer = post(&urls.phonon_results, &wrong).await.json();
        assert_eq!((&answer["api-response-code"], &answer["data"]), (&json!(code), &json!([])));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn phonon_opens_encrypted_requests() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    let pem = sandbox.public_key_pem();
    assert_eq!(get(&format!("{}/phonon-public-key.pem", urls.sandbox)).await.text, pem);
    for (index, path) in ["outbound", "outbounddialer"].into_iter().enumerate() {
        let url = format!("{}/kairos-apis/enc/{path}/create", urls.phonon);
        let plain = phonon(&[&["919900000000"]]).to_string();
        let sealed = seal(&pem, &plain, "AbCd1234");
        assert_eq!(post(&url, &sealed).await.code(), (200, 200), "{path}");
        assert_eq!(post(&url, &sealed).await.code(), (200, 201), "{path}");
        assert_eq!(sandbox.dials_of("919900000000"), index + 1);
        let other_flow = seal(&pem, &plain, "EfGh5678");
        assert_eq!(post(&url, &other_flow).await.code(), (200, 301));
        let refused = seal(&pem, &phonon(&[&["919900000011"]]).to_string(), "AbCd1234");
        assert_eq!(post(&url, &refused).await.code(), (200, 212));
        let mut garbled = seal(&pem, &plain, "AbCd1234");
        garbled["requestDigitalSignatureValue"] = json!("AAAA");
        assert_eq!(post(&url, &garbled).await.code(), (400, 400));
        assert_eq!(send(posted(&url, plain)).await.code(), (400, 400));
    }
    sandbox.stop().await;
}

/// The vendor's recipe.
fn seal(pem: &str, json: &str, flow_id: &str) -> Value {
    use aws_lc_rs::{
        cipher::{AES_128, PaddedBlockEncryptingKey, UnboundCipherKey},
        digest,
        rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey},
    };
    use base64::{Engine, engine::general_purpose::STANDARD};

    let passphrase = STANDARD.encode("a random string");
    let hash = digest::digest(&digest::SHA256, passphrase.as_bytes());
    let key = UnboundCipherKey::new(&AES_128, &hash.as_ref()[..16]).unwrap();
    let mut sealed = STANDARD.encode(json).into_bytes();
    PaddedBlockEncryptingKey::ecb_pkcs7(key).unwrap().encrypt(&mut sealed).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = PublicEncryptingKey::from_der(&STANDARD.decode(der).unwrap()).unwrap();
    let mut wrapped = vec![0; key.key_size_bytes()];
    let key = Pkcs1PublicEncryptingKey::new(key).unwrap();
    let wrapped = key.encrypt(passphrase.as_bytes(), &mut wrapped).unwrap();
    json!({
        "requestEncryptedValue": STANDARD.encode(sealed),
        "requestDigitalSignatureValue": STANDARD.encode(wrapped),
        "flow-id": flow_id,
    })
}

#[tokio::test]
async fn a_private_key_can_be_given() {
    let options =
        |pem: &str| Options { phonon_private_key_pem: Some(pem.to_owned()), ..Options::default() };
    for wrong in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        let error = Sandbox::start(options(wrong)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

// ------------------------------------------------------------------------ MobTexting

fn mobtexting(to: &str) -> Value {
    json!({ "bridge": "918000000001", "to": to, "flow_id": "77", "variables[otp]": "4711" })
}

fn authorized(request: reqwest::RequestBuilder, token: &str) -> reqwest::RequestBuilder {
    request.header("accept", "application/json").header("authorization", format!("Bearer {token}"))
}

async fn mobtexting_send(sandbox: &Sandbox, body: &Value) -> Answer {
    let url = format!("{}outgoing/send", sandbox.urls().mobtexting);
    send(authorized(posted(&url, body.to_string()), "token")).await
}

async fn mobtexting_status(sandbox: &Sandbox, id: &str) -> Answer {
    let url = format!("{}outgoing/callstatus?id={id}", sandbox.urls().mobtexting);
    send(authorized(client().get(url), "token")).await
}

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
            ("919900000006", "INVALIDARGS"),
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

// ---------------------------------------------------------------------------- Knovvu

fn knovvu(to: &str, token: &str) -> Value {
    json!({
        "Project": "Demo",
        "Tenant": "Default",
        "ConversationId": "conversation-1",
        "AccessToken": token,
        "ScenarioPath": "https://ivr.example.test/scenario",
        "OrchestratorUrl": "https://orchestrator.example.test",
        "ScenarioInputParameters": [
            { "Name": "_DisplayNumber", "Value": "200" },
            { "Name": "_Destination", "Value": to },
        ],
    })
}

async fn knovvu_call(sandbox: &Sandbox, body: &Value) -> Answer {
    post(&format!("{}/v2/call", sandbox.urls().knovvu), body).await
}

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

// --------------------------------------------------- numbers that break the exchange

/// A request for each system with a number that ends so.
fn dangerous(sandbox: &Sandbox, last_two: &str) -> Vec<(String, String, Value)> {
    let urls = sandbox.urls();
    let number = |area: &str| format!("9199000{area}00{last_two}");
    let of = |number: &str| phonon(&[&["919900000000"], &[number]]);
    let [a, b, c, d] = ["11", "22", "33", "44"].map(number);
    vec![
        (a.clone(), format!("{}{E1}", urls.phonon), of(&a)),
        (b.clone(), format!("{}{E1}", urls.phonon_bulk), of(&b)),
        (c.clone(), format!("{}outgoing/send?access_token=t", urls.mobtexting), mobtexting(&c)),
        (d.clone(), format!("{}/v2/call", urls.knovvu), knovvu(&d, "t")),
    ]
}

/// Sends a request on a bare connection.
fn raw(url: &str, body: &Value) -> TcpStream {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

async fn eventually(what: impl Fn() -> bool) {
    let waited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_14_is_dialled_and_held_until_the_sandbox_stops() {
    let sandbox = sandbox().await;
    let mut held = Vec::new();
    for (number, url, body) in dangerous(&sandbox, "14") {
        let stream = raw(&url, &body);
        eventually(|| sandbox.dials_of(&number) == 1).await;
        stream.set_nonblocking(true).unwrap();
        let nothing = (&stream).read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "{url}");
        stream.set_nonblocking(false).unwrap();
        held.push(stream);
    }
    assert!(sandbox.log().iter().all(|exchange| exchange.status.is_none()));
    // A client that sends half a request must not keep it from stopping either.
    let mut half = TcpStream::connect(sandbox.address()).unwrap();
    half.write_all(b"POST /phonon HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").unwrap();
    tokio::time::timeout(PATIENCE, sandbox.stop()).await.unwrap();
    for mut stream in held {
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_14_whose_client_left_is_known_when_it_asks_again() {
    let sandbox = sandbox().await;
    let body = phonon(&[&["919900000014"]]);
    let url = format!("{}{E1}", sandbox.urls().phonon);
    let stream = raw(&url, &body);
    eventually(|| sandbox.dials_of("919900000014") == 1).await;
    drop(stream);
    assert_eq!(post(&url, &body).await.code(), (200, 201));
    assert_eq!(sandbox.dials_of("919900000014"), 1);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_15_is_dialled_and_reset() {
    let sandbox = sandbox().await;
    for (number, url, body) in dangerous(&sandbox, "15") {
        let mut stream = raw(&url, &body);
        let reset = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset, "{url}");
        assert_eq!(sandbox.dials_of(&number), 1);
        assert!(posted(&url, body.to_string().replace("order", "again")).send().await.is_err());
    }
    assert!(sandbox.log().iter().all(|exchange| exchange.status.is_none()));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_16_is_dialled_and_its_answer_cut_off() {
    let sandbox = sandbox().await;
    for (number, url, body) in dangerous(&sandbox, "16") {
        let answer = post(&url, &body).await;
        assert!(matches!(answer.status, 200 | 202), "{url}");
        assert!(answer.text.starts_with('{'), "{url}");
        assert!(serde_json::from_str::<Value>(&answer.text).is_err(), "{url}");
        assert_eq!(sandbox.dials_of(&number), 1);
    }
    sandbox.stop().await;
}

// ------------------------------------------------------------- the sandbox's own side

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
