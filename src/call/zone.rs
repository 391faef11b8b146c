//! In which time zones a number may be: by its first digits, from libphonenumber's
//! metadata (`third_party/libphonenumber`).

use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::E164;

const METADATA: &str = include_str!("../../third_party/libphonenumber/time_zones.txt");

/// The longest prefix that the table can hold, in digits.
const LONGEST: usize = 9;

/// Read when the first number is looked up, once.
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(METADATA));

/// The time zones in which a number may be: at least one, each once. Looking them up
/// allocates nothing.
#[derive(Clone, Copy)]
pub struct NumberZones {
    zones: &'static [Zone],
    indexes: &'static [u16],
}

impl NumberZones {
    /// Those of the number's country or region: of the longest prefix that is known. None
    /// where nothing is known of it (satellite and international networks, such as +800 and
    /// +870).
    pub fn of(number: &E164) -> Option<Self> {
        let table = LazyLock::force(&TABLE);
        let indexes = table.find(number.digits())?;
        let found = Self { zones: &table.zones, indexes };
        // Half of the zones would be worse than none: the other half may be asleep.
        found.zones().all(|zone| zone.resolve().is_some()).then_some(found)
    }

    fn zones(self) -> impl Iterator<Item = &'static Zone> {
        self.indexes.iter().filter_map(move |index| self.zones.get(usize::from(*index)))
    }

    /// The zones, in no order.
    pub fn iter(self) -> impl Iterator<Item = &'static TimeZone> {
        self.zones().filter_map(Zone::resolve)
    }

    /// Their IANA names, as the metadata spells them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.zones().map(|zone| zone.name)
    }
}

/// The time zone of an IANA name: from the system's database, which may be newer, or else
/// from the one that is built in, which knows the old names as well.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let built_in = TimeZoneDatabase::bundled().get(name).ok();
    // Other files of the system are no names of zones that mean the same anywhere else:
    // `localtime`, `posixrules`, `right/Asia/Kolkata`.
    let is_place = |name: &str| name.contains('/') && name.starts_with(char::is_uppercase);
    let may_be_newer = built_in.is_some() || is_place(name);
    let newest = may_be_newer.then(|| TimeZone::get(name).ok()).flatten();
    let zone = newest.or(built_in);
    // `Etc/Unknown` would do as UTC does.
    zone.filter(|zone| !zone.is_unknown())
}

/// The IANA names that [`time_zone`] knows in any case.
pub fn time_zone_names() -> Vec<String> {
    let database = TimeZoneDatabase::bundled();
    let names = database.available().map(|name| name.to_string());
    names.filter(|name| name != "Etc/Unknown").collect()
}

struct Zone {
    name: &'static str,
    found: OnceLock<Option<TimeZone>>,
}

impl Zone {
    fn resolve(&self) -> Option<&TimeZone> {
        self.found.get_or_init(|| time_zone(self.name)).as_ref()
    }
}

struct Table {
    zones: Vec<Zone>,
    /// Prefixes as numbers, rising: none begins with 0. Each with its list.
    prefixes: Vec<(u32, u16)>,
    /// Lists of indexes of `zones`.
    lists: Vec<Vec<u16>>,
}

impl Table {
    /// Reads lines of `PREFIX|ZONE&ZONE` and `PREFIX|=PREFIX`. What has another form is
    /// passed over; a test makes sure that nothing has.
    fn read(text: &'static str) -> Self {
        let mut table = Self { zones: Vec::new(), prefixes: Vec::new(), lists: Vec::new() };
        let mut by_name: HashMap<&str, u16> = HashMap::new();
        let mut by_prefix: HashMap<&str, u16> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((prefix, rest)) = line.split_once('|') else { continue };
            let list = match rest.strip_prefix('=') {
                Some(same) => by_prefix.get(same).copied(),
                None => {
                    let indexes = rest.split('&').filter_map(|name| {
                        if let Some(index) = by_name.get(name) {
                            return Some(*index);
                        }
                        let index = u16::try_from(table.zones.len()).ok()?;
                        table.zones.push(Zone { name, found: OnceLock::new() });
                        by_name.insert(name, index);
                        Some(index)
                    });
                    table.lists.push(indexes.collect());
                    u16::try_from(table.lists.len() - 1).ok()
                }
            };
            let (Some(list), Some(key)) = (list, key(prefix)) else { continue };
            by_prefix.insert(prefix, list);
            table.prefixes.push((key, list));
        }
        table.prefixes.sort_unstable();
        table
    }

    fn find(&self, digits: &str) -> Option<&[u16]> {
        (1..=LONGEST.min(digits.len())).rev().find_map(|length| {
            let key = key(digits.get(..length)?)?;
            let at = self.prefixes.binary_search_by_key(&key, |(prefix, _)| *prefix).ok()?;
            let (_, list) = self.prefixes.get(at)?;
            self.lists.get(usize::from(*list)).map(Vec::as_slice)
        })
    }
}

/// A prefix as a number: what doesn't begin with 0 can't be taken for another.
fn key(prefix: &str) -> Option<u32> {
    let plain = (1..=LONGEST).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_digit())
        && !prefix.starts_with('0');
    if plain { prefix.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn zones(number: &str) -> Vec<&'static str> {
        let found = NumberZones::of(&number.parse().unwrap());
        found.map(|zones| zones.names().collect()).unwrap_or_default()
    }

    /// The file, read in another way.
    fn lines() -> BTreeMap<&'static str, Vec<&'static str>> {
        let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in METADATA.lines().filter(|line| !line.starts_with('#')) {
            let (prefix, rest) = line.split_once('|').unwrap();
            let names = match rest.strip_prefix('=') {
                Some(same) => lines[same].clone(),
                None => rest.split('&').collect(),
            };
            assert!(!names.is_empty() && !names.contains(&""), "{line}");
            assert!(lines.insert(prefix, names).is_none(), "{line}");
        }
        lines
    }

    #[test]
    fn numbers_are_where_their_first_digits_say() {
        let cases: [(&str, &[&str]); 14] = [
            ("+919900000001", &["Asia/Calcutta"]),
            ("+12125550100", &["America/New_York"]),
            ("+18085550100", &["Pacific/Honolulu"]),
            ("+12685550100", &["America/Antigua"]),
            ("+74955550100", &["Europe/Moscow"]),
            ("+61851087555", &["Australia/Perth"]),
            ("+905550000001", &["Europe/Istanbul"]),
            ("+4930555010", &["Europe/Berlin"]),
            ("+441534000000", &["Europe/Jersey"]),
            ("+551155550100", &["America/Sao_Paulo"]),
            ("+80012345678", &[]),
            ("+870773111632", &[]),
            ("+88216123456", &[]),
            ("+9990000000", &[]),
        ];
        for (number, expected) in cases {
            let found = zones(number);
            assert_eq!(found, expected, "{number}");
        }
    }

    #[test]
    fn numbers_without_a_place_may_be_anywhere_in_their_country() {
        let cases: [(&str, &[&str]); 6] = [
            ("+79123456789", &["Europe/Moscow", "Asia/Kamchatka", "Asia/Vladivostok"]),
            ("+61412345678", &["Australia/Sydney", "Australia/Perth"]),
            ("+18005550100", &["America/New_York", "Pacific/Honolulu", "Pacific/Guam"]),
            ("+34612345678", &["Europe/Madrid", "Atlantic/Canary"]),
            ("+447400123456", &["Europe/London", "Europe/Jersey"]),
            ("+558001234567", &["America/Sao_Paulo", "America/Rio_Branco"]),
        ];
        for (number, expected) in cases {
            let found = zones(number);
            assert!(expected.iter().all(|zone| found.contains(zone)), "{number}: {found:?}");
        }
    }

    #[test]
    fn every_line_is_read() {
        let lines = lines();
        assert_eq!(TABLE.prefixes.len(), lines.len());
        assert!(TABLE.prefixes.is_sorted_by(|(a, _), (b, _)| a < b), "each prefix once");
        for (prefix, names) in &lines {
            let (_, list) = TABLE.prefixes
                [TABLE.prefixes.binary_search_by_key(&key(prefix).unwrap(), |p| p.0).unwrap()];
            let zones =
                NumberZones { zones: &TABLE.zones, indexes: &TABLE.lists[usize::from(list)] };
            assert_eq!(zones.names().collect::<Vec<_>>(), *names, "{prefix}");
        }
    }

    #[test]
    fn every_zone_is_known() {
        for zone in &TABLE.zones {
            assert!(zone.resolve().is_some(), "{}", zone.name);
            // Also on a machine without a database of its own.
            assert!(TimeZoneDatabase::bundled().get(zone.name).is_ok(), "{}", zone.name);
        }
    }

    #[test]
    fn a_zone_is_known_by_its_iana_name() {
        assert_eq!(time_zone("Asia/Kolkata").unwrap().iana_name(), Some("Asia/Kolkata"));
        assert!(time_zone("US/Pacific").is_some());
        for name in [
            "Mars/Olympus",
            "",
            "Etc/Unknown",
            "+05:30",
            "EST5EDT,M3.2.0,M11.1.0",
            "localtime",
            "posixrules",
            "right/Asia/Kolkata",
        ] {
            assert!(time_zone(name).is_none(), "{name}");
        }
        assert!(time_zone_names().iter().all(|name| time_zone(name).is_some()));
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins(digits in "[1-9][0-9]{6,14}", known in any::<prop::sample::Index>()) {
            let lines = lines();
            let prefixes: Vec<_> = lines.keys().collect();
            let prefix = known.get(&prefixes);
            let near = format!("{prefix}{digits}");
            for digits in [digits.as_str(), &near[..near.len().min(15)]] {
                let expected = (1..=digits.len()).rev().find_map(|n| lines.get(&digits[..n]));
                prop_assert_eq!(zones(digits), expected.cloned().unwrap_or_default());
            }
        }
    }
}
