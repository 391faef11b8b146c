//! Moments in documents and columns: nanoseconds since the epoch, which are quicker written
//! and read than text. RFC 3339 beyond what 64 bits count, and in documents from before.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub Timestamp);

impl Stamp {
    fn nanoseconds(self) -> Option<i64> {
        i64::try_from(self.0.as_nanosecond()).ok()
    }

    fn counted(nanoseconds: i64) -> Result<Self, jiff::Error> {
        Timestamp::from_nanosecond(nanoseconds.into()).map(Self)
    }
}

impl From<Timestamp> for Stamp {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.nanoseconds() {
            Some(nanoseconds) => serializer.serialize_i64(nanoseconds),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Stamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_i64<E: de::Error>(self, nanoseconds: i64) -> Result<Stamp, E> {
        Stamp::counted(nanoseconds).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<Stamp, E> {
        let nanoseconds = i64::try_from(nanoseconds).map_err(E::custom)?;
        self.visit_i64(nanoseconds)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Stamp, E> {
        text.parse().map(Stamp).map_err(E::custom)
    }
}

impl ToSql for Stamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.nanoseconds() {
            Some(nanoseconds) => nanoseconds.into(),
            None => self.0.to_string().into(),
        })
    }
}

impl FromSql for Stamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let read = match value {
            ValueRef::Integer(nanoseconds) => Self::counted(nanoseconds),
            other => other.as_str()?.parse().map(Self),
        };
        read.map_err(FromSqlError::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_is_read_back_as_it_was() {
        let at = |text: &str| Stamp(text.parse().unwrap());
        for (stamp, written) in [
            (at("2026-03-01T10:00:00.123456789Z"), "1772359200123456789"),
            (at("1969-12-31T23:59:59.999999999Z"), "-1"),
            (Stamp(Timestamp::UNIX_EPOCH), "0"),
            (at("2500-01-01T00:00:00Z"), "\"2500-01-01T00:00:00Z\""),
            (Stamp(Timestamp::MAX), "\"9999-12-30T22:00:00.999999999Z\""),
            (Stamp(Timestamp::MIN), "\"-009999-01-02T01:59:59Z\""),
        ] {
            assert_eq!(serde_json::to_string(&stamp).unwrap(), written);
            assert_eq!(serde_json::from_str::<Stamp>(written).unwrap(), stamp);
            let ToSqlOutput::Owned(value) = stamp.to_sql().unwrap() else { panic!("{stamp:?}") };
            assert_eq!(Stamp::column_result((&value).into()).unwrap(), stamp);
        }
        let text = "\"2026-03-01T10:00:00.123456789Z\"";
        assert_eq!(
            serde_json::from_str::<Stamp>(text).unwrap().0.to_string(),
            text.replace('"', "")
        );
        for wrong in ["18446744073709551615", "1.5", "\"yesterday\"", "null", "[]"] {
            assert!(serde_json::from_str::<Stamp>(wrong).is_err(), "{wrong}");
        }
    }
}
