//! `suppress`.

use crate::house::House;

const LISTED: &str = "+919900000100";
const FREE: &str = "+919900000200";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_checked_added_listed_and_removed() {
    let house = House::open().await;
    let run = |line: &str| house.run(line);
    let checked = run(&format!("suppress add {LISTED} --reason law --validate-only --json"));
    assert!(checked.code == 0 && checked.out.contains("law"), "{checked:?}");
    assert_eq!(run("suppress list --json").out, "");
    run("suppress add 0990 --validate-only").failed(2, "number 1: starts with 0");

    assert_eq!(run(&format!("suppress add {LISTED} --reason law")).code, 0);
    let called = run(&format!("call {LISTED} --validate-only"));
    called.failed(3, "SUPPRESSED");
    let checked = run(&format!("suppress remove {LISTED} {FREE} --validate-only"));
    assert!(checked.out.contains("would be removed"), "{checked:?}");
    assert!(checked.out.contains("was not on the list"), "{checked:?}");
    assert!(run("suppress list").out.contains(LISTED));
    let listed = run("suppress list --json").json();
    assert_eq!((&listed[0]["number"], &listed[0]["reason"]), (&LISTED.into(), &"law".into()));
    assert!(listed[0]["createTime"].is_string(), "{listed:?}");
    assert!(run(&format!("suppress remove {LISTED}")).out.contains("  removed"));
    assert_eq!(run("suppress list --json").out, "");
    house.close().await;
}
