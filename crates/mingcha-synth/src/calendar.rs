//! Months and the clock of a city. Knows the calendar only: it never reads the time of day or of the
//! machine, so that the same seed gives the same city for ever.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime};

/// A calendar month, counted as year * 12 + month - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month(i32);

impl Month {
    pub(crate) fn of(date: NaiveDate) -> Self {
        Self(date.year() * 12 + date.month0().cast_signed())
    }

    pub(crate) fn plus(self, months: i32) -> Self {
        Self(self.0 + months)
    }

    pub(crate) fn year(self) -> i32 {
        self.0.div_euclid(12)
    }

    /// 1 to 12.
    pub(crate) fn number(self) -> u32 {
        self.0.rem_euclid(12).cast_unsigned() + 1
    }

    /// The given day of the month, or its last day where the month is shorter.
    pub(crate) fn day(self, day: u32) -> NaiveDate {
        (1..=day)
            .rev()
            .find_map(|d| NaiveDate::from_ymd_opt(self.year(), self.number(), d))
            .unwrap_or_default()
    }

    pub(crate) fn first(self) -> NaiveDate {
        self.day(1)
    }

    /// Every month from this one to `last`, both included.
    pub(crate) fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

/// The days that everything in a city is placed by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The day the extracts were made.
    pub(crate) as_of: NaiveDate,
    /// The last month whose pensions have been paid.
    pub(crate) paid: Month,
}

impl Clock {
    /// Pensions are sent until the 15th, so an extract before the 20th does not hold its own month.
    pub(crate) fn at(as_of: NaiveDate) -> Self {
        let month = Month::of(as_of);
        let paid = if as_of.day() >= 20 { month } else { month.plus(-1) };
        Self { as_of, paid }
    }

    /// A birthday that makes somebody `years` old on the extract day, `days` days after the birthday.
    pub(crate) fn birth(self, years: u32, days: u64) -> NaiveDate {
        before(back(self.as_of, years * 12), days)
    }
}

pub(crate) fn before(date: NaiveDate, days: u64) -> NaiveDate {
    date.checked_sub_days(Days::new(days)).unwrap_or(date)
}

pub(crate) fn after(date: NaiveDate, days: u64) -> NaiveDate {
    date.checked_add_days(Days::new(days)).unwrap_or(date)
}

/// The same day so many months ago.
pub(crate) fn back(date: NaiveDate, months: u32) -> NaiveDate {
    date.checked_sub_months(Months::new(months)).unwrap_or(date)
}

/// Full years from `birth` to `date`.
pub(crate) fn age(birth: NaiveDate, date: NaiveDate) -> i32 {
    let passed = (date.month(), date.day()) >= (birth.month(), birth.day());
    date.year() - birth.year() - i32::from(!passed)
}

/// A moment of a day; minutes past midnight.
pub(crate) fn moment(date: NaiveDate, minutes: u32) -> NaiveDateTime {
    date.and_hms_opt((minutes / 60).min(23), minutes % 60, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_count_across_years_and_clamp_days() {
        let january = Month::of(NaiveDate::from_ymd_opt(2026, 1, 31).unwrap());
        assert_eq!(january.plus(-1).first(), NaiveDate::from_ymd_opt(2025, 12, 1).unwrap());
        assert_eq!(january.plus(1).day(31), NaiveDate::from_ymd_opt(2026, 2, 28).unwrap());
        assert_eq!(january.through(january.plus(2)).count(), 3);
    }

    #[test]
    fn a_birthday_made_for_an_age_gives_that_age() {
        let clock = Clock::at(NaiveDate::from_ymd_opt(2026, 6, 30).unwrap());
        assert_eq!(age(clock.birth(100, 0), clock.as_of), 100);
        assert_eq!(age(clock.birth(72, 300), clock.as_of), 72);
        assert_eq!(age(after(clock.birth(100, 0), 20), clock.as_of), 99);
    }
}
