//! Why a finding stands, and for any person: why flagged, and for each rule why not. Answers are data; one
//! function turns them into text. Prints nothing.

use std::collections::BTreeMap;

use mingcha_rules::text::is_unseen;
use mingcha_rules::{
    Contract, Diagnostic, EvidenceRow, Excused, Finding, Lang, Outcome, OutcomeKind, Rule, Text,
};

use crate::mask::Masker;
use crate::run::RunFolder;
use crate::words::{self, Glossary, say};

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// For a terminal.
    #[default]
    Plain,
    /// For a page.
    Markdown,
}

/// Everything behind one finding.
#[derive(Debug, Clone)]
pub struct FindingExplanation {
    /// The finding.
    pub finding: Finding,
    /// How its rule ended.
    pub outcome: Option<Outcome>,
    /// Its rule, where the library still has it.
    pub rule: Option<Rule>,
    /// The day for which the rules were asked.
    pub as_of: String,
    /// What else was excused of the same subject by the same rule.
    pub excused: Vec<Excused>,
}

/// What every rule says of one person.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The person.
    pub subject_id: String,
    /// The run.
    pub run_id: String,
    /// The day for which the rules were asked.
    pub as_of: String,
    /// One answer per rule of the run and of the library, by rule id.
    pub answers: Vec<Answer>,
}

/// What one rule says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The rule.
    pub rule_id: String,
    /// Its title.
    pub title: Text,
    /// The exclusions of the rule: code -> title.
    pub exclusions: BTreeMap<String, Text>,
    /// The answer.
    pub verdict: Verdict,
    /// What the run says against the answer's completeness: stale inputs, limits.
    pub remarks: Vec<Text>,
}

/// Kinds of answers.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Flagged; what else was excused of the person stands beside.
    Flagged {
        /// The findings about the person.
        findings: Vec<Finding>,
        /// What was excused.
        excused: Vec<Excused>,
    },
    /// Appears in the evidence of findings about somebody or something else (a shared account, say).
    Mentioned(Vec<Finding>),
    /// There were suspicious facts, and all of them were excused.
    Excused(Vec<Excused>),
    /// The rule ran, and no fact of this person matched.
    NoFact,
    /// The rule gave no answer: it failed, was held by its limits, or an input was missing.
    NoAnswer(OutcomeKind, Option<Text>),
    /// The rule is in the library and was not part of the run.
    NotRun,
}

/// Explains the finding called `finding_id`.
///
/// # Errors
/// `MC821` where the run has no such finding, `MC806` where it cannot be read.
pub fn explain_finding(
    run: &RunFolder,
    finding_id: &str,
    rules: &[&Rule],
) -> Result<FindingExplanation, Diagnostic> {
    let wanted = finding_id.trim().to_ascii_lowercase();
    let finding = run.finding(&wanted)?.ok_or_else(|| {
        Diagnostic::error("MC821", "运行结果中没有这个编号的线索", "the run has no finding of this id")
            .in_file(run.path().display())
            .with_help(
                "线索编号为 32 位十六进制，可在 findings.parquet 或工作簿的隐藏列 _finding_id 中查到",
                "a finding id has 32 hexadecimal digits; see findings.parquet or the hidden column _finding_id of a workbook",
            )
    })?;
    let mut excused = run.excused_of(&finding.subject_id)?;
    excused.retain(|e| e.rule_id == finding.rule_id);
    Ok(FindingExplanation {
        outcome: run.outcomes()?.into_iter().find(|o| o.rule_id == finding.rule_id),
        rule: rules.iter().find(|r| r.id == finding.rule_id).map(|r| (*r).clone()),
        as_of: run.manifest().as_of.clone(),
        excused,
        finding,
    })
}

/// Says for each rule why the person is flagged, or why not. `id_number` is the number as the store keeps it
/// (18 characters, `X` upper case); for other subjects their own id.
///
/// # Errors
/// `MC806` where the run cannot be read.
pub fn explain_person(run: &RunFolder, rules: &[&Rule], id_number: &str) -> Result<Explanation, Diagnostic> {
    let subject_id = id_number.trim().to_uppercase();
    let mut of_person: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    let mut mentions: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in run.findings()? {
        if finding.subject_id == subject_id {
            of_person.entry(finding.rule_id.clone()).or_default().push(finding);
        } else if mentions_value(&finding, &subject_id) {
            mentions.entry(finding.rule_id.clone()).or_default().push(finding);
        }
    }
    let mut excused: BTreeMap<String, Vec<Excused>> = BTreeMap::new();
    for entry in run.excused_of(&subject_id)? {
        excused.entry(entry.rule_id.clone()).or_default().push(entry);
    }
    let outcomes: BTreeMap<String, Outcome> =
        run.outcomes()?.into_iter().map(|o| (o.rule_id.clone(), o)).collect();
    let library: BTreeMap<&str, &Rule> = rules.iter().map(|r| (r.id.as_str(), *r)).collect();
    let mut ids: Vec<&str> = outcomes.keys().map(String::as_str).chain(library.keys().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let answers = ids
        .into_iter()
        .map(|id| {
            let (outcome, rule) = (outcomes.get(id), library.get(id));
            let found = (of_person.remove(id), excused.remove(id), mentions.remove(id));
            let title = outcome.map(|o| o.title.clone()).or_else(|| rule.map(|r| r.title.clone()));
            Answer {
                rule_id: id.to_owned(),
                title: title.unwrap_or_default(),
                exclusions: rule.map(|r| titles(r)).unwrap_or_default(),
                remarks: remarks(outcome),
                verdict: verdict(outcome, found),
            }
        })
        .collect();
    let manifest = run.manifest();
    Ok(Explanation { subject_id, run_id: manifest.run_id.clone(), as_of: manifest.as_of.clone(), answers })
}

type Found = (Option<Vec<Finding>>, Option<Vec<Excused>>, Option<Vec<Finding>>);

fn verdict(outcome: Option<&Outcome>, found: Found) -> Verdict {
    let Some(outcome) = outcome else { return Verdict::NotRun };
    match found {
        (Some(findings), excused, _) => Verdict::Flagged { findings, excused: excused.unwrap_or_default() },
        (None, _, Some(findings)) => Verdict::Mentioned(findings),
        (None, Some(excused), None) => Verdict::Excused(excused),
        (None, None, None) => match outcome.outcome {
            OutcomeKind::Found | OutcomeKind::Clean => Verdict::NoFact,
            other => Verdict::NoAnswer(other, outcome.reason.clone()),
        },
    }
}

fn remarks(outcome: Option<&Outcome>) -> Vec<Text> {
    let Some(outcome) = outcome else { return Vec::new() };
    let held = (outcome.outcome == OutcomeKind::Held).then(|| outcome.reason.clone()).flatten();
    held.into_iter().chain(outcome.warnings.iter().cloned()).collect()
}

fn mentions_value(finding: &Finding, value: &str) -> bool {
    let rows = finding.evidence.iter().chain(&finding.counter_evidence);
    rows.flat_map(|row| row.columns.values()).any(|v| v == value)
}

/// Code -> title. A code may stand twice in a rule, for single facts and for the whole subject; the first title
/// is the general one.
fn titles(rule: &Rule) -> BTreeMap<String, Text> {
    let mut titles = BTreeMap::new();
    for exclusion in &rule.exclusions {
        titles.entry(exclusion.code.clone()).or_insert_with(|| exclusion.title.clone());
    }
    titles
}

impl FindingExplanation {
    /// The same for a reader who may not see everything.
    #[must_use]
    pub fn masked(&self, masker: &Masker) -> Self {
        Self {
            finding: masker.finding(&self.finding),
            excused: self.excused.iter().map(|e| masker.excused(e)).collect(),
            ..self.clone()
        }
    }

    /// The explanation as text.
    #[must_use]
    pub fn render(&self, contracts: &[Contract], lang: Lang, style: Style) -> String {
        let mut page = Page::new(contracts, lang, style);
        let title = self.outcome.as_ref().map(|o| &o.title).or(self.rule.as_ref().map(|r| &r.title));
        page.heading(1, &format!("{} {}", self.finding.rule_id, title.map_or("", |t| t.get(lang))));
        let exclusions = self.rule.as_ref().map(titles).unwrap_or_default();
        page.finding(&self.finding, &exclusions);
        if !self.excused.is_empty() {
            page.heading(2, say(lang, "同一对象已扣除的情形", "What was excused of the same subject"));
            page.excused(&self.excused, &exclusions);
        }
        if let Some(rule) = &self.rule {
            page.texts(2, say(lang, "可能的正当解释", "Innocent explanations"), &rule.false_positives);
            page.texts(2, say(lang, "如何核实", "How to verify"), &rule.verify);
        }
        page.closing(&self.as_of);
        page.out
    }
}

impl Explanation {
    /// The same for a reader who may not see everything.
    #[must_use]
    pub fn masked(&self, masker: &Masker) -> Self {
        let findings = |list: &[Finding]| list.iter().map(|f| masker.finding(f)).collect();
        let excused = |list: &[Excused]| list.iter().map(|e| masker.excused(e)).collect();
        let answer = |answer: &Answer| Answer {
            verdict: match &answer.verdict {
                Verdict::Flagged { findings: f, excused: e } => {
                    Verdict::Flagged { findings: findings(f), excused: excused(e) }
                }
                Verdict::Mentioned(f) => Verdict::Mentioned(findings(f)),
                Verdict::Excused(e) => Verdict::Excused(excused(e)),
                other => other.clone(),
            },
            ..answer.clone()
        };
        Self {
            subject_id: masker.id_number(&self.subject_id),
            answers: self.answers.iter().map(answer).collect(),
            ..self.clone()
        }
    }

    /// The explanation as text: first what was found, then what was excused, then the rest.
    #[must_use]
    pub fn render(&self, contracts: &[Contract], lang: Lang, style: Style) -> String {
        let mut page = Page::new(contracts, lang, style);
        page.heading(1, &format!("{}{}", say(lang, "逐条规则说明：", "Rule by rule: "), self.subject_id));
        page.paragraph(&self.in_short(lang));
        let mut sorted: Vec<&Answer> = self.answers.iter().collect();
        sorted.sort_by_key(|answer| answer.verdict.order());
        for answer in sorted {
            page.answer(answer);
        }
        page.closing(&self.as_of);
        page.out
    }

    fn in_short(&self, lang: Lang) -> String {
        let count = |order: u8| self.answers.iter().filter(|a| a.verdict.order() == order).count();
        let parts = [
            (count(0), say(lang, "列为线索", "flagged")),
            (count(1), say(lang, "出现在其他对象的线索中", "mentioned in findings about others")),
            (count(2), say(lang, "有疑点但已排除", "suspected and excused")),
            (count(3), say(lang, "没有结果", "without an answer")),
            (count(4), say(lang, "没有相符的事实", "without a matching fact")),
            (count(5), say(lang, "本次未运行", "not part of the run")),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| match lang {
                Lang::Zh => format!("{what} {count} 条"),
                Lang::En => format!("{count} {what}"),
            })
            .collect();
        match lang {
            Lang::Zh => format!("共 {} 条规则：{}。", self.answers.len(), parts.join("，")),
            Lang::En => format!("{} rules: {}.", self.answers.len(), parts.join(", ")),
        }
    }
}

impl Verdict {
    /// What a reader wants to know first comes first.
    fn order(&self) -> u8 {
        match self {
            Self::Flagged { .. } => 0,
            Self::Mentioned(_) => 1,
            Self::Excused(_) => 2,
            Self::NoAnswer(..) => 3,
            Self::NoFact => 4,
            Self::NotRun => 5,
        }
    }
}

/// Text being written. Values of rows pass [`Page::safe`]: they must not act on a terminal or on a page.
struct Page<'a> {
    out: String,
    lang: Lang,
    style: Style,
    glossary: Glossary<'a>,
}

impl<'a> Page<'a> {
    fn new(contracts: &'a [Contract], lang: Lang, style: Style) -> Self {
        Self { out: String::new(), lang, style, glossary: Glossary::new(contracts) }
    }

    fn heading(&mut self, level: usize, text: &str) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        let text = self.safe(text);
        match self.style {
            Style::Markdown => self.out.push_str(&format!("{} {text}\n\n", "#".repeat(level))),
            Style::Plain if level == 1 => {
                self.out.push_str(&format!("{text}\n{}\n", "=".repeat(words::width(&text))))
            }
            Style::Plain => self.out.push_str(&format!("{text}\n")),
        }
    }

    fn paragraph(&mut self, text: &str) {
        let text = self.safe(text);
        self.out.push_str(&text);
        self.out.push_str(if self.style == Style::Markdown { "\n\n" } else { "\n" });
    }

    fn item(&mut self, text: &str) {
        let text = self.safe(text);
        self.out.push_str(if self.style == Style::Markdown { "- " } else { "  - " });
        self.out.push_str(&text);
        self.out.push('\n');
    }

    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.item(&format!("{name}{}{value}", say(self.lang, "：", ": ")));
        }
    }

    fn texts(&mut self, level: usize, title: &str, texts: &[Text]) {
        if !texts.is_empty() {
            self.heading(level, title);
            for text in texts {
                self.item(text.get(self.lang));
            }
        }
    }

    fn answer(&mut self, answer: &Answer) {
        let lang = self.lang;
        let word = match &answer.verdict {
            Verdict::Flagged { .. } => say(lang, "列为线索", "flagged"),
            Verdict::Mentioned(_) => {
                say(lang, "出现在其他对象的线索中", "mentioned in findings about others")
            }
            Verdict::Excused(_) => say(lang, "有疑点，已排除", "suspected and excused"),
            Verdict::NoFact => say(lang, "没有相符的事实", "no fact matched"),
            Verdict::NoAnswer(kind, _) => words::outcome(*kind, lang),
            Verdict::NotRun => say(lang, "本次未运行", "not part of the run"),
        };
        self.heading(
            2,
            &format!("{} {}{}{word}", answer.rule_id, answer.title.get(lang), say(lang, "：", ": ")),
        );
        match &answer.verdict {
            Verdict::Flagged { findings, excused } => {
                for finding in findings {
                    self.finding(finding, &answer.exclusions);
                }
                self.excused(excused, &answer.exclusions);
            }
            Verdict::Mentioned(findings) => {
                for finding in findings {
                    self.finding(finding, &answer.exclusions);
                }
            }
            Verdict::Excused(excused) => self.excused(excused, &answer.exclusions),
            Verdict::NoAnswer(_, Some(reason)) => self.item(reason.get(lang)),
            Verdict::NoAnswer(_, None) | Verdict::NoFact | Verdict::NotRun => {}
        }
        for remark in &answer.remarks {
            self.fact(say(lang, "注意", "note"), remark.get(lang));
        }
    }

    fn finding(&mut self, finding: &Finding, exclusions: &BTreeMap<String, Text>) {
        let lang = self.lang;
        self.paragraph(finding.message.get(lang));
        let subject = [finding.subject_name.as_deref().unwrap_or(""), &finding.subject_id].join(" ");
        self.fact(words::subject_type(finding.subject_type, lang), subject.trim());
        self.fact(say(lang, "严重程度", "severity"), words::severity(finding.severity, lang));
        self.fact(say(lang, "证据强度", "strength"), &words::grade(&finding.grade, lang));
        self.fact(say(lang, "身份核对", "identity"), &words::identity(&finding.identity, lang));
        self.fact(say(lang, "所属地区", "area"), finding.area_code.as_deref().unwrap_or(""));
        let period = [finding.period_from.as_deref(), finding.period_to.as_deref()];
        let period: Vec<&str> = period.into_iter().flatten().collect();
        self.fact(say(lang, "期间", "period"), &period.join(say(lang, " 至 ", " to ")));
        let amount =
            finding.amount_fen.map(|fen| format!("{}{}", words::yuan(fen), say(lang, " 元", " yuan")));
        self.fact(say(lang, "涉及金额", "amount"), &amount.unwrap_or_default());
        self.fact(say(lang, "线索编号", "finding"), &finding.finding_id);
        self.heading(3, say(lang, "支持的证据", "Evidence for"));
        self.rows(&finding.evidence);
        self.heading(3, say(lang, "相反的证据", "Evidence against"));
        self.rows(&finding.counter_evidence);
        self.heading(3, say(lang, "已核对的排除情形", "Exclusions checked"));
        for checked in &finding.exclusions_checked {
            let title = exclusions.get(&checked.code).map_or("", |t| t.get(lang));
            let result = match (lang, checked.excused) {
                (Lang::Zh, 0) => "不符合".to_owned(),
                (Lang::Zh, n) => format!("已扣除 {n} 条"),
                (Lang::En, 0) => "does not apply".to_owned(),
                (Lang::En, n) => format!("{n} left out"),
            };
            self.fact(format!("{} {title}", checked.code).trim(), &result);
        }
        if finding.exclusions_checked.is_empty() {
            self.item(say(lang, "本规则没有排除情形", "the rule has none"));
        }
    }

    fn rows(&mut self, rows: &[EvidenceRow]) {
        let lang = self.lang;
        if rows.is_empty() {
            self.item(say(lang, "现有数据中未见", "none in the data at hand"));
        }
        for row in rows {
            let title = row
                .title
                .as_ref()
                .map(|t| format!("{}{}", t.get(lang), say(lang, "，", ", ")))
                .unwrap_or_default();
            let place = match lang {
                Lang::Zh => format!(
                    "{title}{}（{} 第 {} 条数据，表头不计）",
                    self.glossary.dataset(&row.dataset, lang),
                    row.file,
                    row.row
                ),
                Lang::En => format!(
                    "{title}{} ({}, data row {}, heading not counted)",
                    self.glossary.dataset(&row.dataset, lang),
                    row.file,
                    row.row
                ),
            };
            let columns = self.glossary.columns(row, lang, usize::MAX, &[]);
            self.fact(&place, if columns.is_empty() { "—" } else { &columns });
        }
    }

    fn excused(&mut self, excused: &[Excused], exclusions: &BTreeMap<String, Text>) {
        let lang = self.lang;
        for entry in excused {
            let title = |code: &str| match exclusions.get(code) {
                Some(title) => format!("{code} {}", title.get(lang)),
                None => code.to_owned(),
            };
            let also: Vec<String> = entry.also.iter().map(|code| title(code)).collect();
            let facts = match lang {
                Lang::Zh => format!("排除了 {} 条疑点事实", entry.candidates),
                Lang::En => format!("suspicious facts excused: {}", entry.candidates),
            };
            let also = match (also.is_empty(), lang) {
                (true, _) => String::new(),
                (false, Lang::Zh) => format!("；同时符合 {}", also.join("、")),
                (false, Lang::En) => format!("; also {}", also.join(", ")),
            };
            self.fact(&title(&entry.code), &format!("{facts}{also}"));
            if !entry.evidence.is_empty() {
                self.rows(&entry.evidence);
            }
        }
    }

    fn closing(&mut self, as_of: &str) {
        self.out.push('\n');
        self.paragraph(&match self.lang {
            Lang::Zh => format!("数据截止 {as_of}。以上是需要核查的线索，不是结论。"),
            Lang::En => format!("As of {as_of}. These are leads to be checked, not verdicts."),
        });
    }

    /// Control characters would act on a terminal, signs of Markdown on a page.
    fn safe(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                c if is_unseen(c) => out.push(' '),
                '\\' | '*' | '_' | '`' | '|' | '[' | ']' | '<' | '>' | '#'
                    if self.style == Style::Markdown =>
                {
                    out.extend(['\\', c])
                }
                c => out.push(c),
            }
        }
        out
    }
}
