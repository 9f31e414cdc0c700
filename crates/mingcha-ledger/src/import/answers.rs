//! What stands in the open cells of a row, as answers: words of either language, days, money; and whether they go
//! together. Knows cells and questions, and no lead.

use std::collections::BTreeMap;

use calamine::{Data, DataType};
use chrono::{Datelike, Days, NaiveDate};
use mingcha_rules::Diagnostic;

use super::workbook::{Place, Row};
use crate::book::{parse_day, settles};
use crate::export::{Answer, Field, Kind};
use crate::words::{CHOICES, Label};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A word of a list, by its code.
    Word(&'static str),
    /// YYYY-MM-DD.
    Day(String),
    /// Fen.
    Fen(i64),
    /// In words.
    Text(String),
}

impl Value {
    /// As it is compared.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Word(code) => (*code).to_owned(),
            Self::Day(text) | Self::Text(text) => text.clone(),
            Self::Fen(fen) => fen.to_string(),
        }
    }
}

/// The answers of a row that holds any.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) key: String,
    pub(super) values: BTreeMap<Field, Value>,
}

/// Days between which a list can have been worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a> {
    /// The day on which it left the house.
    pub(super) from: &'a str,
    /// The day on which it is taken in.
    pub(super) to: &'a str,
}

impl Answers {
    /// Reads a row. `None`: nothing is filled in. Faults are all of them, each with its cell.
    pub(super) fn read(row: &Row, span: Span<'_>) -> Result<Option<Self>, Vec<Diagnostic>> {
        let (mut values, mut faults) = (BTreeMap::new(), Vec::new());
        for (field, data) in &row.answers {
            match value(*field, data) {
                Ok(value) => drop(values.insert(*field, value)),
                Err(wrong) => faults.push(wrong.at(&row.place, *field)),
            }
        }
        let answers = Self { place: row.place.clone(), kind: row.kind, key: row.key.clone(), values };
        // What cannot be read is no reason to say that it is missing.
        let readable = |field: &Field| !row.answers.contains_key(field) || answers.values.contains_key(field);
        faults.extend(answers.faults(span).into_iter().filter(|(field, _)| readable(field)).map(|(_, d)| d));
        match (faults.is_empty(), answers.values.is_empty()) {
            (false, _) => Err(faults),
            (true, true) => Ok(None),
            (true, false) => Ok(Some(answers)),
        }
    }

    /// The code of a chosen word.
    pub(super) fn word(&self, field: Field) -> Option<&'static str> {
        match self.values.get(&field)? {
            Value::Word(code) => Some(code),
            _ => None,
        }
    }

    /// A day or a text.
    pub(super) fn text(&self, field: Field) -> Option<&str> {
        match self.values.get(&field)? {
            Value::Day(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An amount above nought, in fen.
    pub(super) fn fen(&self, field: Field) -> Option<i64> {
        match self.values.get(&field)? {
            Value::Fen(fen) if *fen > 0 => Some(*fen),
            _ => None,
        }
    }

    /// Whether what it says settles the matter.
    pub(super) fn is_settled(&self) -> bool {
        match self.kind {
            Kind::Visits => self.word(Field::State).is_some_and(settles),
            _ => self.word(Field::Conclusion).is_some_and(|c| is_positive(c) || is_negative(c)),
        }
    }

    /// What does not go together, with the cell that is to be mended.
    fn faults(&self, span: Span<'_>) -> Vec<(Field, Diagnostic)> {
        let mut faults = Vec::new();
        if self.values.is_empty() {
            return faults;
        }
        let mut say = |field: Field, zh: &str, en: &str| {
            faults.push((field, self.place.fault(field, "MC888", zh, en)));
        };
        let has = |field: Field| self.values.contains_key(&field);
        let head = if self.kind == Kind::Visits { Field::State } else { Field::Conclusion };
        let checked = [Field::By, Field::On, Field::How];
        if !has(head) && checked.iter().chain(&[Field::Died, Field::Card]).any(|f| has(*f)) {
            match head {
                Field::State => say(
                    head,
                    "已走访的应填写人员状态，实际为空",
                    "a visit needs the state of the person, got none",
                ),
                _ => say(head, "已核查的应填写结论，实际为空", "a check needs a conclusion, got none"),
            }
        }
        if has(head) {
            for (field, zh, en) in [
                (Field::By, "应填写核查人，实际为空", "wanted who checked, got nothing"),
                (Field::On, "应填写核查日期，实际为空", "wanted the day of the check, got nothing"),
                (Field::How, "应填写核查方式，实际为空", "wanted how it was checked, got nothing"),
            ] {
                if !has(field) {
                    say(field, zh, en);
                }
            }
        }
        for field in [Field::Conclusion, Field::State, Field::How, Field::Card] {
            if self.word(field) == Some("other") && !has(Field::Remark) {
                say(
                    Field::Remark,
                    "选择“其他”的应填写备注，实际为空",
                    "whoever chooses \"other\" writes a remark, got none",
                );
                break;
            }
        }
        if let Some(on) = self.text(Field::On) {
            if on > span.to {
                say(
                    Field::On,
                    "核查日期不应在今天之后",
                    "wanted a day of checking that is not in the future",
                );
            } else if on < span.from {
                say(
                    Field::On,
                    "核查日期不应早于导出之日",
                    "wanted a day of checking that is not before the list left",
                );
            }
        }
        match self.kind {
            Kind::Visits => self.visit(span, &mut say),
            _ => self.judgement(&mut say),
        }
        faults
    }

    fn visit(&self, span: Span<'_>, say: &mut dyn FnMut(Field, &str, &str)) {
        let died = self.text(Field::Died);
        match (self.word(Field::State), died) {
            (Some("dead"), None) if !self.values.contains_key(&Field::Remark) => say(
                Field::Died,
                "已死亡的应填写死亡日期，或在备注中说明，实际都为空",
                "dead: wanted the day of death, or a remark why it is not known, got neither",
            ),
            (Some("alive"), Some(_)) => {
                say(Field::Died, "健在的不应填写死亡日期", "alive: wanted no day of death, got one");
            }
            (Some(state), Some(_)) if state != "dead" => say(
                Field::Died,
                "只有已死亡的才填写死亡日期",
                "wanted a day of death only where the person is dead",
            ),
            (_, Some(day)) if day > self.text(Field::On).unwrap_or(span.to) => {
                say(
                    Field::Died,
                    "死亡日期不应晚于核查日期",
                    "wanted a day of death that is not after the visit",
                );
            }
            _ => {}
        }
    }

    fn judgement(&self, say: &mut dyn FnMut(Field, &str, &str)) {
        let has = |field: Field| self.values.contains_key(&field);
        let conclusion = self.word(Field::Conclusion);
        let positive = conclusion.is_some_and(is_positive);
        if positive && !has(Field::Document) {
            say(
                Field::Document,
                "认定属实应填写文书编号，实际为空",
                "a confirmation needs the number of a paper, got none",
            );
        }
        if conclusion.is_some_and(is_negative) && !has(Field::Remark) {
            say(
                Field::Remark,
                "排除线索应在备注中说明理由，实际为空",
                "whoever clears a lead says why in the remarks, got nothing",
            );
        }
        if conclusion == Some("partly_confirmed") && !has(Field::Remark) {
            say(
                Field::Remark,
                "部分属实的应在备注中说明哪些属实，实际为空",
                "partly confirmed: wanted a remark which part, got nothing",
            );
        }
        if self.fen(Field::Recovered).is_some() {
            if !has(Field::Document) {
                say(
                    Field::Document,
                    "追回金额应有文书（收据）编号，实际为空",
                    "money that came back needs the number of a receipt, got none",
                );
            }
            if conclusion.is_some() && !positive {
                say(
                    Field::Recovered,
                    "没有认定属实的，不应填写追回金额",
                    "wanted recovered money only where the lead is confirmed",
                );
            }
        }
    }
}

/// Whether the conclusion says that it is so.
pub(super) fn is_positive(conclusion: &str) -> bool {
    matches!(conclusion, "confirmed" | "partly_confirmed")
}

/// Whether the conclusion says that it is not so.
pub(super) fn is_negative(conclusion: &str) -> bool {
    matches!(conclusion, "legitimate" | "source_data_wrong" | "wrong_match")
}

/// Code, Chinese and English of a word.
pub(super) fn label(code: &str) -> (&'static str, &'static str) {
    CHOICES.iter().flat_map(|labels| labels.iter()).find(|l| l.0 == code).map_or(("", ""), |l| (l.1, l.2))
}

/// What is wrong with a single cell.
struct Wrong {
    code: &'static str,
    zh: String,
    en: String,
}

impl Wrong {
    fn at(self, place: &Place, field: Field) -> Diagnostic {
        place.fault(field, self.code, self.zh, self.en)
    }
}

fn value(field: Field, data: &Data) -> Result<Value, Wrong> {
    match field.answer() {
        Answer::Choice(labels) => word(labels, data).map(Value::Word),
        Answer::Day => day(data).map(Value::Day),
        Answer::Money => money(data).map(Value::Fen),
        Answer::Text => Ok(Value::Text(text(data))),
    }
}

fn text(data: &Data) -> String {
    match data {
        Data::Float(n) => n.to_string(),
        other => other.to_string().trim().to_owned(),
    }
}

fn word(labels: &'static [Label], data: &Data) -> Result<&'static str, Wrong> {
    let plain = |text: &str| {
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().replace(':', "：").to_lowercase()
    };
    let got = plain(&text(data));
    let found = labels.iter().find(|(code, zh, en)| [code, zh, en].iter().any(|word| plain(word) == got));
    found.map(|label| label.0).ok_or_else(|| {
        let all = |pick: fn(&Label) -> &'static str| labels.iter().map(pick).collect::<Vec<_>>();
        Wrong {
            code: "MC886",
            zh: format!("应为下列之一：{}；实际为其他内容", all(|l| l.1).join("、")),
            en: format!("wanted one of: {}; got something else", all(|l| l.2).join(", ")),
        }
    })
}

fn day(data: &Data) -> Result<String, Wrong> {
    let found = match data {
        Data::DateTime(day) => day.as_datetime().map(|moment| moment.date()),
        Data::Float(_) | Data::Int(_) => data.as_f64().and_then(serial),
        other => written(&text(other)),
    };
    found.filter(|day| (1900..=2199).contains(&day.year())).map(|day| day.to_string()).ok_or_else(|| Wrong {
        code: "MC886",
        zh: "应为日期，例如 2026-01-31，实际不是".to_owned(),
        en: "wanted a day such as 2026-01-31, got something else".to_owned(),
    })
}

/// A day that lost the format of its cell.
fn serial(number: f64) -> Option<NaiveDate> {
    if !(1.0..=110_000.0).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds above")]
    NaiveDate::from_ymd_opt(1899, 12, 30)?.checked_add_days(Days::new(number.trunc() as u64))
}

/// `2026-01-31`, `2026/1/31`, `2026.1.31`, `2026年1月31日`, `20260131`.
fn written(text: &str) -> Option<NaiveDate> {
    let plain: String = text
        .trim_end_matches('日')
        .chars()
        .map(|c| if matches!(c, '/' | '.' | '年' | '月') { '-' } else { c })
        .collect();
    if plain.len() == 8 && plain.bytes().all(|b| b.is_ascii_digit()) {
        return parse_day(&format!("{}-{}-{}", &plain[..4], &plain[4..6], &plain[6..]));
    }
    let mut parts = plain.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

fn money(data: &Data) -> Result<i64, Wrong> {
    const MOST: f64 = 1e13;
    let wrong = |zh: &str, en: &str| Wrong {
        code: "MC887",
        zh: format!("应为金额（元），例如 1234.50，实际{zh}"),
        en: format!("wanted an amount in yuan such as 1234.50, got {en}"),
    };
    let number = match data {
        Data::Float(_) | Data::Int(_) => data.as_f64(),
        Data::String(text) => {
            let plain = text.trim().trim_start_matches(['¥', '￥']).trim_end_matches('元').trim();
            let digits = plain.replace([',', '，'], "");
            let figures =
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
            if figures { digits.parse().ok() } else { None }
        }
        _ => None,
    };
    let Some(number) = number else { return Err(wrong("不是数字", "something that is no number")) };
    if number < 0.0 {
        return Err(wrong("为负数", "a negative number"));
    }
    let fen = number * 100.0;
    if (fen - fen.round()).abs() > 1e-4 {
        return Err(wrong("多于两位小数", "more than two decimals"));
    }
    if fen > MOST {
        return Err(wrong("大得不可能", "an impossible amount"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds above")]
    Ok(fen.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{CONCLUSIONS, STATES};

    fn s(text: &str) -> Data {
        Data::String(text.to_owned())
    }

    #[test]
    fn words_are_understood_in_both_languages_and_by_code_and_nothing_else_is() {
        for got in ["confirmed", "属实", "Confirmed", " CONFIRMED ", "属 实"] {
            assert_eq!(word(&CONCLUSIONS, &s(got)).ok(), Some("confirmed"), "{got}");
        }
        assert_eq!(word(&CONCLUSIONS, &s("不属实:情况合法")).ok(), Some("legitimate"));
        for got in ["不属实", "confirm", "alive", "1"] {
            assert!(word(&CONCLUSIONS, &s(got)).is_err(), "{got}");
        }
        assert_eq!(word(&STATES, &s("健在")).ok(), Some("alive"));
    }

    #[test]
    fn days_are_understood_as_people_write_them() {
        for got in ["2026-01-31", "2026/1/31", "2026.1.31", "2026年1月31日", "20260131"] {
            assert_eq!(day(&s(got)).ok().as_deref(), Some("2026-01-31"), "{got}");
        }
        assert_eq!(day(&Data::Float(45748.0)).ok().as_deref(), Some("2025-04-01"));
        for got in ["2026-02-30", "31.1.2026", "昨天", "2026", "26-1-31"] {
            assert!(day(&s(got)).is_err(), "{got}");
        }
        assert!(day(&Data::Float(0.5)).is_err() && day(&Data::Float(1e9)).is_err());
    }

    #[test]
    fn amounts_are_money_or_they_are_refused() {
        for (got, fen) in [("1,234.5", 123_450), ("¥300", 30_000), ("300元", 30_000), ("0", 0)] {
            assert_eq!(money(&s(got)).ok(), Some(fen), "{got}");
        }
        assert_eq!(money(&Data::Float(12345.67)).ok(), Some(1_234_567));
        for got in ["约300", "three", "-5", "1.234", "", "1e5", "12.3.4"] {
            assert!(money(&s(got)).is_err(), "{got}");
        }
        assert!(money(&Data::Float(0.005)).is_err() && money(&Data::Float(-1.0)).is_err());
    }
}
