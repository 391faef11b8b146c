//! Until when a certificate holds.

use jiff::{Timestamp, civil, tz::TimeZone};
use rustls_pki_types::CertificateDer;

use super::der::{SEQUENCE, next};

/// A field that may be left out: the version.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last moment of a certificate (RFC 5280, 4.1.2.5); none of what is no certificate.
pub fn ends(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let mut fields = within(&mut certificate.as_ref())?;
    let mut fields = within(&mut fields)?;
    let (first, _) = next(&mut fields)?;
    if first == VERSION {
        next(&mut fields)?;
    }
    let (_algorithm, _issuer) = (next(&mut fields)?, next(&mut fields)?);
    let mut validity = within(&mut fields)?;
    next(&mut validity)?;
    let (kind, text) = next(&mut validity)?;
    time(kind, std::str::from_utf8(text).ok()?)
}

fn within<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (tag, content) = next(bytes)?;
    (tag == SEQUENCE).then_some(content)
}

fn time(kind: u8, text: &str) -> Option<Timestamp> {
    let whole = match kind {
        // Two digits of a year mean one before 2050.
        UTC_TIME if text.len() == 13 => {
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME if text.len() == 15 => text.to_owned(),
        _ => return None,
    };
    let moment = civil::DateTime::strptime("%Y%m%d%H%M%SZ", whole).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_certificate_has_an_end() {
        let pem = include_bytes!("../../tests/certificates/server.pem");
        let certificate = CertificateDer::from_pem_slice(pem).unwrap();
        assert_eq!(ends(&certificate), Some("2120-01-01T00:00:00Z".parse().unwrap()));
        let whole = certificate.as_ref();
        for cut in 0..whole.len() {
            let cut = CertificateDer::from(whole[..cut].to_vec());
            assert!(ends(&cut).is_none());
        }
    }

    #[test]
    fn years_have_two_digits_or_four() {
        for (kind, text, moment) in [
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (UTC_TIME, "20500101000000Z", None),
            (GENERALIZED_TIME, "20501301000000Z", None),
            (0x0c, "491231235959Z", None),
        ] {
            assert_eq!(time(kind, text), moment.map(|moment| moment.parse().unwrap()), "{text}");
        }
    }
}
