//! Nights that build upon an earlier one: which rules need not look at everybody again, and what of the earlier run
//! still stands. Knows what an earlier run found only as records handed in; where they are kept is not its business.
//!
//! ```text
//! kept     nothing that the rule reads has changed         -> all its records still stand
//! partial  a local rule by person, some persons changed    -> these persons are evaluated, the others' records stand
//! full     everything else                                 -> as if there were no earlier run; and it is said why
//! ```
//!
//! Why this is sound: that a plan is *local* (`local.rs`) means that each of its rows follows from the rows of one
//! person, whom a column of it names, and from tables that are the same for everybody. So a shard may be cut down to
//! any of its persons, as persons may be cut into any shards; where the tables that are the same for everybody did not
//! change either, a person without changed rows has the candidates of the earlier run. Rows that lead to no person
//! belong to nobody who could be left out: they are always evaluated. Grouping, grading and counter-evidence are by
//! subject, and the subject is the person; a rule that looks across subjects runs in full.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::AsArray;
use chrono::NaiveDate;
use mingcha_intake::{Changes, OfPersons, Part, Tables};
use mingcha_rules::{Diagnostic, Excused, Finding, Library, LoadedRule, Outcome, OutcomeKind, Text};

use crate::day::{self, Between, Compared, Plans, is_by_person};
use crate::gather::{Gathered, NO_SUBJECT, grouping_sql};
use crate::handlers;
use crate::local::Spread;
use crate::plan::Compiled;
use crate::program::{CANDIDATES, Place, Program, RulePlan, ViewPlan, with_as_of};
use crate::report::RunOptions;
use crate::run::workers_of;
use crate::sql::SqlFault;
use crate::stash::sum_of;

/// The hash of the code that is running.
pub const BUILD: &str = env!("MINGCHA_ENGINE_BUILD");

/// Where more than one in this many persons changed, looking at everybody is no more work.
const MOST_CHANGED: u64 = 2;

/// An earlier run, made by the same code ([`BUILD`]).
pub struct Since<'a> {
    /// The day it judged the data on.
    pub as_of: NaiveDate,
    /// How its rules ended.
    pub outcomes: Vec<Outcome>,
    /// Rules whose parameters had other values than now.
    pub other_params: BTreeSet<String>,
    /// What differs between the tables then and now.
    pub changes: Changes,
    /// What its rules found.
    pub records: &'a dyn Records,
}

/// What the rules of an earlier run found.
pub trait Records: Sync {
    /// The findings of one rule and the subjects that it excused.
    ///
    /// # Errors
    /// When they cannot be read.
    fn of(&self, rule_id: &str) -> Result<(Vec<Finding>, Vec<Excused>), Diagnostic>;
}

/// How much of an earlier run one rule could take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Everything.
    Kept,
    /// Everything but this many persons, who were evaluated.
    Partial(u64),
    /// Nothing, and why.
    Full(Text),
}

/// What each rule takes over.
pub(crate) struct Division {
    pub rules: BTreeMap<String, Carried>,
    /// The persons that partial rules evaluate, ascending.
    persons: Vec<i32>,
}

impl Division {
    /// The rules that `which` holds for.
    pub(crate) fn ids(&self, which: impl Fn(&Carried) -> bool) -> BTreeSet<String> {
        self.rules.iter().filter(|(_, c)| which(c)).map(|(id, _)| id.clone()).collect()
    }

    /// The persons that partial rules evaluate, in a word.
    pub(crate) fn persons_sum(&self) -> String {
        let bytes: Vec<u8> = self.persons.iter().flat_map(|pid| pid.to_le_bytes()).collect();
        sum_of([bytes.as_slice()])
    }

    /// The tables as partial rules see them. `None`: no rule is.
    pub(crate) fn narrowed(&self, tables: &Arc<dyn Tables>) -> Option<Arc<OfPersons>> {
        let any = self.rules.values().any(|c| matches!(c, Carried::Partial(_)));
        any.then(|| Arc::new(OfPersons::new(Arc::clone(tables), self.persons.clone())))
    }
}

/// Says for each compiled rule what it takes over. Without an earlier run every rule runs in full.
pub(crate) fn divide(
    since: Option<&Since<'_>>,
    program: &Program,
    library: &Library,
    tables: &dyn Tables,
    options: &RunOptions,
) -> Division {
    let mut seen = BTreeMap::new();
    let mut rules = BTreeMap::new();
    let mut persons = Vec::new();
    for plan in &program.rules {
        let carried = match (since, library.rule(&plan.id)) {
            (Some(since), Some(loaded)) => {
                let mut question =
                    Question { since, program, library, loaded, plan, tables, options, seen: &mut seen };
                match question.answer() {
                    Ok(Some(mine)) => {
                        let n = mine.len() as u64;
                        persons.extend(mine);
                        Carried::Partial(n)
                    }
                    Ok(None) => Carried::Kept,
                    Err(why) => Carried::Full(why),
                }
            }
            _ => Carried::Full(said("没有可沿用的运行", "there is no earlier run")),
        };
        rules.insert(plan.id.clone(), carried);
    }
    persons.sort_unstable();
    persons.dedup();
    if persons.len() as u64 * MOST_CHANGED > tables.n_persons() {
        let why = said("多半人员的数据变了", "the data of most persons changed");
        for carried in rules.values_mut().filter(|c| matches!(c, Carried::Partial(_))) {
            *carried = Carried::Full(why.clone());
        }
        persons.clear();
    }
    // All partial rules see the same persons.
    for carried in rules.values_mut() {
        if let Carried::Partial(n) = carried {
            *n = persons.len() as u64;
        }
    }
    Division { rules, persons }
}

/// Tables, and the columns of each that are read.
type Read = BTreeMap<String, BTreeSet<String>>;

/// Whether one rule can take over what it found.
struct Question<'a> {
    since: &'a Since<'a>,
    program: &'a Program,
    library: &'a Library,
    loaded: &'a LoadedRule,
    plan: &'a RulePlan,
    tables: &'a dyn Tables,
    options: &'a RunOptions,
    /// Who has dates between the two days.
    seen: &'a mut BTreeMap<Compared, Between>,
}

impl Question<'_> {
    /// `Ok(None)`: nothing it reads changed. `Ok(Some)`: the persons to evaluate.
    fn answer(&mut self) -> Result<Option<Vec<i32>>, Text> {
        self.same_rule()?;
        let moved = self.moved()?;
        let changes = &self.since.changes;
        let read = self.tables_read();
        let touched = |read: &Read| -> Vec<String> {
            read.iter()
                .filter(|(name, columns)| changes.touched(name, columns))
                .map(|(n, _)| n.clone())
                .collect()
        };
        let mine = touched(&read);
        if mine.is_empty() && moved.persons.is_empty() && !moved.elsewhere {
            return Ok(None);
        }
        self.by_person()?;
        if let Some(name) = read.keys().find(|name| changes.whole(name)) {
            return Err(said(
                &format!("数据 {name} 整体变了"),
                &format!("dataset `{name}` changed as a whole"),
            ));
        }
        let before = self.plan.views.iter().filter_map(|name| self.program.view(name));
        for view in before.filter(|v| v.place != Place::Local) {
            let mut read = Read::new();
            self.note_tables(&view.compiled, &mut read);
            if let Some(name) = touched(&read).first() {
                let view = &view.name;
                return Err(said(
                    &format!("视图 {view} 汇总所有人，而数据 {name} 变了"),
                    &format!("view `{view}` is over everybody, and dataset `{name}` changed"),
                ));
            }
        }
        let mut persons = changes.persons(mine.iter().map(String::as_str));
        persons.extend(moved.persons);
        Ok(Some(persons))
    }

    /// The same rule with the same parameters ended well then.
    fn same_rule(&self) -> Result<(), Text> {
        let id = &self.plan.id;
        let Some(then) = self.since.outcomes.iter().find(|o| o.rule_id == *id) else {
            return Err(said("上次没有运行此规则", "the rule did not run then"));
        };
        if !matches!(then.outcome, OutcomeKind::Found | OutcomeKind::Clean) {
            return Err(said("上次此规则没有结果", "the rule came to no result then"));
        }
        if then.rule_hash != self.loaded.hash || then.rule_version != self.loaded.rule.version {
            return Err(said("规则或其视图改了", "the rule or one of its views changed"));
        }
        if self.since.other_params.contains(id) {
            return Err(said("参数改了", "its parameters changed"));
        }
        Ok(())
    }

    /// For whom the rule may come out otherwise because the day is another one.
    fn moved(&mut self) -> Result<Between, Text> {
        let days = (self.since.as_of, self.options.as_of);
        let mut out = Between::default();
        if days.0 == days.1 {
            return Ok(out);
        }
        let depends = || said("结果随运行日变化", "it depends on the day");
        if !self.groups_alike(days) {
            return Err(depends());
        }
        let views: Vec<&ViewPlan> = self.plan.views.iter().filter_map(|v| self.program.view(v)).collect();
        // A row of a view over everybody may come from another person than the one that it is joined to: what is read
        // person by person does not look through such a view.
        let mut of_all: Plans<'_> = BTreeMap::new();
        let mut of_person: Plans<'_> = BTreeMap::new();
        for view in &views {
            of_all.insert(&view.name, Some(&view.compiled.written));
            let local = view.place == Place::Local;
            of_person.insert(&view.name, local.then_some(&view.compiled.written));
        }
        for plans in [&mut of_person, &mut of_all] {
            plans.insert(CANDIDATES, Some(&self.plan.candidates.written));
        }
        let asks = |text: &str| text.contains("$as_of");
        let texts = |name: &str| self.library.view(name).is_none_or(|v| asks(&v.view.sql));
        let rule = &self.loaded.rule;
        let own =
            asks(&self.loaded.sql) || rule.exclusions.iter().filter_map(|x| x.when.as_deref()).any(asks);
        let against = rule.counter_evidence.iter().map(|c| asks(&c.sql));
        let of_rule =
            std::iter::once((&self.plan.candidates, own)).chain(self.plan.counters.iter().zip(against));
        let of_views = views.iter().map(|v| (&v.compiled, texts(&v.name), v.place == Place::Local));
        let local = self.plan.place == Place::Local;
        for (compiled, asks, by_person) in of_rule.map(|(c, asks)| (c, asks, local)).chain(of_views) {
            if !asks {
                continue;
            }
            // Where the text asks for the day and the plan does not show it, the plan is not understood.
            let found =
                day::compared(&compiled.written, days.1, if by_person { &of_person } else { &of_all })
                    .filter(|found| !found.is_empty());
            for compared in found.ok_or_else(depends)? {
                let dates = match self.seen.get(&compared) {
                    Some(dates) => dates,
                    None => {
                        let workers = workers_of(self.options);
                        let dates =
                            day::between(self.tables, &compared, days, workers).map_err(|d| d.message)?;
                        self.seen.entry(compared.clone()).or_insert(dates)
                    }
                };
                let whole = !is_by_person(self.tables, &compared.dataset) || !by_person;
                if whole && (dates.elsewhere || !dates.persons.is_empty()) {
                    return Err(depends());
                }
                out.persons.extend(&dates.persons);
                out.elsewhere |= dates.elsewhere;
            }
        }
        Ok(out)
    }

    /// Whether figures, bands and grades are formed on both days by the same text.
    fn groups_alike(&self, days: (NaiveDate, NaiveDate)) -> bool {
        let none = BTreeMap::new();
        let overrides = self.options.params.get(&self.plan.id).unwrap_or(&none);
        let text = |day| {
            let params = with_as_of(self.loaded.effective_params(overrides), day).ok()?;
            grouping_sql(self.loaded, &params).ok()
        };
        text(days.0).is_some_and(|then| text(days.1).as_ref() == Some(&then))
    }

    /// Each of its candidates belongs to the person that it is about, and so does what is made of them.
    fn by_person(&self) -> Result<(), Text> {
        let rule = &self.loaded.rule;
        if self.plan.place != Place::Local {
            return Err(said("不能逐人计算", "it cannot be evaluated person by person"));
        }
        if !rule.across.is_empty() {
            return Err(said("要跨对象汇总", "it looks across subjects"));
        }
        let key = rule.subject.key.as_str();
        let own = |compiled: &Compiled| match (&compiled.spread, compiled.schema.index_of(key)) {
            (Spread::ByPerson(columns), Ok(at)) => columns.owns(at),
            _ => false,
        };
        if key != "pid" || !std::iter::once(&self.plan.candidates).chain(&self.plan.counters).all(own) {
            return Err(said("对象不是本人", "its subject is not the person of the row"));
        }
        if handlers::person_columns(&self.plan.schema).count() > 1 {
            return Err(said("线索还涉及他人", "its findings name further persons"));
        }
        Ok(())
    }

    /// Datasets and built-in tables that the rule declares or reads, through views too, and the columns that it reads.
    fn tables_read(&self) -> Read {
        let declared = self.library.needed_datasets(self.loaded).into_iter();
        let mut read: Read = declared.map(|name| (name, BTreeSet::new())).collect();
        for compiled in std::iter::once(&self.plan.candidates).chain(&self.plan.counters) {
            self.note_tables(compiled, &mut read);
        }
        for view in self.plan.views.iter().filter_map(|name| self.program.view(name)) {
            self.note_tables(&view.compiled, &mut read);
        }
        // Whatever a rule reads, its findings say who handled them.
        for (name, columns) in handlers::columns_read(self.tables) {
            read.entry(name).or_default().extend(columns);
        }
        read
    }

    fn note_tables(&self, compiled: &Compiled, read: &mut Read) {
        for (name, columns) in &compiled.columns {
            match self.program.view(name) {
                Some(view) => self.note_tables(&view.compiled, read),
                None => {
                    read.entry(name.clone()).or_default().extend(columns.iter().cloned());
                }
            }
        }
    }
}

/// What still stands of the earlier run.
pub(crate) struct Standing<'a> {
    since: &'a Since<'a>,
    rules: &'a BTreeMap<String, Carried>,
    /// Numbers of the persons that were evaluated.
    evaluated: HashSet<String>,
}

impl<'a> Standing<'a> {
    pub(crate) fn new(
        since: &'a Since<'a>,
        division: &'a Division,
        narrowed: Option<&OfPersons>,
    ) -> Result<Self, Diagnostic> {
        let mut evaluated = HashSet::new();
        if let Some(tables) = narrowed {
            for shard in (0..tables.n_shards()).filter(|shard| !tables.in_shard(*shard).is_empty()) {
                for batch in tables.read("persons", Part::Shard(shard), &["id_number"])? {
                    evaluated.extend(batch.column(0).as_string_view().iter().flatten().map(str::to_owned));
                }
            }
        }
        Ok(Self { since, rules: &division.rules, evaluated })
    }

    /// Whether a rule is taken over whole.
    pub(crate) fn is_kept(&self, rule: &str) -> bool {
        matches!(self.rules.get(rule), Some(Carried::Kept))
    }

    /// Puts what still stands of a rule's findings beside those that were found now, and counts anew.
    pub(crate) fn merge(&self, rule: &str, found: &mut Gathered<'_>) -> Result<(), SqlFault> {
        if !matches!(self.rules.get(rule), Some(Carried::Kept | Carried::Partial(_))) {
            return Ok(());
        }
        let (mut findings, mut excused) =
            self.since.records.of(rule).map_err(|d| SqlFault::new("MC703", d.message.zh, d.message.en))?;
        if !self.is_kept(rule) {
            findings.retain(|f| !self.evaluated.contains(&f.subject_id));
            excused.retain(|e| !self.evaluated.contains(&e.subject_id));
        } else {
            // Nobody was evaluated, so nobody was counted: not even those without a subject.
            let then = self.since.outcomes.iter().find(|o| o.rule_id == rule);
            let without = then.and_then(|o| o.excluded.get(NO_SUBJECT)).copied().unwrap_or_default();
            if without > 0 {
                found.excluded.insert(NO_SUBJECT.to_owned(), without);
                found.candidates += without;
            }
        }
        found.candidates += findings.iter().map(|f| f.candidates).sum::<u64>();
        for one in &excused {
            found.candidates += one.candidates;
            *found.excluded.entry(one.code.clone()).or_default() += one.candidates;
        }
        found.findings.append(&mut findings);
        found.findings.sort_by(|a, b| (&a.subject_id, &a.finding_id).cmp(&(&b.subject_id, &b.finding_id)));
        found.standing.append(&mut excused);
        Ok(())
    }
}

fn said(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}
