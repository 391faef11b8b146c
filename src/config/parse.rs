//! The whole file: from text to [`Config`], or to every mistake in it.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

use super::{
    Config, ConfigError, Origins, Problem, Problems, Route, Section, Source, VendorConfig, callers,
    file, listen,
    route::{self, Vendors},
    vendor,
};
use crate::vendors::{REGISTRY, Registration};

/// The largest configuration, in MiB.
const LARGEST: u64 = 16;
const LEDGER: &str = "sqlite:dialplane.db";
const DAY: Duration = Duration::from_secs(86_400);
/// How long what is over is kept.
const RETAIN: Duration = Duration::from_secs(30 * 86_400);

impl Config {
    /// Reads a configuration file. Relative paths in it start at its directory, but for
    /// the ledger's, which starts at the working directory.
    ///
    /// # Errors
    /// When the file can't be read, and with every mistake in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with_files(path).0
    }

    /// The same, and the files that it was read from or that it names, whether they are there
    /// or not: when one of them changes, it may read otherwise.
    pub fn load_with_files(path: &Path) -> (Result<Self, ConfigError>, Vec<PathBuf>) {
        let (config, files, _) = Self::load_all(path);
        (config, files)
    }

    /// As [`Config::load`], and what of it the file says, and where its secrets are.
    ///
    /// # Errors
    /// When the file can't be read, and with every mistake in it.
    pub fn load_with_origins(path: &Path) -> Result<(Self, Origins), ConfigError> {
        let (config, _, origins) = Self::load_all(path);
        config.map(|config| (config, origins))
    }

    fn load_all(path: &Path) -> (Result<Self, ConfigError>, Vec<PathBuf>, Origins) {
        let (mut files, mut origins) = (vec![path.to_owned()], Origins::default());
        let bytes = match file::read(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = ConfigError::Unreadable { path: path.to_owned(), error };
                return (Err(error), files, origins);
            }
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        let config = match String::from_utf8(bytes) {
            Ok(text) => {
                let environment = |name: &str| env::var(name).ok();
                let (config, named, noted) = read_text(REGISTRY, &text, directory, &environment);
                files.extend(named);
                origins = noted;
                config
            }
            Err(error) => Err(Problems::new(vec![not_text(&error)])),
        };
        (config.map_err(|problems| ConfigError::Wrong(problems.of_file(path))), files, origins)
    }

    /// Reads a configuration. `directory` is where relative paths start, `environment`
    /// looks up variables.
    ///
    /// # Errors
    /// With every mistake in it.
    pub fn parse(
        text: &str,
        directory: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        Self::parse_with(REGISTRY, text, directory, environment)
    }

    /// As [`Config::parse`], with other kinds of vendors.
    ///
    /// # Errors
    /// With every mistake in it.
    pub fn parse_with(
        registry: &[Registration],
        text: &str,
        directory: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        read_text(registry, text, directory, environment).0
    }
}

/// The configuration, the files that it names, and what it says itself.
fn read_text(
    registry: &[Registration],
    text: &str,
    directory: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Result<Config, Problems>, Vec<PathBuf>, Origins) {
    let source = Source::new(text, directory, environment);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        source.note(at, "", error.message());
    }
    let root = Section::new(&source, "", 0, table.get_ref());
    let config = read(registry, &source, root);
    let (files, origins) = (source.files(), source.origins.take());
    let problems = source.into_problems();
    let config = if problems.is_empty() { Ok(config) } else { Err(Problems::new(told(problems))) };
    (config, files, origins)
}

fn not_text(error: &std::string::FromUtf8Error) -> Problem {
    let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
    Problem {
        line: good.iter().filter(|byte| **byte == b'\n').count() + 1,
        key: String::new(),
        message: "is not UTF-8 text".to_owned(),
    }
}

// What a broken line means is anybody's guess: only its syntax is told, and nothing is
// called missing that it may have held.
fn told(mut problems: Vec<Problem>) -> Vec<Problem> {
    let is_syntax = |problem: &Problem| problem.key.is_empty();
    let broken: Vec<usize> =
        problems.iter().filter(|p| is_syntax(p)).map(|problem| problem.line).collect();
    if !broken.is_empty() {
        problems.retain(|problem| {
            is_syntax(problem) || !(problem.is_missing() || broken.contains(&problem.line))
        });
    }
    problems
}

fn read(registry: &[Registration], source: &Source<'_>, mut root: Section<'_>) -> Config {
    let knows_callers = root.has("callers");
    let server = listen::read(root.section("server"), knows_callers);
    let (ledger, retain) = ledger(root.section("ledger"));

    let sections = named(&mut root, "vendors", "at least one [vendors.NAME] section");
    let mut vendors: BTreeMap<String, VendorConfig> = BTreeMap::new();
    let mut declared = Vec::with_capacity(sections.len());
    for (name, section) in sections {
        if let Some(vendor) = vendor::read(registry, source, &name, section) {
            vendors.insert(name.clone(), vendor);
        }
        declared.push(name);
    }

    let known = Vendors { declared: declared.iter().map(String::as_str).collect(), read: &vendors };
    let sections = named(&mut root, "routes", "at least one [routes.NAME] section");
    let routes: BTreeMap<String, Route> = sections
        .into_iter()
        .map(|(name, section)| {
            let route = route::read(&known, &name, section);
            (name, route)
        })
        .collect();
    let names = routes.keys().map(String::as_str).collect();
    let knows_clients = server.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let callers = callers::read(root.section("callers"), &names, knows_clients);
    root.finish();
    Config { server, ledger, retain, vendors, routes, callers }
}

fn named<'a>(
    root: &mut Section<'a>,
    key: &'static str,
    expected: &str,
) -> Vec<(String, Section<'a>)> {
    if !root.has(key) {
        root.missing(key, expected);
    }
    let Some(section) = root.section(key) else { return Vec::new() };
    if section.is_empty() {
        root.problem(key, format!("is empty; expected {expected}"));
    }
    section.sections()
}

fn ledger(section: Option<Section<'_>>) -> (String, Duration) {
    let Some(mut section) = section else { return (LEDGER.to_owned(), RETAIN) };
    let url = section.string("url").unwrap_or_else(|| LEDGER.to_owned());
    let path = url.strip_prefix("sqlite:");
    // Two slashes may mean a host, a relative or an absolute path, depending on whom one
    // asks; the file must not land where nobody looks for it.
    if !path.is_some_and(|path| {
        path == ":memory:"
            || !path.is_empty()
                && !path.starts_with("//")
                && !path.starts_with(':')
                && !path.ends_with('/')
                && !path.contains(['\0', '?'])
    }) {
        // Another database's address may hold a password: it is not repeated.
        section.problem(
            "url",
            "names no ledger; expected sqlite:PATH, such as sqlite:/var/lib/dialplane/ledger.db, \
             or sqlite::memory:",
        );
    }
    // A request id is remembered for as long: callers may repeat a request for a day.
    let retain = section.duration("retain", DAY..=3_650 * DAY).unwrap_or(RETAIN);
    section.finish();
    (url, retain)
}

/// Notes a name that can't stand in an address or on a command line.
pub(super) fn check_name(section: &Section<'_>, name: &str) {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !plain || !(1..=63).contains(&name.len()) {
        section.problem_here("has a wrong name; expected 1 to 63 letters, digits, - and _");
    }
}
