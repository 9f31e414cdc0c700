//! Identity numbers of people who do not exist: the reserved area codes 880000 to 889999, which no office
//! issues, with true check digits. Written apart from the reader of numbers in the intake on purpose: the
//! truth of a city must not lean on the code that it is there to test.

use chrono::{Datelike, NaiveDate};

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: &[u8; 11] = b"10X98765432";
/// Births before this day are not generated.
const FIRST_YEAR: i32 = 1900;

/// Male or female, as the 17th digit tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sex {
    Male,
    Female,
}

impl Sex {
    /// GB/T 2261.1.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Male => "1",
            Self::Female => "2",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Male => Self::Female,
            Self::Female => Self::Male,
        }
    }
}

/// One identity number, in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) area: u32,
    pub(crate) birth: NaiveDate,
    pub(crate) sequence: u16,
}

impl Identity {
    pub(crate) fn sex(&self) -> Sex {
        if self.sequence % 2 == 1 { Sex::Male } else { Sex::Female }
    }

    /// The 18 characters.
    pub(crate) fn number(&self) -> String {
        let body = format!("{:06}{}{:03}", self.area, self.birth.format("%Y%m%d"), self.sequence);
        with_check(&body)
    }

    /// The 15 digits that were issued until 1999, where the person was born in time for them.
    pub(crate) fn old_number(&self) -> Option<String> {
        (1900..2000)
            .contains(&self.birth.year())
            .then(|| format!("{:06}{}{:03}", self.area, self.birth.format("%y%m%d"), self.sequence))
    }
}

/// 17 digits and their check character (ISO 7064 MOD 11-2).
pub(crate) fn with_check(body: &str) -> String {
    let sum: u32 = body.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let check = CHECKS[(sum % 11) as usize];
    format!("{body}{}", char::from(check))
}

/// Hands out sequence numbers, so that no number is given twice.
pub(crate) struct Registrar {
    areas: Vec<u32>,
    days: usize,
    next: Vec<u16>,
}

impl Registrar {
    /// An office that serves these areas, for births up to the year of `last`.
    pub(crate) fn new(areas: Vec<u32>, last: NaiveDate) -> Self {
        let days = usize::try_from((last.year() + 2 - FIRST_YEAR) * 366).unwrap_or_default();
        let next = vec![0; areas.len() * days * 2];
        Self { areas, days, next }
    }

    /// The next free number of an area, a day and a sex; none when the day is full.
    pub(crate) fn issue(&mut self, area: usize, birth: NaiveDate, sex: Sex) -> Option<Identity> {
        let day = usize::try_from((birth.year() - FIRST_YEAR) * 366 + birth.ordinal0().cast_signed()).ok()?;
        let slot = (area * self.days + day) * 2 + usize::from(sex == Sex::Male);
        let count = self.next.get_mut(slot)?;
        let mut sequence = *count * 2 + if sex == Sex::Male { 1 } else { 2 };
        if sequence % 100 == 0 {
            // A tail of zeros is the mark of a number ruined by a spreadsheet; ordinary people have none.
            *count += 1;
            sequence += 2;
        }
        *count += 1;
        // 996 to 999 meant a centenarian on the old numbers.
        (sequence < 990).then(|| Identity { area: self.areas[area], birth, sequence })
    }

    /// The number a person has whose sequence is already known.
    pub(crate) fn known(areas: &[u32], area: usize, birth: NaiveDate, sequence: u16) -> Identity {
        Identity { area: areas[area], birth, sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_characters_agree_with_published_samples() {
        // The samples of the national standard.
        for sample in ["11010519491231002X", "440524188001010014", "34052419800101001X"] {
            assert_eq!(with_check(&sample[..17]), sample);
        }
    }

    #[test]
    fn numbers_are_unique_and_carry_the_sex() {
        let day = NaiveDate::from_ymd_opt(1950, 12, 31).unwrap();
        let mut office = Registrar::new(vec![880_101], NaiveDate::from_ymd_opt(2026, 6, 30).unwrap());
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..120 {
            let sex = if i % 2 == 0 { Sex::Male } else { Sex::Female };
            let identity = office.issue(0, day, sex).unwrap();
            assert_eq!(identity.sex(), sex);
            assert!(!identity.number()[14..17].ends_with("00"));
            assert!(seen.insert(identity.number()));
        }
        assert_eq!(office.issue(0, day, Sex::Male).unwrap().old_number().unwrap().len(), 15);
    }

    #[test]
    fn a_full_day_is_refused_and_not_repeated() {
        let day = NaiveDate::from_ymd_opt(1950, 1, 1).unwrap();
        let mut office = Registrar::new(vec![880_101], day);
        let given = (0..1000).filter(|_| office.issue(0, day, Sex::Male).is_some()).count();
        assert!(given < 500, "{given}");
    }
}
