//! The sections of which reports are made: what was gathered, in words, as a table and a chart each. Every report takes
//! the ones it needs, so the same figure is worded the same everywhere. Knows no ledger.

use std::collections::BTreeMap;

use mingcha_rules::{Lang, Text};

use super::charts::{self, number};
use super::gather::{ANSWER_DAYS, Funnel, Gathered, Row, Step, Traffic};
use super::page::{Grid, Section, column};
use crate::book::{Clearance, Lead, Light, Mark, Stage};
use crate::export::Catalogue;
use crate::export::list::{Cell, Column, Show};
use crate::lookback::{Account, LookBack, Sum};
use crate::mask::Masker;
use crate::queue::Queued;
use crate::score::{Score, Scorecard, Share};
use crate::words::{self, say};

/// The most bars of one chart.
const BARS: usize = 15;
/// Digits of an id that lists show; enough to name a lead.
const SHOWN_DIGITS: usize = 12;

/// What every section needs.
pub(super) struct Maker<'a> {
    pub(super) lang: Lang,
    pub(super) catalogue: &'a Catalogue<'a>,
    pub(super) masker: Masker,
    /// Names that only the ledger can make.
    pub(super) lots: Box<dyn Fn(&str) -> String>,
    pub(super) titles: BTreeMap<String, Text>,
    /// The most leads in a list.
    pub(super) limit: usize,
}

impl Maker<'_> {
    fn say<'t>(&self, zh: &'t str, en: &'t str) -> &'t str {
        say(self.lang, zh, en)
    }

    fn text(&self, text: &Text) -> String {
        text.get(self.lang).to_owned()
    }

    fn column(&self, zh: &str, en: &str, width: u16, show: Show) -> Column {
        column(self.lang, zh, en, width, show)
    }

    pub(super) fn title(&self, rule: &str) -> String {
        self.titles.get(rule).map(|title| self.text(title)).unwrap_or_default()
    }

    /// `880101 城关区`, or the code alone, or "area unknown".
    pub(super) fn area(&self, code: &str) -> String {
        match (code.is_empty(), self.catalogue.area_name(code)) {
            (true, _) => self.say("地区不明", "area unknown").to_owned(),
            (false, Some(name)) => format!("{code} {name}"),
            (false, None) => code.to_owned(),
        }
    }

    fn step(&self, step: Step) -> &'static str {
        match step {
            Step::Found => say(self.lang, "发现", "Found"),
            Step::Handed => say(self.lang, "下发", "Handed out"),
            Step::Checked => say(self.lang, "核实", "Checked"),
            Step::Confirmed => say(self.lang, "属实", "Confirmed"),
            Step::Recovered => say(self.lang, "追回", "Recovered"),
        }
    }

    fn counted(&self, step: Step) -> &'static str {
        match step {
            Step::Found => say(self.lang, "首次查出或重现", "first found, or found again"),
            Step::Handed => {
                say(self.lang, "分派或列入已发出的清单", "assigned, or on a list that left the house")
            }
            Step::Checked => {
                say(self.lang, "登记了核查、认定或排除", "a check, a confirmation or a clearing was entered")
            }
            Step::Confirmed => {
                say(self.lang, "由人核实认定且未被推翻", "verified by a person, and not cleared since")
            }
            Step::Recovered => say(
                self.lang,
                "登记了追回款；金额为追回数",
                "money was entered as back; the amount is what came back",
            ),
        }
    }

    pub(super) fn funnel(&self, g: &Gathered) -> Section {
        let of = |funnel: &Funnel, step: Step| funnel.get(&step).copied().unwrap_or_default();
        let row = |step: Step| {
            let (flow, cohort) = (of(&g.flow, step), of(&g.cohort, step));
            vec![
                Cell::Text(self.step(step).to_owned()),
                Cell::Count(flow.leads),
                Cell::Money(flow.fen),
                Cell::Count(cohort.leads),
                Cell::Money(cohort.fen),
                Cell::Text(self.counted(step).to_owned()),
            ]
        };
        let labels: Vec<String> = Step::ALL.iter().map(|step| self.step(*step).to_owned()).collect();
        let values = Step::ALL.iter().map(|step| number(of(&g.flow, *step).leads)).collect();
        Section {
            title: self.say("办理漏斗：发现→下发→核实→属实→追回", "The funnel: found → handed out → checked → confirmed → recovered").to_owned(),
            note: self
                .say(
                    "“本期发生”不论线索何时发现；“本期发现者”只看本期发现的线索到期末走到哪一步。每条线索每步只计一次。图为本期发生的条数。金额为期末涉及金额，追回为实际追回数。",
                    "“In the period” counts a step whenever its lead was found; “of those found” follows only the leads found in the period, to its end. Every lead counts once per step. The chart shows the leads in the period. Amounts are those at risk at the end; for recovered, what came back.",
                )
                .to_owned(),
            chart: Some(charts::bars(&labels, &[(String::new(), values)])),
            grid: Some(Grid {
                columns: vec![
                    self.column("步骤", "Step", 14, Show::Centred),
                    self.column("本期发生", "In the period", 12, Show::Count),
                    self.column("金额（元）", "Yuan", 18, Show::Money),
                    self.column("本期发现者", "Of those found", 12, Show::Count),
                    self.column("金额（元）", "Yuan", 18, Show::Money),
                    self.column("如何计数", "How it is counted", 44, Show::Wrapped),
                ],
                rows: Step::ALL.into_iter().map(row).collect(),
                total: false,
            }),
            public: true,
            ..Section::default()
        }
    }

    pub(super) fn balance(&self, g: &Gathered) -> Section {
        let line = |zh: &str, en: &str, sum: Sum| {
            vec![Cell::Text(self.say(zh, en).to_owned()), Cell::Count(sum.leads), Cell::Money(sum.fen)]
        };
        let n = g.within;
        Section {
            title: self.say("待办增减", "Open leads: before, in, out, after").to_owned(),
            note: match self.lang {
                Lang::Zh => format!(
                    "期初＋转入－转出＝期末。另有 {n} 条在本期内出现并了结，不计入转入和转出。金额均为期末涉及金额。"
                ),
                Lang::En => format!(
                    "Before + in − out = after. {n} more came up and were settled within the period; they are in neither. All amounts are those at risk at the end."
                ),
            },
            grid: Some(Grid {
                columns: vec![
                    self.column("项目", "Item", 40, Show::Wrapped),
                    self.column("线索", "Leads", 12, Show::Count),
                    self.column("金额（元）", "Yuan", 20, Show::Money),
                ],
                rows: vec![
                    line("期初待办", "open before the period", g.opening),
                    line(
                        "转入（新发现、重现、重新办理）",
                        "in: found, found again, taken up again",
                        g.entered,
                    ),
                    line(
                        "转出（排除、办结、未办先消除）",
                        "out: cleared, closed, gone before anybody acted",
                        g.left,
                    ),
                    line("期末待办", "open at its end", g.closing),
                ],
                total: true,
            }),
            public: true,
            ..Section::default()
        }
    }

    pub(super) fn trend(&self, g: &Gathered) -> Section {
        let months: Vec<String> = g.trend.keys().cloned().collect();
        let of = |funnel: &Funnel, step: Step| funnel.get(&step).copied().unwrap_or_default();
        let series: Vec<(String, Vec<f64>)> = Step::ALL
            .iter()
            .map(|step| {
                let values = g.trend.values().map(|funnel| number(of(funnel, *step).leads)).collect();
                (self.step(*step).to_owned(), values)
            })
            .collect();
        let mut columns = vec![self.column("月份", "Month", 12, Show::Centred)];
        columns.extend(Step::ALL.iter().map(|step| Column {
            title: self.step(*step).to_owned(),
            width: 12,
            show: Show::Count,
        }));
        columns.push(self.column("追回（元）", "Recovered (yuan)", 20, Show::Money));
        let rows = g.trend.iter().map(|(month, funnel)| {
            let mut row = vec![Cell::Text(month.clone())];
            row.extend(Step::ALL.iter().map(|step| Cell::Count(of(funnel, *step).leads)));
            row.push(Cell::Money(of(funnel, Step::Recovered).fen));
            row
        });
        Section {
            title: self.say("十二个月走势", "Twelve months").to_owned(),
            note: self
                .say("各月发生的条数，每条线索每月每步只计一次；末月至统计期末。", "Leads per month; every lead once per month and step. The last month ends with the period.")
                .to_owned(),
            chart: Some(charts::lines(&months, &series)),
            grid: Some(Grid { columns, rows: rows.collect(), total: false }),
            public: true,
            exact: true,
            ..Section::default()
        }
    }

    fn traffic(
        &self,
        title: &str,
        note: String,
        who: (&str, &str),
        ledger: &BTreeMap<String, Traffic>,
    ) -> Section {
        let cells = |name: String, t: &Traffic| {
            vec![
                Cell::Text(name),
                Cell::Count(t.carried),
                Cell::Count(t.sent),
                Cell::Count(t.answered),
                Cell::Count(t.outstanding),
                Cell::Count(t.overdue),
            ]
        };
        let mut total = Traffic::default();
        let mut rows = Vec::new();
        for (name, t) in ledger {
            total.carried += t.carried;
            total.sent += t.sent;
            total.answered += t.answered;
            total.outstanding += t.outstanding;
            total.overdue += t.overdue;
            rows.push(cells(self.free_text(name), t));
        }
        if !rows.is_empty() {
            rows.push(cells(self.say("合计", "Total").to_owned(), &total));
        }
        Section {
            title: title.to_owned(),
            note,
            grid: Some(Grid {
                columns: vec![
                    self.column(who.0, who.1, 30, Show::Wrapped),
                    self.column("期初未回", "Carried over", 12, Show::Count),
                    self.column("本期发出", "Sent", 12, Show::Count),
                    self.column("本期反馈", "Answered", 12, Show::Count),
                    self.column("期末未回", "Outstanding", 12, Show::Count),
                    self.column("其中超期", "Of these overdue", 12, Show::Count),
                ],
                rows,
                total: true,
            }),
            ..Section::default()
        }
    }

    pub(super) fn bodies(&self, g: &Gathered) -> Section {
        let note = match self.lang {
            Lang::Zh => format!(
                "期初未回＋本期发出－本期反馈＝期末未回。移送后登记了追回、排除、办结或转送他处即为反馈；发出超过 {ANSWER_DAYS} 天未反馈为超期。其他单位移来的线索不在台账内，未列。"
            ),
            Lang::En => format!(
                "Carried over + sent − answered = outstanding. An answer is a recovery, a clearing, a closing, or that it was passed on; without one for more than {ANSWER_DAYS} days it is overdue. Clues that other bodies send here are not in the ledger, and not in this table."
            ),
        };
        self.traffic(
            self.say("双向移送台账：移送与反馈", "Clues transferred to other bodies, and their answers"),
            note,
            ("移送单位", "Body"),
            &g.bodies,
        )
    }

    pub(super) fn recipients(&self, g: &Gathered) -> Section {
        let note = match self.lang {
            Lang::Zh => format!(
                "期初未回＋本期发出－本期反馈＝期末未回。列入清单后登记了核查、认定、排除或办结，或由后来的清单收回，即为反馈；超过 {ANSWER_DAYS} 天未反馈为超期。只分派、未导出清单的不在此表。"
            ),
            Lang::En => format!(
                "Carried over + sent − answered = outstanding. An answer is a check, a confirmation, a clearing or a closing entered after the list went out, or that a later list took the lead back; without one for more than {ANSWER_DAYS} days it is overdue. Leads that were assigned and never exported are not in this table."
            ),
        };
        self.traffic(
            self.say("清单下发与回收", "Lists handed out, and what came back"),
            note,
            ("接收人", "Recipient"),
            &g.recipients,
        )
    }

    pub(super) fn look_back(&self, look: &LookBack) -> Section {
        let line =
            |title: String, sum: Sum| vec![Cell::Text(title), Cell::Count(sum.leads), Cell::Money(sum.fen)];
        let of = |class: Account| look.classes.get(&class).copied().unwrap_or_default();
        let mut rows: Vec<Vec<Cell>> =
            Account::ALL.iter().map(|class| line(self.text(&class.title()), of(*class))).collect();
        let more = [
            (
                "已报完成（认定属实后办结或全额追回）",
                "declared done (confirmed, then closed or paid back in full)",
                look.done,
            ),
            ("　其中：新数据中已不再查出", "  of these: not found on newer data", look.verified),
            (
                "　其中：仍查出，但款已全额追回",
                "  of these: still found, but the money is back in full",
                look.squared,
            ),
            (
                "　其中：此后规则尚未对新数据执行",
                "  of these: the rule was not evaluated on newer data",
                look.not_evaluated,
            ),
            (
                "排除后又有新证据（不属四类）",
                "cleared, and back on new evidence (in none of the four)",
                look.cleared_and_back,
            ),
        ];
        rows.extend(more.map(|(zh, en, sum)| line(self.say(zh, en).to_owned(), sum)));
        let labels: Vec<String> = Account::ALL.iter().map(|class| self.text(&class.title())).collect();
        let values = Account::ALL.iter().map(|class| number(of(*class).leads)).collect();
        let mut words = vec![
            self.say(
                "欠账：逾期未办，或认定属实 90 天后仍未完成，或办结后原有问题又显现。假账：报完成后重跑规则仍查出，且款未全额追回。呆账：超过 180 天未结且 60 天无人办理。新账：完成之后又发生。分类只说明应当再看什么，不说明任何人的意图。",
                "Unfinished: past its deadline, or confirmed for more than 90 days and not done, or settled and the old matter shows again. Declared done, still found: the rule run on newer data still finds it and the money is not back in full. Stuck: open for more than 180 days, and nobody acted for 60. Again: it happened once more after it was done. A class says what to look at again, and nothing about anybody's intent.",
            )
            .to_owned(),
        ];
        if look.other_version > 0 {
            let n = look.other_version;
            words.push(match self.lang {
                Lang::Zh => format!("另有 {n} 条在规则改版后查出，与完成时的规则不可比，未归类。"),
                Lang::En => format!("{n} more were found by another version of the rule than the one under which work was done; they cannot be compared and are in no class."),
            });
        }
        Section {
            title: self.say("回头看：欠账、假账、呆账、新账", "Looking back: unfinished, still found, stuck, again").to_owned(),
            note: self
                .say(
                    "用更新的数据重跑原规则，与报完成的情况对照得出，不由人填报。一条线索至多归入一类；金额为涉及金额。",
                    "Computed by running the rules on newer data against what was declared done; nobody enters it. A lead is in one class at most; amounts are those at risk.",
                )
                .to_owned(),
            chart: Some(charts::bars(&labels, &[(String::new(), values)])),
            words,
            grid: Some(Grid {
                columns: vec![
                    self.column("类别", "Class", 52, Show::Wrapped),
                    self.column("线索", "Leads", 12, Show::Count),
                    self.column("金额（元）", "Yuan", 20, Show::Money),
                ],
                rows,
                total: false,
            }),
            ..Section::default()
        }
    }

    fn table_of_rows(&self, first: Vec<Column>, rows: Vec<(Vec<Cell>, &Row)>, total: &Row) -> Grid {
        let cells = |row: &Row| {
            let recovered = row.step(Step::Recovered);
            vec![
                Cell::Count(row.step(Step::Found).leads),
                Cell::Count(row.step(Step::Handed).leads),
                Cell::Count(row.step(Step::Checked).leads),
                Cell::Count(row.step(Step::Confirmed).leads),
                Cell::Count(row.cleared.leads),
                Cell::Money(recovered.fen),
                Cell::Count(row.open.leads),
                Cell::Money(row.open.fen),
            ]
        };
        let heads = first.len();
        let mut columns = first;
        columns.extend([
            self.column("发现", "Found", 10, Show::Count),
            self.column("下发", "Handed out", 10, Show::Count),
            self.column("核实", "Checked", 10, Show::Count),
            self.column("属实", "Confirmed", 10, Show::Count),
            self.column("排除", "Cleared", 10, Show::Count),
            self.column("追回（元）", "Recovered (yuan)", 16, Show::Money),
            self.column("期末待办", "Open", 10, Show::Count),
            self.column("待办金额（元）", "At risk (yuan)", 18, Show::Money),
        ]);
        let any = !rows.is_empty();
        let mut out: Vec<Vec<Cell>> =
            rows.into_iter().map(|(head, row)| [head, cells(row)].concat()).collect();
        if any {
            let mut head = vec![Cell::Blank; heads];
            head[0] = Cell::Text(self.say("合计", "Total").to_owned());
            out.push([head, cells(total)].concat());
        }
        Grid { columns, rows: out, total: any }
    }

    fn open_chart(&self, of: impl Iterator<Item = (String, Sum)>) -> Option<super::page::Chart> {
        let mut all: Vec<(String, Sum)> = of.filter(|(_, sum)| sum.leads > 0).collect();
        all.sort_by(|a, b| b.1.leads.cmp(&a.1.leads).then_with(|| a.0.cmp(&b.0)));
        all.truncate(BARS);
        let labels: Vec<String> = all.iter().map(|(label, _)| label.clone()).collect();
        let values = all.iter().map(|(_, sum)| number(sum.leads)).collect();
        (!all.is_empty()).then(|| charts::bars(&labels, &[(String::new(), values)]))
    }

    fn note_of_rows(&self) -> String {
        match self.lang {
            Lang::Zh => {
                format!("本期发生的条数和期末待办，计数方法同漏斗。图为期末待办条数，至多 {BARS} 项。")
            }
            Lang::En => format!(
                "What happened in the period, counted as in the funnel, and what is open at its end. The chart shows open leads, {BARS} bars at most."
            ),
        }
    }

    pub(super) fn rules(
        &self,
        rows: &BTreeMap<String, Row>,
        flow: &Funnel,
        cleared: Sum,
        open: Sum,
    ) -> Section {
        let total = Row { steps: flow.clone(), cleared, open };
        let first = vec![
            self.column("规则", "Rule", 10, Show::Centred),
            self.column("名称", "Title", 28, Show::Wrapped),
        ];
        let of = rows
            .iter()
            .map(|(rule, row)| (vec![Cell::Text(rule.clone()), Cell::Text(self.title(rule))], row))
            .collect();
        Section {
            title: self.say("分规则", "By rule").to_owned(),
            note: self.note_of_rows(),
            chart: self.open_chart(rows.iter().map(|(rule, row)| (rule.clone(), row.open))),
            grid: Some(self.table_of_rows(first, of, &total)),
            ..Section::default()
        }
    }

    pub(super) fn areas(
        &self,
        rows: &BTreeMap<String, Row>,
        flow: &Funnel,
        cleared: Sum,
        open: Sum,
    ) -> Section {
        let total = Row { steps: flow.clone(), cleared, open };
        let first = vec![self.column("地区", "Area", 24, Show::Wrapped)];
        let of = rows.iter().map(|(code, row)| (vec![Cell::Text(self.area(code))], row)).collect();
        Section {
            title: self.say("分地区", "By area").to_owned(),
            note: self.note_of_rows(),
            chart: self.open_chart(rows.iter().map(|(code, row)| (self.area(code), row.open))),
            grid: Some(self.table_of_rows(first, of, &total)),
            ..Section::default()
        }
    }

    pub(super) fn deadlines(&self, g: &Gathered) -> Section {
        let lights = [Some(Light::Red), Some(Light::Yellow), Some(Light::Green), None];
        let light = |light: Option<Light>| match light {
            Some(Light::Red) => self.say("红：已逾期", "red: overdue"),
            Some(Light::Yellow) => self.say("黄：将到期", "yellow: soon"),
            Some(Light::Green) => self.say("绿：时间充裕", "green: time enough"),
            None => self.say("不计期限（已认定或豁免）", "no deadline: confirmed already, or waived"),
        };
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut line = |group: &str, name: String, sum: Sum| {
            rows.push(vec![
                Cell::Text(group.to_owned()),
                Cell::Text(name),
                Cell::Count(sum.leads),
                Cell::Money(sum.fen),
            ]);
        };
        for of in lights {
            let sum = g.by_light.get(&of).copied().unwrap_or_default();
            line(self.say("期限", "deadline"), light(of).to_owned(), sum);
        }
        for (severity, sum) in g.by_severity.iter().rev() {
            line(self.say("级别", "severity"), words::severity(*severity, self.lang).to_owned(), *sum);
        }
        for stage in Stage::ALL {
            if let Some(sum) = g.by_stage.get(stage) {
                line(self.say("阶段", "stage"), self.text(&stage.title()), *sum);
            }
        }
        let labels: Vec<String> = lights.iter().map(|of| light(*of).to_owned()).collect();
        let values =
            lights.iter().map(|of| number(g.by_light.get(of).copied().unwrap_or_default().leads)).collect();
        Section {
            title: self.say("期末待办的期限、级别和阶段", "Open leads by deadline, severity and stage").to_owned(),
            note: self.say("期限按期末之日计算。三种分法各自合计等于期末待办。", "Deadlines are those of the last day of the period. Each of the three ways adds up to the open leads.").to_owned(),
            chart: Some(charts::bars(&labels, &[(String::new(), values)])),
            grid: Some(Grid {
                columns: vec![
                    self.column("分法", "By", 14, Show::Centred),
                    self.column("类别", "Which", 36, Show::Wrapped),
                    self.column("线索", "Leads", 12, Show::Count),
                    self.column("金额（元）", "Yuan", 20, Show::Money),
                ],
                rows,
                total: false,
            }),
            ..Section::default()
        }
    }

    /// Rules, each with what it was worth until the end of the period.
    pub(super) fn scores(&self, score: &Scorecard) -> Section {
        let mut rows: Vec<Vec<Cell>> = score
            .rules
            .iter()
            .map(|rule| {
                let mut row = self.score(&rule.rule_id, &rule.total);
                row.push(Cell::Text(self.text(&rule.proposal.title())));
                row
            })
            .collect();
        if !rows.is_empty() {
            let mut row = self.score(self.say("合计", "Total"), &score.all);
            row.push(Cell::Blank);
            rows.push(row);
        }
        let told: Vec<(String, Share)> =
            score.rules.iter().map(|rule| (rule.rule_id.clone(), rule.total.precision())).collect();
        let mut columns = self.score_columns(self.column("规则", "Rule", 12, Show::Centred));
        columns.push(self.column("建议", "Proposal", 14, Show::Centred));
        Section {
            title: self
                .say("规则成绩单（台账建立以来）", "Scorecard of the rules, since the ledger began")
                .to_owned(),
            note: self.score_note(),
            chart: intervals(&told),
            words: score
                .rules
                .iter()
                .filter(|rule| {
                    !matches!(rule.proposal, crate::score::Proposal::TooFew | crate::score::Proposal::Keep)
                })
                .map(|rule| {
                    let (proposal, because) = (self.text(&rule.proposal.title()), self.text(&rule.because));
                    match self.lang {
                        Lang::Zh => format!("{}：建议{proposal}。{because}。", rule.rule_id),
                        Lang::En => format!("{}: {proposal}. {because}.", rule.rule_id),
                    }
                })
                .collect(),
            grid: Some(Grid { total: !rows.is_empty(), columns, rows }),
            ..Section::default()
        }
    }

    /// One rule, by version.
    pub(super) fn versions(&self, score: &Scorecard) -> Section {
        let rule = score.rules.first();
        let name = |version: u32| match self.lang {
            Lang::Zh => format!("第 {version} 版"),
            Lang::En => format!("version {version}"),
        };
        let versions = rule.iter().flat_map(|rule| &rule.versions);
        let mut rows: Vec<Vec<Cell>> =
            versions.clone().map(|(version, score)| self.score(&name(*version), score)).collect();
        if let Some(rule) = rule {
            rows.push(self.score(self.say("各版（每条一次）", "all, every lead once"), &rule.total));
        }
        let told: Vec<(String, Share)> =
            versions.map(|(version, score)| (name(*version), score.precision())).collect();
        let words = rule.map(|rule| {
            let (proposal, because) = (self.text(&rule.proposal.title()), self.text(&rule.because));
            match self.lang {
                Lang::Zh => format!("建议：{proposal}。{because}。建议由人决定，系统不会停用规则。"),
                Lang::En => format!("Proposal: {proposal}. {because}. A person decides; nothing switches a rule off by itself."),
            }
        });
        Section {
            title: self.say("成绩单（按规则版本）", "Scorecard, by version of the rule").to_owned(),
            note: self.score_note(),
            chart: intervals(&told),
            words: words.into_iter().collect(),
            grid: Some(Grid {
                columns: self.score_columns(self.column("版本", "Version", 16, Show::Centred)),
                total: !rows.is_empty(),
                rows,
            }),
            ..Section::default()
        }
    }

    fn score_note(&self) -> String {
        self.say(
            "属实率＝属实÷（属实＋排除），括号内为 95% 威尔逊区间；认定不足 10 条的不给出比率。图中横条为区间，圆点为比率。按最后一次认定计，归于认定时的规则版本。天数为从查出到认定的中位数。",
            "Precision is confirmed ÷ (confirmed + cleared), with Wilson's interval at 95 %; below 10 judged leads no share is told. In the chart the bar is the interval, the dot the share. The last judgement counts, for the version of the rule at that time. Days are the median from finding to judgement.",
        )
        .to_owned()
    }

    fn score_columns(&self, first: Column) -> Vec<Column> {
        vec![
            first,
            self.column("线索", "Leads", 9, Show::Count),
            self.column("涉及金额（元）", "At risk (yuan)", 16, Show::Money),
            self.column("已核查", "Checked", 9, Show::Count),
            self.column("属实", "Confirmed", 9, Show::Count),
            self.column("属实金额（元）", "Confirmed (yuan)", 16, Show::Money),
            self.column("情况合法", "Lawful", 9, Show::Count),
            self.column("数据有误", "Wrong data", 9, Show::Count),
            self.column("匹配有误", "Wrong match", 9, Show::Count),
            self.column("属实率", "Precision", 20, Show::Centred),
            self.column("追回（元）", "Recovered (yuan)", 16, Show::Money),
            self.column("中位天数", "Median days", 9, Show::Count),
        ]
    }

    fn score(&self, name: &str, score: &Score) -> Vec<Cell> {
        let cleared = |reason| Cell::Count(score.cleared.get(&reason).copied().unwrap_or(0));
        vec![
            Cell::Text(name.to_owned()),
            Cell::Count(score.findings),
            Cell::Money(score.at_risk_fen),
            Cell::Count(score.checked),
            Cell::Count(score.confirmed),
            Cell::Money(score.confirmed_fen),
            cleared(Clearance::Legitimate),
            cleared(Clearance::WrongData),
            cleared(Clearance::WrongMatch),
            Cell::Text(self.text(&score.precision().words())),
            Cell::Money(score.recovered_fen),
            score.median_days.and_then(|days| u64::try_from(days).ok()).map_or(Cell::Blank, Cell::Count),
        ]
    }

    /// What became of the leads of a rule, by version.
    pub(super) fn clearances(&self, score: &Scorecard) -> Section {
        let Some(rule) = score.rules.first() else { return Section::default() };
        let mut names = vec![self.say("属实", "Confirmed").to_owned()];
        names.extend(Clearance::ALL.iter().map(|reason| self.text(&reason.title())));
        let values = |score: &Score| {
            let mut values = vec![score.confirmed];
            values.extend(Clearance::ALL.iter().map(|r| score.cleared.get(r).copied().unwrap_or(0)));
            values
        };
        let labels: Vec<String> = rule.versions.keys().map(|version| format!("v{version}")).collect();
        let table: Vec<Vec<u64>> = rule.versions.values().map(values).collect();
        let series: Vec<(String, Vec<f64>)> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), table.iter().map(|row| number(row[at])).collect()))
            .collect();
        let mut columns = vec![self.column("版本", "Version", 12, Show::Centred)];
        columns.extend(names.into_iter().map(|title| Column { title, width: 16, show: Show::Count }));
        columns.push(self.column("尚未认定", "Not judged", 14, Show::Count));
        columns.push(self.column("未认定先消失", "Gone unjudged", 16, Show::Count));
        let rows = rule.versions.iter().zip(&table).map(|((version, score), values)| {
            let mut row = vec![Cell::Text(format!("v{version}"))];
            row.extend(values.iter().map(|n| Cell::Count(*n)));
            row.extend([Cell::Count(score.unjudged), Cell::Count(score.gone)]);
            row
        });
        Section {
            title: self.say("认定结果", "How leads were judged").to_owned(),
            note: self
                .say(
                    "每条线索的每一次查出计一次，取最后一次认定。",
                    "Every time that a lead was found counts once, by its last judgement.",
                )
                .to_owned(),
            chart: Some(charts::bars(&labels, &series)),
            grid: Some(Grid { columns, rows: rows.collect(), total: false }),
            ..Section::default()
        }
    }

    /// What a night did, by rule.
    pub(super) fn marks(&self, rules: &BTreeMap<String, BTreeMap<Mark, Sum>>) -> Section {
        let shown = [Mark::New, Mark::Reopened, Mark::Changed, Mark::Resolved, Mark::Withdrawn];
        let of = |marks: &BTreeMap<Mark, Sum>, mark: Mark| marks.get(&mark).copied().unwrap_or_default();
        let cells = |marks: &BTreeMap<Mark, Sum>| {
            let mut row: Vec<Cell> = shown.iter().map(|mark| Cell::Count(of(marks, *mark).leads)).collect();
            let fresh = of(marks, Mark::New).fen.saturating_add(of(marks, Mark::Reopened).fen);
            row.push(Cell::Money(fresh));
            row
        };
        let mut total: BTreeMap<Mark, Sum> = BTreeMap::new();
        let mut rows = Vec::new();
        for (rule, marks) in rules {
            for (mark, sum) in marks {
                let all = total.entry(*mark).or_default();
                all.leads += sum.leads;
                all.fen = all.fen.saturating_add(sum.fen);
            }
            rows.push([vec![Cell::Text(rule.clone()), Cell::Text(self.title(rule))], cells(marks)].concat());
        }
        let any = !rows.is_empty();
        if any {
            let head = vec![Cell::Text(self.say("合计", "Total").to_owned()), Cell::Blank];
            rows.push([head, cells(&total)].concat());
        }
        let mut columns = vec![
            self.column("规则", "Rule", 10, Show::Centred),
            self.column("名称", "Title", 34, Show::Wrapped),
        ];
        columns.extend(shown.iter().map(|mark| Column {
            title: self.text(&mark.title()),
            width: 11,
            show: Show::Count,
        }));
        columns.push(self.column("新增和重现金额（元）", "New and reopened (yuan)", 20, Show::Money));
        let labels: Vec<String> = rules.keys().take(BARS).cloned().collect();
        let series: Vec<(String, Vec<f64>)> = shown
            .iter()
            .map(|mark| {
                let values = rules.values().take(BARS).map(|marks| number(of(marks, *mark).leads)).collect();
                (self.text(&mark.title()), values)
            })
            .collect();
        Section {
            title: self.say("本夜变化（分规则）", "What the night changed, by rule").to_owned(),
            note: self.say("每条线索一种标记；没有变化的（延续）不列。金额为本夜后的涉及金额。", "One mark per lead; those that continue unchanged are not listed. Amounts are those at risk after the night.").to_owned(),
            chart: any.then(|| charts::bars(&labels, &series)),
            grid: Some(Grid { columns, rows, total: any }),
            ..Section::default()
        }
    }

    /// What weighs differently, in words.
    fn change(&self, name: &str) -> &'static str {
        match name {
            "severity" => say(self.lang, "级别", "severity"),
            "grade" => say(self.lang, "证据强度", "strength"),
            "identity" => say(self.lang, "身份核对", "identity"),
            "area" => say(self.lang, "地区", "area"),
            "period_from" => say(self.lang, "起始日期", "first day"),
            "period_to" => say(self.lang, "截止日期", "last day"),
            "amount" => say(self.lang, "金额", "amount"),
            "evidence" => say(self.lang, "支持的证据", "evidence for"),
            "counter_evidence" => say(self.lang, "相反的证据", "evidence against"),
            _ => say(self.lang, "其他", "other"),
        }
    }

    pub(super) fn changes(&self, changes: &BTreeMap<String, u64>) -> Section {
        let rows =
            changes.iter().map(|(name, n)| vec![Cell::Text(self.change(name).to_owned()), Cell::Count(*n)]);
        Section {
            title: self.say("变化的是什么", "What weighs differently").to_owned(),
            note: self
                .say("一条线索有几处变化，就在几行各计一次。", "A lead counts once in every line that fits.")
                .to_owned(),
            grid: Some(Grid {
                columns: vec![
                    self.column("变化项", "What", 30, Show::Wrapped),
                    self.column("线索", "Leads", 12, Show::Count),
                ],
                rows: rows.collect(),
                total: false,
            }),
            ..Section::default()
        }
    }

    /// A list of leads, of which `total` tells how many there are; `changes` says of some what weighs differently.
    pub(super) fn leads(
        &self,
        title: &str,
        mut leads: Vec<Lead>,
        total: Sum,
        changes: &BTreeMap<String, Vec<String>>,
    ) -> Section {
        gravest(&mut leads, self.limit);
        let (shown, all) = (leads.len(), total.leads);
        let rows = leads.iter().map(|lead| {
            let mut row = self.lead(lead);
            row.push(Cell::Text(self.text(&lead.stage.title())));
            if !changes.is_empty() {
                let names = changes.get(&lead.finding_id).into_iter().flatten();
                let words: Vec<&str> = names.map(|name| self.change(name)).collect();
                row.push(Cell::Text(words.join(self.say("、", ", "))));
            }
            row
        });
        let mut columns = self.lead_columns();
        columns.push(self.column("阶段", "Stage", 10, Show::Centred));
        if !changes.is_empty() {
            columns.push(self.column("变化项", "What changed", 18, Show::Wrapped));
        }
        let caveat = words::once_per_rule();
        Section {
            title: title.to_owned(),
            note: match self.lang {
                Lang::Zh => format!(
                    "共 {all} 条，涉及 {} 元（{}）；按级别和金额列出前 {shown} 条。全部见 `mingcha findings list`。",
                    words::yuan(total.fen),
                    caveat.zh.trim_end_matches('。')
                ),
                Lang::En => format!(
                    "{all} in all, {} yuan at risk ({}); the first {shown} by severity and amount. `mingcha findings list` shows all.",
                    words::yuan(total.fen),
                    caveat.en.trim_end_matches('.')
                ),
            },
            exact: true,
            grid: Some(Grid { columns, rows: rows.collect(), total: false }),
            ..Section::default()
        }
    }

    /// What to check next.
    pub(super) fn queue(&self, mut queue: Vec<Queued>) -> Section {
        let all = queue.len();
        queue.truncate(self.limit);
        let shown = queue.len();
        let rows = queue.iter().map(|queued| {
            let mut row = vec![Cell::Count(queued.place as u64)];
            row.extend(self.lead(&queued.listed.lead));
            row.push(Cell::Text(self.text(&queued.why)));
            row
        });
        let mut columns = vec![self.column("次序", "Place", 7, Show::Count)];
        columns.extend(self.lead_columns());
        columns.push(self.column("为何排在这里", "Why it stands here", 44, Show::Wrapped));
        Section {
            title: self.say("接下来查什么", "What to check next").to_owned(),
            note: match self.lang {
                Lang::Zh => format!(
                    "生成之日待核查的 {all} 条，列出前 {shown} 条。按预计可追回金额（属实可能 × 未追回金额）排列，每 10 条留 1 条用于探索。"
                ),
                Lang::En => format!(
                    "{all} leads wait to be checked on the day of making; the first {shown}. By the money that a check can be expected to bring back (chance of being confirmed × what is not yet back); one place in 10 is for exploration."
                ),
            },
            exact: true,
            grid: Some(Grid { columns, rows: rows.collect(), total: false }),
            ..Section::default()
        }
    }

    fn lead_columns(&self) -> Vec<Column> {
        vec![
            self.column("编号", "Id", 15, Show::Centred),
            self.column("规则", "Rule", 9, Show::Centred),
            self.column("级别", "Severity", 9, Show::Severity),
            self.column("对象", "Subject", 22, Show::Centred),
            self.column("名称", "Name", 12, Show::Wrapped),
            self.column("地区", "Area", 14, Show::Wrapped),
            self.column("涉及金额（元）", "At risk (yuan)", 14, Show::Money),
            self.column("情况说明", "What was found", 44, Show::Wrapped),
        ]
    }

    /// A lead as the reader may see it.
    fn lead(&self, lead: &Lead) -> Vec<Cell> {
        let seen = self.masker.finding(&lead.without_rows());
        vec![
            Cell::Text(seen.finding_id.chars().take(SHOWN_DIGITS).collect()),
            Cell::Text(lead.rule_id.clone()),
            Cell::Text(words::severity(lead.severity, self.lang).to_owned()),
            Cell::Text(seen.subject_id),
            Cell::Text(seen.subject_name.unwrap_or_default()),
            Cell::Text(self.area(seen.area_code.as_deref().unwrap_or(""))),
            lead.amount_fen.map_or(Cell::Blank, Cell::Money),
            Cell::Text(self.text(&seen.message)),
        ]
    }

    /// What somebody wrote: numbers inside it that look like somebody's are masked.
    pub(super) fn free_text(&self, text: &str) -> String {
        self.masker.text(text)
    }
}

/// Gravest and dearest first, no more than `most`.
pub(super) fn gravest(leads: &mut Vec<Lead>, most: usize) {
    leads.sort_by(|a, b| {
        (b.severity, b.amount_fen)
            .cmp(&(a.severity, a.amount_fen))
            .then_with(|| a.finding_id.cmp(&b.finding_id))
    });
    leads.truncate(most);
}

fn intervals(shares: &[(String, Share)]) -> Option<super::page::Chart> {
    let told: Vec<(String, (f64, f64, f64))> = shares
        .iter()
        .filter_map(|(label, share)| {
            let (low, high) = share.interval();
            Some((label.clone(), (low, share.point()?, high)))
        })
        .collect();
    let (labels, values): (Vec<String>, Vec<(f64, f64, f64)>) = told.into_iter().unzip();
    (!labels.is_empty()).then(|| charts::intervals(&labels, &values))
}
