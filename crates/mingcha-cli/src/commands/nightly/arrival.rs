//! Whether tonight's extracts are there: looked for by name, and only taken for arrived when nobody writes them any
//! more. Opens no file; what is in them is looked at by `prepare`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use chrono::NaiveDate;

use crate::clock;
use crate::config::Expected;
use crate::exit::Failure;
use crate::interrupt::Interrupt;

/// How long between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// What is waited for, and how patiently.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) data: &'a Path,
    pub(super) expected: &'a [Expected],
    /// How long to wait for what is not there.
    pub(super) wait: Duration,
    /// A file is taken for complete when it has been left alone so long.
    pub(super) settle: Duration,
}

impl Arrival<'_> {
    /// Waits; gives what did not come by then.
    pub(super) fn wait(&self, as_of: NaiveDate, interrupt: &Interrupt) -> Result<Vec<&Expected>, Failure> {
        let begun = Instant::now();
        loop {
            interrupt.check()?;
            let files = self.files()?;
            let missing: Vec<&Expected> = self
                .expected
                .iter()
                .filter(|e| !files.iter().any(|(name, _)| fits(&dated(&e.path, as_of), name)))
                .collect();
            // The youngest says when all of them were left alone.
            let youngest = files.iter().map(|(_, age)| *age).min();
            let restless =
                youngest.and_then(|age| self.settle.checked_sub(age)).filter(|left| !left.is_zero());
            let left = self.wait.saturating_sub(begun.elapsed());
            if missing.is_empty() && restless.is_none() {
                return Ok(missing);
            }
            // Somebody who never stops writing is not waited for any longer than something that never comes.
            let patience = self.wait.max(self.settle + self.settle);
            if begun.elapsed() >= patience || (left.is_zero() && restless.is_none()) {
                return Ok(missing);
            }
            pause(restless.unwrap_or(left).min(LOOK), interrupt)?;
        }
    }

    /// Names below the folder, with `/`, and how long ago each was changed.
    fn files(&self) -> Result<Vec<(String, Duration)>, Failure> {
        let mut out = Vec::new();
        let mut folders = vec![(self.data.to_path_buf(), String::new())];
        while let Some((folder, above)) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(|e| Failure::disk(&folder, &e))?;
            for entry in entries {
                let entry = entry.map_err(|e| Failure::disk(&folder, &e))?;
                let name = format!("{above}{}", entry.file_name().to_string_lossy());
                // A file that was just taken away is not there.
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.push((entry.path(), format!("{name}/")));
                } else if meta.len() > 0 {
                    out.push((name, age(meta.modified().ok())));
                }
            }
        }
        Ok(out)
    }
}

fn age(changed: Option<SystemTime>) -> Duration {
    // A file from the future, or of a disk that knows no times, is as old as can be.
    changed.map_or(Duration::MAX, clock::since)
}

fn pause(length: Duration, interrupt: &Interrupt) -> Result<(), Failure> {
    let until = Instant::now() + length;
    while Instant::now() < until {
        interrupt.check()?;
        std::thread::sleep(Duration::from_millis(100).min(length));
    }
    Ok(())
}

/// `{date}` as 2026-07-01 and `{day}` as 20260701.
pub(super) fn dated(path: &str, as_of: NaiveDate) -> String {
    path.replace("{date}", &as_of.format("%Y-%m-%d").to_string())
        .replace("{day}", &as_of.format("%Y%m%d").to_string())
}

/// `*` and `?` stay inside one name.
fn fits(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if one(pattern, name) => {}
            _ => return false,
        }
    }
}

fn one(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => name
            .char_indices()
            .map(|(at, _)| at)
            .chain([name.len()])
            .any(|at| one(rest.as_str(), &name[at..])),
        Some(c) => {
            let mut there = name.chars();
            there.next().is_some_and(|d| c == '?' || c == d) && one(rest.as_str(), there.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> NaiveDate {
        "2026-07-01".parse().unwrap()
    }

    fn expect(path: &str) -> Expected {
        Expected { path: path.to_owned(), required: false }
    }

    #[test]
    fn an_extract_is_found_by_its_dated_name_and_yesterdays_is_another() {
        assert_eq!(dated("{day}/待遇发放-{date}.csv", day()), "20260701/待遇发放-2026-07-01.csv");
        for (pattern, name, good) in [
            ("a-*.csv", "a-1.csv", true),
            ("a-*.csv", "a-.csv", true),
            ("a-*.csv", "x/a-1.csv", false),
            ("x/a?.csv", "x/a1.csv", true),
            ("x/a?.csv", "x/a.csv", false),
            ("*/发放*.csv", "人社/发放明细.csv", true),
            ("a.csv", "a.csv.part", false),
        ] {
            assert_eq!(fits(pattern, name), good, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_not_there_after_the_wait_is_named_and_an_empty_file_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a-2026-07-01.csv"), "x").unwrap();
        fs::write(dir.path().join("b-2026-06-30.csv"), "x").unwrap();
        fs::write(dir.path().join("c.csv"), "").unwrap();
        let expected = [expect("a-{date}.csv"), expect("b-{date}.csv"), expect("c.csv")];
        let arrival =
            Arrival { data: dir.path(), expected: &expected, wait: Duration::ZERO, settle: Duration::ZERO };
        let missing = arrival.wait(day(), &Interrupt::default()).unwrap();
        assert_eq!(missing, [&expected[1], &expected[2]]);
    }

    #[test]
    fn what_comes_while_one_waits_has_come_and_a_file_must_be_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("late.csv");
        let late = {
            let file = file.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                fs::write(file, "x").unwrap();
            })
        };
        let expected = [expect("late.csv")];
        let settle = Duration::from_millis(400);
        let arrival =
            Arrival { data: dir.path(), expected: &expected, wait: Duration::from_secs(20), settle };
        let begun = Instant::now();
        // The pause between two looks is longer than this test may take: the wait ends with the file.
        let missing = arrival.wait(day(), &Interrupt::default()).unwrap();
        late.join().unwrap();
        assert!(missing.is_empty());
        assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
        assert!(file.exists());
    }
}
