//! `mingcha findings` against a ledger: lists of leads, one lead with its history, and the steps that people take.
//! Masked unless the reader is an investigator; then a lead goes by a name that nobody can search back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use mingcha_ledger::book::{
    Action, Check, Clearance, Event, Filter, Lead, Light, Listed, Mark, Stage, Waiver, WaiverState,
};
use mingcha_ledger::{Book, Masker, Profile, RunFolder, Style, explain_finding};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::Finding;
use mingcha_rules::text::{Lang, Text};
use serde_json::json;

use super::findings::{SHOWN_DIGITS, cases_only};
use super::ledger::{self, Desk, refused};
use super::{Context, export, filter};
use crate::args::{
    self, Chosen, Common, FindingsList, FindingsShow, FindingsVerb, FindingsVisit, FindingsWaive, Format,
    FromRun, Packs,
};
use crate::exit::{Exit, Failure, Outcome};
use crate::packs::Shelf;
use crate::render::{Table, count, many, yuan};

const SHIPPED: Packs = Packs { rules: None, datasets: None };

pub(super) fn list(context: &Context, args: &FindingsList, path: &Path) -> Outcome {
    let shelf = Shelf::open(context, &SHIPPED);
    let profile = cases_only(context, &args.from)?;
    let mut filter = of_common(&args.common);
    filter.rules.clone_from(&args.rule);
    filter.area.clone_from(&args.area);
    filter.least = args.severity.map(super::run::severity);
    filter.open = !args.all && filter.stages.is_empty() && filter.marks.is_empty();
    let book = Book::read(path).map_err(refused)?;
    let policy = ledger::policy(context, None);
    let there = |filter: &Filter| {
        let leads = book.leads(filter, &policy, &ledger::today(&book, &args.desk)).map_err(refused)?;
        Ok(!leads.is_empty())
    };
    if let Some(note) = filter::of_ledger(args, &shelf, there)? {
        context.screen.note(context.screen.text(&note));
    }
    if args.order == args::OrderArg::Queue {
        let eye = Eye::new(profile, &shelf, &book)?;
        return super::learning::queue(context, args, &book, &policy, &filter, &eye);
    }
    let mut leads = book.leads(&filter, &policy, &ledger::today(&book, &args.desk)).map_err(refused)?;
    let all = leads.len();
    let eye = Eye::new(profile, &shelf, &book)?;
    eye.order(&mut leads);
    if args.limit > 0 {
        leads.truncate(args.limit);
    }
    let leads = leads.into_iter().map(|listed| eye.see(listed)).collect::<Vec<_>>();
    if args.shape.format == Format::Json {
        context.screen.json(&leads);
        return Ok(Exit::Done);
    }
    context.screen.table(&rows(context, &leads));
    context.screen.line(match context.screen.lang {
        Lang::Zh => format!("共 {} 条线索，显示 {} 条", count(all as u64), count(leads.len() as u64)),
        Lang::En => format!("{}, {} shown", many(all as u64, "lead"), count(leads.len() as u64)),
    });
    Ok(Exit::Done)
}

fn rows(context: &Context, leads: &[Listed]) -> Table {
    let screen = &context.screen;
    let mut table = Table::new([
        screen.say("编号", "id"),
        screen.say("规则", "rule"),
        screen.say("级别", "severity"),
        screen.say("本夜", "tonight"),
        screen.say("阶段", "stage"),
        screen.say("承办", "assignee"),
        screen.say("期限", "due"),
        screen.say("灯", "light"),
        screen.say("对象", "subject"),
        screen.say("姓名", "name"),
        screen.say("区划", "area"),
        screen.say("#金额（元）", "#yuan at risk"),
        screen.say("说明", "message"),
    ]);
    let word = |text: Option<Text>| text.map(|t| screen.text(&t).to_owned()).unwrap_or_default();
    for Listed { lead, tonight, due, light, waiver, .. } in leads {
        let stage = match waiver {
            Some(id) => format!("{}（{id}）", screen.say("豁免", "waived")),
            None => word(Some(lead.stage.title())),
        };
        table.row([
            lead.finding_id.chars().take(SHOWN_DIGITS).collect(),
            lead.rule_id.clone(),
            super::severity_word(context, lead.severity).to_owned(),
            word(tonight.map(Mark::title)),
            stage,
            lead.assignee.clone().unwrap_or_default(),
            due.clone().unwrap_or_default(),
            word(light.map(Light::title)),
            lead.subject_id.clone(),
            lead.subject_name.clone().unwrap_or_default(),
            lead.area_code.clone().unwrap_or_default(),
            lead.amount_fen.map(yuan).unwrap_or_default(),
            screen.text(&lead.message).to_owned(),
        ]);
    }
    table
}

/// Who looks, and what they may see.
pub(super) struct Eye {
    masker: Masker,
    profile: Profile,
}

impl Eye {
    fn new(profile: Profile, shelf: &Shelf, book: &Book) -> Result<Self, Failure> {
        let masker = Masker::new(profile, &shelf.library.contracts).named(book.names().map_err(refused)?);
        Ok(Self { masker, profile })
    }

    /// Leads of one rule stand in the order of their subjects' numbers, which tells of them where they are masked: then
    /// in that of the names.
    fn order(&self, leads: &mut [Listed]) {
        if !self.masker.shows_all() {
            leads.sort_by_cached_key(|Listed { lead, due, .. }| {
                let name = self.masker.id(&lead.finding_id);
                (Reverse(lead.severity), due.is_none(), due.clone(), lead.rule_id.clone(), name)
            });
        }
    }

    pub(super) fn see(&self, listed: Listed) -> Listed {
        if self.profile == Profile::Investigator {
            return listed;
        }
        let masked = self.masker.finding(&listed.lead.without_rows());
        let lead = Lead {
            finding_id: masked.finding_id,
            subject_id: masked.subject_id,
            subject_name: masked.subject_name,
            area_code: masked.area_code,
            message: masked.message,
            // Digests of short rows could be searched back.
            evidence: BTreeMap::new(),
            counter_evidence: String::new(),
            judged_on: None,
            handlers: std::collections::BTreeSet::new(),
            ..listed.lead
        };
        Listed { lead, ..listed }
    }

    /// What somebody wrote about `lead`.
    fn words(&self, lead: &Lead, text: &str) -> String {
        if self.profile == Profile::Investigator {
            return text.to_owned();
        }
        let text = Text { zh: text.to_owned(), en: String::new() };
        self.masker.finding(&Finding { message: text, ..lead.without_rows() }).message.zh
    }
}

pub(super) fn show(context: &Context, args: &FindingsShow, path: &Path) -> Outcome {
    let shelf = Shelf::open(context, &SHIPPED);
    let profile = cases_only(context, &args.from)?;
    let book = Book::read(path).map_err(refused)?;
    let policy = ledger::policy(context, None);
    let filter = Filter { ids: vec![args.id.clone()], ..Filter::default() };
    let leads = book.leads(&filter, &policy, &ledger::today(&book, &args.desk)).map_err(refused)?;
    let Some(listed) = leads.into_iter().next() else { return Ok(Exit::Usage) };
    let lead = listed.lead.clone();
    let history = book.history(&lead.finding_id).map_err(refused)?;
    let eye = Eye::new(profile, &shelf, &book)?;
    let seen = eye.see(listed);
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        let events: Vec<_> = history.iter().map(|event| told(&eye, &lead, event)).collect();
        screen.json(&json!({"lead": seen, "history": events}));
        return Ok(Exit::Done);
    }
    screen.table(&rows(context, std::slice::from_ref(&seen)));
    screen.line("");
    let zone = book.zone();
    let mut table = Table::new([
        screen.say("#事件", "#event"),
        screen.say(&format!("时间（{zone}）"), &format!("when ({zone})")),
        screen.say("何人", "who"),
        screen.say("何事", "what"),
        screen.say("内容", "content"),
    ]);
    for event in &history {
        let told = told(&eye, &lead, event);
        let mut words: Vec<String> = told["changed"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        if event.what == "new" {
            words.clear();
        }
        for (name, value) in told["why"].as_object().into_iter().flatten() {
            words.push(format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
        let seq = u64::try_from(event.seq).unwrap_or(0);
        table.row([
            count(seq),
            zone.clock(&event.at),
            event.actor.clone(),
            event.what.clone(),
            words.join(", "),
        ]);
    }
    screen.table(&table);
    // The evidence itself lies in the run that last found it, while that is kept.
    let nights = book.nights().map_err(refused)?;
    let home = path.parent().unwrap_or(Path::new(""));
    let rules: Vec<_> = shelf.library.rules.iter().map(|r| &r.rule).collect();
    for night in nights.iter().rev() {
        let Ok(run) = RunFolder::open(&home.join(&night.folder)) else { continue };
        let Ok(explanation) = explain_finding(&run, &lead.finding_id, &rules) else { continue };
        let explanation = explanation.masked(&eye.masker);
        screen.line("");
        let page = explanation.render(&shelf.library.contracts, screen.lang, Style::Plain);
        screen.line(page.trim_end());
        break;
    }
    Ok(Exit::Done)
}

/// An event for this reader: what changed is named; values only for investigators.
fn told(eye: &Eye, lead: &Lead, event: &Event) -> serde_json::Value {
    let names = event.after.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let bookkeeping = ["mark", "marked_in", "stage", "stage_since", "rule_hash", "judged_on", "judged_under"];
    let changed: Vec<String> = names.filter(|name| !bookkeeping.contains(&name.as_str())).collect();
    let mut why = event.why.clone();
    for value in why.as_object_mut().into_iter().flatten().map(|(_, value)| value) {
        if let Some(text) = value.as_str() {
            *value = json!(eye.words(lead, text));
        }
    }
    let mut out = json!({"seq": event.seq, "at": event.at, "actor": event.actor, "what": event.what, "changed": changed, "why": why, "night": event.night});
    if eye.profile == Profile::Investigator {
        out["before"] = event.before.clone();
        out["after"] = event.after.clone();
    }
    out
}

/// The steps that people take, and waivers.
pub(super) fn act(context: &Context, verb: &FindingsVerb) -> Outcome {
    match verb {
        FindingsVerb::Assign(args) => {
            step(context, &args.chosen, &args.desk, &SHIPPED, args.shape.format, |_| Action::Assign {
                to: args.to.clone(),
            })
        }
        FindingsVerb::Note(args) | FindingsVerb::Close(args) | FindingsVerb::Reopen(args) => {
            let text = args.text.clone();
            let action = match verb {
                FindingsVerb::Note(_) => Action::Note { text },
                FindingsVerb::Close(_) => Action::Close { text },
                _ => Action::Reopen { text },
            };
            step(context, &args.chosen, &args.desk, &SHIPPED, args.shape.format, |_| action)
        }
        FindingsVerb::Visit(args) => {
            step(context, &args.chosen, &args.desk, &args.packs, args.shape.format, |desk| Action::Check {
                check: check(args, desk),
                text: args.text.clone(),
            })
        }
        FindingsVerb::Confirm(args) => {
            step(context, &args.chosen, &args.desk, &args.packs, args.shape.format, |desk| Action::Confirm {
                verification: check(args, desk),
            })
        }
        FindingsVerb::Clear(args) => {
            let reason = Clearance::parse(&args.reason).unwrap_or(Clearance::WrongData);
            let action = Action::Clear { reason, text: args.text.clone() };
            step(context, &args.chosen, &args.desk, &SHIPPED, args.shape.format, |_| action)
        }
        FindingsVerb::Transfer(args) => {
            let action = Action::Transfer { to: args.to.clone(), document: args.document.clone() };
            step(context, &args.chosen, &args.desk, &SHIPPED, args.shape.format, |_| action)
        }
        FindingsVerb::Recover(args) => {
            let action = Action::Recover {
                amount_fen: args.amount,
                document: args.document.clone(),
                more_than_owed: args.more_than_owed.clone(),
            };
            step(context, &args.chosen, &args.desk, &SHIPPED, args.shape.format, |_| action)
        }
        FindingsVerb::Waive(args) => waive(context, args),
        FindingsVerb::Unwaive(args) => {
            let desk = Desk::needed(context, &args.desk, &Shelf::open(context, &SHIPPED))?;
            let mut book = desk.open()?;
            book.revoke(args.id.trim(), &desk.policy, desk.by()).map_err(refused)?;
            ledger::unfinished(context, &mut book);
            context.screen.line(context.screen.say("已撤销", "taken back"));
            Ok(Exit::Done)
        }
        FindingsVerb::Waivers(args) => waivers(context, args),
        FindingsVerb::List(_) | FindingsVerb::Show(_) | FindingsVerb::Explain(_) => Ok(Exit::Usage),
    }
}

fn check(args: &FindingsVisit, desk: &Desk) -> Check {
    Check {
        by: args.by.clone().unwrap_or_else(|| desk.by().who.to_owned()),
        on: args.on.clone().unwrap_or_else(|| desk.by().day().into()),
        how: args.how.clone(),
        document: args.document.clone(),
    }
}

fn step(
    context: &Context,
    chosen: &Chosen,
    desk: &args::Desk,
    packs: &Packs,
    format: Format,
    action: impl FnOnce(&Desk) -> Action,
) -> Outcome {
    let desk = Desk::needed(context, desk, &Shelf::open(context, packs))?;
    let mut filter = of_common(&chosen.common);
    filter.ids.clone_from(&chosen.ids);
    filter.rules.clone_from(&chosen.rule);
    filter.area.clone_from(&chosen.area);
    filter.least = chosen.severity.map(super::run::severity);
    if filter == Filter::default() {
        return Err(Failure::usage(
            Diagnostic::error(
                "MC855",
                "需要线索编号或筛选条件，实际都没有给出",
                "wanted finding ids or a filter, got neither",
            )
            .with_help(
                "给出编号，或 `--area`、`--rule` 等条件",
                "give ids, or a filter such as `--area` or `--rule`",
            ),
        ));
    }
    let action = action(&desk);
    let mut book = desk.open()?;
    let leads = book.act(&filter, &action, &desk.policy, desk.by()).map_err(refused)?;
    ledger::unfinished(context, &mut book);
    let screen = &context.screen;
    if format == Format::Json {
        let masker = Masker::new(export::usual_profile(context), &[]).named(book.names().map_err(refused)?);
        let done: Vec<_> = leads
            .iter()
            .map(
                |l| json!({"finding_id": masker.id(&l.finding_id), "stage": l.stage, "assignee": l.assignee}),
            )
            .collect();
        screen.json(&done);
        return Ok(Exit::Done);
    }
    let mut counts: BTreeMap<(Stage, Option<String>), u64> = BTreeMap::new();
    for lead in &leads {
        *counts.entry((lead.stage, lead.assignee.clone())).or_default() += 1;
    }
    for ((stage, assignee), n) in counts {
        let stage = stage.title();
        let whose = assignee.map(|name| format!(" · {name}")).unwrap_or_default();
        screen.line(screen.say(
            &format!("{} 条线索：{}{whose}", count(n), stage.zh),
            &format!("{}: {}{whose}", many(n, "lead"), stage.en),
        ));
    }
    Ok(Exit::Done)
}

fn of_common(common: &Common) -> Filter {
    Filter {
        stages: common.stage.iter().filter_map(|word| Stage::parse(word)).collect(),
        marks: common.mark.iter().filter_map(|word| Mark::parse(word)).collect(),
        lights: common.light.iter().filter_map(|word| Light::parse(word)).collect(),
        assignee: common.assignee.clone(),
        subject: common.subject.clone(),
        ..Filter::default()
    }
}

fn waive(context: &Context, args: &FindingsWaive) -> Outcome {
    let desk = Desk::needed(context, &args.desk, &Shelf::open(context, &SHIPPED))?;
    let waiver = Waiver {
        rule: args.rule.clone(),
        subject: args.subject.clone(),
        area: args.area.clone(),
        period_from: args.period_from.clone(),
        period_to: args.period_to.clone(),
        reason: args.reason.clone(),
        requester: desk.by().who.to_owned(),
        approver: args.approver.clone(),
        from: args.from.clone().unwrap_or_else(|| desk.by().day().into()),
        expires: args.expires.clone(),
        revoked: None,
    };
    let mut book = desk.open()?;
    let id = book.waive(&waiver, &desk.policy, desk.by()).map_err(refused)?;
    ledger::unfinished(context, &mut book);
    if args.shape.format == Format::Json {
        let masker = Masker::new(export::usual_profile(context), &[]);
        context.screen.json(&json!({"id": id, "waiver": seen(&masker, waiver)}));
    } else {
        let expires = &waiver.expires;
        context.screen.line(context.screen.say(
            &format!("豁免 {id}，至 {expires}；所涉线索仍会查出，按“豁免”计数"),
            &format!("waiver {id} until {expires}; what it covers is still found and counted as waived"),
        ));
    }
    Ok(Exit::Done)
}

/// A waiver as its reader may see it: beside a person's number, the area down to the county.
fn seen(masker: &Masker, waiver: Waiver) -> Waiver {
    let area = match &waiver.subject {
        Some(_) => waiver.area.map(|area| masker.area(&area)),
        None => waiver.area,
    };
    Waiver {
        subject: waiver.subject.map(|subject| masker.subject(&subject)),
        area,
        reason: masker.text(&waiver.reason),
        ..waiver
    }
}

fn waivers(context: &Context, args: &args::FindingsWaivers) -> Outcome {
    let desk = &args.desk;
    let profile = cases_only(context, &FromRun { run: None, profile: args.profile })?;
    let masker = Masker::new(profile, &[]);
    let path = context.config.needed("ledger.path", "--ledger", desk.ledger.as_deref())?;
    let book = Book::read(&path).map_err(refused)?;
    let mut waivers = book.waivers(&ledger::today(&book, desk)).map_err(refused)?;
    for listed in &mut waivers {
        listed.waiver = seen(&masker, listed.waiver.clone());
    }
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        screen.json(&waivers);
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        screen.say("编号", "id"),
        screen.say("状态", "state"),
        screen.say("#线索", "#leads"),
        screen.say("规则", "rule"),
        screen.say("对象", "subject"),
        screen.say("区划", "area"),
        screen.say("自", "from"),
        screen.say("至", "expires"),
        screen.say("申请", "requester"),
        screen.say("批准", "approver"),
        screen.say("理由", "reason"),
    ]);
    for listed in waivers {
        let (zh, en) = match listed.state {
            WaiverState::Active => ("有效", "active"),
            WaiverState::Early => ("未开始", "not yet"),
            WaiverState::Expired => ("已过期", "expired"),
            WaiverState::Useless => ("无对应线索", "covers no lead"),
            WaiverState::Revoked => ("已撤销", "taken back"),
        };
        let waiver = listed.waiver;
        // The list is for the office's wall: the subject's number is not.
        let subject = waiver.subject.map(|_| screen.say("指定", "one").to_owned()).unwrap_or_default();
        table.row([
            listed.id,
            screen.say(zh, en).to_owned(),
            count(listed.covers),
            waiver.rule.unwrap_or_default(),
            subject,
            waiver.area.unwrap_or_default(),
            waiver.from,
            waiver.expires,
            waiver.requester,
            waiver.approver,
            waiver.reason,
        ]);
    }
    screen.table(&table);
    Ok(Exit::Done)
}
