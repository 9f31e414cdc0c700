//! What a file would change: row by row the steps that its answers mean, tried on the leads as they stand, so that
//! whatever the life of a lead forbids is known before anything is written. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::Diagnostic;

use super::answers::{Answers, is_negative, is_positive, label};
use super::{Brought, Change, Known, Names, Office, Parcel, said};
use crate::book::{
    Action, Answer, Book, Check, Clearance, Handout, Lead, Receipts, Returned, Stage, settles, twice,
};
use crate::export::{Field, Kind};

/// A file with everything that taking it in needs.
pub(super) struct Planned {
    pub(super) brought: Brought,
    pub(super) returned: Returned,
    /// The leads as they would stand.
    pub(super) leads: BTreeMap<String, Lead>,
    /// The receipts as they would be known.
    pub(super) receipts: Receipts,
}

impl Planned {
    /// Whether there is anything that was not known.
    pub(super) fn says_something(&self) -> bool {
        !self.brought.changes.is_empty()
            || !self.returned.rows.is_empty()
            || !self.returned.controls.is_empty()
    }
}

/// Plans one file; `known` is what the files before it said.
pub(super) fn plan(
    book: &Book,
    office: &Office<'_>,
    known: &Known,
    parcel: Parcel,
) -> Result<Planned, Diagnostic> {
    let name = parcel.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut planned = Planned {
        brought: Brought {
            file: parcel.file,
            number: parcel.handout.as_ref().map(|h| h.id.clone()),
            recipient: parcel.handout.as_ref().map(|h| h.recipient.clone()),
            changes: Vec::new(),
            known: 0,
            empty: parcel.empty,
            controls: 0,
            missed: Vec::new(),
            faults: parcel.faults,
            taken: false,
        },
        returned: Returned {
            handout: parcel.handout.as_ref().map(|h| h.id.clone()).unwrap_or_default(),
            file: name,
            sha256: parcel.sha256,
            at: office.by.at.clone(),
            ..Returned::default()
        },
        leads: BTreeMap::new(),
        receipts: known.receipts.clone(),
    };
    let Some(handout) = &parcel.handout else { return Ok(planned) };
    let ids: BTreeSet<String> = if parcel.rows.is_empty() { BTreeSet::new() } else { handout.leads.clone() };
    planned.leads = book.leads_of(&ids)?;
    for (id, lead) in &known.leads {
        if let Some(stands) = planned.leads.get_mut(id) {
            stands.clone_from(lead);
        }
    }
    let mut clerk = Clerk { book, office, known, handout, planned };
    let names = Names::new(&office.keys, handout);
    let subjects = clerk.subjects();
    let agreed = parcel.rows.iter().enumerate().filter(|(nth, _)| !parcel.disputed.contains(nth));
    for (_, row) in agreed {
        let Some(about) = names.about(handout, row) else {
            clerk.refuse(row, head(row), not_in_list());
            continue;
        };
        match row.kind {
            Kind::Visits => clerk.visit(row, &about, &subjects)?,
            _ => clerk.finding(row, &about)?,
        }
    }
    Ok(clerk.planned)
}

struct Clerk<'a> {
    book: &'a Book,
    office: &'a Office<'a>,
    known: &'a Known,
    handout: &'a Handout,
    planned: Planned,
}

/// Why a row is not taken: the cell, and what is wrong.
type Refusal = (Field, Diagnostic);

impl Clerk<'_> {
    /// The leads of each person, by the name on the visit sheet.
    fn subjects(&self) -> BTreeMap<String, Vec<String>> {
        let mut subjects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, lead) in &self.planned.leads {
            subjects.entry(self.office.keys.person(&lead.subject_id)).or_default().push(id.clone());
        }
        subjects
    }

    fn refuse(&mut self, row: &Answers, field: Field, fault: Diagnostic) {
        self.planned.brought.faults.push(fault.in_file(&row.place.file).at_column(row.place.cell(field)));
    }

    /// A row of the main list.
    fn finding(&mut self, row: &Answers, id: &str) -> Result<(), Diagnostic> {
        let said = said(&self.office.keys, id, row);
        let Some(lead) = self.planned.leads.get(id).cloned() else {
            self.refuse(row, head(row), not_in_list());
            return Ok(());
        };
        // What was said before the lead was opened anew was said of other evidence.
        let fresh = self.known.of(id).iter().any(|earlier| *earlier.day >= *lead.opened);
        if fresh && self.known.holds(id, &said) {
            self.planned.brought.known += 1;
            return Ok(());
        }
        let steps = match self.judge(row, &lead) {
            Ok(steps) => steps,
            Err((field, fault)) => {
                self.refuse(row, field, fault);
                return Ok(());
            }
        };
        if self.take(row, vec![(id.to_owned(), steps)])? {
            self.planned.returned.rows.insert(id.to_owned(), said);
        }
        Ok(())
    }

    /// The steps that a row of the main list means for a lead that stands where it does.
    fn judge(&self, row: &Answers, lead: &Lead) -> Result<Vec<Action>, Refusal> {
        let open = matches!(lead.stage, Stage::New | Stage::Assigned | Stage::Checked);
        let upheld = matches!(lead.stage, Stage::Confirmed | Stage::Transferred | Stage::Recovered);
        let remark = row.text(Field::Remark).unwrap_or("");
        let mut steps = Vec::new();
        let mut told = false;
        match (row.word(Field::Conclusion), check(row)) {
            (Some(conclusion), Some(check)) if open => {
                let (zh, en) = label(conclusion);
                if lead.stage == Stage::New {
                    steps.push(Action::Assign { to: Some(check.by.clone()) });
                }
                let text =
                    if remark.is_empty() { format!("{zh} {en}") } else { format!("{zh} {en}: {remark}") };
                steps.push(Action::Check { check: check.clone(), text });
                told = true;
                if is_positive(conclusion) {
                    steps.push(Action::Confirm { verification: check });
                } else if let Some(reason) = clearance(conclusion) {
                    steps.push(Action::Clear { reason, text: remark.to_owned() });
                }
            }
            (Some(conclusion), _) if is_positive(conclusion) && !upheld => {
                return Err((Field::Conclusion, otherwise(lead)));
            }
            (Some(conclusion), _) if is_negative(conclusion) => {
                let same = lead.clearance.is_some() && lead.clearance == clearance(conclusion);
                if !same {
                    return Err((Field::Conclusion, otherwise(lead)));
                }
            }
            // A word that settles nothing changes nothing of what is settled.
            _ => {}
        }
        if let (Some(amount_fen), Some(document)) = (row.fen(Field::Recovered), row.text(Field::Document)) {
            let confirmed = upheld || row.word(Field::Conclusion).is_some_and(is_positive);
            if !confirmed {
                return Err((Field::Recovered, not_confirmed(lead)));
            }
            match self.planned.receipts.of(document) {
                None => steps.push(Action::Recover {
                    amount_fen,
                    document: document.to_owned(),
                    more_than_owed: None,
                }),
                Some(known) if known.lead != lead.finding_id => return Err((Field::Document, twice(known))),
                Some(known) if known.amount_fen == amount_fen => {}
                Some(known) => return Err((Field::Recovered, other_amount(known.amount_fen))),
            }
        }
        if !told && !remark.is_empty() {
            steps.push(Action::Note { text: remark.to_owned() });
        }
        Ok(steps)
    }

    /// A row of the visit sheet: a check of every lead of that person, never a judgement; or an answer of the sample.
    fn visit(
        &mut self,
        row: &Answers,
        about: &str,
        subjects: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), Diagnostic> {
        let said = said(&self.office.keys, about, row);
        let drawn = self.handout.sample.as_ref().is_some_and(|sample| sample.drawn.contains_key(&row.key));
        let Some(ids) = subjects.get(&row.key) else {
            if drawn {
                self.control(row);
            } else {
                self.refuse(row, head(row), not_in_list());
            }
            return Ok(());
        };
        if self.known.holds(about, &said) {
            self.planned.brought.known += 1;
            return Ok(());
        }
        let text = in_words(row);
        let mut all = Vec::new();
        for id in ids {
            let Some(lead) = self.planned.leads.get(id) else { continue };
            let mut steps = Vec::new();
            match (lead.stage, check(row)) {
                (Stage::New, Some(check)) => {
                    steps.push(Action::Assign { to: Some(check.by.clone()) });
                    steps.push(Action::Check { check, text: text.clone() });
                }
                (Stage::Assigned | Stage::Checked, Some(check)) => {
                    steps.push(Action::Check { check, text: text.clone() });
                }
                _ => steps.push(Action::Note { text: text.clone() }),
            }
            all.push((id.clone(), steps));
        }
        if self.take(row, all)? {
            self.planned.returned.rows.insert(about.to_owned(), said);
        }
        Ok(())
    }

    fn control(&mut self, row: &Answers) {
        let own = |text: &str| text.to_owned();
        let answer = Answer {
            state: row.word(Field::State).map(own).unwrap_or_default(),
            died: row.text(Field::Died).map(own),
            card: row.word(Field::Card).map(own),
            on: row.text(Field::On).map(own).unwrap_or_default(),
            remark: row.text(Field::Remark).map(own),
        };
        let about = format!("{} person:{}", self.handout.id, row.key);
        let said = said(&self.office.keys, &about, row);
        let known = self.known.controls.get(&(self.handout.id.clone(), row.key.clone()));
        let settled_before = known.is_some_and(|known| settles(&known.state)) && !settles(&answer.state);
        if known == Some(&answer) || settled_before || self.known.holds(&about, &said) {
            self.planned.brought.known += 1;
            return;
        }
        self.planned.brought.controls += 1;
        if matches!(answer.state.as_str(), "dead" | "custody") {
            self.planned.brought.missed.push(row.place.cell(Field::State));
        }
        self.planned.returned.rows.insert(about, said);
        self.planned.returned.controls.insert(row.key.clone(), answer);
    }

    /// Tries the steps on the leads as they stand; all of the row, or a fault and nothing.
    fn take(&mut self, row: &Answers, steps: Vec<(String, Vec<Action>)>) -> Result<bool, Diagnostic> {
        let mut tried: Vec<(Lead, Lead, Vec<Action>)> = Vec::new();
        for (id, actions) in steps {
            let Some(from) = self.planned.leads.get(&id).cloned() else { continue };
            let mut now = from.clone();
            for action in &actions {
                match self.after(&now, action)? {
                    Ok(next) => now = next,
                    Err(fault) => {
                        let field = cell_of(action, &fault, row);
                        self.refuse(row, field, fault);
                        return Ok(false);
                    }
                }
            }
            tried.push((from, now, actions));
        }
        for (from, now, actions) in tried.into_iter().filter(|(_, _, actions)| !actions.is_empty()) {
            let id = now.finding_id.clone();
            let called = self.office.keys.called(&id);
            actions.iter().for_each(|action| self.planned.receipts.enter(&now, &called, action));
            self.planned.brought.changes.push(Change {
                lead: self.office.keys.alias(&id),
                rule_id: now.rule_id.clone(),
                cell: row.place.cell(head(row)),
                from: from.stage,
                to: now.stage,
                steps: actions.iter().map(Action::title).collect(),
                finding_id: id.clone(),
                actions,
            });
            self.planned.leads.insert(id, now);
        }
        Ok(true)
    }

    /// A lead after a step, or what speaks against the step.
    fn after(&self, lead: &Lead, action: &Action) -> Result<Result<Lead, Diagnostic>, Diagnostic> {
        let called = self.office.keys.called(&lead.finding_id);
        if matches!(action, Action::Recover { .. }) {
            let at_risk = self.book.most_at_risk(lead)?;
            if let Err(fault) = self.planned.receipts.pass(lead, at_risk, action) {
                return Ok(Err(fault));
            }
        }
        Ok(action.take(lead, &called, &self.office.by, self.office.policy))
    }
}

/// The question that a row is about.
fn head(row: &Answers) -> Field {
    if row.kind == Kind::Visits { Field::State } else { Field::Conclusion }
}

/// The cell to which a refused step points.
fn cell_of(action: &Action, fault: &Diagnostic, row: &Answers) -> Field {
    match (fault.code.as_str(), action) {
        ("MC854", _) | (_, Action::Assign { .. }) => Field::By,
        ("MC862", _) => Field::Document,
        (_, Action::Recover { .. }) => Field::Recovered,
        _ => head(row),
    }
}

/// Who, when, how, on which paper, where all but the paper is there.
fn check(row: &Answers) -> Option<Check> {
    Some(Check {
        by: row.text(Field::By)?.to_owned(),
        on: row.text(Field::On)?.to_owned(),
        how: row.word(Field::How)?.to_owned(),
        document: row.text(Field::Document).map(str::to_owned),
    })
}

fn clearance(conclusion: &str) -> Option<Clearance> {
    match conclusion {
        "legitimate" => Some(Clearance::Legitimate),
        "source_data_wrong" => Some(Clearance::WrongData),
        "wrong_match" => Some(Clearance::WrongMatch),
        _ => None,
    }
}

/// What a visitor said, in words of both languages.
fn in_words(row: &Answers) -> String {
    let both = |field: Field| {
        let (zh, en) = label(row.word(field).unwrap_or(""));
        format!("{zh} {en}")
    };
    let mut parts = vec![both(Field::State)];
    parts.extend(row.text(Field::Died).map(|day| format!("死亡日期 died {day}")));
    if row.word(Field::Card).is_some() {
        parts.push(format!("社保卡 card: {}", both(Field::Card)));
    }
    parts.extend(row.text(Field::Remark).map(str::to_owned));
    parts.join("; ")
}

fn not_in_list() -> Diagnostic {
    Diagnostic::error(
        "MC884",
        "这一行的线索（人员）不在这份清单中，或已按期销毁",
        "the lead (person) of this row is not in this list, or was purged",
    )
    .with_help("核对是否从别的表复制而来", "see whether the row was copied from another sheet")
}

fn otherwise(lead: &Lead) -> Diagnostic {
    let stage = lead.stage.title();
    Diagnostic::error(
        "MC890",
        format!("台账中这条线索已是“{}”，与所填结论不符", stage.zh),
        format!("in the ledger this lead is {}, which is not what the row says", stage.en),
    )
    .with_help(
        "核对后用 `mingcha findings clear` 或 `reopen` 更正，再导入",
        "find out which is right; `mingcha findings clear` or `reopen` corrects the ledger, then import again",
    )
}

fn not_confirmed(lead: &Lead) -> Diagnostic {
    let stage = lead.stage.title();
    Diagnostic::error(
        "MC888",
        format!("追回金额只能填在已认定属实的线索上，这条线索处于“{}”", stage.zh),
        format!("wanted recovered money only where the lead is confirmed; this one is {}", stage.en),
    )
    .with_help("同时填写结论及文书编号", "fill in the conclusion and the number of its paper too")
}

fn other_amount(known: i64) -> Diagnostic {
    let yuan = crate::words::yuan(known);
    Diagnostic::error(
        "MC889",
        format!("台账中同一文书（收据）编号的追回金额为 {yuan} 元，与所填不符"),
        format!(
            "the ledger has {yuan} yuan recovered by a receipt of this number, which is not what the row says"
        ),
    )
    .with_help("另一笔款项请填写它自己的收据编号", "a further payment needs the number of its own receipt")
}
