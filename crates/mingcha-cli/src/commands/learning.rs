//! What the ledger has learned: `mingcha scorecard`, and `mingcha findings list --order queue`. Counts nothing itself.

use mingcha_ledger::Book;
use mingcha_ledger::book::{Filter, Moment, Policy};
use mingcha_ledger::queue::{self, Queued};
use mingcha_ledger::score::{ControlSample, Proposal, Recall, Score, Scorecard, Share};
use mingcha_rules::text::{Lang, Text};
use serde_json::json;

use super::findings::SHOWN_DIGITS;
use super::leads::Eye;
use super::ledger::{self, refused};
use super::{Context, filter};
use crate::args::{self, FindingsList, Format};
use crate::exit::{Exit, Outcome};
use crate::packs::Shelf;
use crate::render::{Table, count, many, yuan};

pub(super) fn scorecard(context: &Context, args: &args::Scorecard) -> Outcome {
    let path = context.config.needed("ledger.path", "--ledger", args.ledger.as_deref())?;
    let until = args.until.as_deref().map_or(Moment::Now, Moment::Day);
    let book = Book::read(&path).map_err(refused)?;
    let card = Scorecard::of(&book, until, &args.rule).map_err(refused)?;
    let shelf = Shelf::open(context, &args::Packs { rules: None, datasets: None });
    filter::of_scorecard(&args.rule, |rule| {
        shelf.library.rule(rule).is_some() || card.rules.iter().any(|known| known.rule_id == rule)
    })?;
    let given =
        args.sample.map(|[unflagged, answered, missed]| ControlSample { unflagged, answered, missed });
    // What visitors brought back, unless somebody knows better.
    let sample = match given {
        Some(given) => Some(given),
        None => ControlSample::of(&book.controls().map_err(refused)?),
    };
    let recall = sample.map(|sample| sample.recall(card.persons, card.all.precision()));
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        screen.json(&json!({"scorecard": told(&card), "sample": sample, "recall": recall}));
        return Ok(Exit::Done);
    }
    screen.table(&table(context, &card));
    if card.rules.len() > 1 {
        screen.line(card.about.beside_sum(screen.lang));
    }
    for rule in card.rules.iter().filter(|rule| rule.proposal != Proposal::TooFew) {
        let (proposal, because) =
            (screen.text(&rule.proposal.title()).to_owned(), screen.text(&rule.because));
        screen.line(match screen.lang {
            Lang::Zh => format!("{}：{proposal}。{because}", rule.rule_id),
            Lang::En => format!("{}: {proposal}. {because}", rule.rule_id),
        });
    }
    if let (Some(sample), Some(recall)) = (sample, recall) {
        screen.line(screen.text(&recalled(card.persons, sample, recall)));
    }
    if card.destroyed > 0 {
        let n = count(card.destroyed);
        screen.note(screen.say(
            &format!("另有 {n} 条线索的内容已销毁，不在其中"),
            &format!("{n} more leads, whose content was destroyed, are in no figure"),
        ));
    }
    Ok(Exit::Done)
}

/// The scorecard with what follows from its counts.
fn told(card: &Scorecard) -> serde_json::Value {
    let mut out = json!(card);
    if card.rules.len() > 1 {
        out["amount_note"] = json!(mingcha_ledger::once_per_rule());
    }
    let share = |share: Share| {
        let (low, high) = share.interval();
        json!({"confirmed": share.hits, "judged": share.of, "share": share.point(), "low": low, "high": high})
    };
    out["all"]["precision"] = share(card.all.precision());
    for (rule, out) in card.rules.iter().zip(out["rules"].as_array_mut().into_iter().flatten()) {
        out["total"]["precision"] = share(rule.total.precision());
        for (version, score) in &rule.versions {
            out["versions"][version.to_string()]["precision"] = share(score.precision());
        }
    }
    out
}

fn table(context: &Context, card: &Scorecard) -> Table {
    let screen = &context.screen;
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("版本", "version"),
        screen.say("#线索", "#leads"),
        screen.say("#涉及（元）", "#yuan at risk"),
        screen.say("#已核查", "#checked"),
        screen.say("#属实", "#confirmed"),
        screen.say("#属实（元）", "#yuan confirmed"),
        screen.say("#合法", "#lawful"),
        screen.say("#数据有误", "#wrong data"),
        screen.say("#匹配有误", "#wrong match"),
        screen.say("属实率（95% 区间）", "precision (95 %)"),
        screen.say("#追回（元）", "#yuan recovered"),
        screen.say("#中位天数", "#median days"),
        screen.say("建议", "proposal"),
    ]);
    let mut row = |rule: &str, version: &str, score: &Score, proposal: &str| {
        use mingcha_ledger::book::Clearance::{Legitimate, WrongData, WrongMatch};
        let cleared = |reason| count(score.cleared.get(&reason).copied().unwrap_or(0));
        table.row([
            rule.to_owned(),
            version.to_owned(),
            count(score.findings),
            yuan(score.at_risk_fen),
            count(score.checked),
            count(score.confirmed),
            yuan(score.confirmed_fen),
            cleared(Legitimate),
            cleared(WrongData),
            cleared(WrongMatch),
            screen.text(&score.precision().words()).to_owned(),
            yuan(score.recovered_fen),
            score.median_days.map(|days| days.to_string()).unwrap_or_default(),
            proposal.to_owned(),
        ]);
    };
    for rule in &card.rules {
        let proposal = screen.text(&rule.proposal.title()).to_owned();
        match rule.versions.iter().collect::<Vec<_>>().as_slice() {
            [(version, score)] => row(&rule.rule_id, &version.to_string(), score, &proposal),
            versions => {
                row(&rule.rule_id, screen.say("全部", "all"), &rule.total, &proposal);
                versions.iter().for_each(|(version, score)| row("", &version.to_string(), score, ""));
            }
        }
    }
    row(screen.say("合计", "total"), "", &card.all, "");
    table
}

fn recalled(flagged: u64, sample: ControlSample, recall: Recall) -> Text {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let (low, high) = (percent(recall.low), percent(recall.high));
    let (zh, en) = match recall.point {
        Some(point) => (format!("约 {}%", percent(point)), format!("about {} %", percent(point))),
        None => ("太少，尚难判断".to_owned(), "too few to tell".to_owned()),
    };
    let ControlSample { unflagged, answered, missed } = sample;
    Text {
        zh: format!(
            "查全率：{zh}（{low}–{high}%）。已列出 {} 人；未列出 {} 人中抽查答复 {} 人，应查出而未查出 {} 人",
            count(flagged),
            count(unflagged),
            count(answered),
            count(missed)
        ),
        en: format!(
            "recall: {en} ({low}–{high} %). {} flagged; of {} not flagged {} were looked at, {} of whom should have been",
            many(flagged, "person"),
            count(unflagged),
            count(answered),
            count(missed)
        ),
    }
}

/// The leads to be checked, in the order in which to check them.
pub(super) fn queue(
    context: &Context,
    args: &FindingsList,
    book: &Book,
    policy: &Policy,
    filter: &Filter,
    eye: &Eye,
) -> Outcome {
    let mut queued = queue::queue(book, filter, policy, &ledger::today(book, &args.desk)).map_err(refused)?;
    let all = queued.len();
    if args.limit > 0 {
        queued.truncate(args.limit);
    }
    let queued =
        queued.into_iter().map(|q| Queued { listed: eye.see(q.listed.clone()), ..q }).collect::<Vec<_>>();
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        screen.json(&queued);
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        screen.say("#次序", "#place"),
        screen.say("编号", "id"),
        screen.say("规则", "rule"),
        screen.say("级别", "severity"),
        screen.say("对象", "subject"),
        screen.say("区划", "area"),
        screen.say("#预计可追回（元）", "#yuan expected"),
        screen.say("期限", "due"),
        screen.say("为何排在这里", "why it stands here"),
    ]);
    for q in &queued {
        let lead = &q.listed.lead;
        table.row([
            q.place.to_string(),
            lead.finding_id.chars().take(SHOWN_DIGITS).collect(),
            lead.rule_id.clone(),
            super::severity_word(context, lead.severity).to_owned(),
            lead.subject_id.clone(),
            lead.area_code.clone().unwrap_or_default(),
            q.expected_fen.map(yuan).unwrap_or_default(),
            q.listed.due.clone().unwrap_or_default(),
            screen.text(&q.why).to_owned(),
        ]);
    }
    screen.table(&table);
    let shown = queued.len() as u64;
    screen.line(match screen.lang {
        Lang::Zh => format!("待核查 {} 条，显示 {} 条", count(all as u64), count(shown)),
        Lang::En => format!("{} to be checked, {} shown", many(all as u64, "lead"), count(shown)),
    });
    Ok(Exit::Done)
}
