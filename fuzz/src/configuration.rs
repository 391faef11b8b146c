//! The configuration file. The input is its text.

use std::path::Path;

use dialplane::config::Config;

/// Any text is a configuration, or a list of mistakes of which each has its line, and none a
/// secret that the file holds.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // Nothing on the machine is read: neither files nor the environment are the input's.
    if text.contains("file") || text.contains("tls") {
        return;
    }
    let environment =
        |name: &str| (name == "SECRET").then(|| "hunter-2-of-the-environment".to_owned());
    match Config::parse(text, Path::new("/nowhere"), &environment) {
        Ok(config) => {
            assert!(!config.vendors.is_empty() && !config.routes.is_empty());
            for route in config.routes.values() {
                assert!(!route.vendors.is_empty());
                assert!(route.vendors.iter().all(|vendor| config.vendors.contains_key(vendor)));
            }
            assert!(!format!("{config:?}").contains("hunter-2"), "a secret is printed");
        }
        Err(problems) => {
            let lines = text.lines().count().max(1) + 1;
            assert!(!problems.list().is_empty());
            for problem in problems.list() {
                assert!((1..=lines).contains(&problem.line), "line {} of {lines}", problem.line);
            }
            assert!(!problems.to_string().contains("hunter-2-of"), "a secret is printed");
        }
    }
}
