//! Phonon: calls and their results.

use std::io::ErrorKind;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeySize, PrivateDecryptingKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use dialplane::sandbox::System;

use super::*;

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
async fn rows_of_results_are_in_no_order_of_the_question() {
    let sandbox = sandbox().await;
    let urls = sandbox.urls();
    let body = phonon(&[&["919900000000"], &["919900000001"], &["919900000002"]]);
    let taken = post(&format!("{}{E1}", urls.phonon), &body).await.json();
    let details = taken["call-details"].as_array().unwrap();
    let ids: Vec<&str> = details.iter().map(|d| d["phonon-uuid"].as_str().unwrap()).collect();
    let told = post(&urls.phonon_results, &question(&ids)).await.json();
    let rows = told["data"].as_array().unwrap();
    let told: Vec<&str> = rows.iter().map(|row| row["phonon-uuid"].as_str().unwrap()).collect();
    assert_eq!(told, ids.iter().rev().copied().collect::<Vec<_>>());

    let mut ids = Vec::new();
    for to in ["905320000000", "905320000001"] {
        let taken = knovvu_call(&sandbox, &knovvu(to, "any")).await.json();
        ids.push(taken["UniqueId"].clone());
    }
    let url = format!("{}/v2/callresult", urls.knovvu);
    let told = post(&url, &json!({ "UniqueIds": ids })).await.json();
    assert_eq!(told["CallResults"][0]["UniqueId"], ids[1]);
    assert_eq!(told["CallResults"][1]["UniqueId"], ids[0]);
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
    // The list is in no order of ours: the identifiers tell.
    assert_eq!(taken["call-details"][0]["client-identifier"], "order-1");
    let (now, later) = (id(1), id(0));
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
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let (one, other) = (Sandbox::start(options(&pem)).await, Sandbox::start(options(&pem)).await);
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.public_key_pem(), other.public_key_pem());
    let sealed = seal(&one.public_key_pem(), &phonon(&[&["919900000000"]]).to_string(), "AbCd1234");
    let url = format!("{}/kairos-apis/enc/outbound/create", other.urls().phonon);
    assert_eq!(post(&url, &sealed).await.code(), (200, 200));
    for wrong in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        let error = Sandbox::start(options(wrong)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
