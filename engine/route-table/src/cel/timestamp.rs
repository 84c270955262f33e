//! Points in time as CEL writes them, RFC 3339, and as records have them, milliseconds since 1970.

/// Nanoseconds since 1970-01-01T00:00:00Z, within the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timestamp(i128);

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;
const FIRST_SECOND: i128 = -62_135_596_800;
const LAST_SECOND: i128 = 253_402_300_799;

impl Timestamp {
    fn new(seconds: i128, nanos: i128) -> Option<Self> {
        (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then_some(Self(seconds * NANOS_PER_SECOND + nanos))
    }

    /// `None` outside the years 1 to 9999.
    pub(super) fn from_seconds(seconds: i128) -> Option<Self> {
        Self::new(seconds, 0)
    }

    /// Reads `2026-01-01T00:00:00Z`, with up to nine decimals of a second, and `Z` or an offset.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let (year, date) = digits(date, 4)?;
        let (month, date) = digits(date.strip_prefix('-')?, 2)?;
        let (day, date) = digits(date.strip_prefix('-')?, 2)?;
        let (hour, time) = digits(time, 2)?;
        let (minute, time) = digits(time.strip_prefix(':')?, 2)?;
        let (second, time) = digits(time.strip_prefix(':')?, 2)?;
        let (nanos, zone) = match time.strip_prefix('.') {
            None => (0, time),
            Some(fraction) => {
                let count = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
                let (value, zone) = digits(fraction, count)?;
                (value * 10_i128.pow(9_u32.checked_sub(u32::try_from(count).ok()?)?), zone)
            }
        };
        let offset = match zone {
            "Z" => 0,
            _ => {
                let (hours, rest) = digits(zone.strip_prefix(['+', '-'])?, 2)?;
                let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
                let minutes = (hours < 24 && minutes < 60 && rest.is_empty()).then_some(hours * 60 + minutes)?;
                if zone.starts_with('-') { -minutes } else { minutes }
            }
        };
        let fits = date.is_empty()
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
        if fits { Self::new(seconds, nanos) } else { None }
    }

    /// Milliseconds since 1970, as a JSON number: exact, with up to six decimals.
    pub(super) fn millis(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.abs() / NANOS_PER_MILLI, self.0.abs() % NANOS_PER_MILLI);
        let decimals = format!(".{part:06}");
        let decimals = if part == 0 { "" } else { decimals.trim_end_matches('0') };
        format!("{sign}{whole}{decimals}")
    }

    /// The point in time that [`Self::millis`] has written so; `None` for numbers that it doesn't write.
    pub(super) fn from_millis(number: &str) -> Option<Self> {
        let (sign, number) = number.strip_prefix('-').map_or((1, number), |number| (-1, number));
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let plain = |text: &str| text.len() <= 15 && text.chars().all(|c| c.is_ascii_digit());
        if !plain(whole) || !plain(decimals) || decimals.len() > 6 {
            return None;
        }
        let part: i128 = format!("{decimals:0<6}").parse().ok()?;
        let found = Self(sign * (whole.parse::<i128>().ok()? * NANOS_PER_MILLI + part));
        let bounds = FIRST_SECOND * NANOS_PER_SECOND..(LAST_SECOND + 1) * NANOS_PER_SECOND;
        bounds.contains(&found.0).then_some(found)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, nanos) = (self.0.div_euclid(NANOS_PER_SECOND), self.0.rem_euclid(NANOS_PER_SECOND));
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date_of(day);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let decimals = format!(".{nanos:09}");
        write!(f, "{}Z", if nanos == 0 { "" } else { decimals.trim_end_matches('0') })
    }
}

/// The number in the first `count` bytes, and what follows.
fn digits(text: &str, count: usize) -> Option<(i128, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let all = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    Some((if all { number.parse().ok()? } else { return None }, rest))
}

fn days_of(year: i128, month: i128) -> i128 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years begin in March here, so that the day that leap years add is their last.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day of a number of days since 1970-01-01.
fn date_of(days: i128) -> (i128, i128, i128) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i128::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_exactly() {
        let cases = [
            ("1970-01-01T00:00:00Z", "0"),
            ("2026-01-01T00:00:00Z", "1767225600000"),
            ("2026-01-01T01:30:00+01:30", "1767225600000"),
            ("2009-02-13T23:31:30.123456789Z", "1234567890123.456789"),
            ("1969-12-31T23:59:59.9995Z", "-0.5"),
            ("2000-02-29T00:00:00Z", "951782400000"),
            ("0001-01-01T00:00:00Z", "-62135596800000"),
            ("9999-12-31T23:59:59.999999999Z", "253402300799999.999999"),
        ];
        for (text, millis) in cases {
            assert_eq!(Timestamp::parse(text).map(Timestamp::millis).as_deref(), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let cases = [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-1-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00Zx",
            "2026-01-01 00:00:00Z",
            "+026-01-01T00:00:00Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "2026-01-01T00:00:00\u{e9}",
        ];
        for text in cases {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_is_written(nanos in FIRST_SECOND * NANOS_PER_SECOND..=LAST_SECOND * NANOS_PER_SECOND) {
            let time = Timestamp(nanos);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
            prop_assert_eq!(Timestamp::from_millis(&time.millis()), Some(time));
        }
    }
}
