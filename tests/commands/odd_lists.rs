//! `call --csv` with files as spreadsheets, shells and people leave them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::house::{House, Ran, command, ran, read};

const NUMBER: &str = "+919900000120";
const OTHER: &str = "+919900000220";

fn file(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("list.csv");
    std::fs::write(&path, text).unwrap();
    path
}

/// A check of a list, which asks no gateway.
fn checked(text: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, text);
    ran(&mut command(&format!("call --csv {}", path.display()), "http://127.0.0.1:1"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_of_a_list_is_left_out_unnoticed() {
    let list = format!("to,var.name\n{NUMBER},\"Ann\n{OTHER},Bob\n");
    checked(&list).failed(2, "line 2: has a quote (\") that is not closed");
    checked(&format!("to;reference\n{NUMBER};a\n")).failed(2, "separated by commas");
    checked(&format!("{NUMBER},a\n")).failed(2, "the first line is for the names");
    checked("to\r\n\r\n\r\n'0990\r\n").failed(2, "line 4: to[0]: ");
    checked("to\n9.19E+11\n").failed(2, "line 2: to[0]: ");
    checked(&format!("to\n{NUMBER}\0\n")).failed(2, "line 2: to[0]: ");
    let wide: Vec<_> = "to\n+91".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wide.csv");
    std::fs::write(&path, [&[0xff, 0xfe], wide.as_slice()].concat()).unwrap();
    let line = format!("call --csv {}", path.display());
    let wide = ran(&mut command(&line, "http://127.0.0.1:1"));
    wide.failed(2, "wide.csv: is not in UTF-8");
    for empty in ["", "to\n", "\n\n"] {
        assert_eq!(checked(empty).code, 2);
    }
    // What is well meant is taken: only the gateway is missing.
    let digits = NUMBER.trim_start_matches('+');
    for text in [
        format!("\u{feff}to\r\n{NUMBER}"),
        format!("\u{feff}\"to\",\"var.x\"\r\n\"{digits}\",\"5\"\" long\r\n\"\r\n"),
        format!("\n\nto\n\n {NUMBER} ; {OTHER}\n\n\n"),
    ] {
        checked(&text).failed(4, "no gateway answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_in_two_rows_is_called_twice_only_if_that_is_said() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let digits = NUMBER.trim_start_matches('+');
    let path = file(&directory, &format!("to\n{NUMBER}\n{OTHER};{digits}\n"));
    // In other requests too.
    let line = format!("call --csv {} --route knovvu --batch 1", path.display());
    house.run(&line).failed(2, "line 3: to: is in an earlier line");
    assert!(house.sandbox.dialed().is_empty());
    let path = file(&directory, &format!("to\n{NUMBER}\n{digits}\n"));
    let line = format!("call --csv {} --route knovvu --batch 1", path.display());
    assert_eq!(house.run(&format!("{line} --allow-duplicates")).code, 0);
    assert_eq!(house.sandbox.dials_of(NUMBER), 2);
    let path = file(&directory, &format!("to,reference\n{NUMBER},a\n{OTHER},a\n"));
    let line = format!("call --csv {} --batch 1", path.display());
    house.run(&line).failed(2, "line 3: reference: is that of an earlier line");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_may_come_through_a_pipe() {
    let house = House::open().await;
    for (place, number) in [("-", NUMBER), ("/dev/stdin", OTHER)] {
        let mut command = house.command(&format!("call --csv {place} --route knovvu"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("to\n{number}\n").as_bytes()).unwrap();
        let ended = tokio::task::block_in_place(|| read(child.wait_with_output().unwrap()));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(house.sandbox.dials_of(number), 1);
    }
    let mut command = house.command("call --csv -");
    command.stdin(std::fs::File::open("/").unwrap());
    ran(&mut command).failed(2, "standard input: ");
    house.run("call --csv /").failed(2, "/: Is a directory");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_too_large_for_an_answer_go_in_more_requests() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let label = "x".repeat(250);
    let rows: String = (0..5_000).map(|n| format!("+91990{n:05}20,{label}\n")).collect();
    let path = file(&directory, &format!("to,label.a\n{rows}"));
    let line = format!("call --csv {} --batch 5000 --validate-only --json", path.display());
    assert_eq!(house.run(&line).json().len(), 5_000);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_of_a_job_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let names: String = (0..32).map(|n| format!(",label.{n}")).collect();
    let path = file(&directory, &format!("to{names}\n{NUMBER}{}\n", ",x".repeat(32)));
    let run = |more: &str| ran(&mut command(&line(&path, more), "http://127.0.0.1:1"));
    run("--job j").failed(2, "line 2: labels: has 33 entries");
    run("").failed(4, "no gateway answers");
}

fn line(path: &Path, more: &str) -> String {
    format!("call --csv {} {more}", path.display())
}
