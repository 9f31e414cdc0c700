//! Text to values: days, moments, months, money, numbers, yes and no, as they stand in exports. Pure functions
//! of one text; whether a value is needed, and what becomes of a bad one, is not known here. Nothing is guessed:
//! a text with two possible readings has none.

use std::borrow::Cow;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use unicode_normalization::UnicodeNormalization;

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// The text without blanks around it, without a spreadsheet's `="…"` and without a leading apostrophe.
pub(crate) fn bare(raw: &str) -> &str {
    let bytes = raw.as_bytes();
    if let (Some(first), Some(last)) = (bytes.first(), bytes.last())
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
        && !matches!(first, b'\'' | b'=')
    {
        return raw;
    }
    let mut text = trimmed(raw);
    if let Some(inner) = text.strip_prefix("=\"").and_then(|t| t.strip_suffix('"')) {
        text = trimmed(inner);
    }
    if let Some(rest) = text.strip_prefix(['\'', '\u{2018}', '\u{2019}', '＇']) {
        text = trimmed(rest);
    }
    text
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// Zero-width characters, direction marks and byte-order marks.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The ways in which exports say that there is nothing.
pub(crate) fn is_placeholder(bare: &str) -> bool {
    matches!(
        bare,
        "" | "NULL"
            | "null"
            | "Null"
            | "\\N"
            | "-"
            | "--"
            | "—"
            | "——"
            | "/"
            | "无"
            | "N/A"
            | "n/a"
            | "#N/A"
            | "(null)"
            | "nan"
            | "NaN"
            | "NaT"
            | "None"
            | "<NA>"
            | "0000-00-00"
            | "0000-00-00 00:00:00"
    )
}

/// The text in half-width characters, without blanks inside.
fn half_width(bare: &str) -> Cow<'_, str> {
    if bare.is_ascii() {
        Cow::Borrowed(bare)
    } else {
        Cow::Owned(bare.nfkc().filter(|c| !is_invisible(*c)).collect())
    }
}

/// A day (days since 1970) and, where the text has one, the time of day in nanoseconds.
pub(crate) fn moment(bare: &str) -> Option<(i32, Option<i64>)> {
    if let Some(day) = plain_day(bare.as_bytes()) {
        return Some((day, None));
    }
    let text = western(bare);
    let text = text.as_ref();
    let split = text.find(['T', ' ', 't', '上', '下']);
    let (date, time) = match split {
        Some(at) if !text.is_char_boundary(at + 1) => (&text[..at], &text[at..]),
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None if text.len() == 14 && all_digits(text) => {
            return Some((plain_day(&text.as_bytes()[..8])?, Some(packed_time(&text[8..])?)));
        }
        None => (text, ""),
    };
    let day = day_of(date)?;
    if time.is_empty() {
        return Some((day, None));
    }
    Some((day, Some(clock(time)?)))
}

/// A time of day by either clock: `15:05`, `下午 3:05`, `3:05 PM`; after a day with dots also `15.05.00`.
fn clock(time: &str) -> Option<i64> {
    const HALF_DAY: i64 = 12 * 3600 * NANOS;
    let lower = time.to_ascii_lowercase();
    let (rest, afternoon) =
        if let Some(rest) = lower.strip_prefix("上午").or_else(|| lower.strip_suffix("am")) {
            (rest.trim(), false)
        } else if let Some(rest) = lower.strip_prefix("下午").or_else(|| lower.strip_suffix("pm")) {
            (rest.trim(), true)
        } else if !time.contains(':') && time.split('.').count() == 3 {
            return time_of(&time.replace('.', ":"));
        } else {
            return time_of(time);
        };
    let nanos = time_of(rest)?;
    // Twelve by this clock is nought by the other.
    let hour = nanos / (3600 * NANOS);
    if hour > 12 {
        return None;
    }
    let nanos = if hour == 12 { nanos - HALF_DAY } else { nanos };
    Some(if afternoon { nanos + HALF_DAY } else { nanos })
}

/// `YYYY-MM-DD` and `YYYYMMDD`, the two that nearly every file has.
fn plain_day(bytes: &[u8]) -> Option<i32> {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = &bytes[range];
        part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
    };
    match bytes.len() {
        10 if bytes[4] == b'-' && bytes[7] == b'-' => days(number(0..4)?, number(5..7)?, number(8..10)?),
        8 => days(number(0..4)?, number(4..6)?, number(6..8)?),
        _ => None,
    }
}

/// `2024年3月1日 8时5分` as `2024-3-1 8:5`.
fn western(bare: &str) -> Cow<'_, str> {
    if bare.is_ascii() {
        return Cow::Borrowed(bare);
    }
    let mut out = String::with_capacity(bare.len());
    for c in half_width(bare).chars() {
        match c {
            '年' | '月' => out.push('-'),
            '日' | '号' => out.push(' '),
            '时' | '点' | '分' => out.push(':'),
            '秒' => {}
            other => out.push(other),
        }
    }
    let text = out.trim().trim_end_matches(['-', ':']);
    Cow::Owned(text.to_owned())
}

fn day_of(date: &str) -> Option<i32> {
    let separator = date.find(['-', '/', '.']).and_then(|at| date[at..].chars().next());
    let Some(separator) = separator else { return plain_day(date.as_bytes()) };
    let mut parts = date.split(separator);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    days(short_number(year, 4)?, short_number(month, 2)?, short_number(day, 2)?)
}

fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    if !(1000..=9999).contains(&year) {
        return None;
    }
    NaiveDate::from_ymd_opt(year as i32, month, day).map(|d| d.to_epoch_days())
}

/// `H:MM`, `H:MM:SS`, `H:MM:SS.fraction`. A zone is refused: a moment here has none.
fn time_of(time: &str) -> Option<i64> {
    if !time.contains(':') {
        return None;
    }
    let mut parts = time.split(':');
    let hour = short_number(parts.next()?, 2)?;
    let minute = match parts.next()? {
        "" => 0,
        minute => short_number(minute, 2)?,
    };
    let (second, fraction) = match parts.next() {
        Some(rest) => rest.split_once(['.', ',']).unwrap_or((rest, "")),
        None => ("0", ""),
    };
    let second = if second.is_empty() { 0 } else { short_number(second, 2)? };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let mut nanos = 0i64;
    if !fraction.is_empty() {
        nanos = i64::from(short_number(fraction, 9)?) * 10i64.pow(9 - fraction.len() as u32);
    }
    Some(i64::from(hour * 3600 + minute * 60 + second) * NANOS + nanos)
}

fn packed_time(digits: &str) -> Option<i64> {
    time_of(&format!("{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..]))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn short_number(text: &str, longest: usize) -> Option<u32> {
    if text.len() > longest || !all_digits(text) { None } else { text.parse().ok() }
}

/// The first day of a month: `202403`, `2024-03`, `2024/3`, `2024年3月`, or a whole date on the first.
pub(crate) fn month(bare: &str) -> Option<i32> {
    let text = western(bare);
    let text = text.as_ref();
    if text.len() == 6 && all_digits(text) {
        return days(short_number(&text[..4], 4)?, short_number(&text[4..], 2)?, 1);
    }
    if let Some((year, month)) = text.split_once(['-', '/', '.'])
        && year.len() == 4
        && month.len() <= 2
    {
        return days(short_number(year, 4)?, short_number(month, 2)?, 1);
    }
    let (day, time) = moment(text)?;
    (time.unwrap_or(0) == 0 && is_first(day)).then_some(day)
}

/// Whether a day is the first of its month.
pub(crate) fn is_first(day: i32) -> bool {
    use chrono::Datelike;
    NaiveDate::from_epoch_days(day).is_some_and(|d| d.day() == 1)
}

/// Nanoseconds since 1970; `None` outside 1678 to 2261.
pub(crate) fn nanos(day: i32, time: i64) -> Option<i64> {
    i64::from(day).checked_mul(DAY_SECONDS * NANOS)?.checked_add(time)
}

/// The day of a moment in nanoseconds since 1970.
pub(crate) fn day_of_nanos(nanos: i64) -> i32 {
    i32::try_from(nanos.div_euclid(DAY_SECONDS * NANOS)).unwrap_or(0)
}

/// Day and time of day of a moment, rounded to milliseconds, as spreadsheets hold them.
pub(crate) fn day_and_time(moment: NaiveDateTime) -> (i32, i64) {
    let day = moment.date().to_epoch_days();
    (day, since_midnight(moment.time()))
}

fn since_midnight(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * NANOS + i64::from(time.nanosecond())
}

/// Day and time of day of a spreadsheet serial number.
pub(crate) fn serial(number: f64, epoch_1904: bool) -> Option<(i32, i64)> {
    const DAY_1899_12_30: i32 = -25_569;
    let number = if epoch_1904 { number + 1462.0 } else { number };
    // Below 61 the two calendars of spreadsheets disagree about the year 1900.
    if !(61.0..2_958_466.0).contains(&number) {
        return None;
    }
    let millis = (number * 86_400_000.0).round() as i64;
    let day = i32::try_from(millis / 86_400_000).ok()?;
    Some((DAY_1899_12_30 + day, millis % 86_400_000 * 1_000_000))
}

/// A decimal as an integer of `scale` places: `1,234.50`, `¥12`, `12元`, `(3.00)`. More places than `scale` are
/// a fault unless they are zeros.
pub(crate) fn decimal(bare: &str, scale: u32, digits: u32) -> Option<i128> {
    let text = half_width(bare);
    let mut text = text.trim();
    let mut negative = false;
    if let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        (text, negative) = (inner.trim(), true);
    }
    text = text.trim_start_matches(['¥', '\u{ffe5}']).trim();
    text = text.strip_suffix('元').unwrap_or(text).trim();
    if let Some(rest) = text.strip_prefix(['-', '\u{2212}']) {
        if negative {
            return None;
        }
        (text, negative) = (rest, true);
    } else if let Some(rest) = text.strip_prefix('+') {
        text = rest;
    }
    text = text.trim_start_matches('¥');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let value = scaled(whole, fraction, scale)?;
    if value >= 10i128.pow(digits) {
        return None;
    }
    Some(if negative { -value } else { value })
}

fn scaled(whole: &str, fraction: &str, scale: u32) -> Option<i128> {
    let kept = fraction.len().min(scale as usize);
    if whole.is_empty() && fraction.is_empty() || fraction.bytes().any(|b| !b.is_ascii_digit()) {
        return None;
    }
    if fraction[kept..].bytes().any(|b| b != b'0') {
        return None;
    }
    let mut value = ungrouped(whole)?;
    for b in fraction[..kept].bytes() {
        value = value * 10 + i128::from(b - b'0');
    }
    value.checked_mul(10i128.pow(scale - kept as u32))
}

/// `1,234,567`: commas only where thousands end.
fn ungrouped(whole: &str) -> Option<i128> {
    let mut value = 0i128;
    let grouped = whole.contains(',');
    for (i, group) in whole.split(',').enumerate() {
        let fits = if grouped {
            if i == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 }
        } else {
            true
        };
        if !fits || group.bytes().any(|b| !b.is_ascii_digit()) || group.len() > 30 {
            return None;
        }
        for b in group.bytes() {
            value = value.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
        }
    }
    Some(value)
}

/// A whole number; `3.0` counts, because exports write integers so.
pub(crate) fn whole(bare: &str) -> Option<i64> {
    let text = half_width(bare);
    if text.contains(['¥', '元', '(']) {
        return None;
    }
    i64::try_from(decimal(&text, 0, 19)?).ok()
}

/// Yes or no.
pub(crate) fn yes_or_no(bare: &str) -> Option<bool> {
    match half_width(bare).to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "是" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "否" => Some(false),
        _ => None,
    }
}

/// An area code: 6 to 12 digits.
pub(crate) fn area(bare: &str) -> Option<Cow<'_, str>> {
    let text = half_width(bare);
    ((6..=12).contains(&text.len()) && all_digits(&text)).then_some(text)
}

/// A number of a spreadsheet or of a float column as a plain integer; `None` when it is none or not exact.
pub(crate) fn exact_integer(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// A float as a decimal of `scale` places, only when it is the float nearest to that decimal; as cents also when
/// it misses one by no more than the noise of binary sums.
pub(crate) fn exact_decimal(number: f64, scale: u32, digits: u32) -> Option<i128> {
    /// 2^43: above it the floats stand too far apart to tell cents.
    const NOISY: f64 = 8_796_093_022_208.0;
    let power = 10f64.powi(scale as i32);
    let scaled = (number * power).round();
    let value = i128::from(exact_integer(scaled)?);
    let noise = scale == 2 && number.abs() < NOISY && (number - scaled / power).abs() <= 1e-6;
    ((scaled / power == number || noise) && value.abs() < 10i128.pow(digits)).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on(y: i32, m: u32, d: u32) -> i32 {
        NaiveDate::from_ymd_opt(y, m, d).unwrap().to_epoch_days()
    }

    #[test]
    fn all_forms_of_a_day_are_the_same_day() {
        for text in [
            "2024-03-01",
            "20240301",
            "2024/3/1",
            "2024.3.1",
            "2024年3月1日",
            "2024年03月01日",
            "２０２４-０３-０１",
            "2024/03/01",
            "2024年3月1号",
        ] {
            assert_eq!(moment(text), Some((on(2024, 3, 1), None)), "{text}");
        }
        for text in [
            "2024-03-01 08:05:00",
            "2024-03-01T08:05:00",
            "2024/3/1 8:05",
            "2024-03-01 08:05:00.000",
            "20240301080500",
            "2024年3月1日 8时5分",
            "2024年3月1日8时5分0秒",
            "2024-03-01 08:05:00.000000",
            "2024.03.01 08:05:00",
            "2024.3.1 08.05.00",
            "2024/3/1 上午 8:05:00",
            "2024-03-01 上午08:05",
            "2024年3月1日上午8时5分",
            "2024/3/1 8:05:00 AM",
            "2024-03-01 08:05am",
        ] {
            assert_eq!(moment(text), Some((on(2024, 3, 1), Some(29_100 * NANOS))), "{text}");
        }
    }

    #[test]
    fn both_clocks_agree_about_noon_and_midnight() {
        for (text, hour) in [
            ("2024-03-01 下午 3:00", 15),
            ("2024-03-01 3:00 PM", 15),
            ("2024-03-01 12:00 PM", 12),
            ("2024-03-01 下午12:00", 12),
            ("2024-03-01 12:00 AM", 0),
            ("2024-03-01 上午 12:00", 0),
        ] {
            assert_eq!(moment(text), Some((on(2024, 3, 1), Some(hour * 3600 * NANOS))), "{text}");
        }
        for text in ["2024-03-01 15:00 PM", "2024-03-01 下午", "2024-03-01 上下午3:00"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn impossible_and_ambiguous_days_are_no_days() {
        for text in [
            "2023-02-29",
            "2024-13-01",
            "01/03/2024",
            "3/1/24",
            "20240230",
            "2024-3",
            "45352",
            "2024-03-01Z",
            "2024-03-01T08:00:00Z",
            "2024-03-01T08:00:00+08:00",
            "2024-03-01 25:00:00",
            "2024-03-01x",
            "0999-01-01",
            "2024-03/01",
            "明天",
            "2024-03-01 8",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn all_forms_of_a_month_are_the_same_month() {
        for text in [
            "202403",
            "2024-03",
            "2024/3",
            "2024年3月",
            "2024年03月",
            "2024-03-01",
            "20240301",
            "2024.03",
            "2024-03-01 00:00:00",
        ] {
            assert_eq!(month(text), Some(on(2024, 3, 1)), "{text}");
        }
        for text in ["2024-03-02", "202413", "2403", "3/2024", "2024", "2024-03-01 08:00:00"] {
            assert_eq!(month(text), None, "{text}");
        }
    }

    #[test]
    fn money_keeps_every_cent_or_is_refused() {
        for (text, fen) in [
            ("1234.5", 123_450),
            ("1,234.50", 123_450),
            ("１２３.４５", 12_345),
            ("¥12", 1200),
            ("￥12.3", 1230),
            ("12元", 1200),
            ("(3.00)", -300),
            ("-3", -300),
            ("+3", 300),
            (".5", 50),
            ("5.", 500),
            ("0.100000", 10),
            ("1,234,567.89", 123_456_789),
            ("-¥5", -500),
        ] {
            assert_eq!(decimal(text, 2, 14), Some(fen), "{text}");
        }
        for text in [
            "1.234",
            "1,23",
            "12,34.00",
            "1e3",
            "万",
            "1.2万元",
            "",
            ".",
            "--3",
            "1 234",
            "(-3)",
            "9999999999999.99",
            "0x10",
            ",123",
        ] {
            assert_eq!(decimal(text, 2, 14), None, "{text}");
        }
    }

    #[test]
    fn serial_numbers_follow_both_calendars() {
        assert_eq!(serial(45_352.0, false), Some((on(2024, 3, 1), 0)));
        assert_eq!(serial(45_352.0 - 1462.0, true), Some((on(2024, 3, 1), 0)));
        assert_eq!(serial(45_352.5, false), Some((on(2024, 3, 1), 43_200 * NANOS)));
        assert_eq!(serial(12.0, false), None);
    }

    #[test]
    fn floats_count_only_when_they_are_cents() {
        assert_eq!(exact_decimal(1234.56, 2, 14), Some(123_456));
        assert_eq!(exact_decimal(0.1 + 0.2, 2, 14), Some(30));
        assert_eq!(exact_decimal(0.1 + 0.2, 4, 18), None);
        assert_eq!(exact_decimal(12.345, 2, 14), None);
        assert_eq!(exact_decimal(0.300_01, 2, 14), None);
        assert_eq!(exact_decimal(1e16, 2, 14), None);
        assert_eq!(exact_decimal(f64::NAN, 2, 14), None);
        assert_eq!(exact_integer(1.5), None);
    }

    #[test]
    fn whole_numbers_yes_and_no_and_areas_are_read() {
        assert_eq!(
            (whole("12"), whole("12.0"), whole("-3"), whole("1.5"), whole("12元")),
            (Some(12), Some(12), Some(-3), None, None)
        );
        assert_eq!((yes_or_no("是"), yes_or_no("FALSE"), yes_or_no("2")), (Some(true), Some(false), None));
        assert_eq!(area("８８０１０１").as_deref(), Some("880101"));
        assert_eq!((area("8801"), area("88010a")), (None, None));
    }

    #[test]
    fn wrappings_are_taken_off() {
        for text in ["=\"0012\"", "'0012", "\t0012\t", "\u{3000}0012 ", "\u{feff}0012", "\u{2018}0012"] {
            assert_eq!(bare(text), "0012", "{text:?}");
        }
        assert_eq!(bare("  "), "");
    }

    proptest! {
        #[test]
        fn every_amount_reads_back(fen in -99_999_999_999_999i64..=99_999_999_999_999) {
            let text = format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, fen.abs() / 100, fen.abs() % 100);
            prop_assert_eq!(decimal(&text, 2, 14), Some(i128::from(fen)));
        }

        #[test]
        fn every_day_reads_back_in_every_form(days in -300_000i32..2_000_000) {
            let date = NaiveDate::from_epoch_days(days).unwrap();
            for form in ["%Y-%m-%d", "%Y%m%d", "%Y/%-m/%-d", "%Y年%-m月%-d日", "%Y.%m.%d"] {
                prop_assert_eq!(moment(&date.format(form).to_string()), Some((days, None)));
            }
        }

        #[test]
        fn any_text_is_answered_without_a_panic(text in ".{0,20}") {
            let _ = (moment(&text), month(&text), decimal(&text, 2, 14), whole(&text), area(&text), bare(&text).len());
        }
    }
}
