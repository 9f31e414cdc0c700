//! When nights are due: a cron expression in a time zone, asked about moments that it is given. Reads no clock.
//!
//! Clocks that are put forward skip no night and clocks that are put back repeat none: the wall's time counts once a day
//! (croner's reading of fixed times), and days are told apart by their date.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use mingcha_ledger::Zone;
use mingcha_rules::diagnostic::Diagnostic;

/// Nights that were missed are counted up to this.
const MOST_MISSED: u64 = 400;

/// When nights are due.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// Absent: whenever somebody starts one.
    cron: Option<Cron>,
    zone: Zone,
}

impl Schedule {
    /// `cron` has five fields (or six, with seconds first) and speaks of the clocks of the office.
    pub(crate) fn new(cron: Option<&str>, zone: Zone) -> Result<Self, Diagnostic> {
        let parsed = cron.map(|text| {
            Cron::from_str(text).map_err(|e| {
                Diagnostic::error(
                    "MC906",
                    format!("`nightly.schedule` 需要 cron 表达式，但得到 `{text}`：{e}"),
                    format!("wanted a cron expression in `nightly.schedule`, got `{text}`: {e}"),
                )
                .with_help(
                    "例如 `30 2 * * *`：每天 2:30",
                    "`30 2 * * *`, for example: half past two every day",
                )
            })
        });
        Ok(Self { cron: parsed.transpose()?, zone })
    }

    /// The last moment at or before `now` at which a night was due; `now` itself without a schedule.
    pub(crate) fn last(&self, now: DateTime<Utc>) -> Option<DateTime<Tz>> {
        let here = now.with_timezone(&self.zone.tz());
        match &self.cron {
            None => Some(here),
            Some(cron) => cron.find_previous_occurrence(&here, true).ok(),
        }
    }

    /// The next moment after `now`; none without a schedule.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Tz>> {
        let cron = self.cron.as_ref()?;
        cron.find_next_occurrence(&now.with_timezone(&self.zone.tz()), false).ok()
    }

    /// Nights that were due after `done` and before `due`: those that nobody ran.
    pub(crate) fn missed(&self, done: DateTime<Utc>, due: DateTime<Utc>) -> u64 {
        let (mut at, mut missed) = (done, 0);
        while let Some(next) = self.next(at).map(|next| next.with_timezone(&Utc)) {
            if next >= due || missed >= MOST_MISSED {
                break;
            }
            missed += 1;
            at = next;
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn a_night_belongs_to_the_moment_at_which_it_was_due() {
        let schedule = Schedule::new(Some("30 2 * * *"), zone("Asia/Shanghai")).unwrap();
        for (now, due) in [
            ("2026-07-01T02:30:00+08:00", "2026-07-01T02:30:00+08:00"),
            ("2026-07-01T02:29:59+08:00", "2026-06-30T02:30:00+08:00"),
            ("2026-07-01T23:00:00+08:00", "2026-07-01T02:30:00+08:00"),
            // Still yesterday in Greenwich, and already the night of today in Shanghai.
            ("2026-06-30T20:00:00Z", "2026-07-01T02:30:00+08:00"),
        ] {
            assert_eq!(schedule.last(at(now)).unwrap().to_rfc3339(), due, "{now}");
        }
        assert_eq!(
            schedule.next(at("2026-07-01T02:30:00+08:00")).unwrap().to_rfc3339(),
            "2026-07-02T02:30:00+08:00"
        );
    }

    #[test]
    fn missed_nights_are_those_between_the_last_and_the_due_one() {
        let schedule = Schedule::new(Some("30 2 * * *"), zone("Asia/Shanghai")).unwrap();
        let missed = |done: &str, due: &str| schedule.missed(at(done), at(due));
        assert_eq!(missed("2026-07-01T02:30:00+08:00", "2026-07-02T02:30:00+08:00"), 0);
        assert_eq!(missed("2026-07-01T02:30:00+08:00", "2026-07-05T02:30:00+08:00"), 3);
        assert_eq!(missed("2020-01-01T02:30:00+08:00", "2026-07-05T02:30:00+08:00"), MOST_MISSED);
        let weekdays = Schedule::new(Some("30 2 * * 1-5"), zone("Asia/Shanghai")).unwrap();
        // From Friday to Monday nothing was missed.
        assert_eq!(weekdays.missed(at("2026-07-03T02:30:00+08:00"), at("2026-07-06T02:30:00+08:00")), 0);
    }

    #[test]
    fn clocks_that_change_neither_skip_nor_repeat_a_night() {
        let schedule = Schedule::new(Some("30 2 * * *"), zone("Europe/Berlin")).unwrap();
        // 2026-03-29: from two to three. 2026-10-25: three becomes two.
        for (from, days) in [("2026-03-27T12:00:00Z", 4), ("2026-10-23T12:00:00Z", 4)] {
            let mut now = at(from);
            let mut dates = Vec::new();
            for _ in 0..days {
                let next = schedule.next(now).unwrap();
                dates.push(next.date_naive());
                now = next.with_timezone(&Utc);
            }
            let wanted: Vec<NaiveDate> = dates[0].iter_days().take(days).collect();
            assert_eq!(dates, wanted);
        }
    }

    #[test]
    fn without_a_schedule_a_night_is_due_when_somebody_starts_it() {
        let schedule = Schedule::new(None, zone("Asia/Shanghai")).unwrap();
        let now = at("2026-06-30T20:00:00Z");
        assert_eq!(schedule.last(now).unwrap().to_rfc3339(), "2026-07-01T04:00:00+08:00");
        assert_eq!(schedule.next(now), None);
        assert_eq!(schedule.missed(now, at("2026-07-30T20:00:00Z")), 0);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_an_example() {
        for cron in ["half past two", "61 2 * * *"] {
            let fault = Schedule::new(Some(cron), Zone::default()).unwrap_err();
            assert_eq!(fault.code, "MC906");
            assert!(fault.help.is_some());
        }
    }
}
