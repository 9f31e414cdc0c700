//! Values that are written as text: dates, decimals, parameters. Knows how they are spelled and their
//! bounds, nothing of where they are used.

use crate::rule::{Param, ParamType, Scalar};
use crate::text::Text;

/// A parameter as the engine binds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParamValue {
    /// 64-bit integer.
    Int(i64),
    /// Decimal(18, 4), in ten-thousandths: `1.5` is 15000.
    Decimal(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Text.
    Text(String),
    /// True or false.
    Bool(bool),
}

/// `value` as a value of `param`, within its bounds.
///
/// # Errors
/// What was wanted and what was got.
pub(crate) fn param_value(param: &Param, value: &Scalar) -> Result<ParamValue, Text> {
    let typed = typed(param.ty, value)?;
    for (bound, least) in [(&param.min, true), (&param.max, false)] {
        let Some(bound) = bound else { continue };
        let limit = self::typed(param.ty, bound)?;
        let outside = if least { typed < limit } else { typed > limit };
        if outside {
            let (zh, en) = if least { ("不小于", "at least") } else { ("不大于", "at most") };
            return Err(Text {
                zh: format!("应{zh} {}，实际为 {}", show(bound), show(value)),
                en: format!("wanted {en} {}, got {}", show(bound), show(value)),
            });
        }
    }
    Ok(typed)
}

fn typed(ty: ParamType, value: &Scalar) -> Result<ParamValue, Text> {
    let wanted = |zh: &str, en: &str| {
        Err(Text {
            zh: format!("应为{zh}，实际为 {}", show(value)),
            en: format!("wanted {en}, got {}", show(value)),
        })
    };
    match (ty, value) {
        (ParamType::Int, Scalar::Int(n)) => Ok(ParamValue::Int(*n)),
        (ParamType::Int, _) => wanted("整数", "a whole number"),
        (ParamType::Bool, Scalar::Bool(b)) => Ok(ParamValue::Bool(*b)),
        (ParamType::Bool, _) => wanted(" true 或 false", "true or false"),
        (ParamType::Text, Scalar::Text(text)) => Ok(ParamValue::Text(text.clone())),
        (ParamType::Text, _) => wanted("带引号的文本", "text in quotes"),
        (ParamType::Date, Scalar::Text(text)) if day_number(text).is_some() => {
            Ok(ParamValue::Date(day_number(text).unwrap_or_default()))
        }
        (ParamType::Date, _) => wanted(" YYYY-MM-DD 日期", "a date, YYYY-MM-DD"),
        (ParamType::Decimal, Scalar::Int(n)) if n.checked_mul(10_000).is_some() => {
            Ok(ParamValue::Decimal(n.saturating_mul(10_000)))
        }
        (ParamType::Decimal, Scalar::Text(text)) if ten_thousandths(text).is_some() => {
            Ok(ParamValue::Decimal(ten_thousandths(text).unwrap_or_default()))
        }
        (ParamType::Decimal, _) => {
            wanted("带引号、至多四位小数的数", "a number in quotes with at most four decimals")
        }
    }
}

/// A scalar as the file spells it.
pub(crate) fn show(value: &Scalar) -> String {
    match value {
        Scalar::Bool(b) => b.to_string(),
        Scalar::Int(n) => n.to_string(),
        Scalar::Text(text) => format!("\"{text}\""),
    }
}

/// Days from 1970-01-01 to a `YYYY-MM-DD` of the calendar.
pub(crate) fn day_number(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(n, b)| if n == 4 || n == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !shaped {
        return None;
    }
    let (year, month, day): (i32, i32, i32) =
        (text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || !(1..=length).contains(&day) {
        return None;
    }
    // years that begin in March put the leap day last
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468)
}

/// A decimal number with at most four decimals, in ten-thousandths.
fn ten_thousandths(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(part) || part.len() > 4 || whole.len() > 14 {
        return None;
    }
    let part: i64 = format!("{part:0<4}").parse().ok()?;
    let value = whole.parse::<i64>().ok()? * 10_000 + part;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: ParamType, value: Scalar, wanted: Option<ParamValue>) {
        assert_eq!(typed(ty, &value).ok(), wanted, "{value:?}");
    }

    #[test]
    fn values_are_read_by_their_type() {
        let text = |s: &str| Scalar::Text(s.to_owned());
        check(ParamType::Int, Scalar::Int(-3), Some(ParamValue::Int(-3)));
        check(ParamType::Int, text("3"), None);
        check(ParamType::Bool, Scalar::Bool(true), Some(ParamValue::Bool(true)));
        check(ParamType::Text, Scalar::Int(3), None);
        check(ParamType::Decimal, Scalar::Int(2), Some(ParamValue::Decimal(20_000)));
        check(ParamType::Decimal, text("-0.25"), Some(ParamValue::Decimal(-2_500)));
        for bad in ["0.12345", ".5", "1.", "1e3", "", "-", "1,000", "999999999999999"] {
            check(ParamType::Decimal, text(bad), None);
        }
        check(ParamType::Decimal, Scalar::Int(i64::MAX), None);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day_number("1970-01-01"), Some(0));
        assert_eq!(day_number("1969-12-31"), Some(-1));
        assert_eq!(day_number("2000-02-29"), Some(11_016));
        assert_eq!(day_number("2026-06-30"), Some(20_634));
        assert_eq!(day_number("1900-03-01"), Some(-25_508));
        for bad in [
            "1900-02-29",
            "2026-02-30",
            "2026-00-10",
            "2026-13-01",
            "2026-1-1",
            "20260101",
            "0000-01-01",
            "二零二六-01",
        ] {
            assert_eq!(day_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_value_outside_its_bounds_says_the_bound() {
        let param = Param {
            ty: ParamType::Decimal,
            default: Scalar::Int(1),
            min: Some(Scalar::Text("0.5".into())),
            max: Some(Scalar::Int(2)),
            title: Text::default(),
            source: String::new(),
        };
        assert_eq!(param_value(&param, &Scalar::Text("0.5".into())), Ok(ParamValue::Decimal(5_000)));
        assert_eq!(
            param_value(&param, &Scalar::Text("0.4".into())).unwrap_err().en,
            "wanted at least \"0.5\", got \"0.4\""
        );
        assert_eq!(param_value(&param, &Scalar::Int(3)).unwrap_err().zh, "应不大于 2，实际为 3");
    }
}
