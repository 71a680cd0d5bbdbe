//! Points in time: what a `timestamp` feature holds, how it is read and shown, and where it stands in a calendar.
//!
//! An instant is kept as whole microseconds since 1970 in UTC, of the years 1 to 9999. The calendar is the Gregorian one,
//! worked out here by arithmetic alone (days from civil dates and back, Hinnant 2013), so that a stored row means the
//! same for ever. There are no leap seconds in it: 23:59:60 UTC is the midnight that follows. Used by the decoders, the
//! row codec and the encoder.

use std::fmt;

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400 * MICROS;

/// The first and the last day that may be named, counted from 1970.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

/// Why a value is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampFault {
    /// The text is in no form that is read.
    #[error("a time is expected: RFC 3339, for example 2025-03-01T12:30:00+01:00, or seconds since 1970")]
    Form,
    /// There is no such day or time of day.
    #[error("there is no such day or time of day")]
    Calendar,
    /// It is of another year.
    #[error("the time is outside the years 1 to 9999; numbers are seconds since 1970, not milliseconds")]
    Range,
}

/// A point in time, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Where a point in time stands in a calendar: every number goes from 0 to below 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phases {
    /// 0 at midnight.
    pub day: f64,
    /// 0 when Monday begins.
    pub week: f64,
    /// 0 when the month begins, however long it is.
    pub month: f64,
    /// 0 when the year begins, leap year or not.
    pub year: f64,
}

impl Timestamp {
    /// The point so many microseconds after 1970 began in UTC.
    pub fn from_micros(micros: i64) -> Result<Self, TimestampFault> {
        let days = micros.div_euclid(DAY);
        if (FIRST_DAY..=LAST_DAY).contains(&days) { Ok(Self(micros)) } else { Err(TimestampFault::Range) }
    }

    /// The point so many seconds after 1970 began in UTC, to the nearest microsecond.
    pub fn from_seconds(seconds: f64) -> Result<Self, TimestampFault> {
        if seconds.is_nan() {
            return Err(TimestampFault::Form);
        }
        // The cast saturates, and the ends of i64 are far outside.
        Self::from_micros((seconds * MICROS as f64).round() as i64)
    }

    /// Reads RFC 3339. A space may stand for the `T`. A time without an offset is one of the wall clock that goes
    /// `offset_minutes` ahead of UTC, and a date alone is its midnight. Digits beyond microseconds are passed over.
    pub fn parse(text: &str, offset_minutes: i16) -> Result<Self, TimestampFault> {
        let mut reader = Reader { rest: text.as_bytes() };
        let days = reader.date()?;
        let mut micros = 0;
        let mut offset = i64::from(offset_minutes);
        let mut leap = false;
        if !reader.rest.is_empty() {
            reader.one_of(b"Tt ")?;
            (micros, leap) = reader.time()?;
            offset = reader.offset()?.unwrap_or(offset);
        }
        if !reader.rest.is_empty() {
            return Err(TimestampFault::Form);
        }
        let micros = days * DAY + micros - offset * 60 * MICROS;
        // A second 60 is only ever the last of a day in UTC.
        if leap && micros.rem_euclid(DAY) >= MICROS {
            return Err(TimestampFault::Calendar);
        }
        Self::from_micros(micros)
    }

    /// Microseconds since 1970 began in UTC.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Seconds since 1970 began in UTC.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }

    /// Where it stands in the calendar of a wall clock that goes `offset_minutes` ahead of UTC.
    pub fn phases(self, offset_minutes: i16) -> Phases {
        let local = self.0 + i64::from(offset_minutes) * 60 * MICROS;
        let days = local.div_euclid(DAY);
        let day = local.rem_euclid(DAY) as f64 / DAY as f64;
        let (year, month, of_month) = civil(days);
        let since_new_year = days - days_from_civil(year, 1, 1);
        let part = |whole: i64, of: i64| (whole as f64 + day) / of as f64;
        Phases {
            day,
            // 1970 began on a Thursday.
            week: part((days + 3).rem_euclid(7), 7),
            month: part(of_month - 1, days_in_month(year, month)),
            year: part(since_new_year, if is_leap(year) { 366 } else { 365 }),
        }
    }
}

/// RFC 3339 in UTC, with as many digits after the second as there are.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY));
        let micros = self.0.rem_euclid(DAY);
        let seconds = micros / MICROS;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if micros % MICROS != 0 {
            let digits = format!("{:06}", micros % MICROS);
            write!(formatter, ".{}", digits.trim_end_matches('0'))?;
        }
        formatter.write_str("Z")
    }
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    /// `2025-03-01`, in days since 1970.
    fn date(&mut self) -> Result<i64, TimestampFault> {
        let year = self.digits(4)?;
        self.one_of(b"-")?;
        let month = self.digits(2)?;
        self.one_of(b"-")?;
        let day = self.digits(2)?;
        if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
            return Err(TimestampFault::Calendar);
        }
        Ok(days_from_civil(year, month, day))
    }

    /// `12:30:00.5`, in microseconds since midnight, and whether it is a second 60.
    fn time(&mut self) -> Result<(i64, bool), TimestampFault> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        let second = self.digits(2)?;
        if hour > 23 || minute > 59 || second > 60 {
            return Err(TimestampFault::Calendar);
        }
        let fraction = if self.rest.first() == Some(&b'.') { self.fraction()? } else { 0 };
        // Whatever part of a leap second has gone by, the clock stands at the midnight that follows.
        let fraction = if second == 60 { 0 } else { fraction };
        Ok((((hour * 60 + minute) * 60 + second) * MICROS + fraction, second == 60))
    }

    /// The digits after a point, in microseconds.
    fn fraction(&mut self) -> Result<i64, TimestampFault> {
        self.one_of(b".")?;
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        if digits.is_empty() {
            return Err(TimestampFault::Form);
        }
        let padded = digits.iter().chain(&[b'0'; 6]).take(6);
        Ok(padded.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    /// `Z` or `+01:00`, in minutes; `None` at the end of the text.
    fn offset(&mut self) -> Result<Option<i64>, TimestampFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok(Some(0)),
        };
        let hours = self.digits(2)?;
        self.one_of(b":")?;
        let minutes = self.digits(2)?;
        if hours > 23 || minutes > 59 { Err(TimestampFault::Calendar) } else { Ok(Some(sign * (hours * 60 + minutes))) }
    }

    fn digits(&mut self, count: usize) -> Result<i64, TimestampFault> {
        let (digits, rest) = self.rest.split_at_checked(count).ok_or(TimestampFault::Form)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(TimestampFault::Form);
        }
        self.rest = rest;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    fn one_of(&mut self, bytes: &[u8]) -> Result<u8, TimestampFault> {
        match self.rest.split_first() {
            Some((&byte, rest)) if bytes.contains(&byte) => {
                self.rest = rest;
                Ok(byte)
            }
            _ => Err(TimestampFault::Form),
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970 to a date. Years are counted from March here, so that a leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day so many days from 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn seconds(text: &str) -> Result<f64, TimestampFault> {
        Timestamp::parse(text, 0).map(Timestamp::seconds)
    }

    #[test]
    fn rfc_3339_is_read_with_its_offset() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Ok(0.0));
        assert_eq!(seconds("1970-01-01t01:00:00.25+01:00"), Ok(0.25));
        assert_eq!(seconds("1969-12-31 23:30:00-00:30"), Ok(0.0));
        assert_eq!(seconds("2024-02-29T12:00:00.123456789Z"), Ok(1_709_208_000.123456));
    }

    #[test]
    fn a_time_without_an_offset_is_of_the_features_wall_clock() {
        let at = |text: &str| Timestamp::parse(text, 60).unwrap().seconds();
        assert_eq!(at("1970-01-01T01:00:00"), 0.0);
        assert_eq!(at("1970-01-02"), 82_800.0);
        assert_eq!(at("1970-01-01T01:00:00Z"), 3_600.0, "an offset that is given holds");
    }

    #[test]
    fn a_leap_second_is_the_midnight_that_follows_and_stands_nowhere_else() {
        let midnight = seconds("2017-01-01T00:00:00Z");
        assert_eq!(seconds("2016-12-31T23:59:60Z"), midnight);
        assert_eq!(seconds("2016-12-31T23:59:60.9Z"), midnight);
        assert_eq!(seconds("2017-01-01T00:59:60+01:00"), midnight);
        assert_eq!(seconds("2016-12-31T22:59:60Z"), Err(TimestampFault::Calendar));
        assert_eq!(seconds("2016-12-31T23:59:61Z"), Err(TimestampFault::Calendar));
    }

    #[test]
    fn what_is_no_time_is_told_apart() {
        use TimestampFault::{Calendar, Form, Range};
        for (text, fault) in [
            ("", Form),
            ("noon", Form),
            ("2025-3-1", Form),
            ("2025-03-01T12:30", Form),
            ("2025-03-01T12:30:00.Z", Form),
            ("2025-03-01T12:30:00Z ", Form),
            ("2025-03-01T12:30:00+1", Form),
            ("１２３４-01-01", Form),
            ("2025-02-29", Calendar),
            ("1900-02-29", Calendar),
            ("2025-13-01", Calendar),
            ("2025-00-01", Calendar),
            ("2025-01-00", Calendar),
            ("2025-01-01T24:00:00Z", Calendar),
            ("2025-01-01T00:60:00Z", Calendar),
            ("2025-01-01T00:00:00+24:00", Calendar),
            ("0000-12-31", Range),
            ("0001-01-01T00:00:00+01:00", Range),
            ("9999-12-31T23:59:59-01:00", Range),
        ] {
            assert_eq!(seconds(text), Err(fault), "{text}");
        }
        for outside in [1.7e12, -1e11, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert_eq!(Timestamp::from_seconds(outside), Err(Range), "{outside}");
        }
    }

    #[test]
    fn every_day_has_one_date() {
        assert_eq!((civil(FIRST_DAY), civil(LAST_DAY)), ((1, 1, 1), (9_999, 12, 31)));
        let mut before = civil(FIRST_DAY - 1);
        for days in FIRST_DAY..=LAST_DAY {
            let date = civil(days);
            assert!(date > before);
            assert_eq!(days_from_civil(date.0, date.1, date.2), days);
            before = date;
        }
    }

    #[test]
    fn phases_are_those_of_the_wall_clock() {
        let at = |text: &str, offset| Timestamp::parse(text, 0).unwrap().phases(offset);
        let monday = at("2024-01-01T00:00:00Z", 0);
        assert_eq!(monday, Phases { day: 0.0, week: 0.0, month: 0.0, year: 0.0 });
        assert_eq!(at("2023-12-31T22:30:00Z", 90), monday);
        let noon = at("2024-12-31T12:00:00Z", 0);
        assert_eq!((noon.day, noon.week, noon.month), (0.5, 1.5 / 7.0, 30.5 / 31.0));
        assert_eq!(noon.year, 365.5 / 366.0);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros in FIRST_DAY * DAY..(LAST_DAY + 1) * DAY, offset in -1_440i16..=1_440) {
            let at = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(Timestamp::parse(&at.to_string(), offset), Ok(at));
            let known = OffsetDateTime::parse(&at.to_string(), &Rfc3339).unwrap();
            prop_assert_eq!(known.unix_timestamp_nanos(), i128::from(micros) * 1_000);
            let Phases { day, week, month, year } = at.phases(offset);
            prop_assert!([day, week, month, year].iter().all(|phase| (0.0..1.0).contains(phase)));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = Timestamp::parse(&text, 0);
        }
    }
}
