//! `call --csv` where a vendor, or the gateway, takes nothing of a request.

use tempfile::TempDir;

use crate::{
    harness::FAST,
    house::{House, Ran},
};

/// A number of which the vendor says that there is no balance.
const NO_BALANCE: &str = "+919900099911";

fn number(n: usize) -> String {
    format!("+9199000{n:03}20")
}

struct List(TempDir);

impl List {
    fn of(numbers: &[String]) -> Self {
        let list = Self(tempfile::tempdir().unwrap());
        std::fs::write(list.path("list"), format!("to\n{}\n", numbers.join("\n"))).unwrap();
        list
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(format!("{name}.csv")).display().to_string()
    }

    fn run(&self, house: &House, more: &str) -> Ran {
        let (list, out) = (self.path("list"), self.path("out"));
        house.run(&format!("call --csv {list} --out {out} {more}"))
    }

    fn states(&self) -> Vec<String> {
        let told = std::fs::read_to_string(self.path("out")).unwrap();
        told.lines().skip(1).map(|line| line.split(',').nth(5).unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_takes_requests_whole_is_waited_for_too() {
    let house = House::with(|text| text.replace(FAST, "rate = { calls = 2, per = \"1s\" }")).await;
    let list = List::of(&(0..6).map(number).collect::<Vec<_>>());
    let ended = list.run(&house, "--route phonon-multicast --batch 2 --timeout 900ms");
    assert!(ended.code == 0 && ended.out.starts_with("6 calls: "), "{ended:?}");
    for n in 0..6 {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }
    // Whoever has less time may come again: nothing is recorded.
    let line = format!("call {} {} --route phonon-multicast --timeout 300ms", number(7), number(8));
    let late = (0..20).map(|_| house.run(&line)).find(|ran| ran.code != 0).unwrap();
    late.failed(4, "repeat it with --request-id");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_balance_stops_a_list() {
    let house = House::open().await;
    let mut numbers: Vec<_> = (0..40).map(number).collect();
    // Refuses all that is in a request with it.
    numbers[3] = NO_BALANCE.to_owned();
    let list = List::of(&numbers);
    let line = "--route phonon-multicast --batch 2 --concurrency 2";
    let stopped = list.run(&house, line);
    stopped.failed(1, "dialplane: RESOURCE_EXHAUSTED");
    for said in ["2 rows were refused", "of a list of their own", "goes on"] {
        assert!(stopped.err.contains(said), "{said}: {stopped:?}");
    }
    let states = list.states();
    assert!(states.len() < 12 && states[2] == "FAILED" && states[3] == "FAILED", "{states:?}");
    assert_eq!(house.sandbox.dials_of(&number(39)), 0);
    // Those stay refused; the same list goes on after them.
    let ended = list.run(&house, line);
    ended.failed(3, "line 4: ");
    assert!(ended.out.contains("2 FAILED"), "{ended:?}");
    assert_eq!(list.states().len(), 40);
    for n in (0..40).filter(|n| ![2, 3].contains(n)) {
        assert_eq!(house.sandbox.dials_of(&number(n)), 1, "{n}");
    }
    assert_eq!(house.sandbox.dials_of(&number(2)), 0);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_that_a_list_was_sent_with_other_options() {
    let house = House::open().await;
    let list = List::of(&(0..3).map(number).collect::<Vec<_>>());
    let line = "--route knovvu --batch 2";
    assert_eq!(list.run(&house, line).code, 0);
    list.run(&house, &format!("{line} --locale tr-TR --validate-only"))
        .failed(1, "give it a --job of its own");
    let checked = list.run(&house, &format!("{line} --validate-only"));
    assert_eq!(
        (checked.code, checked.out.as_str()),
        (0, "3 calls checked, and nobody called: 3 SCHEDULED\n")
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_wants_names_checks_too() {
    let house = House::with(|text| format!("require_request_id = true\n{text}")).await;
    let list = List::of(&[number(0)]);
    assert_eq!(list.run(&house, "--route knovvu --validate-only").code, 0);
    let one = house.run(&format!("call {} --route knovvu --validate-only", number(0)));
    assert!(one.code == 0 && one.err.is_empty(), "{one:?}");
    assert!(house.sandbox.dialed().is_empty());
    house.close().await;
}
