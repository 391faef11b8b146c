//! `check`, as it is run.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::house::{command, ran};

const GOOD: &str = "[vendors.k]\nkind = \"knovvu\"\nbase_url = \"https://k.example.test\"\nproject = \"p\"\n\
     access_token = \"c4n4ry\"\nscenario_path = \"s\"\norchestrator_url = \"https://o.example.test\"\n\
     display_number = \"200\"\n[routes.default]\nvendors = [\"k\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_explains_what_is_right_and_tells_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dialplane.toml");
    let check = |text: &str, options: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let line = format!("check {options} --config {}", file.display());
        ran(&mut command(&line, "http://127.0.0.1:1"))
    };
    let right = check(GOOD, "");
    assert_eq!(right.code, 0, "{right:?}");
    assert!(right.out.contains("[vendors.k]") && right.out.contains("Calls go to k"), "{right:?}");
    assert!(!right.out.contains("warning") && !right.out.contains("c4n4ry"), "{right:?}");

    let warned = check(&format!("{GOOD}[ledger]\nurl = \"sqlite::memory:\""), "");
    assert_eq!(warned.code, 0, "{warned:?}");
    assert!(warned.out.contains("1 warning:\nwarning: ledger.url: forgets"), "{warned:?}");

    let told = |printed: &str| serde_json::from_str::<Value>(printed).unwrap();
    let right = told(&check(GOOD, "--json").out);
    assert_eq!((&right["right"], &right["mistakes"]), (&true.into(), &Value::Array(Vec::new())));
    let about = right["explanation"].as_array().unwrap().iter().map(|topic| &topic["about"]);
    assert_eq!(about.collect::<Vec<_>>(), ["server", "ledger", "vendors.k", "routes.default"]);

    let wrong = GOOD.replace("\"200\"", "200");
    check(&wrong, "").failed(2, "dialplane.toml:8: vendors.k.display_number: is an integer");
    let json = check(&wrong, "--json");
    let printed = told(&json.out);
    assert_eq!((json.code, &printed["right"]), (2, &false.into()), "{json:?}");
    let mistake = &printed["mistakes"][0];
    assert_eq!(
        (&mistake["line"], &mistake["key"]),
        (&8.into(), &"vendors.k.display_number".into())
    );
}
