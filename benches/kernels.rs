//! The two things that are done to every row of every extract: an identity number is normalised, two names are
//! compared. Nanoseconds per value by kind of input, medians of rounds that take the kinds in turn, and beside them
//! the cost of touching the same bytes once, which nothing can go below.
//!
//! ```text
//! cargo bench --workspace --bench kernels
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::hint::black_box;
use std::time::Instant;

use chrono::NaiveDate;
use mingcha_engine::names;
use mingcha_intake::identity;

/// Values of one kind: more than the caches near the processor hold.
const VALUES: u16 = 50_000;
const ROUNDS: usize = 15;

fn main() {
    let numbers: Vec<String> = (0..VALUES).map(number).collect();
    let each = |change: fn(&String) -> String| numbers.iter().map(change).collect::<Vec<_>>();
    let ids = [
        ("valid", numbers.clone()),
        ("small x, spaces", each(|n| format!(" {} ", n.to_lowercase()))),
        ("full width", each(|n| n.chars().map(wide).collect())),
        ("15 characters", each(|n| format!("{}{}", &n[..6], &n[8..17]))),
        (
            "wrong check character",
            each(|n| format!("{}{}", &n[..17], if n.ends_with('0') { '1' } else { '0' })),
        ),
        ("no number", each(|n| format!("无{}", &n[..3]))),
    ];
    let surnames = ["柏", "闫", "欧阳", "阿卜杜拉", "钟", "李"];
    let name = |i: usize| format!("{}{}", surnames[i % surnames.len()], ["青山", "秀兰", "伟"][i % 3]);
    let names: Vec<String> = (0..usize::from(VALUES)).map(name).collect();
    let pairs = |change: fn(&str) -> String| -> Vec<(String, String)> {
        names.iter().map(|n| (n.clone(), change(n))).collect()
    };
    let compared = [
        ("equal", pairs(str::to_owned)),
        ("spaces between", pairs(|n| n.chars().flat_map(|c| [c, ' ']).collect())),
        ("variant characters", pairs(|n| n.replace('闫', "閆").replace('钟', "鍾"))),
        ("one character missing", pairs(|n| n.chars().skip(1).collect())),
        ("another name", pairs(|n| n.chars().rev().collect())),
    ];
    let bytes = |texts: &[String]| texts.iter().flat_map(|t| t.bytes()).map(u64::from).sum::<u64>();
    let mut figures: Vec<(String, Vec<f64>)> = Vec::new();
    for round in 0..=ROUNDS {
        let mut note = |what: String, nanoseconds: f64| {
            match figures.iter_mut().find(|(name, _)| *name == what) {
                // The first round warms up.
                Some((_, all)) => all.push(nanoseconds),
                None => figures.push((what, Vec::new())),
            }
        };
        for (kind, values) in &ids {
            note(
                format!("number: {kind}"),
                timed(|| values.iter().filter(|v| identity::normalise(black_box(v)).is_ok()).count() as u64),
            );
        }
        note("number: touching the bytes".to_owned(), timed(|| bytes(black_box(&numbers))));
        for (kind, values) in &compared {
            note(
                format!("names: {kind}"),
                timed(|| {
                    let graded = values.iter().map(|(a, b)| names::grade(black_box(Some(a)), Some(b)));
                    graded.filter(|grade| *grade == names::NameGrade::I1).count() as u64
                }),
            );
        }
        note("names: touching the bytes".to_owned(), timed(|| bytes(black_box(&names))));
        black_box(round);
    }
    println!("| kernel | ns per value |\n|---|---|");
    for (what, mut all) in figures {
        all.sort_by(f64::total_cmp);
        println!("| {what} | {:.1} |", all[all.len() / 2]);
    }
}

/// Nanoseconds per value.
fn timed(work: impl FnOnce() -> u64) -> f64 {
    let started = Instant::now();
    black_box(work());
    started.elapsed().as_secs_f64() * 1e9 / f64::from(VALUES)
}

/// An invented number of the reserved area.
fn number(i: u16) -> String {
    let day = NaiveDate::from_ymd_opt(1930, 1, 1).unwrap_or_default() + chrono::Days::new(u64::from(i));
    identity::make("880101", day, i)
}

fn wide(c: char) -> char {
    char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c)
}
