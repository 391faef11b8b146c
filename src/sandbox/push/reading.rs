//! Reads the settings from JSON. Nothing that is wrong is repeated in the reason: it
//! may be a secret.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{
    MobTextingBody, MobTextingWebhook, PhononBody, PhononWebhook, Pushing, Webhooks, post,
};

const PHONON_BODIES: [(&str, PhononBody); 4] = [
    ("dlr", PhononBody::Dlr),
    ("flow-end", PhononBody::FlowEnd),
    ("custom", PhononBody::Custom),
    ("custom-form", PhononBody::CustomForm),
];

const MOBTEXTING_BODIES: [(&str, MobTextingBody); 3] = [
    ("standard", MobTextingBody::Standard),
    ("composed", MobTextingBody::Composed),
    ("composed-form", MobTextingBody::ComposedForm),
];

/// Reads all settings; what is left out has its default.
pub(in crate::sandbox) fn read(
    settings: &Map<String, Value>,
) -> Result<(Webhooks, Pushing), String> {
    only(settings, "", &["phonon", "mobtexting", "knovvu", "pushing"])?;
    let webhooks = Webhooks {
        phonon: part(settings, "phonon")?.map(phonon).transpose()?,
        mobtexting: part(settings, "mobtexting")?.map(mobtexting).transpose()?,
        knovvu: flag(settings, "", "knovvu")?,
    };
    webhooks.check()?;
    Ok((webhooks, part(settings, "pushing")?.map(pushing).transpose()?.unwrap_or_default()))
}

impl Webhooks {
    /// Whether each address leads to this machine; only such are ever contacted.
    ///
    /// # Errors
    /// Which one doesn't.
    pub fn check(&self) -> Result<(), String> {
        if let Some(webhook) = &self.phonon {
            // What stands for the places changes neither host nor port; in those it is wrong.
            let check = |name: &str, url: &String| {
                let url = url.replace("{flow}", "AbCd1234").replace("{system}", "phonon");
                post::loopback(&url).map_err(|reason| format!("phonon.{name} {reason}"))
            };
            if !webhook.url.is_empty() || webhook.flows.is_empty() {
                check("url", &webhook.url)?;
            }
            for (flow, url) in &webhook.flows {
                check(&format!("flows.{flow}"), url)?;
            }
        }
        if let Some(webhook) = &self.mobtexting {
            post::loopback(&webhook.url).map_err(|reason| format!("mobtexting.url {reason}"))?;
        }
        Ok(())
    }
}

fn phonon(object: &Map<String, Value>) -> Result<PhononWebhook, String> {
    only(object, "phonon.", &["url", "flows", "user", "password", "body"])?;
    let text = |name| text(object, "phonon.", name);
    Ok(PhononWebhook {
        url: text("url")?,
        flows: flows(object)?,
        user: text("user")?,
        password: text("password")?,
        body: choice(object, "phonon.body", &PHONON_BODIES)?,
    })
}

fn flows(object: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let flows = part(object, "flows")?.into_iter().flatten();
    let text = |(flow, url): (&String, &Value)| Some((flow.clone(), url.as_str()?.to_owned()));
    flows.map(text).collect::<Option<_>>().ok_or_else(|| "phonon.flows is no map of texts".into())
}

fn mobtexting(object: &Map<String, Value>) -> Result<MobTextingWebhook, String> {
    only(object, "mobtexting.", &["url", "secret", "token", "body"])?;
    let text = |name| text(object, "mobtexting.", name);
    Ok(MobTextingWebhook {
        url: text("url")?,
        secret: text("secret")?,
        token: text("token")?,
        body: choice(object, "mobtexting.body", &MOBTEXTING_BODIES)?,
    })
}

fn pushing(object: &Map<String, Value>) -> Result<Pushing, String> {
    const NAMES: [&str; 7] =
        ["delay_ms", "times", "reordered", "early", "concurrency", "retries", "retry_after_ms"];
    only(object, "pushing.", &NAMES)?;
    let default = Pushing::default();
    let ms = |name, default: Duration| {
        let ms = number(object, name)?;
        Ok::<_, String>(ms.map_or(default, |ms| Duration::from_millis(ms.into())))
    };
    let concurrency = number(object, "concurrency")?.and_then(|number| number.try_into().ok());
    Ok(Pushing {
        delay: ms("delay_ms", default.delay)?,
        times: number(object, "times")?.unwrap_or(default.times),
        reordered: flag(object, "pushing.", "reordered")?,
        early: flag(object, "pushing.", "early")?,
        concurrency: concurrency.unwrap_or(default.concurrency),
        retries: number(object, "retries")?.unwrap_or(default.retries),
        retry_after: ms("retry_after_ms", default.retry_after)?,
    })
}

fn only(object: &Map<String, Value>, path: &str, names: &[&str]) -> Result<(), String> {
    if object.keys().all(|name| names.contains(&name.as_str())) {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| format!("{path}{name}")).collect();
    Err(format!("an unknown field; there are {}", names.join(", ")))
}

/// Null is as good as left out.
fn part<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(part)) => Ok(Some(part)),
        Some(_) => Err(format!("{name} is no object")),
    }
}

fn text(object: &Map<String, Value>, path: &str, name: &str) -> Result<String, String> {
    match object.get(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{path}{name} is no text")),
    }
}

fn flag(object: &Map<String, Value>, path: &str, name: &str) -> Result<bool, String> {
    match object.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("{path}{name} is neither true nor false")),
    }
}

fn number(object: &Map<String, Value>, name: &str) -> Result<Option<u32>, String> {
    let Some(value) = object.get(name) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.map(Some).ok_or_else(|| format!("pushing.{name} is no number from 0 to {}", u32::MAX))
}

/// The field named last in `path`: one of some words.
fn choice<T: Copy + Default>(
    object: &Map<String, Value>,
    path: &str,
    words: &[(&str, T)],
) -> Result<T, String> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let Some(value) = object.get(name) else { return Ok(T::default()) };
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("{path} is none of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_with_settings() {
        for (settings, reason) in [
            (json!({ "x": 1 }), "an unknown field; there are phonon, mobtexting, knovvu, pushing"),
            (json!({ "knovvu": 1 }), "knovvu is neither true nor false"),
            (json!({ "phonon": [] }), "phonon is no object"),
            (json!({ "phonon": {} }), "phonon.url is no address"),
            (json!({ "phonon": { "password": 7 } }), "phonon.password is no text"),
            (
                json!({ "phonon": { "url": "http://127.0.0.1/", "body": "x" } }),
                "phonon.body is none of dlr, flow-end, custom, custom-form",
            ),
            (
                json!({ "mobtexting": { "url": "http://example.test/" } }),
                "mobtexting.url is not on this machine (127.0.0.1, ::1 or localhost)",
            ),
            (
                json!({ "pushing": { "times": -1 } }),
                "pushing.times is no number from 0 to 4294967295",
            ),
            (json!({ "pushing": { "early": 1 } }), "pushing.early is neither true nor false"),
        ] {
            assert_eq!(read(settings.as_object().unwrap()), Err(reason.to_owned()), "{settings}");
        }
    }

    #[test]
    fn all_settings_are_read() {
        let settings = json!({
            "phonon": {
                "url": "http://127.0.0.1:1/{system}/{flow}",
                "user": "u",
                "password": "p",
                "body": "custom-form",
            },
            "mobtexting": {
                "url": "http://[::1]:1/",
                "secret": "s",
                "token": "t",
                "body": "standard",
            },
            "knovvu": true,
            "pushing": {
                "delay_ms": 5, "times": 2, "reordered": true, "early": true,
                "concurrency": 3, "retries": 0, "retry_after_ms": 7,
            },
        });
        let (webhooks, pushing) = read(settings.as_object().unwrap()).unwrap();
        let phonon = webhooks.phonon.unwrap();
        assert_eq!((phonon.user.as_str(), phonon.body), ("u", PhononBody::CustomForm));
        let mobtexting = webhooks.mobtexting.unwrap();
        assert_eq!((mobtexting.token.as_str(), mobtexting.body), ("t", MobTextingBody::Standard));
        assert!(webhooks.knovvu);
        let expected = Pushing {
            delay: Duration::from_millis(5),
            times: 2,
            reordered: true,
            early: true,
            concurrency: 3,
            retries: 0,
            retry_after: Duration::from_millis(7),
        };
        assert_eq!(pushing, expected);
        assert_eq!(read(&Map::new()), Ok((Webhooks::default(), Pushing::default())));
    }

    proptest! {
        #[test]
        fn an_address_never_panics(url: String) {
            let settings = json!({ "phonon": { "url": url }, "mobtexting": { "url": url } });
            let _ = read(settings.as_object().unwrap());
        }
    }
}
