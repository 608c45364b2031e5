//! From when to when a certificate is valid (RFC 5280, section 4.1.2.5). rustls looks at those of others and tells nobody.

use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Tags of DER: two forms of a time, and the version that a certificate may begin with.
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day][hour][minute][second]Z");

/// In seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) begin: i64,
    pub(super) end: i64,
}

impl Validity {
    /// Of a certificate in DER; none where it is no certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, signed, _) = value(certificate)?;
        let (_, mut fields, _) = value(signed)?;
        if fields.first() == Some(&VERSION) {
            fields = value(fields)?.2;
        }
        // Its number, the algorithm of its signature, its issuer.
        for _ in 0..3 {
            fields = value(fields)?.2;
        }
        let (_, validity, _) = value(fields)?;
        let (begin_form, begin, rest) = value(validity)?;
        let (end_form, end, _) = value(rest)?;
        Some(Self {
            begin: seconds(begin_form, begin)?,
            end: seconds(end_form, end)?,
        })
    }
}

/// The first value: its tag, its content, and what follows it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // So many bytes have the length.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let digits = digits.iter().map(|digit| usize::from(*digit));
            (digits.fold(0, |length, digit| (length << 8) | digit), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn seconds(form: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let whole = match form {
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = PrimitiveDateTime::parse(&whole, TIME).ok()?;
    Some(time.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::*;

    fn certificate(begin: OffsetDateTime, end: OffsetDateTime) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (begin, end);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        certificate.der().to_vec()
    }

    #[test]
    fn times_of_both_forms_are_read() {
        for (begin, end) in [
            (
                datetime!(2026-03-01 0:00 UTC),
                datetime!(2026-05-30 12:34:56 UTC),
            ),
            (
                datetime!(1999-12-31 23:59:59 UTC),
                datetime!(2049-12-31 0:00 UTC),
            ),
            (
                datetime!(2050-01-01 0:00 UTC),
                datetime!(9999-12-31 23:59:59 UTC),
            ),
        ] {
            let validity = Validity::of(&certificate(begin, end)).unwrap();
            assert_eq!(validity.begin, begin.unix_timestamp());
            assert_eq!(validity.end, end.unix_timestamp());
        }
    }

    #[test]
    fn what_is_no_certificate_has_none_and_does_no_harm() {
        let whole = certificate(
            datetime!(2026-03-01 0:00 UTC),
            datetime!(2026-05-30 0:00 UTC),
        );
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None);
        }
        for form in [
            &b"\x30\x80"[..],
            b"\x30\xff\xff",
            b"\x30\x84\xff\xff\xff\xff",
        ] {
            assert_eq!(Validity::of(form), None);
        }
    }
}
