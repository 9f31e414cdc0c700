//! The lists as tables of typed cells, the same for spreadsheets and CSV: headings and values in the reader's
//! language. Knows no file format; gets findings that are masked already.

use std::collections::BTreeMap;

use mingcha_rules::{Diagnostic, EvidenceRow, Finding, Lang, OutcomeKind};

use super::sheaf::Part;
use super::{Job, SEVERITIES};
use crate::record::add_fen;
use crate::words::{self, CONCLUSIONS, HOLDERS, Label, STATES, WAYS, clip, say};

/// One value of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Text, identity numbers and accounts among it.
    Text(String),
    /// A day, YYYY-MM-DD.
    Date(String),
    /// Yuan, in fen.
    Money(i64),
    /// A count.
    Count(u64),
    /// Nothing.
    Blank,
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Kept, not seen.
    Hidden,
    /// A short word in the middle.
    Centred,
    /// Text that may take several lines.
    Wrapped,
    /// A day.
    Date,
    /// Money.
    Money,
    /// A count.
    Count,
    /// The word of a severity, coloured.
    Severity,
    /// To be filled in by the reader.
    Fill(Field),
}

impl Show {
    /// What the reader fills in, if anything.
    pub(crate) fn field(self) -> Option<Field> {
        match self {
            Self::Fill(field) => Some(field),
            _ => None,
        }
    }
}

/// What a list asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// What was found of the lead.
    Conclusion,
    /// How the person was found.
    State,
    /// Day of death.
    Died,
    /// Who holds the card.
    Card,
    /// Who checked.
    By,
    /// On which day.
    On,
    /// How.
    How,
    /// Number of the paper or receipt.
    Document,
    /// Money that came back.
    Recovered,
    /// In words.
    Remark,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One of a list of words.
    Choice(&'static [Label]),
    /// A day.
    Day,
    /// An amount in yuan.
    Money,
    /// Free text.
    Text,
}

impl Field {
    /// How it is answered.
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Conclusion => Answer::Choice(&CONCLUSIONS),
            Self::State => Answer::Choice(&STATES),
            Self::Card => Answer::Choice(&HOLDERS),
            Self::How => Answer::Choice(&WAYS),
            Self::Died | Self::On => Answer::Day,
            Self::Recovered => Answer::Money,
            Self::By | Self::Document | Self::Remark => Answer::Text,
        }
    }

    /// Its name on record.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Conclusion => "conclusion",
            Self::State => "state",
            Self::Died => "died",
            Self::Card => "card",
            Self::By => "by",
            Self::On => "on",
            Self::How => "how",
            Self::Document => "document",
            Self::Recovered => "recovered",
            Self::Remark => "remark",
        }
    }
}

/// A kind of sheet: its columns are the same wherever it stands, and an import knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The main list.
    Findings,
    /// The rows of evidence.
    Evidence,
    /// Persons to be visited.
    Visits,
    /// Leads that are taken back.
    Cancelled,
}

/// Heading in both languages, width, kind of column.
pub(crate) type Spec = (&'static str, &'static str, u16, Show);

impl Kind {
    const ALL: [Self; 4] = [Self::Findings, Self::Evidence, Self::Visits, Self::Cancelled];

    /// Its name on record.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Evidence => "evidence",
            Self::Visits => "visits",
            Self::Cancelled => "cancelled",
        }
    }

    /// The kind of this name.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Its columns.
    pub(crate) fn columns(self) -> &'static [Spec] {
        match self {
            Self::Findings => &FINDINGS,
            Self::Evidence => &EVIDENCE,
            Self::Visits => &VISITS,
            Self::Cancelled => &CANCELLED,
        }
    }
}

const FINDINGS: [Spec; 24] = [
    ("_finding_id", "_finding_id", 34, Show::Hidden),
    ("序号", "No.", 6, Show::Count),
    ("严重程度", "Severity", 9, Show::Severity),
    ("姓名（名称）", "Name", 12, Show::Wrapped),
    ("证件号码（编号）", "ID number", 21, Show::Centred),
    ("所属地区", "Area", 16, Show::Wrapped),
    ("规则", "Rule", 8, Show::Centred),
    ("疑点", "What is suspected", 18, Show::Wrapped),
    ("情况说明", "What was found", 44, Show::Wrapped),
    ("起始日期", "From", 12, Show::Date),
    ("截止日期", "To", 12, Show::Date),
    ("涉及金额（元）", "Amount (yuan)", 14, Show::Money),
    ("支持的证据", "Evidence for", 40, Show::Wrapped),
    ("相反的证据", "Evidence against", 32, Show::Wrapped),
    ("已核对的排除情形", "Exclusions checked", 44, Show::Wrapped),
    ("证据强度", "Strength", 10, Show::Centred),
    ("身份核对", "Identity", 18, Show::Wrapped),
    ("结论", "Conclusion", 20, Show::Fill(Field::Conclusion)),
    ("核查人", "Checked by", 12, Show::Fill(Field::By)),
    ("核查日期", "Checked on", 12, Show::Fill(Field::On)),
    ("核查方式", "Checked how", 12, Show::Fill(Field::How)),
    ("文书（收据）编号", "Paper or receipt no.", 18, Show::Fill(Field::Document)),
    ("追回金额（元）", "Recovered (yuan)", 14, Show::Fill(Field::Recovered)),
    ("备注", "Remarks", 28, Show::Fill(Field::Remark)),
];

const EVIDENCE: [Spec; 9] = [
    ("_finding_id", "_finding_id", 34, Show::Hidden),
    ("线索序号", "Finding no.", 9, Show::Count),
    ("姓名（名称）", "Name", 12, Show::Wrapped),
    ("方向", "For or against", 9, Show::Centred),
    ("证据内容", "What it is", 24, Show::Wrapped),
    ("数据集", "Dataset", 18, Show::Wrapped),
    ("文件", "File", 32, Show::Wrapped),
    ("数据行号", "Data row", 10, Show::Count),
    ("记录内容", "What the row says", 80, Show::Wrapped),
];

const VISITS: [Spec; 12] = [
    ("_person", "_person", 34, Show::Hidden),
    ("序号", "No.", 6, Show::Count),
    ("姓名", "Name", 12, Show::Wrapped),
    ("证件号码", "ID number", 21, Show::Centred),
    ("所属地区", "Area", 20, Show::Wrapped),
    ("人员状态", "The person is", 16, Show::Fill(Field::State)),
    ("死亡日期", "Died on", 12, Show::Fill(Field::Died)),
    ("社保卡持有人", "Card held by", 18, Show::Fill(Field::Card)),
    ("核查人", "Visited by", 12, Show::Fill(Field::By)),
    ("核查日期", "Visited on", 12, Show::Fill(Field::On)),
    ("核查方式", "Visited how", 12, Show::Fill(Field::How)),
    ("备注", "Remarks", 36, Show::Fill(Field::Remark)),
];

const CANCELLED: [Spec; 8] = [
    ("_finding_id", "_finding_id", 34, Show::Hidden),
    ("序号", "No.", 6, Show::Count),
    ("原导出编号", "Earlier export", 14, Show::Wrapped),
    ("姓名（名称）", "Name", 12, Show::Wrapped),
    ("证件号码（编号）", "ID number", 21, Show::Centred),
    ("规则", "Rule", 8, Show::Centred),
    ("疑点", "What was suspected", 30, Show::Wrapped),
    ("撤销原因", "Why it is cancelled", 60, Show::Wrapped),
];

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) title: String,
    /// In characters of the sheet's font.
    pub(crate) width: u16,
    pub(crate) show: Show,
}

/// A list.
pub(super) struct Table<'t> {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Box<dyn Iterator<Item = Result<Vec<Cell>, Diagnostic>> + Send + 't>,
}

impl<'t> Table<'t> {
    pub(super) fn new(columns: Vec<Column>, rows: impl Iterator<Item = Vec<Cell>> + Send + 't) -> Self {
        Self { columns, rows: Box::new(rows.map(Ok)) }
    }

    /// The same with one more column, equal in every row.
    pub(super) fn with_column(mut self, title: &str, value: &'t str) -> Self {
        self.columns.push(Column { title: title.to_owned(), width: 20, show: Show::Hidden });
        self.rows = Box::new(self.rows.map(move |row| {
            let mut row = row?;
            row.push(Cell::Text(value.to_owned()));
            Ok(row)
        }));
        self
    }
}

pub(super) fn columns(lang: Lang, specs: &[Spec]) -> Vec<Column> {
    let column = |&(zh, en, width, show): &Spec| Column { title: say(lang, zh, en).to_owned(), width, show };
    specs.iter().map(column).collect()
}

/// The main list: one row per finding, the outcome columns at its end.
pub(super) fn findings<'t>(job: &'t Job<'_>, part: &'t Part<'_>) -> Table<'t> {
    let columns = columns(job.lang(), Kind::Findings.columns());
    let rows = (1..).zip(part.findings()).map(move |(number, f)| f.map(|f| finding_row(job, number, &f)));
    Table { columns, rows: Box::new(rows) }
}

fn finding_row(job: &Job<'_>, number: u64, finding: &Finding) -> Vec<Cell> {
    let lang = job.lang();
    let text = |t: &str| if t.is_empty() { Cell::Blank } else { Cell::Text(t.to_owned()) };
    let date = |d: &Option<String>| d.clone().map_or(Cell::Blank, Cell::Date);
    vec![
        Cell::Text(finding.finding_id.clone()),
        Cell::Count(number),
        text(words::severity(finding.severity, lang)),
        text(finding.subject_name.as_deref().unwrap_or("")),
        text(&finding.subject_id),
        text(&job.area_label(finding.area_code.as_deref().unwrap_or(""))),
        text(&finding.rule_id),
        text(job.rule_title(&finding.rule_id).get(lang)),
        text(finding.message.get(lang)),
        date(&finding.period_from),
        date(&finding.period_to),
        finding.amount_fen.map_or(Cell::Blank, Cell::Money),
        text(&in_short(job, finding, &finding.evidence)),
        text(&match finding.counter_evidence.is_empty() {
            true => say(lang, "现有数据中未见", "none in the data at hand").to_owned(),
            false => in_short(job, finding, &finding.counter_evidence),
        }),
        text(&exclusions(job, finding)),
        text(&words::grade(&finding.grade, lang)),
        text(&words::identity(&finding.identity, lang)),
        Cell::Blank,
        Cell::Blank,
        Cell::Blank,
        Cell::Blank,
        Cell::Blank,
        Cell::Blank,
        Cell::Blank,
    ]
}

/// A line per kind of evidence: how many rows, and what the first of them says.
fn in_short(job: &Job<'_>, finding: &Finding, rows: &[EvidenceRow]) -> String {
    const KINDS: usize = 5;
    let lang = job.lang();
    // The list shows these two beside it.
    let known = [finding.subject_id.as_str(), finding.subject_name.as_deref().unwrap_or("")];
    let mut kinds: Vec<((String, String), Vec<&EvidenceRow>)> = Vec::new();
    for row in rows {
        let title = row.title.as_ref().map(|t| t.get(lang).to_owned()).unwrap_or_default();
        let kind = (title, job.glossary.dataset(&row.dataset, lang));
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, rows)) => rows.push(row),
            None => kinds.push((kind, vec![row])),
        }
    }
    let mut lines: Vec<String> = kinds
        .iter()
        .take(KINDS)
        .map(|((title, dataset), rows)| {
            let what = if title.is_empty() {
                dataset.clone()
            } else {
                format!("{title}{}{dataset}", say(lang, "：", ": "))
            };
            let first =
                rows.first().map(|row| job.glossary.columns(row, lang, 3, &known)).unwrap_or_default();
            let first = clip(&first, 90);
            match (lang, rows.len()) {
                (_, 1) if first.is_empty() => what,
                (Lang::Zh, n) if first.is_empty() => format!("{what} {n} 条"),
                (Lang::En, n) if first.is_empty() => format!("{what}, {n} rows"),
                (Lang::Zh, 1) => format!("{what}（{first}）"),
                (Lang::Zh, n) => format!("{what} {n} 条（首条 {first}）"),
                (Lang::En, 1) => format!("{what} ({first})"),
                (Lang::En, n) => format!("{what}, {n} rows (first: {first})"),
            }
        })
        .collect();
    if kinds.len() > KINDS {
        lines.push(match lang {
            Lang::Zh => format!("另有 {} 类，见证据明细", kinds.len() - KINDS),
            Lang::En => format!("{} more kinds, see the evidence sheet", kinds.len() - KINDS),
        });
    }
    lines.join("\n")
}

/// What was left out of the finding, a line each; then in one line what was looked at and does not apply.
fn exclusions(job: &Job<'_>, finding: &Finding) -> String {
    let lang = job.lang();
    let rule = job.catalogue.rule(&finding.rule_id);
    let named = |code: &str| {
        let exclusion = rule.and_then(|rule| rule.exclusions.iter().find(|e| e.code == code));
        exclusion.map_or_else(|| code.to_owned(), |e| format!("{} {code}", e.title.get(lang)))
    };
    let (none, some): (Vec<_>, Vec<_>) = finding.exclusions_checked.iter().partition(|c| c.excused == 0);
    let mut lines: Vec<String> = some
        .into_iter()
        .map(|checked| match lang {
            Lang::Zh => format!("{}：已扣除 {} 条", named(&checked.code), checked.excused),
            Lang::En => format!("{}: {} left out", named(&checked.code), checked.excused),
        })
        .collect();
    if !none.is_empty() {
        let none: Vec<String> = none.into_iter().map(|checked| named(&checked.code)).collect();
        lines.push(match lang {
            Lang::Zh => format!("不符合：{}", none.join("；")),
            Lang::En => format!("do not apply: {}", none.join("; ")),
        });
    }
    lines.join("\n")
}

/// Every row of evidence, for and against, under the number of its finding.
pub(super) fn evidence<'t>(job: &'t Job<'_>, part: &'t Part<'_>) -> Table<'t> {
    let columns = columns(job.lang(), Kind::Evidence.columns());
    let rows = (1..).zip(part.findings()).flat_map(move |(number, finding)| match finding {
        Err(fault) => vec![Err(fault)],
        Ok(f) => {
            let supporting = f.evidence.iter().map(|row| (row, true));
            let opposing = f.counter_evidence.iter().map(|row| (row, false));
            let rows = supporting.chain(opposing);
            rows.map(|(row, supports)| Ok(evidence_row(job, number, &f, row, supports))).collect()
        }
    });
    Table { columns, rows: Box::new(rows) }
}

fn evidence_row(
    job: &Job<'_>,
    number: u64,
    finding: &Finding,
    row: &EvidenceRow,
    supports: bool,
) -> Vec<Cell> {
    let lang = job.lang();
    let text = |t: String| if t.is_empty() { Cell::Blank } else { Cell::Text(t) };
    let title = row.title.clone().unwrap_or_else(|| job.rule_title(&finding.rule_id)).get(lang).to_owned();
    vec![
        Cell::Text(finding.finding_id.clone()),
        Cell::Count(number),
        text(finding.subject_name.clone().unwrap_or_default()),
        text(if supports { say(lang, "支持", "for") } else { say(lang, "相反", "against") }.to_owned()),
        text(title),
        text(job.glossary.dataset(&row.dataset, lang)),
        text(row.file.clone()),
        Cell::Count(row.row),
        text(job.glossary.columns(row, lang, usize::MAX, &[])),
    ]
}

/// Number and money of findings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) findings: u64,
    pub(super) fen: i64,
}

impl Sum {
    pub(super) fn add(&mut self, finding: &Finding) -> Result<(), Diagnostic> {
        self.findings += 1;
        self.fen = add_fen(self.fen, finding.amount_fen.unwrap_or(0))?;
        Ok(())
    }

    fn cells(self) -> [Cell; 2] {
        [Cell::Count(self.findings), Cell::Money(self.fen)]
    }
}

/// Counts and money per severity.
pub(super) fn by_severity(job: &Job<'_>, part: &Part<'_>) -> Result<Table<'static>, Diagnostic> {
    let lang = job.lang();
    let columns = columns(
        lang,
        &[
            ("严重程度", "Severity", 12, Show::Severity),
            ("线索数", "Findings", 12, Show::Count),
            ("涉及金额（元）", "Amount (yuan)", 18, Show::Money),
        ],
    );
    let mut rows = Vec::new();
    let mut total = Sum::default();
    for level in SEVERITIES {
        let mut sum = Sum::default();
        for finding in part.heads().filter(|f| f.severity == level) {
            sum.add(finding)?;
            total.add(finding)?;
        }
        rows.push([vec![Cell::Text(words::severity(level, lang).to_owned())], sum.cells().to_vec()].concat());
    }
    rows.push([vec![Cell::Text(say(lang, "合计", "Total").to_owned())], total.cells().to_vec()].concat());
    Ok(Table::new(columns, rows.into_iter()))
}

/// Counts and money per rule and severity. For the whole run also the rules without findings, with the reason:
/// "not evaluated" is not "nothing found".
pub(super) fn by_rule(job: &Job<'_>, part: &Part<'_>, whole: bool) -> Result<Table<'static>, Diagnostic> {
    let lang = job.lang();
    let columns = columns(
        lang,
        &[
            ("规则", "Rule", 12, Show::Centred),
            ("疑点", "What is suspected", 34, Show::Wrapped),
            ("执行结果", "Outcome", 14, Show::Centred),
            ("严重程度", "Severity", 12, Show::Severity),
            ("线索数", "Findings", 12, Show::Count),
            ("涉及金额（元）", "Amount (yuan)", 18, Show::Money),
            ("说明", "Remark", 50, Show::Wrapped),
        ],
    );
    let mut rows = Vec::new();
    for outcome in &job.outcomes {
        let of_rule: Vec<&Finding> = part.heads().filter(|f| f.rule_id == outcome.rule_id).collect();
        let remark = outcome.reason.as_ref().map_or(Cell::Blank, |r| Cell::Text(r.get(lang).to_owned()));
        let head = vec![
            Cell::Text(outcome.rule_id.clone()),
            Cell::Text(outcome.title.get(lang).to_owned()),
            Cell::Text(words::outcome(outcome.outcome, lang).to_owned()),
        ];
        for level in SEVERITIES {
            let mut sum = Sum::default();
            for finding in of_rule.iter().filter(|f| f.severity == level) {
                sum.add(finding)?;
            }
            if sum.findings > 0 {
                let severity = Cell::Text(words::severity(level, lang).to_owned());
                rows.push(
                    [head.clone(), vec![severity], sum.cells().to_vec(), vec![remark.clone()]].concat(),
                );
            }
        }
        if of_rule.is_empty() && (whole || outcome.outcome != OutcomeKind::Found) {
            // A nought only where the rule did count: "not evaluated" must not look like "none".
            let none = if outcome.outcome == OutcomeKind::Clean { Cell::Count(0) } else { Cell::Blank };
            rows.push([head, vec![Cell::Blank, none, Cell::Blank, remark]].concat());
        }
    }
    Ok(Table::new(columns, rows.into_iter()))
}

/// Counts and money per area.
pub(super) fn by_area(job: &Job<'_>, part: &Part<'_>) -> Result<Table<'static>, Diagnostic> {
    let lang = job.lang();
    let columns = columns(
        lang,
        &[
            ("所属地区", "Area", 30, Show::Wrapped),
            ("线索数", "Findings", 12, Show::Count),
            ("涉及金额（元）", "Amount (yuan)", 18, Show::Money),
        ],
    );
    let mut areas: BTreeMap<String, Sum> = BTreeMap::new();
    for finding in part.heads() {
        areas.entry(job.area_of(finding)).or_default().add(finding)?;
    }
    let rows: Vec<Vec<Cell>> = areas
        .iter()
        .map(|(code, sum)| [vec![Cell::Text(job.area_label(code))], sum.cells().to_vec()].concat())
        .collect();
    Ok(Table::new(columns, rows.into_iter()))
}
