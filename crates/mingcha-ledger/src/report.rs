//! Reports, from the ledger alone: the nightly brief, the month, an area, a unit, a rule. Nobody types a figure: each is
//! counted from the chain as it stood at the end of the period, so a month reported again is the same month. Each section
//! says how it was counted. Written as a page of HTML that needs no network and as a workbook with the same tables.
//!
//! Masked like lists: a supervisor sees leads and not who they are, everybody sees sums over everything, small ones
//! withheld, and no report about one area, unit or rule. Says of nobody that they did anything: leads are leads, and
//! 属实 are those that a person confirmed.

mod charts;
mod gather;
mod page;
mod parts;

use std::path::Path;

use chrono::{Datelike, Days, NaiveDate};
use mingcha_rules::{Diagnostic, Lang, OutcomeKind, Text};

use crate::book::{Book, Deed, Filter, Lead, Mark, Moment, Night, Policy};
use crate::export::list::{Cell, Show};
use crate::export::{Catalogue, Exported, Staging, file_name};
use crate::lookback::Sum;
use crate::mask::{Masker, Profile};
use crate::queue::queue;
use crate::run::RunFolder;
use crate::sharing::Subjects;
use crate::words::{self, say};
use gather::{Gathered, Scope, is_live};
use page::{Card, Grid, Section, column};
use parts::Maker;

pub use page::Page;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A night, by its number; none: the last.
    Night(Option<u64>),
    /// A month, YYYY-MM; none: the one of today.
    Month(Option<String>),
    /// An area: the beginning of its code; in this month.
    Area(String, Option<String>),
    /// A unit: whoever handled payments, or an organisation, account or project that is itself the subject.
    Unit(String),
    /// A rule.
    Rule(String),
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Asked {
    /// About what.
    pub subject: Subject,
    /// For whom.
    pub profile: Profile,
    /// In which language.
    pub lang: Lang,
    /// The day of asking, YYYY-MM-DD.
    pub today: String,
    /// The most leads in a list.
    pub limit: usize,
    /// Whether an earlier report of the same name may be replaced.
    pub replace: bool,
}

/// Writes the report into the folder `out`: a page and a workbook.
///
/// # Errors
/// As [`report_page`]; `MC812` where a file is there already, `MC811` where the disk refuses.
pub fn report(
    book: &Book,
    policy: &Policy,
    asked: &Asked,
    catalogue: &Catalogue<'_>,
    out: &Path,
) -> Result<Vec<Exported>, Diagnostic> {
    let page = report_page(book, policy, asked, catalogue)?;
    let full = asked.profile == Profile::Investigator;
    let mut staging = Staging::create(out, asked.replace, full)?;
    let rows = page.tables().iter().map(|(_, rows)| rows.len() as u64 - 1).sum();
    let done = |path| Exported { path, rows, area: None };
    let html = staging.path(&format!("{}.html", page.name()), done)?;
    std::fs::write(&html, page.html()?)
        .map_err(|e| crate::fault::disk("MC811", ("写报告", "write the report"), out, &e))?;
    page.workbook(&staging.path(&format!("{}.xlsx", page.name()), done)?)?;
    staging.publish()
}

/// The report, not yet written.
///
/// # Errors
/// `MC871` where there is no such night, `MC872` where a month is not written as YYYY-MM, `MC873` where everybody may not
/// see it, `MC874` where the ledger knows nothing of it, `MC842` where the database refuses, `MC807` where a sum of money
/// does not fit.
pub fn report_page(
    book: &Book,
    policy: &Policy,
    asked: &Asked,
    catalogue: &Catalogue<'_>,
) -> Result<Page, Diagnostic> {
    let everybody = asked.profile == Profile::Public;
    if everybody && !matches!(asked.subject, Subject::Night(_) | Subject::Month(_)) {
        return Err(not_for_everybody());
    }
    let maker = Maker {
        lang: asked.lang,
        catalogue,
        masker: Masker::new(asked.profile, catalogue.contracts).named(book.names()?),
        lots: Box::new(book.lots()?),
        titles: titles(book, catalogue)?,
        limit: asked.limit,
    };
    let desk = Desk { book, policy, asked, maker };
    let mut page = match &asked.subject {
        Subject::Night(number) => desk.night(*number)?,
        Subject::Month(month) => desk.month(month.as_deref())?,
        Subject::Area(code, month) => desk.area(code, month.as_deref())?,
        Subject::Unit(name) => desk.unit(name)?,
        Subject::Rule(id) => desk.rule(id)?,
    };
    if !matches!(asked.subject, Subject::Rule(_)) {
        page.sums_over_rules();
    }
    if everybody {
        page.for_everybody();
    }
    Ok(page)
}

/// Titles of rules: those at hand, else those of the last run that is still there.
fn titles(
    book: &Book,
    catalogue: &Catalogue<'_>,
) -> Result<std::collections::BTreeMap<String, Text>, Diagnostic> {
    let mut titles = std::collections::BTreeMap::new();
    if let Some(run) = book.nights()?.last().and_then(|night| folder(book, night)) {
        titles.extend(run.outcomes()?.into_iter().map(|o| (o.rule_id, o.title)));
    }
    titles.extend(catalogue.rules.iter().map(|rule| (rule.id.clone(), rule.title.clone())));
    Ok(titles)
}

/// The run folder of a night, while it is kept and is the one that was taken in.
fn folder(book: &Book, night: &Night) -> Option<RunFolder> {
    let home = book.path().parent().unwrap_or(Path::new(""));
    RunFolder::open(&home.join(&night.folder)).ok().filter(|run| run.manifest().seal == night.seal)
}

/// First and last day of a month, not beyond `today`.
fn month_of(month: Option<&str>, today: &str) -> Result<(String, String), Diagnostic> {
    let month = month.unwrap_or(today.get(..7).unwrap_or(today));
    let first = NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok();
    let first = first.filter(|_| month.len() == 7).ok_or_else(|| no_month(month))?;
    let (year, number) = (first.year(), first.month());
    let next = if number == 12 {
        NaiveDate::from_ymd_opt(year + 1, 1, 1)
    } else {
        NaiveDate::from_ymd_opt(year, number + 1, 1)
    };
    let last = next.and_then(|day| day.checked_sub_days(Days::new(1))).ok_or_else(|| no_month(month))?;
    Ok((first.to_string(), last.to_string().min(today.to_owned()).max(first.to_string())))
}

struct Desk<'a> {
    book: &'a Book,
    policy: &'a Policy,
    asked: &'a Asked,
    maker: Maker<'a>,
}

impl Desk<'_> {
    fn say<'t>(&self, zh: &'t str, en: &'t str) -> &'t str {
        say(self.asked.lang, zh, en)
    }

    fn gather(
        &self,
        (from, to): (&str, &str),
        wanted: &dyn Fn(&Lead) -> bool,
        area_digits: usize,
        keep: usize,
    ) -> Result<Gathered, Diagnostic> {
        let until = Moment::Day(to);
        Gathered::new(self.book, &Scope { from, to, until, policy: self.policy, wanted, area_digits, keep })
    }

    /// What a reader must know before reading figures.
    fn facts(&self, period: String) -> Result<Vec<(String, String)>, Diagnostic> {
        let nights = self.book.nights()?;
        let mut facts = vec![(self.say("统计期间", "Period").to_owned(), period)];
        if let Some(last) = nights.last() {
            let words = match self.asked.lang {
                Lang::Zh => format!("第 {} 夜，基准日 {}", last.number, last.as_of),
                Lang::En => format!("night {}, as of {}", last.number, last.as_of),
            };
            facts.push((self.say("最近一夜", "Last night").to_owned(), words));
        }
        // Every day of the report is one there.
        let made = format!("{} {}", self.asked.today, self.book.zone());
        facts.push((self.say("生成日", "Made on").to_owned(), made));
        let head: String = self.book.head()?.chars().take(16).collect();
        facts.push((self.say("台账链头", "Head of the chain").to_owned(), head));
        let seen = match self.asked.profile {
            Profile::Investigator => {
                self.say("完整显示，仅限核查人员", "shown in full, for investigators only")
            }
            Profile::Supervisor => self.say("个人信息已遮盖", "masked"),
            Profile::Public => self.say("仅合计数，少于 3 的不显示", "sums only, those below 3 withheld"),
        };
        facts.push((self.say("个人信息", "Personal data").to_owned(), seen.to_owned()));
        Ok(facts)
    }

    fn page(&self, name: &str, title: String, facts: Vec<(String, String)>) -> Page {
        Page {
            lang: self.asked.lang,
            name: format!("{}-{}", file_name(name), self.say("zh", "en")),
            title,
            day: self.asked.today.clone(),
            facts,
            cards: Vec::new(),
            sections: Vec::new(),
        }
    }

    fn card(&self, (zh, en): (&str, &str), value: Cell, note: (&str, &str)) -> Card {
        Card { label: self.say(zh, en).to_owned(), value, note: self.say(note.0, note.1).to_owned() }
    }

    fn night(&self, number: Option<u64>) -> Result<Page, Diagnostic> {
        let nights = self.book.nights()?;
        let found = match number {
            None => nights.last(),
            Some(number) => nights.iter().find(|night| night.number == number),
        };
        let night = found.ok_or_else(|| no_night(number))?;
        let (last, day) = self.book.end_of(&night.night)?;
        let mut tonight = Tonight::default();
        let mut fault = None;
        self.book.courses(Moment::Event(last), |course| {
            if fault.is_none() {
                fault = tonight.add(course.lead, &course.acts, &night.night, self.asked.limit).err();
            }
        })?;
        fault.map_or(Ok(()), Err)?;
        let (as_of, number) = (&night.as_of, night.number);
        let title = match self.asked.lang {
            Lang::Zh => format!("夜间简报 第 {number} 夜（基准日 {as_of}）"),
            Lang::En => format!("Nightly brief: night {number} (as of {as_of})"),
        };
        let facts = self.facts(match self.asked.lang {
            Lang::Zh => format!("第 {number} 夜，记入于 {day}"),
            Lang::En => format!("night {number}, taken in on {day}"),
        })?;
        let mut page = self.page(&format!("night-{number:04}-{as_of}"), title, facts);
        let note = |mark: Mark| match mark {
            Mark::New => ("此前没有见过", "not known before"),
            Mark::Continuing => ("此前已知，没有变化", "known, and as it was"),
            Mark::Changed => {
                ("此前已知，金额、证据等有变化", "known, and amount, evidence or the like differ")
            }
            Mark::Resolved => ("规则已执行，不再查出", "its rule was evaluated and no longer finds it"),
            Mark::Reopened => ("曾消除、撤回、排除或办结，又查出", "was gone or judged, and is a lead again"),
            Mark::Withdrawn => ("来源收回了所依据的记录", "its source took back what it stood on"),
        };
        for mark in Mark::ALL {
            let title = mark.title();
            page.cards.push(self.card((&title.zh, &title.en), Cell::Count(night.count(*mark)), note(*mark)));
        }
        let held =
            ("所依据的数据未交付，维持原状", "left as they are: a dataset they stand on was not delivered");
        page.cards.push(self.card(("暂缓判断", "held over"), Cell::Count(night.held_over), held));
        let waived = ("已知且合法，另计", "known and lawful; counted above, too");
        page.cards.push(self.card(("其中豁免", "of these waived"), Cell::Count(night.waived), waived));
        page.sections.push(self.unanswered(night)?);
        page.sections.push(self.maker.marks(&tonight.rules));
        page.sections.push(self.maker.changes(&night.changes));
        let lists = [
            (("新增和重现的线索", "New and reopened leads"), tonight.fresh, &Changes::new()),
            (("有变化的线索", "Changed leads"), tonight.changed, &tonight.changes),
            (("消除和撤回的线索", "Resolved and withdrawn leads"), tonight.gone, &Changes::new()),
        ];
        for ((zh, en), list, changes) in lists {
            page.sections.push(self.maker.leads(self.say(zh, en), list.kept, list.total, changes));
        }
        Ok(page)
    }

    /// Rules that gave no answer, and why.
    fn unanswered(&self, night: &Night) -> Result<Section, Diagnostic> {
        let lang = self.asked.lang;
        let outcomes = match folder(self.book, night) {
            Some(run) => run.outcomes()?,
            None => Vec::new(),
        };
        let rows = night.not_evaluated.iter().map(|(rule, how)| {
            let of_run = outcomes.iter().find(|o| o.rule_id == *rule);
            let reason = of_run.and_then(|o| o.reason.as_ref()).map(|text| text.get(lang).to_owned());
            let word = [OutcomeKind::Failed, OutcomeKind::Held, OutcomeKind::NotEvaluated]
                .into_iter()
                .find(|kind| kind.as_str() == how)
                .map_or(how.as_str(), |kind| words::outcome(kind, lang));
            vec![
                Cell::Text(rule.clone()),
                Cell::Text(self.maker.title(rule)),
                Cell::Text(word.to_owned()),
                Cell::Text(reason.unwrap_or_default()),
            ]
        });
        let grid = Grid {
            columns: vec![
                column(lang, "规则", "Rule", 10, Show::Centred),
                column(lang, "名称", "Title", 34, Show::Wrapped),
                column(lang, "结果", "Outcome", 16, Show::Centred),
                column(lang, "原因", "Why", 60, Show::Wrapped),
            ],
            rows: rows.collect(),
            total: false,
        };
        Ok(Section {
            title: self.say("没有结果的规则（超限暂存、未评估、失败）", "Rules without an answer: held, not evaluated, failed").to_owned(),
            note: self
                .say(
                    "没有结果不等于没有发现：这些规则的线索维持原状，不计为消除。",
                    "No answer does not mean nothing found: the leads of these rules stay as they are, and none counts as resolved.",
                )
                .to_owned(),
            grid: Some(grid),
            public: true,
            ..Section::default()
        })
    }

    fn month(&self, month: Option<&str>) -> Result<Page, Diagnostic> {
        let (from, to) = month_of(month, &self.asked.today)?;
        let g = self.gather((&from, &to), &|_| true, 6, 0)?;
        let name = &from[..7];
        let title = match self.asked.lang {
            Lang::Zh => format!("监督月报 {name}"),
            Lang::En => format!("Monthly report, {name}"),
        };
        let mut page = self.page(&format!("month-{name}"), title, self.facts(self.period(&from, &to))?);
        page.cards = self.cards(&g);
        page.sections = vec![
            self.maker.funnel(&g),
            self.maker.balance(&g),
            self.maker.trend(&g),
            self.maker.bodies(&g),
            self.maker.recipients(&g),
            self.maker.look_back(&g.look),
            self.maker.rules(&g.by_rule, &g.flow, g.cleared, g.closing),
            self.maker.areas(&g.by_area, &g.flow, g.cleared, g.closing),
            self.maker.scores(&g.score),
            self.coverage(&from, &to)?,
        ];
        if g.score.destroyed > 0 {
            page.facts.push((
                self.say("已销毁内容的线索", "Leads whose content was destroyed").to_owned(),
                match self.asked.lang {
                    Lang::Zh => format!("{} 条，不在各项数字之内", g.score.destroyed),
                    Lang::En => format!("{}, in no figure here", g.score.destroyed),
                },
            ));
        }
        Ok(page)
    }

    fn period(&self, from: &str, to: &str) -> String {
        match self.asked.lang {
            Lang::Zh => format!("{from} 至 {to}（按记入台账之日）"),
            Lang::En => format!("{from} to {to}, by the day of entry into the ledger"),
        }
    }

    /// What stands beside a sum of money at risk, where it is one over several rules.
    fn at_risk(&self, note: (&str, &str), about: &Subjects) -> String {
        let note = self.say(note.0, note.1);
        match self.asked.subject {
            Subject::Rule(_) => note.to_owned(),
            _ => {
                let caveat = about.sharing().beside_sum(self.asked.lang);
                format!("{note}{}{caveat}", self.say("。", ". "))
            }
        }
    }

    /// The figures at the top of every report about a period.
    fn cards(&self, g: &Gathered) -> Vec<Card> {
        let step = |step| g.flow.get(&step).copied().unwrap_or(Sum::default());
        let (found, confirmed) = (step(gather::Step::Found), step(gather::Step::Confirmed));
        let recovered = step(gather::Step::Recovered);
        let in_period = ("本期内，每条只计一次", "in the period; every lead once");
        vec![
            self.card(
                ("发现", "Found"),
                Cell::Count(found.leads),
                ("本期首次查出或重现", "first found, or found again, in the period"),
            ),
            self.card(
                ("属实", "Confirmed"),
                Cell::Count(confirmed.leads),
                ("本期由人核实认定", "verified by a person in the period"),
            ),
            Card {
                label: self.say("属实金额（元）", "Confirmed (yuan)").to_owned(),
                value: Cell::Money(confirmed.fen),
                note: self.at_risk(
                    ("上列线索期末的涉及金额", "at risk in these, at the end of the period"),
                    &g.confirmed_about,
                ),
            },
            self.card(
                ("追回（元）", "Recovered (yuan)"),
                Cell::Money(recovered.fen),
                ("本期登记的追回款", "money entered as back in the period"),
            ),
            self.card(("排除", "Cleared"), Cell::Count(g.cleared.leads), in_period),
            self.card(
                ("期末待办", "Open at the end"),
                Cell::Count(g.closing.leads),
                ("尚需有人办理的，含豁免", "somebody still has to act; waived ones too"),
            ),
            Card {
                label: self.say("待办涉及金额（元）", "At risk in these (yuan)").to_owned(),
                value: Cell::Money(g.closing.fen),
                note: self.at_risk(("有金额的线索之和", "sum of the amounts that are known"), &g.open_about),
            },
            self.card(
                ("其中豁免", "Of these waived"),
                Cell::Count(g.waived.leads),
                ("期末有效的豁免所涉", "covered by a waiver at the end of the period"),
            ),
        ]
    }

    /// The nights of a period: what was evaluated, what was not.
    fn coverage(&self, from: &str, to: &str) -> Result<Section, Diagnostic> {
        let lang = self.asked.lang;
        let evaluations = self.book.evaluations()?;
        let mut nights = Vec::new();
        for night in self.book.nights()? {
            let (_, day) = self.book.end_of(&night.night)?;
            if from <= day.as_str() && day.as_str() <= to {
                nights.push(night);
            }
        }
        let mut rules: std::collections::BTreeSet<&String> = evaluations.keys().collect();
        rules.extend(nights.iter().flat_map(|night| night.not_evaluated.keys()));
        let row = |rule: &String| {
            let done = |night: &&Night| evaluations.get(rule).is_some_and(|n| n.contains(&night.number));
            let evaluated = nights.iter().filter(done).count() as u64;
            let without = |how: OutcomeKind| {
                let so = |night: &&Night| night.not_evaluated.get(rule).is_some_and(|h| h == how.as_str());
                Cell::Count(nights.iter().filter(so).count() as u64)
            };
            let answered_not = nights.iter().filter(|n| n.not_evaluated.contains_key(rule)).count() as u64;
            vec![
                Cell::Text(rule.clone()),
                Cell::Text(self.maker.title(rule)),
                Cell::Count(evaluated),
                without(OutcomeKind::NotEvaluated),
                without(OutcomeKind::Held),
                without(OutcomeKind::Failed),
                Cell::Count((nights.len() as u64).saturating_sub(evaluated + answered_not)),
            ]
        };
        let rows = rules.into_iter().map(row).collect();
        let n = nights.len();
        Ok(Section {
            title: self.say("规则执行情况", "What was evaluated").to_owned(),
            note: match lang {
                Lang::Zh => format!("本期记入 {n} 夜。没有结果的夜晚不能证明没有问题。"),
                Lang::En => format!("{n} nights were taken in. A night without an answer proves nothing."),
            },
            grid: Some(Grid {
                columns: vec![
                    column(lang, "规则", "Rule", 10, Show::Centred),
                    column(lang, "名称", "Title", 34, Show::Wrapped),
                    column(lang, "有结果的夜数", "Nights with an answer", 14, Show::Count),
                    column(lang, "未评估", "Not evaluated", 12, Show::Count),
                    column(lang, "超限暂存", "Held", 12, Show::Count),
                    column(lang, "失败", "Failed", 12, Show::Count),
                    column(lang, "未选中", "Not selected", 12, Show::Count),
                ],
                rows,
                total: false,
            }),
            ..Section::default()
        })
    }

    fn area(&self, code: &str, month: Option<&str>) -> Result<Page, Diagnostic> {
        let (from, to) = month_of(month, &self.asked.today)?;
        let code = code.trim();
        let wanted = |lead: &Lead| lead.area_code.as_ref().is_some_and(|area| area.starts_with(code));
        let digits = [6, 9, 12].into_iter().find(|digits| *digits > code.len()).unwrap_or(12);
        let g = self.gather((&from, &to), &wanted, digits, 0)?;
        self.known(&g)?;
        let place = self.maker.area(code);
        let title = match self.asked.lang {
            Lang::Zh => format!("地区简报 {place}（{}）", &from[..7]),
            Lang::En => format!("Area brief: {place} ({})", &from[..7]),
        };
        let name = format!("area-{code}-{}", &from[..7]);
        let mut page = self.page(&name, title, self.facts(self.period(&from, &to))?);
        page.cards = self.cards(&g);
        page.sections = vec![
            self.maker.funnel(&g),
            self.maker.balance(&g),
            self.maker.deadlines(&g),
            self.maker.trend(&g),
            self.maker.areas(&g.by_area, &g.flow, g.cleared, g.closing),
            self.maker.rules(&g.by_rule, &g.flow, g.cleared, g.closing),
            self.maker.look_back(&g.look),
        ];
        let filter = Filter { area: Some(code.to_owned()), open: true, ..Filter::default() };
        page.sections.push(self.next(&filter)?);
        Ok(page)
    }

    /// What to check next, as it stands today.
    fn next(&self, filter: &Filter) -> Result<Section, Diagnostic> {
        let queue = queue(self.book, filter, self.policy, &self.asked.today)?;
        Ok(self.maker.queue(queue))
    }

    /// A report about nothing would read as a clean bill.
    fn known(&self, g: &Gathered) -> Result<(), Diagnostic> {
        if g.all.leads > 0 { Ok(()) } else { Err(unknown()) }
    }

    fn since_the_beginning(&self) -> (String, String) {
        (String::new(), self.asked.today.clone())
    }

    fn unit(&self, name: &str) -> Result<Page, Diagnostic> {
        let (from, to) = self.since_the_beginning();
        let same = |other: &str| other.trim() == name.trim();
        let wanted = |lead: &Lead| {
            let itself = lead.subject_type != mingcha_rules::rule::SubjectType::Person;
            lead.handlers.iter().any(|handler| same(handler))
                || (itself && (same(&lead.subject_id) || lead.subject_name.as_deref().is_some_and(same)))
        };
        let g = self.gather((&from, &to), &wanted, 6, self.asked.limit)?;
        self.known(&g)?;
        let shown = self.maker.free_text(name);
        let title = match self.asked.lang {
            Lang::Zh => format!("单位档案 {shown}"),
            Lang::En => format!("Unit dossier: {shown}"),
        };
        // The name may be somebody's: it does not go into the name of a file.
        let tag: String = (self.maker.lots)(&format!("unit {}", name.trim())).chars().take(8).collect();
        let period = self.until(&to);
        let mut page = self.page(&format!("unit-{tag}-{to}"), title, self.facts(period)?);
        page.cards = self.cards(&g);
        page.sections = vec![
            self.maker.funnel(&g),
            self.maker.trend(&g),
            self.maker.rules(&g.by_rule, &g.flow, g.cleared, g.closing),
            self.maker.areas(&g.by_area, &g.flow, g.cleared, g.closing),
            self.maker.deadlines(&g),
            self.maker.look_back(&g.look),
            self.maker.leads(self.say("全部线索", "All leads"), g.kept, g.all, &Changes::new()),
        ];
        Ok(page)
    }

    fn until(&self, to: &str) -> String {
        match self.asked.lang {
            Lang::Zh => format!("台账建立至 {to}"),
            Lang::En => format!("from the beginning of the ledger to {to}"),
        }
    }

    fn rule(&self, id: &str) -> Result<Page, Diagnostic> {
        let (from, to) = self.since_the_beginning();
        let id = id.trim();
        let g = self.gather((&from, &to), &|lead| lead.rule_id == id, 6, 0)?;
        self.known(&g)?;
        let title = match self.asked.lang {
            Lang::Zh => format!("规则简报 {id} {}", self.maker.title(id)),
            Lang::En => format!("Rule brief: {id} {}", self.maker.title(id)),
        };
        let mut page = self.page(&format!("rule-{id}-{to}"), title, self.facts(self.until(&to))?);
        page.cards = self.cards(&g);
        page.sections = vec![
            self.maker.versions(&g.score),
            self.maker.clearances(&g.score),
            self.maker.funnel(&g),
            self.maker.trend(&g),
            self.maker.areas(&g.by_area, &g.flow, g.cleared, g.closing),
            self.exclusions(id)?,
            self.maker.look_back(&g.look),
        ];
        let filter = Filter { rules: vec![id.to_owned()], open: true, ..Filter::default() };
        page.sections.push(self.next(&filter)?);
        Ok(page)
    }

    /// What the rule excused in the last run that is still there.
    fn exclusions(&self, id: &str) -> Result<Section, Diagnostic> {
        let lang = self.asked.lang;
        let run = self.book.nights()?.iter().rev().find_map(|night| folder(self.book, night));
        let outcome = match &run {
            Some(run) => run.outcomes()?.into_iter().find(|o| o.rule_id == id),
            None => None,
        };
        let rule = self.maker.catalogue.rule(id);
        let rows = outcome.iter().flat_map(|o| &o.excluded).map(|(code, n)| {
            let title = rule.and_then(|r| r.exclusions.iter().find(|e| e.code == *code));
            let title = title.map(|e| e.title.get(lang).to_owned()).unwrap_or_default();
            vec![Cell::Text(code.clone()), Cell::Text(title), Cell::Count(*n)]
        });
        let rows: Vec<Vec<Cell>> = rows.collect();
        let note = match (&run, &outcome) {
            (Some(run), Some(outcome)) => {
                let (as_of, candidates) = (&run.manifest().as_of, outcome.candidates);
                match lang {
                    Lang::Zh => format!("基准日 {as_of} 的运行：候选 {candidates} 条，下列条件各排除若干。"),
                    Lang::En => format!(
                        "The run as of {as_of}: {candidates} candidates, of which each exclusion took some."
                    ),
                }
            }
            _ => self
                .say(
                    "最近的运行结果已不在原处，或没有执行这条规则。",
                    "The last run is no longer there, or did not have this rule.",
                )
                .to_owned(),
        };
        Ok(Section {
            title: self.say("最近一次运行中的排除条件", "Exclusions in the last run").to_owned(),
            note,
            grid: Some(Grid {
                columns: vec![
                    column(lang, "代码", "Code", 16, Show::Centred),
                    column(lang, "排除情形", "Exclusion", 60, Show::Wrapped),
                    column(lang, "排除条数", "Excused", 14, Show::Count),
                ],
                rows,
                total: false,
            }),
            ..Section::default()
        })
    }
}

/// A list that keeps as many as are shown, and knows how many there are.
#[derive(Default)]
struct Kept {
    kept: Vec<Lead>,
    total: Sum,
}

impl Kept {
    fn push(&mut self, lead: Lead, most: usize) -> Result<(), Diagnostic> {
        self.total.add(lead.amount_fen)?;
        self.kept.push(lead);
        if self.kept.len() >= most.saturating_mul(4).max(1000) {
            parts::gravest(&mut self.kept, most);
        }
        Ok(())
    }
}

/// What weighs differently, by lead.
type Changes = std::collections::BTreeMap<String, Vec<String>>;

/// What a night did.
#[derive(Default)]
struct Tonight {
    changes: Changes,
    /// By rule and mark.
    rules: std::collections::BTreeMap<String, std::collections::BTreeMap<Mark, Sum>>,
    fresh: Kept,
    changed: Kept,
    gone: Kept,
}

impl Tonight {
    fn add(
        &mut self,
        lead: Lead,
        acts: &[crate::book::Act],
        night: &str,
        most: usize,
    ) -> Result<(), Diagnostic> {
        let Some(act) = acts.iter().rev().find(|act| act.night == night) else { return Ok(()) };
        let mark = match act.deed {
            Deed::Found => Mark::New,
            Deed::Changed(ref names) => {
                self.changes.insert(lead.finding_id.clone(), names.clone());
                Mark::Changed
            }
            Deed::Reopened { .. } => Mark::Reopened,
            Deed::Resolved => Mark::Resolved,
            Deed::Withdrawn => Mark::Withdrawn,
            // Judged, away for a while, and there again: the night counts it as continuing.
            _ => return Ok(()),
        };
        let of_rule = self.rules.entry(lead.rule_id.clone()).or_default();
        of_rule.entry(mark).or_default().add(lead.amount_fen)?;
        match mark {
            Mark::New | Mark::Reopened => self.fresh.push(lead, most),
            Mark::Changed => self.changed.push(lead, most),
            _ => {
                debug_assert!(!is_live(&lead));
                self.gone.push(lead, most)
            }
        }
    }
}

fn no_night(number: Option<u64>) -> Diagnostic {
    let (zh, en) = match number {
        Some(number) => (format!("台账中没有第 {number} 夜"), format!("the ledger has no night {number}")),
        None => ("台账中还没有任何一夜".to_owned(), "the ledger has no night yet".to_owned()),
    };
    Diagnostic::error("MC871", zh, en)
        .with_help("用 `mingcha ledger nights` 查看各夜", "`mingcha ledger nights` lists them")
}

fn no_month(got: &str) -> Diagnostic {
    Diagnostic::error(
        "MC872",
        format!("月份应写成 YYYY-MM，实际为 `{got}`"),
        format!("wanted a month as YYYY-MM, got `{got}`"),
    )
}

fn not_for_everybody() -> Diagnostic {
    Diagnostic::error(
        "MC873",
        "`public` 只能看夜间简报和月报的合计数",
        "`public` sees the sums of the nightly brief and of the month, and no report about one area, unit or rule",
    )
}

fn unknown() -> Diagnostic {
    // What was asked for may be somebody's name: it is not repeated.
    Diagnostic::error(
        "MC874",
        "台账中没有与所给地区、单位或规则有关的线索",
        "the ledger knows no lead of the area, unit or rule that was given",
    )
    .with_help(
        "检查写法；单位须与证据中的经办人、经办机构写法一致",
        "check the spelling; a unit is written as the evidence writes its operator or agency",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_with_its_last_day_or_today() {
        let of = |month, today| month_of(month, today).unwrap();
        let days = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(of(Some("2026-02"), "2026-11-23"), days("2026-02-01", "2026-02-28"));
        assert_eq!(of(Some("2028-02"), "2029-01-01"), days("2028-02-01", "2028-02-29"));
        assert_eq!(of(Some("2025-12"), "2026-11-23"), days("2025-12-01", "2025-12-31"));
        assert_eq!(of(None, "2026-11-23"), days("2026-11-01", "2026-11-23"));
        for wrong in ["2026", "2026-13", "2026-1", "202611", "2026-11-01"] {
            assert_eq!(month_of(Some(wrong), "2026-11-23").unwrap_err().code, "MC872", "{wrong}");
        }
    }
}
