//! Secrets: where they come from, and that nobody sees them.

use std::{fs, path::Path};

use super::{CANARY, GOOD, parse, parse_in, toy, with};
use crate::config::Config;

#[test]
fn secrets_from_files_lose_their_line_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), format!("{CANARY}\r\n")).unwrap();
    let text = GOOD.replace("{ env = \"TOKEN\" }", "{ file = \"token\" }");
    assert!(parse_in(folder.path(), &text).is_ok());
    fs::write(folder.path().join("token"), "\n").unwrap();
    let message = parse_in(folder.path(), &text).unwrap_err().list()[0].message.clone();
    assert_eq!(message, "the secret is empty");
    let text = text.replace("\"token\"", "\"/dev/zero\"");
    let message = parse_in(folder.path(), &text).unwrap_err().list()[0].message.clone();
    assert_eq!(message, "can't read /dev/zero: it has more than 1 MiB");
}

#[test]
fn secrets_from_variables_lose_their_line_end_and_hold_none() {
    let text = with("", "", "").replace("\"t\"", "{ env = \"TOKEN\" }");
    let read = |value: &str| {
        let value = value.to_owned();
        let environment = move |_: &str| Some(value.clone());
        Config::parse_with(toy::REGISTRY, &text, Path::new("/nonexistent"), &environment)
    };
    let secrets = &read("to ken\r\n").unwrap().vendors["a"].secrets;
    assert!(secrets[0].is("to ken"), "{}", secrets.len());
    for wrong in ["to\nken", "token\0", "\u{feff}token", "\ttoken"] {
        let message = read(wrong).unwrap_err().list()[0].message.clone();
        assert_eq!(message, "holds a line end or another character that can't be seen");
    }
    assert_eq!(read("\n").unwrap_err().list()[0].message, "the secret is empty");
}

#[test]
fn secrets_do_not_print() {
    let shown = format!("{:?}", parse(GOOD).unwrap());
    assert!(shown.contains("***") && !shown.contains(CANARY), "{shown}");

    // Wherever a secret is put by mistake, what is said of it does not repeat it.
    let lines = [
        "base_url = \"https://x/?token=c4n4ry-s3cr3t\"",
        "base_url = \"https://c4n4ry-s3cr3t@x\"",
        "base_url = \"c4n4ry-s3cr3t\"",
        "base_url = \"https://u:c4n4ry-s3cr3t@x:99999\"",
        "token = [\"c4n4ry-s3cr3t\"]",
        "token = { env = \"c4n4ry-s3cr3t\" }",
        "token = { value = \"c4n4ry-s3cr3t\" }",
        "token = { env = \"A\", file = \"b\", c = \"c4n4ry-s3cr3t\" }",
        "access_token = \"c4n4ry-s3cr3t\"",
        "token = \"c4n4ry-s3cr3t",
        "token = c4n4ry-s3cr3t",
        "token = \"\\c4n4ry-s3cr3t\"",
        "rate = [\"c4n4ry-s3cr3t\"]",
    ];
    for line in lines {
        let text = with("", line, "").replace("token = \"t\"\n", "");
        let problems = parse(&text).unwrap_err();
        assert!(!format!("{problems} {problems:?}").contains(CANARY), "{problems}");
    }
}
