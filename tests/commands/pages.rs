//! `completions` and `man`.

use crate::house::{command, ran};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shells_and_man_know_the_commands() {
    let run = |line: &str| ran(&mut command(line, "http://127.0.0.1:1"));
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(&format!("completions {shell}"));
        assert!(printed.code == 0 && printed.out.contains("validate-only"), "{shell}");
    }
    run("completions nonsense").failed(2, "nonsense");
    assert!(run("man").out.contains(".TH dialplane 1"));
    let page = run("man suppress add");
    assert!(page.out.contains(".TH dialplane-suppress-add 1"), "{page:?}");
    assert!(page.out.contains("token\\-file"), "{page:?}");
    run("man nonsense").failed(2, "there is no command");
    let schema = run("schema").out;
    assert_eq!(schema, include_str!("../../schema/dialplane.schema.json"));
}
