//! The keys of a Phonon account (contract 5), checked.

use url::Url;

use super::{
    callback::Login,
    encryption::{Encryption, Padding},
};
use crate::config::{Secret, Section};

/// What an operator says of an account.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) lane: Lane,
    /// Where calls are placed, in full.
    pub(super) create_url: Url,
    /// 64 letters and digits.
    pub(super) security_id: Secret,
    /// The flow of calls that name none: 8 letters and digits.
    pub(super) flow_id: Option<String>,
    pub(super) api_version: ApiVersion,
    /// Set when requests are encrypted (E4, E5 of phonon.md 1).
    pub(super) encryption: Option<Encryption>,
    /// Set when the vendor can be asked for results.
    pub(super) results: Option<Pull>,
    /// The vendor refuses what it has taken before, byte for byte.
    pub(super) duplicate_check: bool,
    /// Set when the vendor has to authenticate when it posts results.
    pub(super) callback: Option<Login>,
}

/// Which of the vendor's products takes the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Outbound,
    Dialer,
    Multicast,
}

/// How calls get to the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// An answer names each call.
    Realtime,
    /// An answer names the request only (phonon.md 3b).
    Bulk,
}

/// Which version of a flow runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiVersion {
    /// The one in production.
    Production,
    /// The one being tested.
    Test,
}

impl ApiVersion {
    /// As requests have it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Production => "1.0",
            Self::Test => "TEST",
        }
    }
}

/// The pull API (phonon.md 5a). Prints without the address, whose query may hold a secret.
pub(super) struct Pull {
    /// In full: the vendor tells it to each customer.
    pub(super) url: Url,
    pub(super) version: PullVersion,
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.host_str();
        f.debug_struct("Pull").field("host", &host).field("version", &self.version).finish()
    }
}

/// A version of the pull API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PullVersion {
    /// Protected by the address alone.
    V1,
    /// With the credential and the flow in the body.
    V2,
}

/// Whether a text can be a flow: 8 letters and digits (phonon.md 2a).
pub(super) fn is_flow_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl Settings {
    /// Reads the section. Every mistake is reported to it.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let product = product(section);
        let lane = lane(section, product);
        let security_id = security_id(section);
        let flow_id = flow_id(section);
        let api_version = api_version(section, product);
        let encryption = encryption(section, product);
        let create_url = create_url(section, product, lane, section.has("encryption"));
        let results = results(section, lane);
        let duplicate_check = duplicate_check(section, lane);
        let callback = callback(section);
        Some(Self {
            lane: lane?,
            create_url: create_url?,
            security_id: security_id?,
            flow_id: flow_id?,
            api_version: api_version?,
            encryption: encryption?,
            results: results?,
            duplicate_check: duplicate_check?,
            callback: callback?,
        })
    }
}

// Each of these gives nothing when there was a mistake, and an inner none when the key
// is not there.

fn product(section: &mut Section<'_>) -> Option<Product> {
    if !section.has("product") {
        section.missing("product", "\"outbound\", \"dialer\" or \"multicast\"");
    }
    section.choice(
        "product",
        &[
            ("outbound", Product::Outbound),
            ("dialer", Product::Dialer),
            ("multicast", Product::Multicast),
        ],
    )
}

fn lane(section: &mut Section<'_>, product: Option<Product>) -> Option<Lane> {
    let given = section.has("lane");
    let lane = section.choice("lane", &[("realtime", Lane::Realtime), ("bulk", Lane::Bulk)]);
    match product {
        Some(Product::Outbound | Product::Dialer) if given => {
            section.problem("lane", "only product = \"multicast\" has lanes; leave the key out");
            None
        }
        _ if given => lane,
        _ => Some(Lane::Realtime),
    }
}

fn security_id(section: &mut Section<'_>) -> Option<Secret> {
    let secret = section.required_secret("security_id")?;
    let text = secret.expose();
    let count = text.chars().count();
    // The text itself must not get into a message.
    if count != 64 {
        section.problem(
            "security_id",
            format!("has {count} characters; expected the 64 letters and digits of the portal's edit-flow page"),
        );
        return None;
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        section.problem(
            "security_id",
            "has characters other than letters and digits; expected the 64 of the portal's edit-flow page",
        );
        return None;
    }
    Some(secret)
}

fn flow_id(section: &mut Section<'_>) -> Option<Option<String>> {
    let given = section.has("flow_id");
    let flow = section.string("flow_id");
    if !given {
        return Some(None);
    }
    let flow = flow?;
    if !is_flow_id(&flow) {
        section.problem(
            "flow_id",
            format!("is {flow:?}; expected 8 letters and digits, such as \"AbCd1234\""),
        );
        return None;
    }
    Some(Some(flow))
}

fn api_version(section: &mut Section<'_>, product: Option<Product>) -> Option<ApiVersion> {
    let given = section.has("api_version");
    let version = section
        .choice("api_version", &[("1.0", ApiVersion::Production), ("TEST", ApiVersion::Test)]);
    if version == Some(ApiVersion::Test) && product == Some(Product::Multicast) {
        section.problem(
            "api_version",
            "product = \"multicast\" has no testing version; expected \"1.0\", or leave the key out",
        );
        return None;
    }
    if given { version } else { Some(ApiVersion::Production) }
}

fn encryption(section: &mut Section<'_>, product: Option<Product>) -> Option<Option<Encryption>> {
    let given = section.has("encryption");
    let inner = section.section("encryption");
    if !given {
        return Some(None);
    }
    let mut inner = inner?;
    if product == Some(Product::Multicast) {
        section.problem(
            "encryption",
            "product = \"multicast\" takes no encrypted requests; leave the key out",
        );
    }
    if !inner.has("public_key_file") {
        inner.missing("public_key_file", "the path of the flow's public_key.pem");
    }
    let pem = inner.file("public_key_file");
    let padding_given = inner.has("padding");
    let padding =
        inner.choice("padding", &[("pkcs1v15", Padding::Pkcs1v15), ("oaep", Padding::Oaep)]);
    let padding = if padding_given { padding } else { Some(Padding::Pkcs1v15) };
    // A file that is no key is told of even when the padding is wrong.
    let encryption = pem.and_then(|pem| {
        Encryption::new(&pem, padding.unwrap_or(Padding::Pkcs1v15))
            .map_err(|error| inner.problem("public_key_file", error))
            .ok()
    });
    inner.finish();
    padding?;
    encryption.map(Some).filter(|_| product != Some(Product::Multicast))
}

/// Known of real-time requests, and open for bulk ones (phonon.md 6.5).
fn duplicate_check(section: &mut Section<'_>, lane: Option<Lane>) -> Option<bool> {
    let given = section.has("duplicate_check");
    let checks = section.boolean("duplicate_check");
    if given { checks } else { Some(lane == Some(Lane::Realtime)) }
}

fn create_url(
    section: &mut Section<'_>,
    product: Option<Product>,
    lane: Option<Lane>,
    encrypted: bool,
) -> Option<Url> {
    let (base_given, path_given) = (section.has("base_url"), section.has("path"));
    let base = section.url("base_url");
    let is_bulk_host = base.as_ref().and_then(Url::host_str) == Some(BULK_HOST);
    if is_bulk_host && lane == Some(Lane::Realtime) {
        // It answers 202 without ids, which is an error everywhere else (phonon.md 6.1).
        section.problem(
            "base_url",
            format!(
                "is the host of the bulk lane, {BULK_HOST}; set product = \"multicast\" and \
                 lane = \"bulk\", or use https://central.phonon.io"
            ),
        );
        return None;
    }
    let path = section.string("path");
    let path = match path {
        Some(path) if path.starts_with('/') && !path.contains(['?', '#']) => Some(path),
        Some(path) => {
            section.problem(
                "path",
                format!(
                    "is {path:?}; expected a path such as \"/kairos-apis/outbound/create\", without a query"
                ),
            );
            None
        }
        None if path_given => None,
        None => product.map(|product| default_path(product, encrypted).to_owned()),
    };
    let base = match base {
        Some(base) => Some(base),
        None if base_given => None,
        None => lane.and_then(|lane| Url::parse(default_base(lane)).ok()),
    };
    let (mut url, path) = (base?, path?);
    // A base address may have a path of its own: what is behind a proxy.
    let full = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&full);
    Some(url)
}

/// The host of the bulk lane (phonon.md 1).
const BULK_HOST: &str = "central-api.phonon.io";

/// The hosts of phonon.md 1.
fn default_base(lane: Lane) -> &'static str {
    match lane {
        Lane::Realtime => "https://central.phonon.io",
        Lane::Bulk => "https://central-api.phonon.io",
    }
}

/// The paths of phonon.md 1.
fn default_path(product: Product, encrypted: bool) -> &'static str {
    match (product, encrypted) {
        (Product::Outbound | Product::Multicast, false) => "/kairos-apis/outbound/create",
        (Product::Outbound | Product::Multicast, true) => "/kairos-apis/enc/outbound/create",
        (Product::Dialer, false) => "/kairos-apis/outbounddialer/create",
        (Product::Dialer, true) => "/kairos-apis/enc/outbounddialer/create",
    }
}

fn results(section: &mut Section<'_>, lane: Option<Lane>) -> Option<Option<Pull>> {
    let given = section.has("results");
    let inner = section.section("results");
    if !given {
        return Some(None);
    }
    let mut inner = inner?;
    if lane == Some(Lane::Bulk) {
        section.problem(
            "results",
            "the bulk lane gives no ids to ask about; leave the key out and let the vendor post results",
        );
    }
    if !inner.has("url") {
        inner.missing(
            "url",
            "the full address of the pull API, which the vendor tells its customers",
        );
    }
    // A private address, given in full: what it needs besides a path is its own business.
    let url = inner.url_with_query("url");
    let version = pull_version(&mut inner);
    inner.finish();
    let pull = Pull { url: url?, version: version? };
    (lane != Some(Lane::Bulk)).then_some(Some(pull))
}

fn pull_version(section: &mut Section<'_>) -> Option<PullVersion> {
    const WORDS: &[(&str, PullVersion)] = &[
        ("v1", PullVersion::V1),
        ("v2", PullVersion::V2),
        ("1", PullVersion::V1),
        ("2", PullVersion::V2),
    ];
    if section.is_string("version") {
        return section.choice("version", WORDS);
    }
    let given = section.has("version");
    match section.integer("version", 1..=2) {
        Some(1) => Some(PullVersion::V1),
        Some(_) => Some(PullVersion::V2),
        // The newest.
        None => (!given).then_some(PullVersion::V2),
    }
}

fn callback(section: &mut Section<'_>) -> Option<Option<Login>> {
    let given = section.has("callback");
    let inner = section.section("callback");
    if !given {
        return Some(None);
    }
    let mut inner = inner?;
    let user = inner.required_string("user", "the user the vendor authenticates as");
    // HTTP basic can't carry it (RFC 7617).
    let user = user.filter(|user| {
        let fine = !user.contains(|c: char| c == ':' || c.is_control());
        if !fine {
            inner.problem(
                "user",
                "has a colon or a control character, which HTTP basic can't carry",
            );
        }
        fine
    });
    let password = inner.required_secret("password");
    inner.finish();
    Some(Some(Login { user: Secret::new(user?), password: password? }))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
