//! The two attributes that a Broker's ingress owns: `knativebrokerttl` is taken off and becomes the hop count beside
//! the event, `knativearrivaltime` is put on.
//!
//! In binary mode an attribute is a header, so both are done there, before the event is made, and the event is built
//! once. In the other modes the event is built again with the change.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use pelton_client::Hops;
use pelton_env::UnixMillis;
use pelton_event::{AttributeValue, Event, InvalidEvent};

const TTL: &str = "knativebrokerttl";
const ARRIVAL: &str = "knativearrivaltime";
static TTL_HEADER: HeaderName = HeaderName::from_static("ce-knativebrokerttl");
static ARRIVAL_HEADER: HeaderName = HeaderName::from_static("ce-knativearrivaltime");

/// The event has passed Brokers as often as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoHopsLeft;

/// Stamps an event in binary mode. A header that is there twice is left for the decoder to refuse.
pub(crate) fn headers(headers: &mut HeaderMap, now: UnixMillis) -> Result<Hops, NoHopsLeft> {
    if !headers.contains_key(&ARRIVAL_HEADER) {
        let arrival = Arrival::at(now);
        let value = HeaderValue::from_str(arrival.as_str()).expect("digits and punctuation make a header value");
        headers.insert(ARRIVAL_HEADER.clone(), value);
    }
    let mut values = headers.get_all(&TTL_HEADER).iter();
    let Some(value) = values.next() else { return Ok(Hops::FULL) };
    if values.next().is_some() {
        return Ok(Hops::FULL);
    }
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    headers.remove(&TTL_HEADER);
    after_one_pass(number)
}

/// What [`event`] can find wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StampError {
    NoHopsLeft,
    /// One attribute too many.
    Invalid(InvalidEvent),
}

/// Stamps an event that came in a body.
pub(crate) fn event(event: Event, now: UnixMillis) -> Result<(Event, Hops), StampError> {
    let (event, hops) = match event.extension(TTL) {
        None => (event, Hops::FULL),
        Some(value) => {
            let number = match value {
                AttributeValue::Integer(number) => Some(i64::from(number)),
                other => other.as_str().and_then(|text| text.trim().parse().ok()),
            };
            let hops = after_one_pass(number).map_err(|NoHopsLeft| StampError::NoHopsLeft)?;
            (event.without_attribute(TTL), hops)
        }
    };
    if event.extension(ARRIVAL).is_some() {
        return Ok((event, hops));
    }
    let arrival = Arrival::at(now);
    let event =
        event.with_attributes(&[(ARRIVAL, AttributeValue::String(arrival.as_str()))]).map_err(StampError::Invalid)?;
    Ok((event, hops))
}

/// Knative's rule: not a number counts as not given; else one less, and nothing may be left of less than one.
fn after_one_pass(number: Option<i64>) -> Result<Hops, NoHopsLeft> {
    match number {
        None => Ok(Hops::FULL),
        Some(..=1) => Err(NoHopsLeft),
        Some(number) => Ok(Hops(u8::try_from(number - 1).unwrap_or(u8::MAX))),
    }
}

/// `2026-10-06T07:08:09.012Z`, made without an allocation.
struct Arrival([u8; 24]);

impl Arrival {
    fn at(now: UnixMillis) -> Self {
        // The last moment with a year of four digits; RFC 3339 has no other.
        let millis = now.0.min(253_402_300_799_999);
        let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (at, width, value) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, in_day / 3_600_000),
            (14, 2, in_day / 60_000 % 60),
            (17, 2, in_day / 1_000 % 60),
            (20, 3, in_day % 1_000),
        ] {
            let mut rest = value;
            for digit in text[at..at + width].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII")
    }
}

/// Days since 1970-01-01 as year, month and day (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrival_times_are_rfc_3339() {
        for (millis, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Arrival::at(UnixMillis(millis)).as_str(), want, "{millis}");
        }
    }

    proptest! {
        /// The text's order is the order of time, and its date is the days counted one by one.
        #[test]
        fn a_later_moment_has_a_later_text(a in 0_u64..253_402_300_799_999, b in 0_u64..253_402_300_799_999) {
            let text = |millis| Arrival::at(UnixMillis(millis)).0;
            prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..292_194 {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    /// Knative Eventing's broker ingress: absent or no integer is 255, else one less; nothing left is refused.
    #[test]
    fn the_hop_count_is_lowered_and_taken_off() {
        let table = [
            (None, Ok(Hops(255))),
            (Some("hello"), Ok(Hops(255))),
            (Some(""), Ok(Hops(255))),
            (Some("1.5"), Ok(Hops(255))),
            (Some("255"), Ok(Hops(254))),
            (Some("256"), Ok(Hops(255))),
            (Some("100000"), Ok(Hops(255))),
            (Some("2"), Ok(Hops(1))),
            (Some("1"), Err(NoHopsLeft)),
            (Some("0"), Err(NoHopsLeft)),
            (Some("-5"), Err(NoHopsLeft)),
        ];
        for (value, want) in table {
            let mut map = HeaderMap::new();
            let mut builder = Event::builder().id("1").source("/s").ty("t");
            if let Some(value) = value {
                map.insert(&TTL_HEADER, HeaderValue::from_str(value).unwrap());
                builder = builder.extension(TTL, AttributeValue::String(value));
            }
            assert_eq!(headers(&mut map, UnixMillis(0)), want, "header {value:?}");
            assert!(!map.contains_key(&TTL_HEADER), "header {value:?} is taken off");
            let stamped = event(builder.build().unwrap(), UnixMillis(0));
            assert_eq!(stamped.clone().map(|(_, hops)| hops).map_err(|_| NoHopsLeft), want, "attribute {value:?}");
            assert!(stamped.is_err() || stamped.unwrap().0.extension(TTL).is_none(), "attribute {value:?}");
        }
        let integer = Event::builder().id("1").source("/s").ty("t").extension(TTL, AttributeValue::Integer(7));
        assert_eq!(event(integer.build().unwrap(), UnixMillis(0)).unwrap().1, Hops(6));
    }

    #[test]
    fn the_arrival_time_is_set_once() {
        let mut map = HeaderMap::new();
        headers(&mut map, UnixMillis(1_709_210_096_789)).unwrap();
        headers(&mut map, UnixMillis(0)).unwrap();
        assert_eq!(map[&ARRIVAL_HEADER], "2024-02-29T12:34:56.789Z");
        let plain = Event::builder().id("1").source("/s").ty("t").build().unwrap();
        let (once, _) = event(plain, UnixMillis(1_709_210_096_789)).unwrap();
        let (twice, _) = event(once.clone(), UnixMillis(0)).unwrap();
        assert_eq!(once, twice);
        assert_eq!(once.extension(ARRIVAL), Some(AttributeValue::String("2024-02-29T12:34:56.789Z")));
    }
}
