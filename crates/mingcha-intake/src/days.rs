//! Days that are none: what spreadsheets and systems show for the number 0 or for nothing. Decides about one value of
//! a date column; what becomes of it and of its row is not known here.

use crate::batch::Value;
use crate::parse;

/// Reason code: the value stands for no day.
pub(crate) const NO_DAY: &str = "no_day";

/// 1899-12-30 and 1899-12-31, which readers make of a date cell that holds 0, and 1900-01-01, which databases and export
/// systems write for an empty date.
pub(crate) fn is_no_day(day: i32) -> bool {
    (-25_569..=-25_567).contains(&day)
}

/// The first days of the months that those lie in.
pub(crate) fn is_no_month(first: i32) -> bool {
    matches!(first, -25_598 | -25_567)
}

/// Whether a value that is no day is nought in some spelling: `0`, `00000000`, `0000/00/00`, `00:00:00`, or
/// `1900-01-00`, which is how spreadsheets show it; in a spreadsheet also 1 and 2, which is what the 1900-01-01 of
/// databases becomes there, by one way of counting or the other.
pub(crate) fn is_nought(value: Value<'_>) -> bool {
    match value {
        Value::Int(n) => n == 0,
        Value::Number(n, false) => matches!(n, 0.0 | 1.0 | 2.0),
        Value::Number(n, true) | Value::Float(n) => n == 0.0,
        Value::Text(text) => nought_text(parse::bare(text)),
        _ => false,
    }
}

fn nought_text(text: &str) -> bool {
    const BETWEEN: &str = "-/.:年月日时分秒 T";
    let known = |c: char| c.is_ascii_digit() || BETWEEN.contains(c);
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(known) {
        return false;
    }
    let groups: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).collect();
    let is = |group: &str, n: u32| group.parse() == Ok(n);
    match groups.as_slice() {
        ["19000100"] => true,
        [year, month, day, ..] if is(year, 1900) => is(month, 1) && is(day, 0),
        all => all.iter().all(|g| g.bytes().all(|b| b == b'0')),
    }
}

/// What is to be said of the day that was read from a value, or of there being none: `bad` is the reason otherwise.
///
/// # Errors
/// [`NO_DAY`], or `bad`.
pub(crate) fn judged(
    read: Result<Option<i32>, ()>,
    value: Value<'_>,
    none: fn(i32) -> bool,
    bad: &'static str,
) -> Result<Option<i32>, &'static str> {
    match read {
        Ok(Some(day)) if none(day) => Err(NO_DAY),
        Ok(day) => Ok(day),
        Err(()) if is_nought(value) => Err(NO_DAY),
        Err(()) => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn nought_has_many_spellings_and_real_days_are_none_of_them() {
        for text in [
            "0",
            "00000000",
            "0000/00/00",
            "0000.00.00",
            "00:00:00",
            "0.0",
            "1900-01-00",
            "1900/1/0",
            "1900/1/0 0:00",
            "19000100",
            "1900年1月0日",
            "0000年00月00日",
        ] {
            assert!(is_nought(Value::Text(text)), "{text}");
        }
        for text in [
            "",
            "-",
            "/",
            "1900-01-02",
            "1900-02-00",
            "2024-03-00",
            "20240300",
            "无",
            "0x",
            "T",
            "1",
            "45352",
        ] {
            assert!(!is_nought(Value::Text(text)), "{text}");
        }
        assert!(
            is_nought(Value::Int(0))
                && is_nought(Value::Number(0.0, true))
                && !is_nought(Value::Number(0.5, false))
                && !is_nought(Value::Int(1))
        );
        for (serial, from_1900, from_1904) in [(1.0, true, false), (2.0, true, false), (3.0, false, false)] {
            let is = [false, true].map(|epoch_1904| is_nought(Value::Number(serial, epoch_1904)));
            assert_eq!(is, [from_1900, from_1904], "{serial}");
        }
    }

    #[test]
    fn the_days_that_stand_for_nought_are_three() {
        let days = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap().to_epoch_days();
        let none: Vec<i32> = (days(1899, 12, 1)..days(1900, 3, 1)).filter(|day| is_no_day(*day)).collect();
        assert_eq!(none, [days(1899, 12, 30), days(1899, 12, 31), days(1900, 1, 1)]);
        assert!(
            is_no_month(days(1899, 12, 1)) && is_no_month(days(1900, 1, 1)) && !is_no_month(days(1900, 2, 1))
        );
    }
}
