//! Masking: what each kind of reader may see of a person. Decides by the contracts' classes of personal data,
//! then by the shape of the text, then by the values already known to be personal in the same finding.
//! When in doubt it masks. Knows no file format.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use mingcha_rules::contract::PiiClass;
use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Contract, EvidenceRow, Excused, Field, FieldType, Finding, Text};
use serde::{Deserialize, Serialize};

use crate::names::Names;

/// Who will read a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Checks the single case: sees everything.
    Investigator,
    /// Steers and follows: sees cases, not who they are. The default.
    #[default]
    Supervisor,
    /// Everybody: sees counts, no cases.
    Public,
}

impl Profile {
    /// The word on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Investigator => "investigator",
            Self::Supervisor => "supervisor",
            Self::Public => "public",
        }
    }

    /// The profile called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Investigator, Self::Supervisor, Self::Public].into_iter().find(|p| p.as_str() == word)
    }
}

/// How a value is masked, from lenient to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Shown, but for numbers inside it that look like an identity number, a card or a mobile telephone.
    Shown,
    /// Area code: down to the county.
    County,
    /// Birth date: the year.
    Year,
    /// Household number, certificate number: both ends.
    Ends,
    Phone,
    Account,
    Name,
    IdNumber,
    /// Address: how it begins.
    Beginning,
    /// Diagnosis, whereabouts: nothing.
    Hidden,
}

/// Digits of an area's code that say the county.
const COUNTY: usize = 6;

/// Fields that are personal by their name, whatever contracts are at hand.
const KNOWN: [(&str, Kind); 17] = [
    ("account_no", Kind::Account),
    ("address", Kind::Beginning),
    ("archive_birth", Kind::Year),
    ("area_code", Kind::County),
    ("birth", Kind::Year),
    ("birth_date", Kind::Year),
    ("card_no", Kind::Account),
    ("diagnosis", Kind::Hidden),
    ("household_no", Kind::Ends),
    ("id", Kind::IdNumber),
    ("id_kind", Kind::Shown),
    ("id_length", Kind::Shown),
    ("id_sex", Kind::Shown),
    ("id_number", Kind::IdNumber),
    ("name", Kind::Name),
    ("names", Kind::Name),
    ("phone", Kind::Phone),
];

/// Masks findings for one profile.
#[derive(Debug, Clone)]
pub struct Masker {
    profile: Profile,
    /// By dataset and field.
    fields: BTreeMap<String, BTreeMap<String, Kind>>,
    names: BTreeMap<String, Kind>,
    /// What leads are called.
    called: Option<Names>,
    /// Columns of no contract, once judged: a list asks for each of them a million times.
    judged: Arc<RwLock<HashMap<String, Kind>>>,
}

impl Masker {
    /// A masker that knows the fields of `contracts`. Columns of no contract are judged by the words of their
    /// name (`payee_name` is a `name`) and by the shape of their values.
    pub fn new(profile: Profile, contracts: &[Contract]) -> Self {
        let mut fields: BTreeMap<String, BTreeMap<String, Kind>> = BTreeMap::new();
        let mut names: BTreeMap<String, Kind> = KNOWN.iter().map(|(n, k)| ((*n).to_owned(), *k)).collect();
        for contract in contracts {
            for field in &contract.fields {
                let kind = kind_of(field);
                fields.entry(contract.name.clone()).or_default().insert(field.name.clone(), kind);
                let known = names.entry(field.name.clone()).or_insert(kind);
                *known = kind.max(*known);
            }
        }
        // The raw value that made a row unreadable may be anything.
        fields.entry("rejects".to_owned()).or_default().insert("value".to_owned(), Kind::Ends);
        Self { profile, fields, names, called: None, judged: Arc::default() }
    }

    /// The same, with names for leads. Without them a masked finding has no id: its own could be computed from its
    /// number by whoever guesses it.
    #[must_use]
    pub fn named(self, names: Names) -> Self {
        Self { called: Some(names), ..self }
    }

    /// Whether values leave it unchanged.
    pub fn shows_all(&self) -> bool {
        self.profile == Profile::Investigator
    }

    /// `finding` as its reader may see it: under another id, its area down to the county. Rule, money and period stay.
    #[must_use]
    pub fn finding(&self, finding: &Finding) -> Finding {
        if self.shows_all() {
            return finding.clone();
        }
        let mut secrets = Secrets::default();
        let (id_kind, name_kind) = subject_kinds(finding.subject_type);
        secrets.add(&finding.subject_id, id_kind);
        if let Some(name) = &finding.subject_name {
            secrets.add(name, name_kind);
        }
        for row in finding.evidence.iter().chain(&finding.counter_evidence) {
            self.learn(row, &mut secrets);
        }
        for (name, value) in &finding.measures {
            secrets.add(value, self.kind("", name));
        }
        if let Some(area) = &finding.area_code {
            secrets.add(area, Kind::County);
        }
        secrets.settle();
        Finding {
            finding_id: self.id(&finding.finding_id),
            area_code: finding.area_code.as_ref().map(|code| self.area(code)),
            subject_id: secrets.apply(id_kind, &finding.subject_id),
            subject_name: finding.subject_name.as_ref().map(|name| secrets.apply(name_kind, name)),
            message: secrets.text(&finding.message),
            measures: finding
                .measures
                .iter()
                .map(|(k, v)| (k.clone(), secrets.apply(self.kind("", k), v)))
                .collect(),
            evidence: finding.evidence.iter().map(|row| self.row(row, &secrets)).collect(),
            counter_evidence: finding.counter_evidence.iter().map(|row| self.row(row, &secrets)).collect(),
            ..finding.clone()
        }
    }

    /// `excused` as its reader may see it.
    #[must_use]
    pub fn excused(&self, excused: &Excused) -> Excused {
        if self.shows_all() {
            return excused.clone();
        }
        let mut secrets = Secrets::default();
        let (id_kind, _) = subject_kinds(excused.subject_type);
        secrets.add(&excused.subject_id, id_kind);
        for row in &excused.evidence {
            self.learn(row, &mut secrets);
        }
        secrets.settle();
        Excused {
            subject_id: secrets.apply(id_kind, &excused.subject_id),
            evidence: excused.evidence.iter().map(|row| self.row(row, &secrets)).collect(),
            ..excused.clone()
        }
    }

    /// What the reader may call a lead.
    #[must_use]
    pub fn id(&self, finding_id: &str) -> String {
        match &self.called {
            _ if self.shows_all() => finding_id.to_owned(),
            Some(names) => names.alias(finding_id),
            None => String::new(),
        }
    }

    /// The code of an area as the reader may see it beside a person: down to the county. A number is masked from its
    /// fifth digit on, and where somebody lives is mostly where the number was issued.
    #[must_use]
    pub fn area(&self, code: &str) -> String {
        if self.shows_all() { code.to_owned() } else { code.trim().chars().take(COUNTY).collect() }
    }

    /// A person's name as the reader may see it.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        if self.shows_all() { name.to_owned() } else { mask(Kind::Name, name) }
    }

    /// A person's identity number as the reader may see it.
    #[must_use]
    pub fn id_number(&self, id_number: &str) -> String {
        if self.shows_all() { id_number.to_owned() } else { mask(Kind::IdNumber, id_number) }
    }

    /// The number of a subject of which nothing else is known, as the reader may see it: an identity number by its shape,
    /// anything else as strictly as an account.
    #[must_use]
    pub fn subject(&self, number: &str) -> String {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let number = number.trim();
        let is_id = match number.len() {
            15 => digits(number),
            18 => number.strip_suffix(['X', 'x']).map_or(digits(number), digits),
            _ => false,
        };
        match (self.shows_all(), is_id) {
            (true, _) => number.to_owned(),
            (false, true) => mask(Kind::IdNumber, number),
            (false, false) => mask(Kind::Account, number),
        }
    }

    /// What somebody wrote, with the numbers masked that look like an identity number, a card or a telephone.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.shows_all() { text.to_owned() } else { mask_shapes(text) }
    }

    fn learn(&self, row: &EvidenceRow, secrets: &mut Secrets) {
        for (column, value) in &row.columns {
            secrets.add(value, self.kind(&row.dataset, column));
        }
    }

    fn row(&self, row: &EvidenceRow, secrets: &Secrets) -> EvidenceRow {
        let masked = |(column, value): (&String, &String)| {
            (column.clone(), secrets.apply(self.kind(&row.dataset, column), value))
        };
        EvidenceRow {
            columns: row.columns.iter().map(masked).collect(),
            title: row.title.as_ref().map(|title| secrets.text(title)),
            ..row.clone()
        }
    }

    /// The dataset's own field; else the strictest field of that name; else the longest field name whose words
    /// the column's name contains.
    fn kind(&self, dataset: &str, column: &str) -> Kind {
        let of_field = self.fields.get(dataset).and_then(|fields| fields.get(column));
        if let Some(kind) = of_field.or_else(|| self.names.get(column)) {
            return *kind;
        }
        if let Some(kind) = self.judged.read().unwrap_or_else(PoisonError::into_inner).get(column) {
            return *kind;
        }
        let words = words(column);
        let contained = self.names.iter().filter(|(name, _)| contains(&words, &self::words(name)));
        let kind = contained
            .map(|(name, kind)| (self::words(name).len(), *kind))
            .max()
            .map_or(Kind::Shown, |(_, kind)| kind);
        self.judged.write().unwrap_or_else(PoisonError::into_inner).insert(column.to_owned(), kind);
        kind
    }
}

fn kind_of(field: &Field) -> Kind {
    let says = |part: &str| field.name.split('_').any(|word| word == part);
    match (field.pii, field.ty) {
        (_, FieldType::Id) => Kind::IdNumber,
        (_, FieldType::Area) => Kind::County,
        (None, _) => Kind::Shown,
        (Some(PiiClass::DirectId), _) if says("name") => Kind::Name,
        (Some(PiiClass::DirectId), _) => Kind::Ends,
        (Some(_), FieldType::Money | FieldType::Int | FieldType::Decimal | FieldType::Bool) => Kind::Shown,
        (Some(PiiClass::Financial), _) => Kind::Account,
        (Some(PiiClass::Contact), _) if says("phone") || says("mobile") || says("tel") => Kind::Phone,
        (Some(PiiClass::Contact), _) => Kind::Beginning,
        (Some(PiiClass::Health | PiiClass::Location), _) => Kind::Hidden,
        (Some(PiiClass::QuasiId), FieldType::Date | FieldType::Datetime | FieldType::Month) => Kind::Year,
        (Some(PiiClass::QuasiId), FieldType::Code) => Kind::Shown,
        (Some(PiiClass::QuasiId), FieldType::Text) => Kind::Ends,
    }
}

fn subject_kinds(ty: SubjectType) -> (Kind, Kind) {
    match ty {
        SubjectType::Person => (Kind::IdNumber, Kind::Name),
        SubjectType::Household => (Kind::Ends, Kind::Name),
        SubjectType::Account => (Kind::Account, Kind::Name),
        // A firm or a project is no person; a number inside that looks like one is masked all the same.
        SubjectType::Organisation | SubjectType::Project => (Kind::Shown, Kind::Shown),
    }
}

/// The words of a column's name, without a counting tail (`name2` -> `name`).
fn words(column: &str) -> Vec<&str> {
    column
        .split('_')
        .map(|w| w.trim_end_matches(|c: char| c.is_ascii_digit()))
        .filter(|w| !w.is_empty())
        .collect()
}

fn contains(words: &[&str], part: &[&str]) -> bool {
    !part.is_empty() && words.windows(part.len()).any(|window| window == part)
}

/// Personal values of one finding, so that they are found again inside its sentences.
#[derive(Default)]
struct Secrets(BTreeMap<String, Kind>, Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, value: &str, kind: Kind) {
        let value = value.trim();
        let letters = value.chars().count();
        // Latin names are looked for between word borders, so short ones do no harm. Other short codes and
        // figures would be found everywhere.
        let telling = match value.is_ascii() {
            false => letters >= 2,
            true if value.bytes().all(|b| b.is_ascii_digit()) => letters >= 8,
            true => letters >= if kind == Kind::Name { 2 } else { 5 },
        };
        // Beyond the county a code is long enough to be found again.
        if kind == Kind::County && letters > COUNTY && value.bytes().all(|b| b.is_ascii_digit()) {
            self.0.entry(value.to_owned()).or_insert(kind);
        }
        if telling && !matches!(kind, Kind::Shown | Kind::County | Kind::Year) {
            let known = self.0.entry(value.to_owned()).or_insert(kind);
            *known = kind.max(*known);
        }
        if kind == Kind::Year && letters >= 8 {
            self.0.entry(value.to_owned()).or_insert(kind);
        }
    }

    /// Longest first: a name that holds another name is replaced whole.
    fn settle(&mut self) {
        self.1 = self.0.iter().map(|(value, kind)| (value.clone(), mask(*kind, value))).collect();
        self.1.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
    }

    fn apply(&self, kind: Kind, value: &str) -> String {
        if kind == Kind::Shown { self.string(value) } else { mask(kind, value) }
    }

    fn string(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (secret, masked) in &self.1 {
            if out.contains(secret.as_str()) {
                out = if secret.is_ascii() {
                    replace_words(&out, secret, masked)
                } else {
                    out.replace(secret.as_str(), masked)
                };
            }
        }
        mask_shapes(&out)
    }

    fn text(&self, text: &Text) -> Text {
        Text { zh: self.string(&text.zh), en: self.string(&text.en) }
    }
}

/// Replaces `word` where it is not part of a longer Latin word or number: `Lee` and not `Leeds`.
fn replace_words(text: &str, word: &str, by: &str) -> String {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let joined = joins(before.chars().next_back().or_else(|| out.chars().next_back()))
            || joins(after.chars().next());
        out.push_str(before);
        out.push_str(if joined { word } else { by });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn mask(kind: Kind, value: &str) -> String {
    if value.trim().is_empty() {
        return String::new();
    }
    let letters: Vec<char> = value.trim().chars().collect();
    match kind {
        Kind::Shown => mask_shapes(value),
        Kind::County => ends(&letters, letters.len().min(COUNTY), 0),
        Kind::Year => year(&letters),
        Kind::Ends => match letters.len() {
            0..=3 => ends(&letters, 0, 0),
            4..=7 => ends(&letters, 1, 1),
            _ => ends(&letters, 2, 2),
        },
        Kind::Phone if letters.len() >= 11 => ends(&letters, 3, 4),
        Kind::Phone | Kind::Account => tail(&letters),
        Kind::Name => name(&letters),
        Kind::IdNumber => match letters.len() {
            18.. => ends(&letters, 4, 4),
            12..=17 => ends(&letters, 4, 3),
            8..=11 => ends(&letters, 2, 2),
            _ => ends(&letters, 0, 0),
        },
        Kind::Beginning if letters.len() > 6 => ends(&letters[..letters.len().min(10)], 6, 0),
        Kind::Beginning | Kind::Hidden => "****".to_owned(),
    }
}

fn ends(letters: &[char], first: usize, last: usize) -> String {
    let hidden = letters.len().saturating_sub(first + last);
    let stars = std::iter::repeat_n(&'*', hidden);
    letters[..first].iter().chain(stars).chain(&letters[first + hidden..]).collect()
}

/// The last four characters; the length is hidden too.
fn tail(letters: &[char]) -> String {
    let shown = if letters.len() > 8 { 4 } else { 0 };
    format!("****{}", letters[letters.len() - shown..].iter().collect::<String>())
}

fn year(letters: &[char]) -> String {
    if letters.len() < 6 || !letters[..4].iter().all(char::is_ascii_digit) {
        return "****".to_owned();
    }
    let rest = letters[4..].iter().map(|c| if c.is_ascii_digit() { '*' } else { *c });
    letters[..4].iter().copied().chain(rest).collect()
}

/// Surnames of two characters that stay whole.
const COMPOUND: [&str; 24] = [
    "欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "宇文", "长孙", "司徒",
    "夏侯", "轩辕", "南宫", "西门", "端木", "呼延", "独孤", "百里", "司空", "钟离", "闻人",
];

fn name(letters: &[char]) -> String {
    let compound = letters.len() > 2 && COMPOUND.contains(&letters[..2].iter().collect::<String>().as_str());
    match letters.len() {
        0 | 1 => "*".to_owned(),
        _ if compound => ends(letters, 2, 0),
        _ => ends(letters, 1, 0),
    }
}

/// Masks what looks like an identity number (15 or 18), a bank card (16 to 19 digits, also in groups of four) or
/// a mobile telephone (11 digits), anywhere in `text`.
fn mask_shapes(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        if !is_digit(letters[at]) {
            out.push(letters[at]);
            at += 1;
            continue;
        }
        let end = run_of_digits(&letters, at);
        if let Some(grouped) = grouped_card(&letters, at) {
            let digits: Vec<char> = letters[at..grouped].iter().copied().filter(|c| is_digit(*c)).collect();
            out.push_str(&tail(&digits));
            at = grouped;
        } else if end - at == 17 && letters.get(end).is_some_and(|c| matches!(c, 'x' | 'X' | 'Ｘ' | 'ｘ')) {
            out.push_str(&mask(Kind::IdNumber, &letters[at..=end].iter().collect::<String>()));
            at = end + 1;
        } else {
            let run = &letters[at..end];
            match run.len() {
                15 | 18 => out.push_str(&ends(run, 4, if run.len() == 18 { 4 } else { 3 })),
                16.. => out.push_str(&tail(run)),
                11 if is_mobile(run) => out.push_str(&ends(run, 3, 4)),
                _ => out.extend(run),
            }
            at = end;
        }
    }
    out
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || ('０'..='９').contains(&c)
}

fn run_of_digits(letters: &[char], from: usize) -> usize {
    letters[from..].iter().position(|c| !is_digit(*c)).map_or(letters.len(), |n| from + n)
}

fn is_mobile(run: &[char]) -> bool {
    matches!(run[0], '1' | '１') && !matches!(run[1], '0'..='2' | '０'..='２')
}

/// End of `6222 0200 1234 5678 901`: three groups of four and at least three digits more, one kind of gap.
fn grouped_card(letters: &[char], from: usize) -> Option<usize> {
    let gap = *letters.get(from + 4).filter(|c| matches!(c, ' ' | '-' | '\u{a0}'))?;
    let (mut at, mut groups) = (from, 0);
    loop {
        let end = run_of_digits(letters, at);
        if end == at || end - at > 4 {
            return None;
        }
        groups += 1;
        let full = end - at == 4;
        if !full || letters.get(end) != Some(&gap) || !letters.get(end + 1).copied().is_some_and(is_digit) {
            return (groups > 4 || (groups == 4 && end - at >= 3)).then_some(end);
        }
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_numbers_keep_four_at_each_end() {
        assert_eq!(mask(Kind::IdNumber, "88010119500307002X"), "8801**********002X");
        assert_eq!(mask(Kind::IdNumber, "880101500307002"), "8801********002");
        assert_eq!(mask(Kind::IdNumber, "88010119500"), "88*******00");
    }

    #[test]
    fn names_keep_the_surname_only() {
        assert_eq!(mask(Kind::Name, "王明"), "王*");
        assert_eq!(mask(Kind::Name, "欧阳明月"), "欧阳**");
        assert_eq!(mask(Kind::Name, "甲"), "*");
        assert_eq!(mask(Kind::Name, "阿依古丽·买买提"), "阿*******");
    }

    #[test]
    fn accounts_and_telephones_keep_their_last_four() {
        assert_eq!(mask(Kind::Account, "6222020200112345678"), "****5678");
        assert_eq!(mask(Kind::Account, "1234"), "****");
        assert_eq!(mask(Kind::Phone, "13800001234"), "138****1234");
    }

    #[test]
    fn shapes_are_found_anywhere_in_a_text() {
        assert_eq!(
            mask_shapes("号88010119500307002x，卡6222020200112345678。"),
            "号8801**********002x，卡****5678。"
        );
        assert_eq!(mask_shapes("card 6222 0202 0011 2345 678 end"), "card ****5678 end");
        assert_eq!(mask_shapes("８８０１０１１９５００３０７００２１"), "８８０１**********００２１");
        assert_eq!(mask_shapes("call 13800001234"), "call 138****1234");
    }

    #[test]
    fn dates_months_amounts_and_area_codes_are_no_shapes() {
        for text in [
            "2025-01-01 2025-02-01",
            "202501",
            "20250301103000",
            "12345.00",
            "880101001001",
            "2025-03-01T10:30:00",
        ] {
            assert_eq!(mask_shapes(text), text);
        }
    }

    #[test]
    fn a_column_of_no_contract_is_judged_by_its_words() {
        let masker = Masker::new(Profile::Supervisor, &[]);
        assert_eq!(masker.kind("any", "payee_name"), Kind::Name);
        assert_eq!(masker.kind("any", "name2"), Kind::Name);
        assert_eq!(masker.kind("any", "kin_id_number"), Kind::IdNumber);
        assert_eq!(masker.kind("any", "registry_birth_date"), Kind::Year);
        assert_eq!(masker.kind("any", "period_month"), Kind::Shown);
    }

    #[test]
    fn a_short_latin_name_is_masked_as_a_word_and_not_inside_others() {
        assert_eq!(
            replace_words("Lee met Leeds, 18Lee and Lee.", "Lee", "L**"),
            "L** met Leeds, 18Lee and L**."
        );
    }
}
