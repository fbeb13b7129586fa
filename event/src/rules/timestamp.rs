/// Whether the text is an RFC 3339 date-time: seconds and an offset present, every field in range, `T` and `Z` in
/// either case. A leap second is accepted where one can be: in the last minute of a day in UTC.
pub(crate) fn is_timestamp(text: &str) -> bool {
    parse(text.as_bytes()).is_some()
}

fn parse(text: &[u8]) -> Option<()> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let at = |index: usize, allowed: &[u8]| allowed.contains(&date_time[index]).then_some(());
    at(4, b"-")?;
    at(7, b"-")?;
    at(10, b"Tt")?;
    at(13, b":")?;
    at(16, b":")?;
    let year = number(&date_time[0..4])?;
    let month = number(&date_time[5..7])?;
    let day = number(&date_time[8..10])?;
    let hour = number(&date_time[11..13])?;
    let minute = number(&date_time[14..16])?;
    let second = number(&date_time[17..19])?;
    if day == 0 || day > days_of(year, month)? || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset_minutes = offset(without_fraction(rest)?)?;
    let utc_minute = (i64::from(hour * 60 + minute) - offset_minutes).rem_euclid(24 * 60);
    (second < 60 || utc_minute == 24 * 60 - 1).then_some(())
}

/// What follows `.` and its digits, of which there must be one at least.
fn without_fraction(rest: &[u8]) -> Option<&[u8]> {
    let Some(fraction) = rest.strip_prefix(b".") else {
        return Some(rest);
    };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then(|| &fraction[digits..])
}

/// `Z`, or a sign, hours and minutes: the offset from UTC in minutes.
fn offset(text: &[u8]) -> Option<i64> {
    let sign = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let hours = number(&text[1..3])?;
    let minutes = number(&text[4..6])?;
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 60 + minutes))
}

/// Decimal digits and nothing else; at most four of them here.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn days_of(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if leap => Some(29),
        2 => Some(28),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3339, section 5.6, and the invalid values of the official CloudEvents fixtures.
    #[test]
    fn timestamps() {
        for (text, want) in [
            ("2018-04-05T17:31:00Z", true),
            ("2018-04-05t17:31:00z", true),
            ("2018-04-05T17:31:00.1Z", true),
            ("2018-04-05T17:31:00.123456789012345Z", true),
            ("2018-04-05T17:31:00+05:30", true),
            ("2018-04-05T17:31:00-00:00", true),
            ("2018-04-05T17:31:00+23:59", true),
            ("2020-02-29T00:00:00Z", true),
            ("2000-02-29T00:00:00Z", true),
            ("0000-01-01T00:00:00Z", true),
            ("1990-12-31T23:59:60Z", true),
            ("1990-12-31T15:59:60-08:00", true),
            ("1990-12-31T15:59:60Z", false),
            ("1990-12-31T23:59:61Z", false),
            ("2019-02-29T00:00:00Z", false),
            ("1900-02-29T00:00:00Z", false),
            ("2018-04-31T00:00:00Z", false),
            ("2018-00-05T00:00:00Z", false),
            ("2018-13-05T00:00:00Z", false),
            ("2018-04-00T00:00:00Z", false),
            ("2018-04-05T24:00:00Z", false),
            ("2018-04-05T17:60:00Z", false),
            ("2018-04-05T18:31Z", false),
            ("2018-04-05T17:31:00", false),
            ("2018-04-05T17:31:00+05", false),
            ("2018-04-05T17:31:00+0500", false),
            ("2018-04-05T17:31:00+25:00", false),
            ("2018-04-05T17:31:00+05:60", false),
            ("2018-04-05T17:31:00X", false),
            ("2018-04-05T17:31:00.Z", false),
            ("2018-04-05T17:31:00ZZ", false),
            ("2018-04-05 17:31:00Z", false),
            (" 2018-04-05T17:31:00Z", false),
            ("18-04-05T17:31:00Z", false),
            ("2018-4-5T17:31:00Z", false),
            ("２018-04-05T17:31:00Z", false),
            ("TIME", false),
            ("", false),
        ] {
            assert_eq!(is_timestamp(text), want, "{text:?}");
        }
    }
}
