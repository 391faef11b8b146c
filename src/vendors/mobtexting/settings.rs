//! MobTexting's keys of the configuration.

use jiff::tz::TimeZone;
use url::Url;
use uuid::Uuid;

use crate::{
    call::{CallerId, Script},
    config::{Secret, Section},
};

const DEFAULT_BASE_URL: &str = "https://portal.mobtexting.com/api/v2/";
/// What the times of the vendor's own portal fit best (mobtexting.md 6 #7).
const DEFAULT_TIME_ZONE: &str = "Asia/Kolkata";

/// An account.
#[derive(Debug)]
pub struct Settings {
    /// With a slash at its end. The platform is resold under other hosts.
    pub base_url: Url,
    /// Long-lived, made in the portal.
    pub access_token: Secret,
    /// Shown when a call names none.
    pub bridge: Option<CallerId>,
    /// Played when a call names nothing: `flow_id` or `audio`.
    pub script: Option<Script>,
    /// The webhook that gets the results.
    pub webhook_id: Option<String>,
    /// How that webhook proves who it is.
    pub callback: Option<Proof>,
    /// Of the times without one in the vendor's answers.
    pub time_zone: TimeZone,
}

/// What the vendor's webhook was made with (mobtexting.md 5b).
#[derive(Debug)]
pub struct Proof {
    /// Comes with every delivery, as a bearer token.
    pub secret: Secret,
    /// Comes with the handshake.
    pub token: Option<Secret>,
}

/// Reads the keys; nothing when one was wrong.
pub fn read(section: &mut Section<'_>) -> Option<Settings> {
    let base_url = base_url(section);
    let access_token = access_token(section);
    let bridge = section.parsed("bridge");
    let bridge = unless_wrong(section, "bridge", bridge);
    let script = script(section);
    let webhook_id = section.string("webhook_id");
    let webhook_id = unless_wrong(section, "webhook_id", webhook_id);
    let callback = callback(section);
    let callback = unless_wrong(section, "callback", callback);
    let time_zone = time_zone(section);
    Some(Settings {
        base_url: base_url?,
        access_token: access_token?,
        bridge: bridge?,
        script: script?,
        webhook_id: webhook_id?,
        callback: callback?,
        time_zone: time_zone?,
    })
}

/// Nothing when the key is there and its value was wrong, which is noted already.
fn unless_wrong<T>(section: &Section<'_>, key: &str, value: Option<T>) -> Option<Option<T>> {
    (value.is_some() || !section.has(key)).then_some(value)
}

fn base_url(section: &mut Section<'_>) -> Option<Url> {
    let url = section.url("base_url");
    let mut url =
        unless_wrong(section, "base_url", url)?.or_else(|| Url::parse(DEFAULT_BASE_URL).ok())?;
    // Without it the last part of the path would be replaced, not added to.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

fn access_token(section: &mut Section<'_>) -> Option<Secret> {
    let token = section.required_secret("access_token")?;
    // It travels in a header. Better found here than in every call.
    if !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
        section.problem("access_token", "has spaces or other characters that no token has");
        return None;
    }
    Some(token)
}

fn script(section: &mut Section<'_>) -> Option<Option<Script>> {
    let flow = section.string("flow_id");
    let flow = unless_wrong(section, "flow_id", flow);
    let audio = section.string("audio");
    let audio = unless_wrong(section, "audio", audio);
    match (flow?, audio?) {
        (Some(_), Some(_)) => {
            section.problem("audio", "contradicts flow_id; expected one of the two");
            None
        }
        (Some(flow), None) => Some(Some(Script::Flow(flow))),
        (None, Some(audio)) if is_audio(&audio) => Some(Some(Script::Audio(audio))),
        (None, Some(_)) => {
            section.problem("audio", format!("expected {AUDIO_EXPECTED}"));
            None
        }
        (None, None) => Some(None),
    }
}

/// What [`is_audio`] takes.
pub const AUDIO_EXPECTED: &str =
    "the id (a UUID) of an uploaded sound, or an http or https address";

/// Whether a text can name a sound (mobtexting.md 2).
pub fn is_audio(text: &str) -> bool {
    if text.len() == 36 && Uuid::try_parse(text).is_ok() {
        return true;
    }
    // Spaces are dropped when an address is read, but would be sent to the vendor.
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn callback(section: &mut Section<'_>) -> Option<Proof> {
    let mut inner = section.section("callback")?;
    let secret = inner.required_secret("secret");
    let token = inner.secret("token");
    let token = unless_wrong(&inner, "token", token);
    inner.finish();
    Some(Proof { secret: secret?, token: token? })
}

fn time_zone(section: &mut Section<'_>) -> Option<TimeZone> {
    let name = section.string("time_zone");
    let name = unless_wrong(section, "time_zone", name)?;
    let name = name.as_deref().unwrap_or(DEFAULT_TIME_ZONE);
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        section.problem(
            "time_zone",
            format!("{name:?} is not a time zone; expected an IANA name such as Asia/Kolkata"),
        );
    }
    zone
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::de::DeTable;

    use super::*;
    use crate::config::{Problem, Source};

    fn read_text(text: &str) -> (Option<Settings>, Vec<Problem>) {
        let environment = |name: &str| (name == "MOB_TOKEN").then(|| "from-environment".to_owned());
        let source = Source::new(text, Path::new("."), &environment);
        let table = DeTable::parse(text).unwrap();
        let mut section = Section::new(&source, "vendors.m", 0, table.get_ref());
        let settings = read(&mut section);
        // As the caller does, with the keys that all vendors share.
        let _ = section.string("timeout");
        section.finish();
        (settings, source.into_problems())
    }

    #[test]
    fn a_token_is_enough() {
        let (settings, problems) =
            read_text("access_token = { env = \"MOB_TOKEN\" }\ntimeout = \"5s\"");
        let settings = settings.unwrap();
        assert_eq!(problems, []);
        assert_eq!(settings.base_url.as_str(), DEFAULT_BASE_URL);
        assert_eq!(settings.access_token.expose(), "from-environment");
        assert_eq!(settings.time_zone.iana_name(), Some("Asia/Kolkata"));
        assert!(settings.bridge.is_none() && settings.script.is_none());
        assert!(settings.webhook_id.is_none() && settings.callback.is_none());
    }

    #[test]
    fn everything_is_read_and_secrets_do_not_print() {
        let (settings, problems) = read_text(
            r#"
            base_url = "https://eu.cpaas.example.test/prefix/api/v2"
            access_token = "tok-4711"
            bridge = "+918000000001"
            flow_id = "77"
            webhook_id = "0b6f3f0e-1111-4222-8333-444455556666"
            callback = { secret = "sesame", token = "handshake" }
            time_zone = "Europe/Berlin"
            "#,
        );
        assert_eq!(problems, []);
        let settings = settings.unwrap();
        assert_eq!(settings.base_url.as_str(), "https://eu.cpaas.example.test/prefix/api/v2/");
        assert_eq!(settings.bridge.as_ref().unwrap().digits(), "918000000001");
        assert_eq!(settings.script, Some(Script::Flow("77".to_owned())));
        let callback = settings.callback.as_ref().unwrap();
        assert_eq!(callback.secret.expose(), "sesame");
        assert_eq!(callback.token.as_ref().unwrap().expose(), "handshake");
        let printed = format!("{settings:?}");
        for secret in ["tok-4711", "sesame", "handshake", "918000000001"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let (settings, problems) = read_text(
            "base_url = \"ftp://x\"\nbridge = \"desk\"\naudio = \"hello.wav\"\n\
             callback = { token = \"t\" }\ntime_zone = \"Mars/Olympus\"\nwebhok_id = \"x\"",
        );
        assert!(settings.is_none());
        let mut keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "vendors.m.access_token",
                "vendors.m.audio",
                "vendors.m.base_url",
                "vendors.m.bridge",
                "vendors.m.callback.secret",
                "vendors.m.time_zone",
                "vendors.m.webhok_id",
            ]
        );
    }

    #[test]
    fn one_wrong_key_gives_nothing() {
        for (wrong, key) in [
            ("flow_id = \"7\"\naudio = \"https://x.test/a.mp3\"", "vendors.m.audio"),
            ("flow_id = 7", "vendors.m.flow_id"),
            ("audio = \"\"", "vendors.m.audio"),
            ("webhook_id = \"\"", "vendors.m.webhook_id"),
            ("callback = \"x\"", "vendors.m.callback"),
            ("callback = { secret = \"s\", token = \"\" }", "vendors.m.callback.token"),
            ("callback = { secret = \"s\", tokn = \"t\" }", "vendors.m.callback.tokn"),
            ("time_zone = \"+05:30\"", "vendors.m.time_zone"),
        ] {
            let (settings, problems) = read_text(&format!("access_token = \"t\"\n{wrong}"));
            assert_eq!(problems.len(), 1, "{wrong}: {problems:?}");
            assert_eq!(problems[0].key, key);
            // A stray key is noted by whoever finishes; everything else stops here.
            assert!(settings.is_none() || wrong.contains("tokn"), "{wrong}");
        }
        let (settings, problems) = read_text("access_token = \"two words\"");
        assert!(settings.is_none());
        assert!(!problems[0].message.contains("two words"));
    }

    #[test]
    fn sounds_have_an_id_or_an_address() {
        for text in [
            "0b6f3f0e-1111-4222-8333-444455556666",
            "https://sounds.test/a.mp3?x=1",
            "http://127.0.0.1/a.wav",
        ] {
            assert!(is_audio(text), "{text}");
        }
        for text in [
            "",
            "a.mp3",
            "ftp://x.test/a.mp3",
            "https://",
            " https://x.test/a.mp3",
            "https://x.test/a b.mp3",
            "file:///etc/passwd",
            "0b6f3f0e111142228333444455556666",
        ] {
            assert!(!is_audio(text), "{text}");
        }
    }
}
