//! The three forms of a time on the wire.

use acs_identity_core::Timestamp;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// `Wed, 13 Apr 2022 18:09:12 GMT`
const HTTP: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
/// `2023-06-28T07:30:11.8919724+00:00`
const JSON: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]+00:00");

/// The time of an HTTP header; `None` if it is in another form, or before 1970.
pub(crate) fn from_http(text: &str) -> Option<Timestamp> {
    let seconds = PrimitiveDateTime::parse(text, HTTP).ok()?.assume_utc().unix_timestamp();
    Some(Timestamp::from_micros(u64::try_from(seconds).ok()?.checked_mul(1_000_000)?))
}

/// A time as the value of an HTTP header, without its fraction of a second.
pub(crate) fn to_http(time: Timestamp) -> String {
    formatted(time, HTTP)
}

/// A time as the service writes it in JSON.
pub(crate) fn to_json(time: Timestamp) -> String {
    formatted(time, JSON)
}

fn formatted(time: Timestamp, format: &[BorrowedFormatItem<'_>]) -> String {
    // The years 1970 to 2255 are all that a timestamp holds, and `time` knows them.
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.as_micros()) * 1000);
    date.ok().and_then(|date| date.format(format).ok()).unwrap_or_default()
}

/// Seconds since the epoch, as in a JWT.
pub(crate) const fn to_jwt(time: Timestamp) -> u64 {
    time.as_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_has_one_form() {
        assert_eq!(from_http("Wed, 13 Apr 2022 18:09:12 GMT"), Some(Timestamp::from_micros(1_649_873_352_000_000)));
        assert_eq!(to_http(Timestamp::from_micros(1_649_873_352_999_999)), "Wed, 13 Apr 2022 18:09:12 GMT");
        assert_eq!(to_http(Timestamp::from_micros(1_700_000_000_000_000)), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(to_http(Timestamp::MAX), "Tue, 05 Jun 2255 23:47:34 GMT");
        for other in [
            "",
            "Wed, 13 Apr 2022 18:09:12",
            "Wed, 13 Apr 2022 18:09:12 +0000",
            "2022-04-13T18:09:12Z",
            "Wed, 1 Apr 2022 18:09:12 GMT",
        ] {
            assert_eq!(from_http(other), None, "{other}");
        }
    }

    #[test]
    fn a_json_time_has_seven_digits_and_an_offset() {
        assert_eq!(to_json(Timestamp::from_micros(1_687_937_411_891_972)), "2023-06-28T07:30:11.8919720+00:00");
        assert_eq!(to_json(Timestamp::MAX), "2255-06-05T23:47:34.7409910+00:00");
    }
}
