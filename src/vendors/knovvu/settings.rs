//! Knovvu's keys of the configuration.

use std::fmt;

use url::Url;

use super::callback::PathToken;
use crate::{
    call::{CallerId, E164},
    config::{Secret, Section},
};

/// An account: a project of a tenant, and the installation that dials for it.
#[derive(Debug)]
pub struct Settings {
    /// Scheme, host, port, with a slash at its end. The vendor's page writes port
    /// 22222; nothing is added to what is configured.
    pub base_url: Url,
    /// The project's name.
    pub project: String,
    /// The tenant's name.
    pub tenant: String,
    /// Where the access token comes from.
    pub access: Access,
    /// The scenario, when a call names none.
    pub scenario_path: Option<String>,
    /// The orchestrator's address, as configured.
    pub orchestrator_url: String,
    /// Shown when a call names none.
    pub display_number: Option<CallerId>,
    /// Of the conversation, when a call names none.
    pub locale: Option<String>,
    /// Where the vendor posts results. Hidden like a credential, for the gateway's own
    /// callback address has one in its path.
    pub result_destination: Option<Secret>,
    /// The token in it, when it is an address of this gateway's.
    pub callback: Option<PathToken>,
    /// What the `Project` header holds.
    pub project_header: ProjectHeader,
    /// How numbers are written.
    pub number_format: NumberFormat,
}

/// Where the access token comes from (knovvu.md 6.4).
#[derive(Debug)]
pub enum Access {
    /// It is configured.
    Static(Secret),
    /// It is fetched, with client credentials.
    OAuth(Client),
}

/// A client of the identity server (knovvu.md 1, K3).
#[derive(Debug)]
pub struct Client {
    /// With a slash at its end.
    pub identity_url: Url,
    /// Its id.
    pub id: String,
    /// Its password.
    pub secret: Secret,
    /// What it asks for; which one calls need is not documented.
    pub scope: Option<String>,
}

/// What the `Project` header holds: the sample sends it empty, which may be a left-over
/// (knovvu.md 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectHeader {
    /// The project's name.
    Name,
    /// Nothing.
    Empty,
    /// There is no such header.
    None,
}

/// How numbers are written: the vendor gives no rule (knovvu.md 6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberFormat {
    /// Country code and number, digits only.
    Digits,
    /// The same with a "+" in front.
    E164,
    /// As within one country: without its code, with a prefix.
    National {
        /// The country code.
        country: String,
        /// What is dialled in front instead; may be empty.
        prefix: String,
    },
}

impl NumberFormat {
    /// Writes a number. None when it belongs to another country.
    pub fn write(&self, number: &E164) -> Option<String> {
        match self {
            Self::Digits => Some(number.digits().to_owned()),
            Self::E164 => Some(number.plus()),
            Self::National { country, prefix } => {
                let rest = number.digits().strip_prefix(country.as_str())?;
                (!rest.is_empty()).then(|| format!("{prefix}{rest}"))
            }
        }
    }
}

impl fmt::Display for NumberFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("country code and digits"),
            Self::E164 => f.write_str("\"+\", country code and digits"),
            Self::National { country, .. } => write!(f, "a number of country +{country}"),
        }
    }
}

/// Reads the keys; nothing when one was wrong.
pub fn read(section: &mut Section<'_>) -> Option<Settings> {
    let base_url = required_url(section, "base_url", "https://va.example.com:22222");
    let project = section.required_string("project", "the project's name");
    let tenant = section.string("tenant");
    let tenant = unless_wrong(section, "tenant", tenant);
    let access = access(section);
    let scenario_path = section.string("scenario_path");
    let scenario_path = unless_wrong(section, "scenario_path", scenario_path);
    let orchestrator_url = orchestrator_url(section);
    let display_number = section.parsed("display_number");
    let display_number = unless_wrong(section, "display_number", display_number);
    let locale = locale(section);
    let locale = unless_wrong(section, "locale", locale);
    let result_destination = result_destination(section);
    let result_destination = unless_wrong(section, "result_destination", result_destination);
    let project_header = project_header(section, project.as_deref());
    let number_format = number_format(section);
    let number_format = unless_wrong(section, "number_format", number_format);
    let (result_destination, callback) = result_destination?.unzip();
    Some(Settings {
        base_url: base_url?,
        project: project?,
        tenant: tenant?.unwrap_or_else(|| "Default".to_owned()),
        access: access?,
        scenario_path: scenario_path?,
        orchestrator_url: orchestrator_url?,
        display_number: display_number?,
        locale: locale?,
        result_destination,
        callback: callback.flatten(),
        project_header: project_header?,
        number_format: number_format?.unwrap_or(NumberFormat::Digits),
    })
}

/// Nothing when the key is there and its value was wrong, which is noted already.
fn unless_wrong<T>(section: &Section<'_>, key: &str, value: Option<T>) -> Option<Option<T>> {
    (value.is_some() || !section.has(key)).then_some(value)
}

/// An address that paths are added to.
fn required_url(section: &mut Section<'_>, key: &'static str, example: &str) -> Option<Url> {
    if !section.has(key) {
        section.missing(key, &format!("an address such as {example}"));
    }
    let mut url = section.url(key)?;
    // Without it the last part of the path would be replaced, not added to.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

fn access(section: &mut Section<'_>) -> Option<Access> {
    let token = section.secret("access_token");
    let token = unless_wrong(section, "access_token", token);
    let client = client(section);
    let client = unless_wrong(section, "oauth", client);
    match (token?, client?) {
        (Some(token), None) => Some(Access::Static(token)),
        (None, Some(client)) => Some(Access::OAuth(client)),
        (Some(_), Some(_)) => {
            section.problem("oauth", "contradicts access_token; expected one of the two");
            None
        }
        (None, None) => {
            section.missing(
                "access_token",
                "a string, { env = \"NAME\" } or { file = \"path\" }, or oauth instead",
            );
            None
        }
    }
}

fn client(section: &mut Section<'_>) -> Option<Client> {
    let mut inner = section.section("oauth")?;
    let identity_url = required_url(&mut inner, "identity_url", "https://identity.va.example.com");
    let id = inner.required_string("client_id", "the client's id");
    let secret = inner.required_secret("client_secret");
    let scope = inner.string("scope");
    let scope = unless_wrong(&inner, "scope", scope);
    inner.finish();
    Some(Client { identity_url: identity_url?, id: id?, secret: secret?, scope: scope? })
}

/// Sent as it is configured: an address that is read and written again may differ by a
/// slash.
fn orchestrator_url(section: &mut Section<'_>) -> Option<String> {
    const KEY: &str = "orchestrator_url";
    if !section.has(KEY) {
        section.missing(KEY, "an address such as https://orchestrator.example.com");
    }
    section.url(KEY)?;
    section.string(KEY)
}

fn locale(section: &mut Section<'_>) -> Option<String> {
    let locale = section.string("locale")?;
    let is_tag = (2..=35).contains(&locale.len())
        && locale.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_tag {
        section.problem(
            "locale",
            format!("{locale:?} is not a language tag; expected one such as tr-TR"),
        );
        return None;
    }
    Some(locale)
}

/// The address, and the token in it when it is one of this gateway's. It gets into no
/// message.
fn result_destination(section: &mut Section<'_>) -> Option<(Secret, Option<PathToken>)> {
    const KEY: &str = "result_destination";
    let text = section.string(KEY)?;
    let is_plain = text.contains("://")
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url.filter(|_| is_plain) else {
        section.problem(KEY, "is not an http or https address");
        return None;
    };
    match PathToken::of(&url) {
        Ok(token) => Some((Secret::new(text), token)),
        Err(problem) => {
            section.problem(KEY, problem.to_string());
            None
        }
    }
}

fn project_header(section: &mut Section<'_>, project: Option<&str>) -> Option<ProjectHeader> {
    const KEY: &str = "project_header";
    let choices = [
        ("name", ProjectHeader::Name),
        ("empty", ProjectHeader::Empty),
        ("none", ProjectHeader::None),
    ];
    let choice = section.choice(KEY, &choices);
    let choice = unless_wrong(section, KEY, choice)?.unwrap_or(ProjectHeader::Name);
    let fits =
        |name: &str| name.trim() == name && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if choice == ProjectHeader::Name && project.is_some_and(|name| !fits(name)) {
        section.problem(
            KEY,
            "the project's name has characters that a header can't hold; expected \"empty\" or \
             \"none\"",
        );
        return None;
    }
    Some(choice)
}

fn number_format(section: &mut Section<'_>) -> Option<NumberFormat> {
    const KEY: &str = "number_format";
    if !section.is_table(KEY) {
        // false is digits, true is with "+".
        let plus = section.choice(KEY, &[("digits", false), ("e164", true)])?;
        return Some(if plus { NumberFormat::E164 } else { NumberFormat::Digits });
    }
    let mut inner = section.section(KEY)?;
    let country = inner.required_string("national", "a country code such as \"90\"");
    let prefix = inner.string("prefix");
    let prefix = unless_wrong(&inner, "prefix", prefix);
    let is_code = |text: &str| {
        (1..=3).contains(&text.len())
            && !text.starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit())
    };
    let country = country.filter(|text| {
        let fits = is_code(text);
        if !fits {
            inner.problem("national", format!("{text:?} is not a country code such as \"90\""));
        }
        fits
    });
    let prefix = prefix.filter(|prefix| {
        let fits = prefix
            .as_deref()
            .is_none_or(|text| text.len() <= 8 && text.bytes().all(|b| b.is_ascii_digit()));
        if !fits {
            inner.problem("prefix", "expected up to 8 digits, such as \"0\"");
        }
        fits
    });
    inner.finish();
    Some(NumberFormat::National { country: country?, prefix: prefix?.unwrap_or_default() })
}

#[cfg(test)]
mod tests;
