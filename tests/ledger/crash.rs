//! `kill -9` at any instant: what was acknowledged is there, whole, and nothing is half
//! there. This test program starts itself again as the process that is killed.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use dialplane::{
    call::{CallState, Observation, RequestId},
    ledger::{Ledger, LedgerError, NewRequest, Recorded},
};

use crate::{
    history::{ALL, follow},
    samples::{calls_of, news, request},
    sqlite::{address, open},
};

const URL: &str = "DIALPLANE_TEST_LEDGER";
const FULL: &str = "DIALPLANE_TEST_FULL_LEDGER";
const CALLS: u32 = 7;

/// Not a test of its own: writes until it is killed, when it is started for that.
#[tokio::test]
async fn writes_until_it_is_killed() {
    let Ok(url) = env::var(URL) else { return };
    let ledger = open(&url);
    futures_util::future::join_all((0..4).map(|_| write_on(&*ledger))).await;
}

async fn write_on(ledger: &dyn Ledger) {
    let tell = |what: &str, request: &NewRequest| {
        // A line of its own, among those of the test harness.
        println!("\n{what} {}", request.id);
    };
    loop {
        let one = request(CALLS);
        tell("trying", &one);
        ledger.record(one.clone()).await.unwrap();
        tell("recorded", &one);
        let all = one.calls.iter().map(|call| news(call.id, Observation::Dispatching, 1));
        ledger.observe(all.collect()).await.unwrap();
        tell("observed", &one);
    }
}

#[tokio::test]
async fn a_kill_takes_back_nothing() {
    for wanted in [1, 40, 300] {
        let (_directory, url) = address();
        let told = kill_after(&url, wanted);
        let ledger = open(&url);
        let all = follow(&*ledger, &ALL, 0, 1_000).await;
        let newest = *ledger.newest().borrow();
        let numbers = all.changes.iter().map(|change| change.number);
        assert!(numbers.eq(1..=newest), "each number once");
        let mut seen: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for change in all.changes {
            seen.entry(change.call.id).or_default().push(change.call);
        }
        for (id, stage) in told {
            let calls = calls_of(&*ledger, &id).await;
            let dispatching =
                calls.iter().filter(|call| call.state == CallState::Dispatching).count();
            for call in &calls {
                let revisions = &seen[&call.id];
                assert!(revisions.iter().map(|call| call.revision).eq(1..=call.revision), "{id}");
                assert_eq!(revisions.last(), Some(call));
            }
            let whole = |count: usize| count == 0 || count == CALLS as usize;
            assert!(whole(calls.len()) && whole(dispatching), "{id}: half of it is there");
            assert!(stage < Stage::Recorded || !calls.is_empty(), "{id} was recorded and is gone");
            assert!(stage < Stage::Observed || dispatching > 0, "{id}: its news is gone");
        }
        ledger.close().await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Trying,
    Recorded,
    Observed,
}

/// Starts the writing process and kills it once it has told of so many changes. Gives
/// how far each request came, as far as it was told.
fn kill_after(url: &str, wanted: usize) -> BTreeMap<RequestId, Stage> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_it_is_killed", "--nocapture"])
        .env(URL, url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BTreeMap::new();
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let Some((word, id)) = line.split_once(' ') else { continue };
        let stage = match word {
            "trying" => Stage::Trying,
            "recorded" => Stage::Recorded,
            "observed" => Stage::Observed,
            _ => continue,
        };
        // The last line may be cut short.
        let Some(Ok(id)) = (id.len() == 36).then(|| id.parse()) else { continue };
        told.insert(id, stage);
        acknowledged += usize::from(stage > Stage::Trying);
        if acknowledged == wanted {
            // What it tells until the signal arrives is read too.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= wanted, "it ended by itself");
    told
}

/// Not a test of its own: writes until its files may not grow any more, when it is started for
/// that.
#[tokio::test]
async fn writes_until_there_is_no_room() {
    let Ok(url) = env::var(FULL) else { return };
    let ledger = open(&url);
    loop {
        let one = request(37);
        let what = match ledger.record(one.clone()).await {
            Ok(Recorded::New) => "recorded",
            Err(LedgerError::Failed(_)) => "failed",
            Err(LedgerError::Uncertain(_)) => "uncertain",
            other => panic!("{other:?}"),
        };
        println!("\n{what} {}", one.id);
        if what == "uncertain" {
            ledger.ready().await.unwrap_err();
            // Ends as a kill does: nothing is closed.
            std::process::abort();
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_failed_for_want_of_room_is_not_there_and_what_is_in_doubt_is_said_to_be() {
    let (_directory, url) = address();
    // Not a full disk, but what comes closest: no file may be larger than this, and the
    // signal that says so is not to end the process.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -c 0; ulimit -f 4000; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_there_is_no_room", "--nocapture"])
        .env(FULL, &url)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let ledger = open(&url);
    for (what, id) in told.lines().filter_map(|line| line.split_once(' ')) {
        let expected = match what {
            "recorded" => Some(37),
            "failed" => Some(0),
            "uncertain" => None,
            _ => continue,
        };
        *count.entry(what).or_default() += 1;
        let calls = calls_of(&*ledger, &id.parse().unwrap()).await.len();
        assert!(expected.is_none_or(|expected| calls == expected), "{what}: {calls}");
        assert!([0, 37].contains(&calls), "half of it is there");
    }
    let seen = |what: &str| count.get(what).copied().unwrap_or_default();
    assert!(seen("recorded") > 3 && seen("failed") > 0, "{count:?}");
    assert_eq!(seen("uncertain"), 1, "{count:?}\n{told}");
    ledger.close().await;
}
