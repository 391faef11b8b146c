//! `dialplane check`.

use std::{path::Path, process::ExitCode};

use super::{WRONG_INPUT, fail, say, table::columns};
use crate::{
    call::Script,
    config::{Config, OutsideWindow, Route, Schedule, Tls, VendorConfig},
};

pub(super) fn run(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(error, WRONG_INPUT),
    };
    say(format!("{} is right.", path.display()));
    let over = encryption(config.server.tls.as_ref());
    let (listen, ledger) = (&config.server.listen, &config.ledger);
    say(format!("\nlistens on {listen}{over}, keeps its ledger at {ledger}\n"));
    columns(&routes(&config)).iter().for_each(say);
    say("");
    let mut rows = vec![
        ["VENDOR", "KIND", "CALLS/EXCHANGE", "RESULTS", "IN FLIGHT", "TAKES"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(config.vendors.values().map(|vendor| {
        let can = vendor.adapter.capabilities();
        let results = match (can.pull_results, can.push_results) {
            (true, true) => "asked, pushed",
            (true, false) => "asked",
            (false, true) => "pushed",
            (false, false) => "none",
        };
        vec![
            vendor.name.clone(),
            vendor.adapter.kind().to_owned(),
            can.max_batch.to_string(),
            results.to_owned(),
            vendor.max_in_flight.to_string(),
            vendor.rate.to_string(),
        ]
    }));
    columns(&rows).iter().for_each(say);
    if let Some(address) = config.server.callbacks {
        let over = encryption(config.server.callbacks_tls.as_ref());
        say(format!("\nresults may be posted to {address}{over}:"));
        let posted = config.vendors.values().filter(|vendor| vendor.adapter.callback().is_some());
        posted.for_each(|vendor| {
            // A proof that is in no header is in the address.
            let in_address = vendor.adapter.callback().is_some_and(|c| c.challenge().is_none());
            let token = if in_address { "/TOKEN" } else { "" };
            say(format!("  /callbacks/{}{token}", vendor.name));
        });
    }
    if !config.callers.is_empty() {
        say("");
        columns(&callers(&config)).iter().for_each(say);
    }
    callback_warnings(&config).iter().for_each(|warning| say(format!("\nwarning: {warning}")));
    if !config.routes.contains_key("default") {
        say("\nThere is no route named default: every request has to name its route.");
    }
    ExitCode::SUCCESS
}

fn encryption(tls: Option<&Tls>) -> &'static str {
    match tls {
        None => "",
        Some(Tls { client_ca: None, .. }) => " over TLS",
        Some(Tls { client_ca: Some(_), .. }) => " over TLS with client certificates",
    }
}

fn callers(config: &Config) -> Vec<Vec<String>> {
    let head = ["CALLER", "PROVEN BY", "ROUTES", "DO-NOT-CALL LIST"].map(str::to_owned).to_vec();
    let callers = config.callers.values().map(|caller| {
        let proof = match (&caller.token, &caller.certificate) {
            (Some(_), Some(_)) => "token and certificate",
            (Some(_), None) => "token",
            (None, _) => "certificate",
        };
        let routes = caller.routes.as_ref();
        let routes = routes.map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
        vec![
            caller.name.clone(),
            proof.to_owned(),
            routes.map_or_else(|| "all".to_owned(), |routes| routes.join(", ")),
            if caller.suppressions { "yes" } else { "no" }.to_owned(),
        ]
    });
    std::iter::once(head).chain(callers).collect()
}

/// What is configured of callbacks and comes to nothing.
pub(super) fn callback_warnings(config: &Config) -> Vec<String> {
    let told = |vendor: &&VendorConfig| vendor.adapter.callback().is_some();
    let mut told = config.vendors.values().filter(told).peekable();
    match config.server.callbacks {
        Some(address) if told.peek().is_none() => vec![format!(
            "server.callbacks is {address}, and no vendor was told how it proves who it is: \
             nothing that is posted there is taken"
        )],
        Some(_) => Vec::new(),
        None => told
            .map(|vendor| {
                format!(
                    "vendors.{} can post results, and server.callbacks is not set: nobody \
                     listens to it",
                    vendor.name
                )
            })
            .collect(),
    }
}

fn routes(config: &Config) -> Vec<Vec<String>> {
    let head = ["ROUTE", "VENDORS", "SCRIPT", "CALLER ID", "WINDOW", "SCHEDULED BY", "NO TURN"];
    let routes = config.routes.values().map(route);
    std::iter::once(head.map(str::to_owned).to_vec()).chain(routes).collect()
}

fn route(route: &Route) -> Vec<String> {
    let script = match &route.script {
        None => "the vendor's".to_owned(),
        Some(Script::Flow(id)) => format!("flow {id}"),
        Some(Script::Audio(audio)) => format!("audio {audio}"),
    };
    let caller_id = route.caller_id.as_ref().map_or("the vendor's", |id| id.as_str());
    let window = route.window.as_ref().map_or("any time".to_owned(), |window| {
        let outside = match route.outside_window {
            OutsideWindow::Wait => "wait",
            OutsideWindow::Refuse => "are refused",
        };
        format!("{window}; others {outside}")
    });
    let schedule = match route.schedule {
        Schedule::Gateway => "the gateway",
        Schedule::Vendor => "the vendor",
    };
    vec![
        route.name.clone(),
        route.vendors.join(", "),
        script,
        caller_id.to_owned(),
        window,
        schedule.to_owned(),
        if route.queue { "waits on disk" } else { "waits or is refused" }.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_show_when_they_call_and_who_schedules() {
        let text = "[vendors.p]\nkind = \"phonon\"\nproduct = \"outbound\"\nflow_id = \"AbCd1234\"\n\
                    security_id = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n\
                    [routes.default]\nvendors = [\"p\"]\nschedule = \"vendor\"\n\
                    [routes.office]\nvendors = [\"p\"]\nqueue = true\noutside_window = \"refuse\"\n\
                    window = { from = \"09:00\", to = \"18:00\", days = [\"mon\", \"fri\"], zone = \"callee\" }";
        let config = Config::parse(text, Path::new("."), &|_| None).unwrap();
        let shown: Vec<_> = routes(&config).into_iter().map(|row| row[4..].join("; ")).collect();
        let expected = [
            "WINDOW; SCHEDULED BY; NO TURN",
            "any time; the vendor; waits or is refused",
            "09:00-18:00 mon, fri (callee); others are refused; the gateway; waits on disk",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_address_without_anybody_to_post_is_told() {
        let warnings = |server: &str| {
            let text = format!(
                "[server]\n{server}\n[vendors.k]\nkind = \"knovvu\"\n\
                 base_url = \"https://k.example.test\"\nproject = \"p\"\ntenant = \"t\"\n\
                 access_token = \"a\"\nscenario_path = \"https://s.example.test\"\n\
                 orchestrator_url = \"https://o.example.test\"\ndisplay_number = \"200\"\n\
                 [routes.default]\nvendors = [\"k\"]\n"
            );
            callback_warnings(&Config::parse(&text, Path::new("."), &|_| None).unwrap())
        };
        assert_eq!(warnings(""), [""; 0]);
        let warned = warnings("callbacks = \"127.0.0.1:8080\"");
        assert!(matches!(&*warned, [one] if one.contains("127.0.0.1:8080")), "{warned:?}");
    }
}
