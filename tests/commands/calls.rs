//! `call`, `results`, `cancel` and `vendors`.

use crate::house::House;

const ANSWERED: &str = "+919900000100";
const OTHER: &str = "+919900000200";
const BUSY: &str = "+919900000101";
/// Refused by the vendor, which has an invalid number of it.
const REFUSED: &str = "+919900000110";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_placed_and_asked_for() {
    let house = House::open().await;
    let placed = house.run(&format!(
        "call {ANSWERED} {OTHER} --reference one --reference two --route knovvu --label a=b --var x=y"
    ));
    assert_eq!(placed.code, 0, "{placed:?}");
    let lines: Vec<_> = placed.out.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("CALL "), "{placed:?}");
    assert!(lines[1].contains(ANSWERED) && lines[1].ends_with("one"), "{placed:?}");
    let request_id = placed.err.trim().strip_prefix("dialplane: request id: ").unwrap();
    let id = &lines[1][..36];

    let by_request = house.run(&format!("results --request-id {request_id} --json")).json();
    assert_eq!(by_request.len(), 2);
    assert_eq!(by_request[0]["callId"], id);
    assert_eq!(by_request[0]["labels"]["a"], "b");
    assert_eq!(by_request[1]["clientReference"], "two");
    assert_eq!(house.run(&format!("results {id} --json")).json()[0]["to"][0], ANSWERED);
    let by_reference = house.run("results --reference two --reference one --fresh --json").json();
    assert_eq!(by_reference[0]["to"][0], OTHER);
    assert_eq!(by_reference[1]["callId"], id);
    let table = house.run(&format!("results {id}"));
    assert!(table.out.lines().nth(1).unwrap().contains(" knovvu "), "{table:?}");

    house.run("results --reference nobody").failed(3, "no such call: nobody");
    house.run("results --request-id nobody").failed(3, "no such call: nobody");
    house.run("results").failed(2, "no calls are named");
    house.run("results x").failed(2, "call_ids[0]");
    house.run(&format!("results {id} --request-id x")).failed(2, "cannot be used with");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_command_calls_nobody_twice() {
    let house = House::open().await;
    let line = format!("call {ANSWERED} --route knovvu --request-id visit-7 --json");
    let first = house.run(&line);
    assert!(first.err.is_empty(), "{first:?}");
    let second = house.run(&line);
    assert!(second.err.contains("nobody is called by it now"), "{second:?}");
    assert_eq!(first.json()[0]["callId"], second.json()[0]["callId"]);
    assert_eq!(house.sandbox.dials_of(ANSWERED), 1);
    let other = house.run(&format!("{line} --locale tr-TR"));
    other.failed(1, "REQUEST_ID_REUSED");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_do() {
    let house = House::open().await;
    let refused = house.run(&format!("call {REFUSED} --route phonon-multicast"));
    assert_ne!(refused.code, 0, "{refused:?}");
    for said in ["vendor phonon-multicast (phonon.io), code ", "nobody was dialled", "--request-id"]
    {
        assert!(refused.err.contains(said), "{said}: {refused:?}");
    }
    let some = house.run(&format!("call {REFUSED} {ANSWERED} --route phonon-multicast"));
    some.failed(3, "vendor phonon-multicast (phonon.io)");
    assert!(some.out.lines().count() == 3 && some.out.contains("FAILED"), "{some:?}");
    house.run(&format!("call {ANSWERED} --route nowhere")).failed(1, "NOT_FOUND");
    house.run("call 0990").failed(2, "number 1: starts with 0");
    house.run("call").failed(2, "NUMBER");
    house.run(&format!("call {ANSWERED} --locale x_y")).failed(2, "locale");
    let checked = house.run(&format!("call {ANSWERED} --validate-only --json"));
    assert!(checked.json()[0].get("callId").is_none() && checked.err.is_empty(), "{checked:?}");
    let wrong =
        house.run(&format!("call {ANSWERED} {OTHER} --reference a --reference a --validate-only"));
    wrong.failed(3, "client_reference");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_taken_back() {
    let house = House::open().await;
    let line = format!(
        "call {ANSWERED} --alternate {OTHER} --route phonon-outbound --at 2190-01-01T00:00:00Z --reference later"
    );
    let placed = house.run(&line);
    assert!(placed.out.contains("SCHEDULED") && placed.out.contains("(+1)"), "{placed:?}");
    let asked = house.run("cancel --reference later --validate-only --json").json();
    assert_eq!(asked[0]["state"], "CALL_STATE_CANCELED");
    assert!(house.run("results --reference later").out.contains(" SCHEDULED "), "nothing changed");
    let taken = house.run("cancel --reference later --json").json();
    assert_eq!(taken[0]["state"], "CALL_STATE_CANCELED");
    assert!(house.run("cancel --reference later").out.contains(" CANCELED "));
    house.run("cancel --reference nobody").failed(3, "no such call: nobody");
    house.run("cancel").failed(2, "no calls are named");

    let gone = house.run(&format!("call {OTHER} --route knovvu --json")).json();
    let id = gone[0]["callId"].as_str().unwrap();
    house.run(&format!("cancel {id} --validate-only")).failed(3, id);
    let late = house.run(&format!("cancel {id}"));
    assert!(late.code == 3 && late.err.contains(id), "{late:?}");
    assert_eq!(house.sandbox.dials_of(ANSWERED), 0);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_to_be_dialled_again_is_taken_back() {
    let house = House::open().await;
    let line = format!("call {BUSY} --route knovvu --reference r --retry-after 1h --attempts 3");
    assert_eq!(house.run(&line).code, 0);
    for _ in 0..200 {
        if house.run("results --reference r").out.contains(" SCHEDULED ") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (more, said) in [("--validate-only", "not dialled any more"), ("", "not dialled any more")]
    {
        let taken = house.run(&format!("cancel --reference r {more}"));
        taken.failed(0, said);
        assert!(taken.out.contains(" BUSY "), "{taken:?}");
    }
    // Repeated, as after an answer that was lost.
    assert_eq!(house.run("cancel --reference r").code, 0);
    assert_eq!(house.sandbox.dials_of(BUSY), 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vendors_and_routes_are_listed() {
    let house = House::open().await;
    let table = house.run("vendors");
    assert_eq!(table.code, 0, "{table:?}");
    let row = |name: &str| table.out.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row("VENDOR").contains("PACE LEFT") && row("ROUTE").contains("QUEUE"), "{table:?}");
    assert!(row("mobtexting ").contains(" open "), "{table:?}");
    assert!(row("default ").contains("phonon-multicast, mobtexting"), "{table:?}");
    let json = house.run("vendors --json").json();
    assert_eq!(json.iter().filter(|line| line.get("vendors").is_some()).count(), 6);
    assert_eq!(json.iter().filter(|line| line.get("routes").is_some()).count(), 7);
    house.close().await;
}
