//! What every world is built of: configurations and vendors.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use dialplane::{
    config::Config,
    sandbox::{
        AnswerForm, MobTextingBody, MobTextingWebhook, Options, Pace, PhononBody, PhononWebhook,
        Spelling, Webhooks,
    },
};

use crate::rng::Rng;

pub const ROUTES: [&str; 8] = [
    "default",
    "others",
    "phonon-outbound",
    "phonon-dialer",
    "phonon-multicast",
    "phonon-bulk",
    "mobtexting",
    "knovvu",
];

/// Of every exchange.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// Of every vendor, as in the configuration.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

pub const VENDORS: [&str; 6] =
    ["phonon-outbound", "phonon-dialer", "phonon-multicast", "phonon-bulk", "mobtexting", "knovvu"];

pub const RATE: &str = "rate = { requests = 1000, per = \"1s\" }";

/// What all configurations of a world have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Base {
    pub turns: u32,
    knovvu: &'static str,
}

/// One of a few configurations; they are read once.
pub fn config(rng: &mut Rng) -> (Arc<Config>, Base) {
    static ALL: OnceLock<Vec<(Arc<Config>, Base)>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let oauth = "oauth = { identity_url = \"http://127.0.0.1:1/knovvu-identity\", client_id = \"c\", \
                     client_secret = \"push-password\", scope = \"outboundmanager_external\" }";
        let knovvu = ["access_token = \"sandbox-token\"", oauth];
        let turns = [1, 2, 8];
        let bases = turns.iter().flat_map(|turns| knovvu.map(|k| Base { turns: *turns, knovvu: k }));
        bases.map(|base| (Arc::new(varied(base, base.turns, RATE, &[], &[])), base)).collect()
    });
    rng.pick(all).clone()
}

/// The same with other limits, and without some vendors and routes.
pub fn varied(
    base: Base,
    turns: u32,
    rate: &str,
    without_vendors: &[&str],
    without_routes: &[&str],
) -> Config {
    let limits = format!(
        "timeout = \"2s\"\nconnect_timeout = \"1s\"\npoll_interval = \"5s\"\ngive_up_after = \"2m\"\n\
         max_in_flight = {turns}\n{rate}\n\
         breaker = {}",
        // Some open again and again.
        if base.turns == 2 { "{ failures = 1, pause = \"2s\" }" } else { "true" }
    );
    let whole = include_str!("house.toml");
    let text: Vec<_> = whole
        .split("\n[")
        .filter_map(|section| {
            let (header, rest) = section.split_once(']').unwrap_or((section, ""));
            let is_out = |kind: &str, out: &[&str]| {
                header.strip_prefix(kind).is_some_and(|name| out.contains(&name))
            };
            if is_out("vendors.", without_vendors) || is_out("routes.", without_routes) {
                return None;
            }
            if !header.starts_with("routes.") {
                return Some(section.to_owned());
            }
            let mut rest = rest.to_owned();
            for name in without_vendors {
                rest = rest.replace(&format!("\"{name}\", "), "");
                rest = rest.replace(&format!(", \"{name}\""), "");
                rest = rest.replace(&format!("[\"{name}\"]"), "[]");
            }
            // A vendor that waits by itself has to be there.
            let can = !rest.contains("schedule = \"vendor\"") || rest.contains("\"phonon");
            (!rest.contains("[]") && can).then(|| format!("{header}]{rest}"))
        })
        .collect();
    let text = text.join("\n[").replace("{limits}", &limits).replace("{knovvu}", base.knovvu);
    Config::parse(&text, Path::new("."), &|_| None).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// How the vendors of a world are.
pub fn options(rng: &mut Rng) -> Options {
    let flows = [
        ("phonon-outbound", "OutBnd01"),
        ("phonon-dialer", "Dialer01"),
        ("phonon-multicast", "MultiC01"),
        ("phonon-bulk", "MultiC02"),
    ];
    let address = |vendor: &str| format!("http://127.0.0.1:1/callbacks/{vendor}");
    let phonon = PhononWebhook {
        flows: flows.map(|(vendor, flow)| (flow.to_owned(), address(vendor))).into(),
        user: "phonon".to_owned(),
        password: "push-password".to_owned(),
        body: *rng.pick(&[
            PhononBody::Dlr,
            PhononBody::FlowEnd,
            PhononBody::Custom,
            PhononBody::CustomForm,
        ]),
        ..PhononWebhook::default()
    };
    let mobtexting = MobTextingWebhook {
        url: address("mobtexting"),
        secret: "push-password".to_owned(),
        token: "push-password".to_owned(),
        body: *rng.pick(&[MobTextingBody::Composed, MobTextingBody::ComposedForm]),
    };
    // Some vendors post nothing.
    let posts = !rng.chance(250);
    let webhooks = Webhooks {
        phonon: posts.then_some(phonon),
        mobtexting: posts.then_some(mobtexting),
        knovvu: posts,
    };
    Options {
        pace: *rng.pick(&[Pace::Instant, Pace::Lifelike]),
        rate_limit: rng.chance(150).then_some(3),
        mobtexting_answers: *rng.pick(&[AnswerForm::Newest, AnswerForm::Older]),
        knovvu_states: *rng.pick(&[Spelling::Spaced, Spelling::Joined]),
        webhooks,
        ..Options::default()
    }
}
