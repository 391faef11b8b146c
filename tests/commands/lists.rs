//! `call --csv`: lists, whole and cut off.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tempfile::TempDir;

use crate::house::{House, ran};

/// A number that is answered.
fn number(n: usize) -> String {
    format!("+9199000{n:03}20")
}

/// A list of so many, and what follows.
fn list(directory: &TempDir, rows: usize, more: &str) -> PathBuf {
    let path = directory.path().join("list.csv");
    let rows: String = (0..rows).map(|n| format!("{},visit-{n},\"a, {n}\"\n", number(n))).collect();
    std::fs::write(&path, format!("to,reference,var.name\n{rows}{more}")).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_placed_once_however_often_it_is_started() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let path = list(&directory, 30, "");
    let out = directory.path().join("out.csv");
    let (path, out) = (path.display(), out.display());
    let line = format!("call --csv {path} --route knovvu --batch 7 --out {out}");
    let first = house.run(&line);
    assert!(first.code == 0 && first.out.starts_with("30 calls: "), "{first:?}");
    let told = std::fs::read_to_string(out.to_string()).unwrap();
    let ids = |told: &str| -> Vec<String> {
        told.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().to_owned()).collect()
    };
    let rows: Vec<_> = told.lines().collect();
    assert_eq!(rows.len(), 31);
    assert!(rows[30].starts_with(&format!("31,visit-29,{},", number(29))), "{told}");

    let second = house.run(&line);
    assert!(second.out.contains("30 of them were placed by an earlier run"), "{second:?}");
    assert_eq!(ids(&std::fs::read_to_string(out.to_string()).unwrap()), ids(&told));
    let json = house.run(&format!("{line} --json"));
    assert_eq!(json.json().len(), 30);
    // The same list in other pieces, or with other settings, would call everybody again.
    for other in ["--batch 8", "--locale tr-TR"] {
        let refused = house.run(
            &format!("call --csv {path} --route knovvu --batch 7 {other}")
                .replace("--batch 7 --batch 8", "--batch 8"),
        );
        refused.failed(1, "give it a --job of its own");
    }
    for n in 0..30 {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }

    let job = format!("call --csv {path} --route knovvu --batch 10 --job again");
    assert_eq!(house.run(&job).code, 0);
    assert!(house.run(&job).out.contains("30 of them"));
    assert_eq!(house.sandbox.dials_of(&number(7)), 2);
    list(&directory, 30, &format!("{},last,\n", number(30)));
    house.run(&job).failed(1, "REQUEST_ID_REUSED");
    assert_eq!(house.sandbox.dials_of(&number(30)), 0);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mistake_and_nothing_is_sent() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let more = format!("0990,x,\n{0},,,\n{0};{0},visit-0,\n", number(40));
    let path = list(&directory, 3, &more);
    let ended = house.run(&format!("call --csv {}", path.display()));
    ended.failed(2, "line 5: to[0]: starts with 0");
    for said in
        ["line 6: has 4 cells", "line 7: client_reference: ", "line 7: to[1]: ", "nothing was sent"]
    {
        assert!(ended.err.contains(said), "{said}: {ended:?}");
    }
    assert!(house.sandbox.dialed().is_empty());
    let path = list(&directory, 0, &"x,,\n".repeat(50));
    let ended = house.run(&format!("call --csv {}", path.display()));
    ended.failed(2, "(and 30 more)");
    let path = list(&directory, 0, "");
    house.run(&format!("call --csv {}", path.display())).failed(2, "the list is empty");
    house.run("call --csv /nowhere.csv").failed(2, "/nowhere.csv: ");
    house.run("call +919900000120 --csv /nowhere.csv").failed(2, "cannot be used with");
    house.run("call +919900000120 --job x").failed(2, "name one with --csv");

    let path = list(&directory, 3, &format!("{},bad,\n", "+919900000110"));
    let mut command = house.command("call --csv - --route phonon-multicast");
    command.stdin(std::fs::File::open(path).unwrap());
    let some = ran(&mut command);
    some.failed(3, "line 5: ");
    assert!(some.out.contains("1 FAILED"), "{some:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_killed_is_started_again() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let path = list(&directory, 300, "");
    let line = format!("call --csv {} --route knovvu --batch 2 --concurrency 3", path.display());
    for sent in [10, 60] {
        let mut command = house.command(&line);
        let mut cut = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while house.sandbox.dialed().len() < sent {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cut.kill().unwrap();
        cut.wait().unwrap();
    }
    let ended = house.run(&line);
    assert!(ended.code == 0 && ended.out.starts_with("300 calls: "), "{ended:?}");
    assert!(ended.out.contains("placed by an earlier run"), "{ended:?}");
    for n in 0..300 {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }
    house.close().await;
}
