//! The words of lists and explanations in both languages: labels of codes, headings that recur, values made
//! readable. Knows no layout.

use std::collections::BTreeMap;

use mingcha_rules::contract::CodeMeaning;
use mingcha_rules::reject;
use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Contract, EvidenceRow, Field, FieldType, Lang, OutcomeKind, Severity, Text};

/// One of two texts.
pub(crate) fn say<'a>(lang: Lang, zh: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Zh => zh,
        Lang::En => en,
    }
}

pub(crate) fn severity(level: Severity, lang: Lang) -> &'static str {
    match level {
        Severity::Critical => say(lang, "严重", "Critical"),
        Severity::High => say(lang, "高", "High"),
        Severity::Medium => say(lang, "中", "Medium"),
        Severity::Low => say(lang, "低", "Low"),
        Severity::Info => say(lang, "提示", "Info"),
    }
}

pub(crate) fn outcome(kind: OutcomeKind, lang: Lang) -> &'static str {
    match kind {
        OutcomeKind::Found => say(lang, "有线索", "findings"),
        OutcomeKind::Clean => say(lang, "未发现", "nothing found"),
        OutcomeKind::Failed => say(lang, "执行失败", "failed"),
        OutcomeKind::Held => say(lang, "超限暂存", "held by its limits"),
        OutcomeKind::NotEvaluated => say(lang, "未评估", "not evaluated"),
    }
}

pub(crate) fn subject_type(ty: SubjectType, lang: Lang) -> &'static str {
    match ty {
        SubjectType::Person => say(lang, "个人", "person"),
        SubjectType::Household => say(lang, "户", "household"),
        SubjectType::Account => say(lang, "银行账户", "bank account"),
        SubjectType::Organisation => say(lang, "单位", "organisation"),
        SubjectType::Project => say(lang, "项目", "project"),
    }
}

pub(crate) fn grade(code: &str, lang: Lang) -> String {
    let word = match code {
        "A" => say(lang, "强", "strong"),
        "B" => say(lang, "中", "medium"),
        "C" => say(lang, "弱", "weak"),
        _ => return code.to_owned(),
    };
    format!("{code} {word}")
}

pub(crate) fn identity(code: &str, lang: Lang) -> String {
    let word = match code {
        "I1" => say(lang, "号码、姓名一致", "number and name agree"),
        "I2" => say(
            lang,
            "号码一致，姓名近似或来源未提供",
            "number agrees, name is similar or not given by a source",
        ),
        "I3" => say(lang, "号码一致，姓名不同", "number agrees, name differs"),
        "I4" => say(lang, "无共同号码，其他信息一致", "no common number, other particulars agree"),
        "I5" => say(lang, "仅姓名等信息一致", "name and little else agree"),
        _ => return code.to_owned(),
    };
    format!("{code} {word}")
}

/// An answer that is chosen from a list: code, Chinese, English. An import accepts each of the three.
pub(crate) type Label = (&'static str, &'static str, &'static str);

/// What an investigator may conclude.
pub(crate) const CONCLUSIONS: [Label; 8] = [
    ("confirmed", "属实", "Confirmed"),
    ("partly_confirmed", "部分属实", "Partly confirmed"),
    ("legitimate", "不属实：情况合法", "Not so: lawful"),
    ("source_data_wrong", "不属实：源数据有误", "Not so: source data wrong"),
    ("wrong_match", "不属实：匹配有误", "Not so: wrong match"),
    ("in_progress", "正在核查", "Being checked"),
    ("cannot_be_checked", "无法核实", "Cannot be checked"),
    ("other", "其他", "Other"),
];

/// How something was checked.
pub(crate) const WAYS: [Label; 4] = [
    ("visit", "入户", "Visit"),
    ("telephone", "电话", "Telephone"),
    ("papers", "查阅资料", "Papers"),
    ("other", "其他", "Other"),
];

/// How a visitor found a person.
pub(crate) const STATES: [Label; 6] = [
    ("alive", "健在", "Alive"),
    ("dead", "已死亡", "Dead"),
    ("custody", "在押服刑", "In custody"),
    ("away", "外出未见到", "Away, not seen"),
    ("unknown", "查无此人", "Nobody knows them"),
    ("other", "其他", "Other"),
];

/// Who holds the card on which money is paid.
pub(crate) const HOLDERS: [Label; 4] = [
    ("self", "本人", "Themselves"),
    ("family", "亲属", "Family"),
    ("guardian", "监护人或养老机构", "Guardian or care home"),
    ("other", "其他", "Other"),
];

/// The lists behind the drop-downs, in the order in which they stand on their sheet.
pub(crate) const CHOICES: [&[Label]; 4] = [&CONCLUSIONS, &WAYS, &STATES, &HOLDERS];

/// What stands beside every sum of money over leads of several rules, as long as money is counted by lead and not by
/// payment.
#[must_use]
pub fn once_per_rule() -> Text {
    Text {
        zh: "同一笔钱被几条规则查出就计几次，实际金额可能较小。".to_owned(),
        en: "The same payment is counted once for each rule that flags it; the money itself may be less."
            .to_owned(),
    }
}

/// `1234567` -> `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `12345600` fen -> `123,456.00`.
pub(crate) fn yuan(fen: i64) -> String {
    let digits = plain_yuan(fen.saturating_abs());
    let (whole, cents) = digits.split_once('.').unwrap_or((digits.as_str(), "00"));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{}{grouped}.{cents}", if fen < 0 { "-" } else { "" })
}

/// `12345600` fen -> `123456.00`.
pub(crate) fn plain_yuan(fen: i64) -> String {
    let (sign, size) = (if fen < 0 { "-" } else { "" }, fen.unsigned_abs());
    format!("{sign}{}.{:02}", size / 100, size % 100)
}

/// The titles of datasets and fields, for rows of evidence.
#[derive(Debug, Default)]
pub(crate) struct Glossary<'a> {
    contracts: BTreeMap<&'a str, &'a Contract>,
    fields: BTreeMap<&'a str, &'a Field>,
}

impl<'a> Glossary<'a> {
    pub(crate) fn new(contracts: &'a [Contract]) -> Self {
        let mut glossary = Self::default();
        for contract in contracts {
            glossary.contracts.insert(&contract.name, contract);
            for field in &contract.fields {
                glossary.fields.entry(&field.name).or_insert(field);
            }
        }
        glossary
    }

    pub(crate) fn dataset(&self, name: &str, lang: Lang) -> String {
        match (self.contracts.get(name), name) {
            (Some(contract), _) => contract.title.get(lang).to_owned(),
            (None, "rejects") => say(lang, "问题数据", "Rejected rows").to_owned(),
            (None, name) => name.to_owned(),
        }
    }

    /// `死亡时间：2025-03-01 10:30；…`: at most `most` columns that hold something and are not in `known` already,
    /// in the order of the contract.
    pub(crate) fn columns(&self, row: &EvidenceRow, lang: Lang, most: usize, known: &[&str]) -> String {
        let contract = self.contracts.get(row.dataset.as_str());
        let place = |column: &str| contract.and_then(|c| c.fields.iter().position(|f| f.name == column));
        let mut filled: Vec<(usize, &String, &String)> = row
            .columns
            .iter()
            .filter(|(_, value)| !value.trim().is_empty() && !known.contains(&value.as_str()))
            .map(|(column, value)| (place(column).unwrap_or(usize::MAX), column, value))
            .collect();
        filled.sort();
        let shown = filled.into_iter().take(most).map(|(_, column, value)| {
            let (title, sense) = self.title(&row.dataset, column, lang);
            let value = self.value(&row.dataset, sense, value, lang);
            format!("{title}{}{value}", say(lang, "：", ": "))
        });
        shown.collect::<Vec<_>>().join(say(lang, "；", "; "))
    }

    /// The title of a column and how its values are read: the dataset's own field, a name that rules give, any field
    /// of that name, the dataset's own field that ends its name (a rule calls the name on another row `other_name`), or
    /// any field that does (`payee_name` -> `姓名（payee_name）`).
    fn title(&self, dataset: &str, column: &str, lang: Lang) -> (String, Sense<'a>) {
        let contract = self.contracts.get(dataset);
        let titled = |field: &'a Field| (field.title.get(lang).to_owned(), Sense::Field(field));
        if let Some(field) = contract.and_then(|c| c.field(column)) {
            return titled(field);
        }
        if let Some((_, zh, en, sense)) = DERIVED.iter().find(|(name, ..)| *name == column) {
            return (say(lang, zh, en).to_owned(), *sense);
        }
        if let Some(field) = self.fields.get(column) {
            return titled(field);
        }
        let endings = || column.match_indices('_').map(|(at, _)| &column[at + 1..]);
        if let Some(field) = contract.and_then(|c| endings().find_map(|ending| c.field(ending))) {
            return titled(field);
        }
        match (endings().find_map(|ending| self.fields.get(ending).copied()), lang) {
            (Some(field), Lang::Zh) => (format!("{}（{column}）", field.title.zh), Sense::Field(field)),
            (Some(field), Lang::En) => (format!("{} ({column})", field.title.en), Sense::Field(field)),
            (None, _) => (column.to_owned(), Sense::Plain),
        }
    }

    fn value(&self, dataset: &str, sense: Sense<'_>, value: &str, lang: Lang) -> String {
        let both = |meaning: Option<(&str, &str)>| meaning.map(|(zh, en)| say(lang, zh, en).to_owned());
        let worded = match sense {
            Sense::Plain => None,
            Sense::Field(field) => Some(readable(field, value, lang)),
            Sense::Like(name) => self.fields.get(name).map(|field| readable(field, value, lang)),
            Sense::Code => self.contracts.get(dataset).and_then(|contract| {
                let field = contract.fields.iter().find(|field| field.codes.contains_key(value))?;
                Some(readable(field, value, lang))
            }),
            Sense::Dataset => self.contracts.get(value).map(|contract| contract.title.get(lang).to_owned()),
            Sense::FieldName => {
                let own = self.contracts.get(dataset).and_then(|contract| contract.field(value));
                own.or_else(|| self.fields.get(value).copied()).map(|field| field.title.get(lang).to_owned())
            }
            Sense::Strength => both(match value {
                "S" => Some(("强", "strong")),
                "M" => Some(("中", "medium")),
                "W" => Some(("弱", "weak")),
                _ => None,
            }),
            Sense::Reject => both(reject::meaning(value)),
            Sense::Fate => both(reject::fate(value)),
        };
        worded.unwrap_or_else(|| value.to_owned())
    }
}

/// How the values of a column are read.
#[derive(Debug, Clone, Copy)]
enum Sense<'a> {
    /// As they stand.
    Plain,
    /// As this field says.
    Field(&'a Field),
    /// As the field of this name says.
    Like(&'static str),
    /// As the field of the row's dataset that has such a code.
    Code,
    /// They are names of datasets.
    Dataset,
    /// They are names of fields.
    FieldName,
    /// How strong a sign of life is.
    Strength,
    /// Why a value was not taken.
    Reject,
    /// What became of its row.
    Fate,
}

/// Columns that rules compute and no contract knows.
const DERIVED: [(&str, &str, &str, Sense<'static>); 17] = [
    ("age", "年龄", "Age", Sense::Plain),
    ("death_day", "死亡日期", "Day of death", Sense::Plain),
    ("field", "栏目", "Field", Sense::FieldName),
    ("grant_amount", "丧葬补助金额", "Funeral grant", Sense::Plain),
    ("grant_date", "丧葬补助发放日期", "Funeral grant paid on", Sense::Plain),
    ("grant_month", "丧葬补助所属月份", "Month of the funeral grant", Sense::Like("period_month")),
    ("id_birth_date", "证件号码中的出生日期", "Birth date in the identity number", Sense::Plain),
    ("id_sex", "证件号码中的性别", "Sex in the identity number", Sense::Like("sex")),
    ("kind", "类型", "Kind", Sense::Code),
    ("outcome", "如何处理", "What became of it", Sense::Fate),
    ("reason", "原因", "Reason", Sense::Reject),
    ("second_death_day", "其他来源的死亡日期", "Day of death in another source", Sense::Plain),
    ("service_time", "就医时间", "Time of the service", Sense::Like("visit_time")),
    ("sign_date", "生命迹象日期", "Day of the sign of life", Sense::Plain),
    ("sign_source", "生命迹象来源", "Source of the sign of life", Sense::Dataset),
    ("strength", "迹象强弱", "Strength of the sign", Sense::Strength),
    ("value", "原值", "Raw value", Sense::Plain),
];

/// A stored value as people write it: codes with their meaning, months without a day, moments without a `T`.
fn readable(field: &Field, value: &str, lang: Lang) -> String {
    match field.ty {
        FieldType::Code => match field.codes.get(value) {
            // A word is there for programs; a number is what the form has.
            Some(CodeMeaning { zh, en, .. }) if value.bytes().any(|b| b.is_ascii_lowercase()) => {
                say(lang, zh, en).to_owned()
            }
            Some(CodeMeaning { zh, en, .. }) if say(lang, zh, en) != value => {
                format!("{value} {}", say(lang, zh, en))
            }
            _ => value.to_owned(),
        },
        FieldType::Month => {
            value.strip_suffix("-01").filter(|month| month.len() == 7).unwrap_or(value).to_owned()
        }
        FieldType::Datetime => {
            let value = value.replacen('T', " ", 1);
            let value = value.split('.').next().unwrap_or(&value);
            value.strip_suffix(":00").filter(|short| short.len() == 16).unwrap_or(value).to_owned()
        }
        _ => value.to_owned(),
    }
}

/// Widths as a spreadsheet counts them: a Chinese character takes two.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// At most `most` characters; what is cut off is said.
pub(crate) fn clip(text: &str, most: usize) -> String {
    let letters = text.chars().count();
    if letters <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_grouped_and_keeps_its_sign() {
        assert_eq!(yuan(123_456_789), "1,234,567.89");
        assert_eq!(yuan(-5), "-0.05");
        assert_eq!(yuan(100_000), "1,000.00");
        assert_eq!(plain_yuan(-123_456), "-1234.56");
    }
}
