//! `call --csv`: what is written about a list, and how a run ends before its end.

use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    harness::FAST,
    house::{House, Ran, command, ran, read},
};

fn number(n: usize) -> String {
    format!("+9199000{n:03}20")
}

/// A list of so many, and where its outcome is told.
struct List {
    directory: tempfile::TempDir,
}

impl List {
    fn of(rows: impl Iterator<Item = String>) -> Self {
        let list = Self { directory: tempfile::tempdir().unwrap() };
        let rows: String = rows.map(|number| format!("{number}\n")).collect();
        std::fs::write(list.path(), format!("to\n{rows}")).unwrap();
        list
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("list.csv")
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out.csv")
    }

    fn line(&self, more: &str) -> String {
        format!("call --csv {} --out {} {more}", self.path().display(), self.out().display())
    }

    /// The column with the states.
    fn states(&self) -> Vec<String> {
        let told = std::fs::read_to_string(self.out()).unwrap();
        let state = |line: &str| line.split(',').nth(5).unwrap().to_owned();
        told.lines().skip(1).map(state).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_over_that_is_needed() {
    let house = House::open().await;
    let list = List::of((0..3).map(number));
    let before = std::fs::read_to_string(list.path()).unwrap();
    let link = list.directory.path().join("link.csv");
    std::os::unix::fs::symlink(list.path(), &link).unwrap();
    for out in [list.path(), link] {
        let line = format!("call --csv {} --out {}", list.path().display(), out.display());
        house.run(&line).failed(2, "is the list itself");
        let mut command = house.command(&line.replace(&list.path().display().to_string(), "-"));
        command.arg("--out").arg(&out).stdin(File::open(list.path()).unwrap());
        assert_eq!(ran(&mut command).code, 2);
        assert_eq!(std::fs::read_to_string(list.path()).unwrap(), before);
    }

    // Of a run that comes to nothing the earlier one's file is still there.
    let line = list.line("--route knovvu");
    assert_eq!(house.run(&line).code, 0);
    let told = std::fs::read_to_string(list.out()).unwrap();
    ran(&mut command(&line, "http://127.0.0.1:1")).failed(4, "no gateway answers");
    house.run(&format!("{line} --locale tr-TR")).failed(1, "REQUEST_ID_REUSED");
    assert_eq!(std::fs::read_to_string(list.out()).unwrap(), told);
    let held = File::open(list.out()).unwrap();
    held.lock().unwrap();
    house.run(&line).failed(2, "another run writes to it");
    house.run(&list.line("--route knovvu").replace("out.csv", "no/out.csv")).failed(2, "No such");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_placed_is_said_when_it_can_not_be_written() {
    let house = House::open().await;
    let list = List::of((0..4).map(number));
    let line = format!("call --csv {} --route knovvu --batch 2", list.path().display());
    let full = house.run(&format!("{line} --out /dev/full"));
    full.failed(1, "2 of 4 rows are dealt with; once that is mended");
    assert!(full.err.contains("No space left"), "{full:?}");
    assert_eq!(house.run(&line).code, 0);
    for n in 0..4 {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_followed_to_its_end() {
    let house = House::open().await;
    let list = List::of((0..5).map(number).chain(["+919900000110".to_owned()]));
    let line = list.line("--route mobtexting --batch 2 --watch");
    let followed = house.run(&line);
    followed.failed(3, "line 7: ");
    assert_eq!(followed.out, "6 calls: 5 ANSWERED, 1 FAILED\n");
    let mut ends = vec!["ANSWERED"; 5];
    ends.push("FAILED");
    assert_eq!(list.states(), ends);
    // Again there is nothing to wait for.
    let again = house.run(&format!("{line} --json"));
    assert_eq!(again.out.lines().count(), 6, "{again:?}");
    assert_eq!(list.states(), ends);
    house.run(&list.line("--route nowhere --watch")).failed(1, "NOT_FOUND");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_one_list_call_nobody_twice() {
    let house = House::open().await;
    let list = List::of((0..60).map(number));
    let line = format!("call --csv {} --route knovvu --batch 3", list.path().display());
    let start = || {
        let mut command = house.command(&line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs = [start(), start(), start()];
    for run in runs {
        let ended = tokio::task::block_in_place(|| read(run.wait_with_output().unwrap()));
        assert!(ended.code == 0 && ended.out.starts_with("60 calls: "), "{ended:?}");
    }
    for n in 0..60 {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_told_to_stop_says_how_far_it_came() {
    let house = House::open().await;
    // The vendor never answers to the third.
    let list = List::of([number(1), number(2), "+919900000014".to_owned()].into_iter());
    let mut command = house.command(&list.line("--route knovvu --batch 1 --concurrency 1"));
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while house.sandbox.dialed().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let kill = Command::new("kill").arg(run.id().to_string()).status().unwrap();
    assert!(kill.success());
    let ended = tokio::task::block_in_place(|| read(run.wait_with_output().unwrap()));
    ended.failed(4, "stopped\n2 of 3 rows are dealt with; the same command again goes on");
    assert_eq!(list.states().len(), 2);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_without_a_turn_is_waited_for() {
    let house = House::with(|text| text.replace(FAST, "rate = { calls = 2, per = \"1s\" }")).await;
    // One after the other, a deadline of less than a window is never kept at once.
    let list = List::of((0..6).map(number));
    let ended = house.run(&list.line("--route knovvu --batch 2 --timeout 900ms"));
    assert!(ended.code == 0 && ended.out.starts_with("6 calls: "), "{ended:?}");
    for n in 0..6 {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }
    let large = List::of((10..16).map(number));
    let ended = house.run(&large.line("--route knovvu --batch 6 --timeout 900ms"));
    ended.failed(1, "give a longer one, or a smaller --batch");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standard_output_is_written_as_a_stream() {
    let house = House::open().await;
    let list = List::of((0..3).map(number));
    let line = format!("call --csv {} --out /dev/stdout --route knovvu", list.path().display());
    let told = list.directory.path().join("told.csv");
    for more in ["", " --watch"] {
        let before = "before\n";
        std::fs::write(&told, before).unwrap();
        let mut command = house.command(&format!("{line}{more}"));
        let file = File::options().append(true).open(&told).unwrap();
        let ended = ran_with(command.stdout(file));
        ended.failed(0, "3 calls: ");
        let text = std::fs::read_to_string(&told).unwrap();
        assert!(text.starts_with("before\nline,"), "{more}: {text}");
        assert_eq!(text.lines().count(), 5, "{more}: {text}");

        let mut command = house.command(&format!("{line}{more}"));
        let ended = ran_with(command.stdout(File::create(&told).unwrap()));
        ended.failed(0, "3 calls: ");
        let text = std::fs::read_to_string(&told).unwrap();
        assert!(text.starts_with("line,") && text.lines().count() == 4, "{more}: {text}");
        // A pipe is read once.
        let piped = house.run(&format!("{line}{more}"));
        assert_eq!(piped.out.lines().count(), 4, "{piped:?}");
    }
    house.run(&format!("{line} --json")).failed(2, "--json");
    house.close().await;
}

fn ran_with(command: &mut Command) -> Ran {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    tokio::task::block_in_place(|| read(child.wait_with_output().unwrap()))
}
