//! Rules: how moments are told. The present and the time zone are arguments.

use endtoend_protocol::UnixMillis;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::strings::Strings;

/// The present, where this person is.
#[derive(Clone, Debug)]
pub struct Present {
    /// By this device's clock.
    pub at: UnixMillis,
    /// Of the system.
    pub zone: TimeZone,
}

impl Present {
    /// As a calendar and a clock on the wall show it. What no calendar holds is its last moment.
    fn local(&self, at: UnixMillis) -> DateTime {
        let millis = i64::try_from(at.get()).unwrap_or(i64::MAX);
        let stamp = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        self.zone.to_datetime(stamp)
    }

    /// On which day, for what is only compared.
    pub fn day(&self, at: UnixMillis) -> Date {
        self.local(at).date()
    }

    /// When a day begins that was typed as `2026-11-26` or `26.11.2026`; `None` for what is no day.
    pub fn day_begins(&self, typed: &str) -> Option<UnixMillis> {
        let typed = typed.trim();
        let day = match typed.split('.').collect::<Vec<_>>().as_slice() {
            [day, month, year] => Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?,
            _ => typed.parse::<Date>().ok()?,
        };
        let begins = day.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond();
        u64::try_from(begins).ok().map(UnixMillis::new)
    }

    /// `14:05`
    pub fn clock(&self, at: UnixMillis) -> String {
        let at = self.local(at);
        format!("{:02}:{:02}", at.hour(), at.minute())
    }

    /// As it stands between the messages of two days.
    pub fn separator(&self, t: &Strings, at: UnixMillis) -> String {
        let (day, today) = (self.day(at), self.day(self.at));
        if day == today {
            t.get("today")
        } else if day.tomorrow().is_ok_and(|next| next == today) {
            t.get("yesterday")
        } else {
            let year = i64::from(day.year());
            t.with(
                "long-date",
                [
                    ("weekday", t.get(weekday(day)).into()),
                    ("day", i64::from(day.day()).into()),
                    ("month", t.get(month(day)).into()),
                    ("year", fluent_bundle::FluentValue::from(year.to_string())),
                ],
            )
        }
    }

    /// As it stands in a list: the time of today, else the day.
    pub fn brief(&self, t: &Strings, at: UnixMillis) -> String {
        let (day, today) = (self.day(at), self.day(self.at));
        if day == today {
            self.clock(at)
        } else if day.tomorrow().is_ok_and(|next| next == today) {
            t.get("yesterday")
        } else {
            let digits = |number: i8| format!("{number:02}");
            let values = [("day", digits(day.day())), ("month", digits(day.month())), ("year", day.year().to_string())];
            t.with("short-date", values)
        }
    }
}

fn weekday(day: Date) -> &'static str {
    match day.weekday().to_monday_zero_offset() {
        0 => "monday",
        1 => "tuesday",
        2 => "wednesday",
        3 => "thursday",
        4 => "friday",
        5 => "saturday",
        _ => "sunday",
    }
}

fn month(day: Date) -> &'static str {
    match day.month() {
        1 => "january",
        2 => "february",
        3 => "march",
        4 => "april",
        5 => "may",
        6 => "june",
        7 => "july",
        8 => "august",
        9 => "september",
        10 => "october",
        11 => "november",
        _ => "december",
    }
}

/// The words for a length of time, in its largest whole unit.
pub fn span(t: &Strings, seconds: u64) -> String {
    let say = |key, count: u64| t.with(key, [("count", count)]);
    match seconds {
        0..60 => say("seconds", seconds),
        60..3_600 => say("minutes", seconds / 60),
        3_600..86_400 => say("hours", seconds / 3_600),
        86_400..604_800 => say("days", seconds / 86_400),
        _ => say("weeks", seconds / 604_800),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strings::Language;

    /// Thursday, 26 November 2026, 14:05:00 UTC.
    const AT: u64 = 1_795_701_900_000;
    const HOUR: u64 = 3_600_000;

    fn present(zone: TimeZone) -> Present {
        Present { at: UnixMillis::new(AT), zone }
    }

    #[test]
    fn a_day_is_one_of_the_place_where_the_reader_is() {
        let (utc, east) = (present(TimeZone::UTC), present(TimeZone::fixed(jiff::tz::offset(10))));
        let at = UnixMillis::new(AT - HOUR);
        assert_eq!((utc.clock(at), east.clock(at)), ("13:05".to_owned(), "23:05".to_owned()));
        let t = Strings::new(Language::English);
        assert_eq!((utc.separator(&t, at), east.separator(&t, at)), ("Today".to_owned(), "Yesterday".to_owned()));
    }

    #[test]
    fn what_is_near_is_told_by_its_distance_and_the_rest_by_its_date() {
        let (present, t) = (present(TimeZone::UTC), Strings::new(Language::English));
        let before = |hours: u64| UnixMillis::new(AT - hours * HOUR);
        let both = |hours| (present.brief(&t, before(hours)), present.separator(&t, before(hours)));
        assert_eq!(both(0), ("14:05".to_owned(), "Today".to_owned()));
        assert_eq!(both(24), ("Yesterday".to_owned(), "Yesterday".to_owned()));
        assert_eq!(both(48), ("24/11/2026".to_owned(), "Tuesday, 24 November 2026".to_owned()));
        let german = Strings::new(Language::German);
        assert_eq!(present.separator(&german, before(48)), "Dienstag, 24. November 2026");
        // No moment is too far.
        assert!(present.brief(&t, UnixMillis::new(u64::MAX)).contains("9999"));
    }

    #[test]
    fn a_span_has_its_largest_whole_unit() {
        let t = Strings::new(Language::English);
        let told: Vec<String> = [1, 59, 60, 3_600, 86_400, 604_800].map(|seconds| span(&t, seconds)).into();
        assert_eq!(told, ["1 second", "59 seconds", "1 minute", "1 hour", "1 day", "1 week"]);
    }
}
