//! Where the gateway listens, who is let in, and where calls are kept.

use std::net::SocketAddr;

use super::{Topic, listed};
use crate::config::{Caller, Config, Listen, Origin, Origins, Tls, show_duration};

/// `[server]`, `[callers]` and `[ledger]`.
pub(super) fn topics(config: &Config, origins: &Origins) -> Vec<Topic> {
    let mut topics = vec![server(config)];
    for caller in config.callers.values() {
        topics.push(self::caller(caller, origins));
    }
    topics.push(ledger(config));
    topics
}

fn server(config: &Config) -> Topic {
    let (server, mut topic) = (&config.server, Topic::new("server"));
    topic.say(match &server.listen {
        Listen::Tcp(address) => format!(
            "It listens for gRPC on {address}, {}, {}.",
            reached(*address),
            encrypted(server.tls.as_ref())
        ),
        Listen::Unix(path) => format!(
            "It listens for gRPC on the socket {}, for users of this machine that the file's permissions {:04o} let in, {}.",
            path.display(),
            server.socket_mode,
            encrypted(server.tls.as_ref())
        ),
    });
    topic.say(if config.callers.is_empty() {
        match server.tls.as_ref().and_then(|tls| tls.client_ca.as_ref()) {
            Some(_) => "Whoever shows such a certificate may use all of the API.".to_owned(),
            None => "Whoever reaches it may use all of the API: there are no [callers].".to_owned(),
        }
    } else {
        let names: Vec<_> = config.callers.keys().collect();
        format!("Nobody but {} may use the API; health is told to anybody.", listed(&names))
    });
    match server.callbacks {
        Some(address) => topic.say(format!(
            "It listens for what vendors post on {address}, {}, {}. Each post has to prove that it is the vendor's.",
            reached(address),
            encrypted(server.callbacks_tls.as_ref())
        )),
        None => topic.say("It takes no posts of vendors: callbacks is not set."),
    }
    match server.admin {
        Some(address) => topic.say(format!(
            "It tells metrics and probes on {address}, {}, {}.",
            reached(address),
            encrypted(server.admin_tls.as_ref())
        )),
        None => topic.say("It has no listener for metrics and probes: admin is not set."),
    }
    if server.require_request_id {
        topic.say("It refuses a CreateCalls without a request_id.");
    }
    let notice = match server.drain_notice {
        none if none.is_zero() => String::new(),
        notice => format!("takes calls for {} more, then ", show_duration(notice)),
    };
    topic.say(match server.drain {
        Some(drain) => format!(
            "When it is asked to stop, it {notice}finishes what is under way for up to {}.",
            show_duration(drain)
        ),
        None => format!(
            "When it is asked to stop, it {notice}finishes what is under way for as long as the vendors' timeouts allow."
        ),
    });
    topic
}

fn reached(address: SocketAddr) -> &'static str {
    if address.ip().to_canonical().is_loopback() {
        "which this machine alone reaches"
    } else {
        "which other machines reach"
    }
}

fn encrypted(tls: Option<&Tls>) -> String {
    match tls {
        None => "in the clear".to_owned(),
        Some(Tls { client_ca: None, .. }) => "over TLS".to_owned(),
        Some(Tls { client_ca: Some(ca), .. }) => {
            format!(
                "over TLS, for those who show a certificate of an authority in {}",
                ca.display()
            )
        }
    }
}

fn caller(caller: &Caller, origins: &Origins) -> Topic {
    let mut topic = Topic::new(format!("callers.{}", caller.name));
    topic.say(match (&caller.token, &caller.certificate) {
        (Some(_), Some(name)) => {
            format!("It proves itself by a token and the certificate of {name}, both.")
        }
        (Some(_), None) => "It proves itself by a token.".to_owned(),
        (None, Some(name)) => format!("It proves itself by the certificate of {name}."),
        // The configuration does not let this happen.
        (None, None) => "It proves itself by nothing.".to_owned(),
    });
    let list = if caller.suppressions { "keeps" } else { "may not use" };
    topic.say(match &caller.routes {
        None => format!("It may place calls through all routes, and {list} the do-not-call list."),
        Some(routes) => {
            let routes: Vec<_> = routes.iter().collect();
            let routes = listed(&routes);
            format!(
                "It may place and see calls through {routes} alone, and {list} the do-not-call list."
            )
        }
    });
    secrets(&mut topic, origins);
    topic
}

/// Where the secrets of the topic's section are; by now they have been read.
pub(super) fn secrets(topic: &mut Topic, origins: &Origins) {
    let within = format!("{}.", topic.about);
    for (key, origin) in origins.secrets() {
        let Some(name) = key.strip_prefix(&within) else { continue };
        topic.say(match origin {
            Origin::Text => format!("{name} is in the configuration itself."),
            Origin::Environment(variable) => {
                format!("{name} is in the environment variable {variable}, which is set.")
            }
            Origin::File(path) => format!("{name} is in {}, which can be read.", path.display()),
        });
    }
}

fn ledger(config: &Config) -> Topic {
    let mut topic = Topic::new("ledger");
    match config.ledger.strip_prefix("sqlite:") {
        Some(":memory:") => topic.say("Calls are kept in memory, until the gateway stops."),
        Some(path) if path.starts_with('/') => topic.say(format!("Every call is kept in {path}.")),
        Some(path) => topic.say(format!(
            "Every call is kept in {path}, in the directory in which the gateway is started."
        )),
        None => topic.say(format!("Every call is kept at {}.", config.ledger)),
    }
    topic.say(format!(
        "A request, its calls and its request_id are kept for {} after the last of them was over.",
        show_duration(config.retain)
    ));
    topic
}
