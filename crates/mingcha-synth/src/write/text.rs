//! How values look as text, in the spellings that offices use side by side. Every spelling of a value
//! means the same value.

use chrono::{NaiveDate, NaiveDateTime};

use crate::calendar::Month;
use crate::records::{Cell, Fen};

/// Appends the text of a value. `turn` chooses the spelling; 0 is the plain one.
pub(crate) fn write(cell: Cell<'_>, turn: u64, out: &mut String) {
    match cell {
        Cell::Text(text) => out.push_str(text),
        Cell::Date(Some(value)) => out.push_str(&date(value, turn)),
        Cell::Moment(Some(value)) => out.push_str(&moment(value, turn)),
        Cell::Month(Some(value)) => out.push_str(&month(value, turn)),
        Cell::Money(Some(value)) => out.push_str(&money(value, turn)),
        Cell::Int(Some(value)) => out.push_str(&value.to_string()),
        Cell::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Cell::Date(None) | Cell::Moment(None) | Cell::Month(None) | Cell::Money(None) | Cell::Int(None) => {}
    }
}

pub(crate) fn date(value: NaiveDate, turn: u64) -> String {
    let format = ["%Y-%m-%d", "%Y%m%d", "%Y/%-m/%-d"][(turn % 3) as usize];
    value.format(format).to_string()
}

pub(crate) fn moment(value: NaiveDateTime, turn: u64) -> String {
    let format = ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S"][(turn % 2) as usize];
    value.format(format).to_string()
}

pub(crate) fn month(value: Month, turn: u64) -> String {
    let format = ["%Y%m", "%Y-%m"][(turn % 2) as usize];
    value.first().format(format).to_string()
}

pub(crate) fn money(value: Fen, turn: u64) -> String {
    if value.0 < 0 {
        return format!("-{}", money(Fen(-value.0), turn));
    }
    let (yuan, fen) = (value.0 / 100, value.0 % 100);
    if turn.is_multiple_of(2) {
        return format!("{yuan}.{fen:02}");
    }
    let digits = yuan.to_string();
    let mut grouped = String::with_capacity(digits.len() + 4);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped}.{fen:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_groups_thousands_in_odd_turns() {
        assert_eq!(money(Fen(123_456_789), 0), "1234567.89");
        assert_eq!(money(Fen(123_456_789), 1), "1,234,567.89");
        assert_eq!(money(Fen(12_305), 1), "123.05");
        assert_eq!(money(Fen(-123_456), 1), "-1,234.56");
    }
}
