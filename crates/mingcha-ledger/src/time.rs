//! Instants and days. An instant is the same everywhere on earth; a day is one only in a zone, the office's. The two
//! have different types, and [`Zone`] is the only way from the one to the other: nobody cuts a day out of the text of
//! an instant, which would be the day of Greenwich. Reads no clock.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use mingcha_rules::Diagnostic;
use serde::{Deserialize, Serialize};

/// A moment, RFC 3339. Also a day that somebody gave instead of one: then it is some time on that day in the office.
/// Keeps its text to the letter, because a ledger's chain covers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant {
    text: String,
    is: Is,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Is {
    Moment(DateTime<Utc>),
    SomeTimeOn(NaiveDate),
}

impl Instant {
    /// This moment, to the second, in UTC.
    #[must_use]
    pub fn at(moment: DateTime<Utc>) -> Self {
        Self { text: moment.to_rfc3339_opts(SecondsFormat::Secs, true), is: Is::Moment(moment) }
    }

    /// What somebody typed: RFC 3339 with any offset, which becomes UTC, or a day.
    #[must_use]
    pub fn given(text: &str) -> Option<Self> {
        let read = Self::from_str(text).ok()?;
        Some(match read.is {
            Is::Moment(moment) => {
                Self { text: moment.to_rfc3339_opts(SecondsFormat::AutoSi, true), is: read.is }
            }
            Is::SomeTimeOn(_) => read,
        })
    }

    /// As it is stored: for files and hashes. Nothing that is judged, counted or shown comes from here.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.text
    }
}

/// A text that is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoInstant;

impl fmt::Display for NoInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wanted YYYY-MM-DD or RFC 3339")
    }
}

impl std::error::Error for NoInstant {}

impl FromStr for Instant {
    type Err = NoInstant;

    fn from_str(text: &str) -> Result<Self, NoInstant> {
        let is = match parse_day(text) {
            Some(day) => Is::SomeTimeOn(day),
            None => {
                let moment = DateTime::parse_from_rfc3339(text).map_err(|_| NoInstant)?;
                Is::Moment(moment.with_timezone(&Utc))
            }
        };
        Ok(Self { text: text.to_owned(), is })
    }
}

impl TryFrom<String> for Instant {
    type Error = NoInstant;

    fn try_from(text: String) -> Result<Self, NoInstant> {
        Self::from_str(&text)
    }
}

impl From<Instant> for String {
    fn from(instant: Instant) -> Self {
        instant.text
    }
}

/// The beginning of 1970, for records that are filled in field by field.
impl Default for Instant {
    fn default() -> Self {
        Self::at(DateTime::UNIX_EPOCH)
    }
}

/// A day in the office's zone, YYYY-MM-DD. Made by [`Zone::day`] only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Day(String);

impl Day {
    fn new(day: NaiveDate) -> Self {
        Self(day.to_string())
    }
}

impl Deref for Day {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.0
    }
}

/// Where the office is: the zone in which its days begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// That of an office which says nothing else.
impl Default for Zone {
    fn default() -> Self {
        Self(Tz::Asia__Shanghai)
    }
}

impl FromStr for Zone {
    type Err = Diagnostic;

    fn from_str(name: &str) -> Result<Self, Diagnostic> {
        Tz::from_str(name).map(Self).map_err(|_| {
            Diagnostic::error(
                "MC940",
                format!("需要时区名，但得到 `{name}`"),
                format!("wanted the name of a time zone, got `{name}`"),
            )
            .with_help("例如 Asia/Shanghai", "Asia/Shanghai, for example")
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Zone {
    /// The zone for chrono.
    #[must_use]
    pub fn tz(self) -> Tz {
        self.0
    }

    /// The day of an instant.
    #[must_use]
    pub fn day(self, instant: &Instant) -> Day {
        Day::new(self.date(instant))
    }

    /// The day of an instant, as a date.
    #[must_use]
    pub fn date(self, instant: &Instant) -> NaiveDate {
        match instant.is {
            Is::Moment(moment) => self.date_of(moment),
            Is::SomeTimeOn(day) => day,
        }
    }

    /// The day of a moment, as a date.
    #[must_use]
    pub fn date_of(self, moment: DateTime<Utc>) -> NaiveDate {
        moment.with_timezone(&self.0).date_naive()
    }

    /// The moment of an instant; of a mere day its beginning.
    #[must_use]
    pub fn moment(self, instant: &Instant) -> DateTime<Utc> {
        match instant.is {
            Is::Moment(moment) => moment,
            Is::SomeTimeOn(day) => self.beginning(day),
        }
    }

    /// When a day begins. Where clocks are put forward at midnight that is an hour later.
    #[must_use]
    pub fn beginning(self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        let hours = (0..=3).map(|hours| midnight + chrono::Duration::hours(hours));
        let first = hours.into_iter().find_map(|time| time.and_local_timezone(self.0).earliest());
        first.map_or_else(|| midnight.and_utc(), |at| at.with_timezone(&Utc))
    }

    /// An instant for a reader, to the minute, by the clocks of the office: `2026-08-01 07:30`. Say the zone beside it.
    #[must_use]
    pub fn clock(self, instant: &Instant) -> String {
        match instant.is {
            Is::Moment(moment) => moment.with_timezone(&self.0).format("%Y-%m-%d %H:%M").to_string(),
            Is::SomeTimeOn(day) => day.to_string(),
        }
    }

    /// The same with the zone: `2026-08-01 07:30 Asia/Shanghai`.
    #[must_use]
    pub fn shown(self, instant: &Instant) -> String {
        format!("{} {self}", self.clock(instant))
    }
}

/// A day written YYYY-MM-DD.
pub(crate) fn parse_day(day: &str) -> Option<NaiveDate> {
    (day.len() == 10).then(|| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(zone: &str, at: &str) -> String {
        zone.parse::<Zone>().unwrap().day(&at.parse().unwrap()).to_string()
    }

    #[test]
    fn a_day_is_a_day_in_the_zone() {
        for (zone, at, wanted) in [
            ("Asia/Shanghai", "2026-07-31T15:59:59Z", "2026-07-31"),
            ("Asia/Shanghai", "2026-07-31T16:00:00Z", "2026-08-01"),
            ("Asia/Shanghai", "2026-07-31T23:30:00Z", "2026-08-01"),
            ("Asia/Shanghai", "2026-08-01T00:30:00+08:00", "2026-08-01"),
            ("America/Los_Angeles", "2026-08-01T06:59:00Z", "2026-07-31"),
            ("America/Los_Angeles", "2026-08-01T07:00:00Z", "2026-08-01"),
            // Winter and summer time.
            ("Europe/Berlin", "2026-01-31T22:30:00Z", "2026-01-31"),
            ("Europe/Berlin", "2026-07-31T22:30:00Z", "2026-08-01"),
            // What somebody gave as a day is that day, wherever.
            ("Asia/Shanghai", "2026-07-31", "2026-07-31"),
            ("America/Los_Angeles", "2026-07-31", "2026-07-31"),
        ] {
            assert_eq!(day(zone, at), wanted, "{at} in {zone}");
        }
    }

    #[test]
    fn days_of_23_and_25_hours_begin_where_the_one_before_ends() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        for (day, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)] {
            let day: NaiveDate = day.parse().unwrap();
            let length = berlin.beginning(day.succ_opt().unwrap()) - berlin.beginning(day);
            assert_eq!(length.num_hours(), hours, "{day}");
            assert_eq!(berlin.date_of(berlin.beginning(day)), day);
        }
        // Where midnight itself is left out.
        let cairo: Zone = "Africa/Cairo".parse().unwrap();
        let day: NaiveDate = "2026-04-24".parse().unwrap();
        assert_eq!(cairo.date_of(cairo.beginning(day)), day);
    }

    #[test]
    fn what_is_typed_becomes_utc_and_what_is_stored_stays_to_the_letter() {
        let typed = Instant::given("2026-08-01T07:30:00+08:00").unwrap();
        assert_eq!(typed.as_stored(), "2026-07-31T23:30:00Z");
        let stored: Instant = serde_json::from_str("\"2026-08-01T07:30:00+08:00\"").unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), "\"2026-08-01T07:30:00+08:00\"");
        assert_eq!(Zone::default().shown(&stored), "2026-08-01 07:30 Asia/Shanghai");
        assert!(serde_json::from_str::<Instant>("\"yesterday\"").is_err());
        assert!("Mars".parse::<Zone>().is_err());
    }
}
