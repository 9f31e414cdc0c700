//! Which lead to check next, and why, in words. The order is that of the money that a check can be expected to bring
//! back; a fixed share of places goes to leads of which little is known. Knows outcomes and amounts; no names.
//!
//! **Expected money** is the chance that a lead is confirmed, times the fen at risk that have not come back yet. The
//! chance is learned from what people found, for leads of the same rule, grade and county; where they are few, it leans on
//! rule and grade, then on the rule, then on all rules: each level counts its own outcomes and, besides, [`LEAN`] outcomes
//! at the share of the level above. With five own outcomes a level speaks as loudly as what it inherits, with fifty ten
//! times as loudly. Above all stands a half, as heavy as two outcomes. What a check costs is not known here, so every
//! check costs the same.
//!
//! **Exploration**: every [`EXPLORE`]th place goes to the rule, grade and county of which the fewest outcomes are known
//! (places given before count as outcomes to come), and there to a lead drawn by lot. Without it a rule that was unlucky
//! at first would never be looked at again, and precision would be known only of what is rich. Ten per cent costs a tenth
//! of the work. The lot is keyed with the ledger's secret: nobody can arrange for a lead to be drawn or not, and the same
//! ledger draws the same.
//!
//! Leads without an amount have no expected money: they follow the others, gravest first, and come up by exploration.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mingcha_rules::{Diagnostic, Text};
use serde::Serialize;

use crate::book::{Book, Filter, Lead, Listed, Moment, Policy, Stage};
use crate::score::{Share, lives, percent};
use crate::words::yuan;

/// Outcomes as which the share of the level above counts.
pub const LEAN: f64 = 5.0;
/// One place of so many is for exploration.
pub const EXPLORE: usize = 10;
/// Digits of an area code that make a county.
const COUNTY: usize = 6;

/// A lead in the queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queued {
    /// The lead.
    #[serde(flatten)]
    pub listed: Listed,
    /// Its place, from 1.
    pub place: usize,
    /// The chance that it is confirmed.
    pub chance: f64,
    /// Fen that a check can be expected to bring back; none where no amount is known.
    pub expected_fen: Option<i64>,
    /// Whether it stands here for exploration.
    pub explored: bool,
    /// Why it stands here.
    pub why: Text,
}

/// What people found, by how exactly a lead is described: all, rule, rule and grade, rule and grade and county.
#[derive(Debug, Clone, Default)]
pub struct Odds {
    shares: BTreeMap<Described, Share>,
}

/// The chance of a lead, and what it follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Chance {
    /// The chance.
    pub chance: f64,
    /// Outcomes of all rules; of the rule; with the grade; with the county.
    pub levels: [Share; 4],
}

impl Odds {
    /// Learns from everything that people judged until now.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn learn(book: &Book) -> Result<Self, Diagnostic> {
        let mut odds = Self::default();
        book.courses(Moment::Now, |course| {
            let key = described(&course.lead);
            for verdict in lives(&course).into_iter().filter_map(|life| life.verdict) {
                for depth in 0..=key.len() {
                    let share = odds.shares.entry(key[..depth].to_vec()).or_default();
                    share.of += 1;
                    share.hits += u64::from(verdict.cleared.is_none());
                }
            }
        })?;
        Ok(odds)
    }

    /// The chance that `lead` is confirmed.
    #[must_use]
    pub fn of(&self, lead: &Lead) -> Chance {
        let key = described(lead);
        let mut levels = [Share::default(); 4];
        let (mut chance, mut lean) = (0.5, 2.0);
        for (depth, level) in levels.iter_mut().enumerate() {
            *level = self.shares.get(&key[..depth]).copied().unwrap_or_default();
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of leads fit into the 53 bits of a double"
            )]
            let (hits, of) = (level.hits as f64, level.of as f64);
            chance = (hits + lean * chance) / (of + lean);
            lean = LEAN;
        }
        Chance { chance, levels }
    }
}

fn described(lead: &Lead) -> Described {
    let county = lead.area_code.as_deref().unwrap_or("").chars().take(COUNTY).collect();
    vec![lead.rule_id.clone(), lead.grade.clone(), county]
}

/// The leads that `which` names and that are still to be checked, in the order in which to check them.
///
/// # Errors
/// As [`Book::leads`].
pub fn queue(book: &Book, which: &Filter, policy: &Policy, today: &str) -> Result<Vec<Queued>, Diagnostic> {
    let mut leads = book.leads(which, policy, today)?;
    // What is confirmed needs other work than a check.
    leads.retain(|l| {
        matches!(l.lead.stage, Stage::New | Stage::Assigned | Stage::Checked) && l.lead.is_open()
    });
    Ok(order(leads, &Odds::learn(book)?, &book.lots()?))
}

/// A lead, what to expect of it, and its place in the order of money.
struct Weighed {
    listed: Listed,
    chance: Chance,
    expected_fen: Option<i64>,
}

fn order(leads: Vec<Listed>, odds: &Odds, lots: &dyn Fn(&str) -> String) -> Vec<Queued> {
    let mut weighed: Vec<Weighed> = leads
        .into_iter()
        .map(|listed| {
            let chance = odds.of(&listed.lead);
            let expected_fen = open_fen(&listed.lead).map(|fen| times(fen, chance.chance));
            Weighed { listed, chance, expected_fen }
        })
        .collect();
    // The order of `leads` (gravest first, then by deadline) holds where the money is the same.
    weighed.sort_by_key(|w| std::cmp::Reverse(w.expected_fen));
    let mut draw = Draw::new(&weighed, lots);
    let mut slots: Vec<Option<Weighed>> = weighed.into_iter().map(Some).collect();
    let mut next = 0;
    let mut out = Vec::with_capacity(slots.len());
    for place in 1..=slots.len() {
        let explored = if place.is_multiple_of(EXPLORE) { draw.next(&slots) } else { None };
        let at = explored.unwrap_or_else(|| {
            while slots.get(next).is_some_and(Option::is_none) {
                next += 1;
            }
            next
        });
        let Some(taken) = slots.get_mut(at).and_then(Option::take) else { continue };
        let why = if explored.is_some() { explores(&taken) } else { earns(&taken) };
        out.push(Queued {
            place,
            chance: taken.chance.chance,
            expected_fen: taken.expected_fen,
            explored: explored.is_some(),
            why,
            listed: taken.listed,
        });
    }
    out
}

/// Fen at risk that have not come back.
fn open_fen(lead: &Lead) -> Option<i64> {
    lead.amount_fen.map(|fen| fen.saturating_sub(lead.recovered_fen).max(0))
}

fn times(fen: i64, chance: f64) -> i64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a chance is at most 1, and an expectation need not be exact to the fen"
    )]
    let expected = (fen as f64 * chance).round() as i64;
    expected
}

/// Rule, grade and county, or the first of them.
type Described = Vec<String>;

/// Cells still to be explored, least known first.
struct Draw {
    /// (outcomes known and to come, cell) of every cell that has leads left.
    known: BTreeSet<(u64, Described)>,
    /// Places of the leads of each cell, in the order of the lot.
    leads: BTreeMap<Described, VecDeque<usize>>,
}

impl Draw {
    fn new(weighed: &[Weighed], lots: &dyn Fn(&str) -> String) -> Self {
        let mut known: BTreeMap<Described, u64> = BTreeMap::new();
        let mut leads: BTreeMap<Described, Vec<(String, usize)>> = BTreeMap::new();
        for (at, w) in weighed.iter().enumerate() {
            let cell = described(&w.listed.lead);
            leads.entry(cell.clone()).or_default().push((lots(&w.listed.lead.finding_id), at));
            known.insert(cell, w.chance.levels[3].of);
        }
        let leads = leads.into_iter().map(|(cell, mut lots)| {
            lots.sort();
            (cell, lots.into_iter().map(|(_, at)| at).collect())
        });
        Self { known: known.into_iter().map(|(cell, of)| (of, cell)).collect(), leads: leads.collect() }
    }

    /// The next lead to explore that has no place yet.
    fn next(&mut self, slots: &[Option<Weighed>]) -> Option<usize> {
        loop {
            let (of, key) = self.known.pop_first()?;
            let leads = self.leads.get_mut(&key)?;
            let at = loop {
                match leads.pop_front() {
                    Some(at) if slots[at].is_some() => break Some(at),
                    Some(_) => {}
                    None => break None,
                }
            };
            if let Some(at) = at {
                self.known.insert((of + 1, key));
                return Some(at);
            }
        }
    }
}

/// Why a lead stands where its money puts it.
fn earns(w: &Weighed) -> Text {
    let lead = &w.listed.lead;
    let (share, known) = (percent(w.chance.chance), known(w));
    match (open_fen(lead), w.expected_fen) {
        (Some(open), Some(expected)) => Text {
            zh: format!(
                "预计可追回 {} 元＝未追回 {} 元 × 属实可能 {share}%（{}）",
                yuan(expected),
                yuan(open),
                known.zh
            ),
            en: format!(
                "{} yuan to be expected = {} yuan not yet back × {share} % chance of being confirmed ({})",
                yuan(expected),
                yuan(open),
                known.en
            ),
        },
        _ => Text {
            zh: format!("没有涉及金额，按级别排在有金额的之后；属实可能 {share}%（{}）", known.zh),
            en: format!(
                "no amount is known, so it follows those with one, gravest first; {share} % chance of being confirmed ({})",
                known.en
            ),
        },
    }
}

/// Why a lead stands there that its money would not put there.
fn explores(w: &Weighed) -> Text {
    let (lead, of) = (&w.listed.lead, w.chance.levels[3].of);
    let county = county(lead);
    Text {
        zh: format!(
            "探索名额（每 {EXPLORE} 条留 1 条，抽签产生）：{} {} 级线索在{}只有 {of} 条核查结果，多查几条才知道是否可靠",
            lead.rule_id, lead.grade, county.zh
        ),
        en: format!(
            "for exploration (one place in {EXPLORE}, drawn by lot): only {of} outcomes are known of {} grade {} in {}, and more will tell how reliable they are",
            lead.rule_id, lead.grade, county.en
        ),
    }
}

/// What the chance follows from: the most exact level with outcomes, and the one above.
fn known(w: &Weighed) -> Text {
    let lead = &w.listed.lead;
    let county = county(lead);
    let (rule, grade) = (&lead.rule_id, &lead.grade);
    let levels = w.chance.levels;
    let level = |at: usize| -> Text {
        let Share { hits, of } = levels[at];
        let (zh, en) = match at {
            3 => (
                format!("{rule} {grade} 级在{}", county.zh),
                format!("{rule} grade {grade} in {}", county.en),
            ),
            2 => (format!("{rule} {grade} 级"), format!("{rule} grade {grade}")),
            1 => (rule.clone(), rule.clone()),
            _ => ("全部规则".to_owned(), "all rules".to_owned()),
        };
        Text {
            zh: format!("{zh}已认定 {of} 条、属实 {hits} 条"),
            en: format!("{en}: {hits} of {of} confirmed"),
        }
    };
    let Some(deepest) = (0..4).rev().find(|at| levels[*at].of > 0) else {
        return Text { zh: "尚无任何核查结果".to_owned(), en: "no outcome is known yet".to_owned() };
    };
    let mut said = vec![level(deepest)];
    if deepest > 0 && levels[deepest - 1].of > levels[deepest].of {
        said.push(level(deepest - 1));
    }
    let joined = |pick: fn(&Text) -> &str, by: &str| said.iter().map(pick).collect::<Vec<_>>().join(by);
    Text { zh: joined(|t| &t.zh, "；"), en: joined(|t| &t.en, "; ") }
}

fn county(lead: &Lead) -> Text {
    match described(lead).pop().filter(|code| !code.is_empty()) {
        Some(code) => Text { zh: format!(" {code} "), en: code },
        None => Text { zh: "区划不明处".to_owned(), en: "an unknown area".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(hits: u64, of: u64) -> Share {
        Share { hits, of }
    }

    fn key(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|p| (*p).to_owned()).collect()
    }

    fn listed(n: u32, rule: &str, county: &str, fen: Option<i64>) -> Listed {
        let lead = serde_json::json!({
            "finding_id": format!("{n:032x}"), "rule_id": rule, "rule_version": 1, "rule_hash": "h",
            "severity": "high", "grade": "A", "identity": "I1", "subject_type": "person",
            "subject_id": "880101195003070027", "area_code": format!("{county}001"), "amount_fen": fen,
            "message": {"zh": "", "en": ""}, "evidence": {}, "counter_evidence": "", "presence": "live",
            "mark": "new", "marked_in": "n", "first_run": "n", "opened": "2026-11-01", "stage": "new",
            "stage_since": "2026-11-01"
        });
        let lead = serde_json::from_value(lead).unwrap();
        Listed { lead, tonight: None, due: None, light: None, waiver: None }
    }

    #[test]
    fn a_chance_leans_on_the_level_above_as_heavily_as_five_outcomes() {
        let shares = BTreeMap::from([
            (key(&[]), share(6, 18)),
            (key(&["R"]), share(5, 10)),
            (key(&["R", "A"]), share(5, 5)),
        ]);
        let odds = Odds { shares };
        let chance = odds.of(&listed(1, "R", "880101", None).lead);
        // (6 + 2·½) / 20 = 0.35; (5 + 5·0.35) / 15 = 0.45; (5 + 5·0.45) / 10 = 0.725; no outcome there: the same.
        assert!((chance.chance - 0.725).abs() < 1e-12, "{chance:?}");
        let other = odds.of(&listed(2, "S", "880101", None).lead);
        assert!((other.chance - 0.35).abs() < 1e-12, "{other:?}");
        assert!((Odds::default().of(&listed(3, "S", "880101", None).lead).chance - 0.5).abs() < 1e-12);
    }

    #[test]
    fn more_expected_money_stands_first_and_every_tenth_place_explores() {
        // 30 rich leads of a rule that is known well, 5 poor ones of a rule of which nothing is known.
        let rich = (0..30).map(|n| listed(n, "R", "880101", Some(1_000_000 - i64::from(n))));
        let poor = (100..105).map(|n| listed(n, "S", "880101", Some(100)));
        let shares = BTreeMap::from([
            (key(&[]), share(40, 50)),
            (key(&["R"]), share(40, 50)),
            (key(&["R", "A"]), share(40, 50)),
            (key(&["R", "A", "880101"]), share(40, 50)),
        ]);
        let lots = |id: &str| id.chars().rev().collect::<String>();
        let queue = order(rich.chain(poor).collect(), &Odds { shares }, &lots);
        assert_eq!(queue.len(), 35, "nobody is lost");
        assert_eq!(queue.iter().map(|q| q.place).collect::<Vec<_>>(), (1..=35).collect::<Vec<_>>());
        let explored: Vec<_> = queue.iter().filter(|q| q.explored).map(|q| q.place).collect();
        assert_eq!(explored, [10, 20, 30]);
        assert!(queue.iter().filter(|q| q.explored).all(|q| q.listed.lead.rule_id == "S"));
        let by_money: Vec<_> = queue.iter().filter(|q| !q.explored).map(|q| q.expected_fen).collect();
        assert!(by_money.is_sorted_by(|a, b| a >= b));
        assert!(queue[9].why.en.contains("exploration") && queue[9].why.en.contains("only 0 outcomes"));
        let why = &queue[0].why;
        assert!(why.en.contains("yuan to be expected = 10,000.00 yuan not yet back"), "{why:?}");
        assert!(why.zh.contains("R A 级在 880101 已认定 50 条、属实 40 条"), "{why:?}");
        let ids: BTreeSet<_> = queue.iter().map(|q| q.listed.lead.finding_id.clone()).collect();
        assert_eq!(ids.len(), 35);
    }

    #[test]
    fn a_likelier_small_sum_may_stand_before_an_unlikely_great_one() {
        let shares = BTreeMap::from([(key(&["R"]), share(95, 100)), (key(&["S"]), share(1, 100))]);
        let leads = vec![
            listed(1, "S", "880101", Some(500_000)),
            listed(2, "R", "880101", Some(50_000)),
            listed(3, "R", "880102", None),
        ];
        let queue = order(leads, &Odds { shares }, &|id: &str| id.to_owned());
        let rules: Vec<_> =
            queue.iter().map(|q| (q.listed.lead.rule_id.as_str(), q.expected_fen.is_some())).collect();
        assert_eq!(rules, [("R", true), ("S", true), ("R", false)]);
        assert!(queue[2].why.zh.starts_with("没有涉及金额"));
    }

    #[test]
    fn exploration_goes_round_the_least_known() {
        let leads =
            (0..40).map(|n| listed(n, if n % 2 == 0 { "R" } else { "S" }, "880101", Some(100))).collect();
        let queue = order(leads, &Odds::default(), &|id: &str| id.to_owned());
        let rules: Vec<_> =
            queue.iter().filter(|q| q.explored).map(|q| q.listed.lead.rule_id.clone()).collect();
        assert_eq!(rules, ["R", "S", "R", "S"]);
    }
}
