//! The life of a lead: which step may follow which, what each step needs, who must not take it. One table; knows
//! no storage but the pen. A machine moves a lead to "new" and nowhere else.

use mingcha_rules::Diagnostic;
use serde_json::{Value, json};

use super::chain::{self, By, Entry, Pen, Register};
use super::lead::{Check, Clearance, Lead, Presence, Stage};
use super::policy::{self, Conflict, Policy};

/// A step that a person takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Somebody is to check it.
    Assign {
        /// Who; none: whoever works in its area and has least to do.
        to: Option<String>,
    },
    /// Something to remember; the stage stays.
    Note {
        /// What.
        text: String,
    },
    /// Somebody visited or checked.
    Check {
        /// Who, when, how, and a paper if there is one.
        check: Check,
        /// What was seen.
        text: String,
    },
    /// It is so.
    Confirm {
        /// Who verified it, when, how, and on which paper.
        verification: Check,
    },
    /// It is not so, or lawful.
    Clear {
        /// Why.
        reason: Clearance,
        /// In words.
        text: String,
    },
    /// Another body takes it.
    Transfer {
        /// Which.
        to: String,
        /// Number of the letter.
        document: String,
    },
    /// Money came back.
    Recover {
        /// How much, in fen.
        amount_fen: i64,
        /// Number of the receipt.
        document: String,
        /// Why more comes back than was at risk, where it does.
        more_than_owed: Option<String>,
    },
    /// Done.
    Close {
        /// Why.
        text: String,
    },
    /// What a person learned outside of the data takes a judged lead back to the beginning.
    Reopen {
        /// What.
        text: String,
    },
}

impl Action {
    /// The word in the ledger and on the command line.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Assign { .. } => "assign",
            Self::Note { .. } => "note",
            Self::Check { .. } => "visit",
            Self::Confirm { .. } => "confirm",
            Self::Clear { .. } => "clear",
            Self::Transfer { .. } => "transfer",
            Self::Recover { .. } => "recover",
            Self::Close { .. } => "close",
            Self::Reopen { .. } => "reopen",
        }
    }

    /// What has happened when it is done: the word of the event.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Assign { .. } => "assigned",
            Self::Note { .. } => "noted",
            Self::Check { .. } => "checked",
            Self::Confirm { .. } => "confirmed",
            Self::Clear { .. } => "cleared",
            Self::Transfer { .. } => "transferred",
            Self::Recover { .. } => "recovered",
            Self::Close { .. } => "closed",
            Self::Reopen { .. } => "reopened_by_hand",
        }
    }

    /// Where the step leads from `stage`; `None` where it may not be taken there.
    #[must_use]
    pub fn leads_to(&self, stage: Stage, presence: Presence) -> Option<Stage> {
        use Stage::{Assigned, Checked, Cleared, Closed, Confirmed, New, Recovered, Transferred};
        let to = match (self, stage) {
            (Self::Note { .. }, stage) => stage,
            (Self::Assign { .. }, New | Assigned | Checked) => Assigned,
            (Self::Check { .. }, Assigned | Checked) => Checked,
            (Self::Confirm { .. }, Checked) => Confirmed,
            // Nobody clears what nobody looked at. Also what was confirmed or handed on may turn out to be wrong.
            (Self::Clear { .. }, Checked | Confirmed | Transferred) => Cleared,
            (Self::Transfer { .. }, Confirmed | Recovered) => Transferred,
            (Self::Recover { .. }, Confirmed | Transferred | Recovered) => Recovered,
            (Self::Close { .. }, Cleared | Confirmed | Transferred | Recovered) => Closed,
            // What the data no longer show needs no judgement.
            (Self::Close { .. }, New | Assigned | Checked) if presence != Presence::Live => Closed,
            (Self::Reopen { .. }, Cleared | Closed) => New,
            _ => return None,
        };
        Some(to)
    }

    /// `lead` after the step; refused with what is missing or who must not. `called`: what a fault may call the lead.
    pub(crate) fn take(
        &self,
        lead: &Lead,
        called: &str,
        by: &By<'_>,
        policy: &Policy,
    ) -> Result<Lead, Diagnostic> {
        let Some(stage) = self.leads_to(lead.stage, lead.presence) else {
            return Err(not_here(self, lead, called));
        };
        self.whole(by)?;
        self.barred(lead, called, by, policy)?;
        let mut next = lead.clone();
        match self {
            Self::Assign { to } => {
                let to = to.clone().ok_or_else(|| nobody(lead, called))?;
                next.assignee = Some(to.trim().to_owned());
            }
            Self::Note { .. } => return Ok(next),
            Self::Check { check, .. } => next.check = Some(check.clone()),
            Self::Confirm { verification } => next.verification = Some(verification.clone()),
            Self::Clear { reason, .. } => {
                next.clearance = Some(*reason);
                next.judge();
            }
            Self::Transfer { to, .. } => next.transferred_to = Some(to.clone()),
            Self::Recover { amount_fen, .. } => {
                next.recovered_fen = crate::record::add_fen(lead.recovered_fen, *amount_fen)?;
            }
            // What was cleared stays judged on what it was cleared on.
            Self::Close { .. } if lead.stage == Stage::Cleared => {}
            Self::Close { .. } => next.judge(),
            Self::Reopen { .. } => restart(&mut next, *by),
        }
        if next.stage != stage {
            next.stage = stage;
            next.stage_since.clone_from(by.at);
        }
        Ok(next)
    }

    /// Who must not take the step: nobody judges what they handled or a rule that they answer for, whatever the judgement,
    /// and also where somebody else judged before.
    fn barred(&self, lead: &Lead, called: &str, by: &By<'_>, policy: &Policy) -> Result<(), Diagnostic> {
        let bar =
            |conflict: Option<Conflict>| conflict.map_or(Ok(()), |conflict| Err(refuse(conflict, called)));
        let judge = |name: &str| bar(policy.may_not_judge(name, lead));
        match self {
            Self::Note { .. } => Ok(()),
            Self::Assign { to } => to.as_ref().map_or(Ok(()), |to| bar(policy.may_not_check(to, lead))),
            Self::Check { check, .. } => {
                bar(policy.may_not_check(&check.by, lead)).and(bar(policy.handled(by.who, lead)))
            }
            Self::Confirm { verification } => judge(by.who).and(judge(&verification.by)),
            // What was looked at by who answers for the rule, or before it was known who handled it, has to be looked at
            // by somebody else.
            Self::Clear { .. } => match &lead.check {
                Some(check) if lead.stage == Stage::Checked => judge(by.who).and(judge(&check.by)),
                _ => judge(by.who),
            },
            Self::Transfer { .. } | Self::Recover { .. } | Self::Close { .. } | Self::Reopen { .. } => {
                judge(by.who)
            }
        }
    }

    /// What the event remembers beyond the change itself.
    pub(super) fn why(&self) -> Value {
        match self {
            Self::Assign { .. } | Self::Confirm { .. } => Value::Null,
            Self::Note { text } | Self::Check { text, .. } | Self::Close { text } | Self::Reopen { text } => {
                if text.is_empty() {
                    Value::Null
                } else {
                    json!({"text": text})
                }
            }
            Self::Clear { reason, text } => json!({"reason": reason, "text": text}),
            Self::Transfer { to, document } => json!({"to": to, "document": document}),
            Self::Recover { amount_fen, document, more_than_owed } => {
                let mut why = json!({"amount_fen": amount_fen, "document": document});
                if let Some(reason) = more_than_owed {
                    why["more_than_owed"] = json!(reason);
                }
                why
            }
        }
    }

    /// Every field that the step needs.
    fn whole(&self, by: &By<'_>) -> Result<(), Diagnostic> {
        let present = |flag: &str, value: &str| {
            if value.trim().is_empty() { Err(missing(self, flag)) } else { Ok(()) }
        };
        let checked = |check: &Check| {
            present("--by", &check.by)?;
            present("--how", &check.how)?;
            present("--on", &check.on)?;
            let day = policy::parse(&check.on).ok_or_else(|| no_day(&check.on))?;
            match policy::parse(&by.day()) {
                Some(today) if day > today => Err(not_yet(&check.on)),
                _ => Ok(()),
            }
        };
        present("--as", by.who)?;
        match self {
            Self::Assign { to } => to.as_ref().map_or(Ok(()), |to| present("--to", to)),
            Self::Note { text } | Self::Close { text } | Self::Reopen { text } => present("--text", text),
            Self::Check { check, .. } => checked(check),
            Self::Confirm { verification } => {
                checked(verification)?;
                present("--document", verification.document.as_deref().unwrap_or(""))
            }
            Self::Clear { text, .. } => present("--text", text),
            Self::Transfer { to, document } => present("--to", to).and(present("--document", document)),
            Self::Recover { amount_fen, document, more_than_owed } => {
                present("--document", document)?;
                more_than_owed.as_ref().map_or(Ok(()), |reason| present("--more-than-owed", reason))?;
                if *amount_fen > 0 { Ok(()) } else { Err(missing(self, "--amount")) }
            }
        }
    }
}

impl Pen<'_> {
    /// Writes a step that took `was` to `now`; `why`: what the event remembers beyond that.
    pub(super) fn step(
        &mut self,
        action: &Action,
        was: &Lead,
        now: &Lead,
        why: Value,
    ) -> Result<i64, Diagnostic> {
        self.write(&Entry {
            what: action.what(),
            register: Register::Leads,
            key: &was.finding_id,
            run: "",
            old: Some(&chain::body(was)),
            new: Some(&chain::body(now)),
            why,
        })
    }
}

/// Back to the beginning: what was judged does not hold any more; the history keeps it.
pub(super) fn restart(lead: &mut Lead, by: By<'_>) {
    lead.stage = Stage::New;
    lead.stage_since.clone_from(by.at);
    lead.opened = by.day().into();
    lead.reopened += 1;
    (lead.assignee, lead.check, lead.verification) = (None, None, None);
    (lead.clearance, lead.judged_on, lead.judged_under) = (None, None, None);
}

fn not_here(action: &Action, lead: &Lead, called: &str) -> Diagnostic {
    let stage = lead.stage.title();
    let all = [
        Action::Assign { to: None },
        Action::Check { check: no_check(), text: String::new() },
        Action::Confirm { verification: no_check() },
        Action::Clear { reason: Clearance::Legitimate, text: String::new() },
        Action::Transfer { to: String::new(), document: String::new() },
        Action::Recover { amount_fen: 0, document: String::new(), more_than_owed: None },
        Action::Close { text: String::new() },
        Action::Reopen { text: String::new() },
    ];
    let steps: Vec<&str> =
        all.iter().filter(|a| a.leads_to(lead.stage, lead.presence).is_some()).map(Action::verb).collect();
    let verb = action.verb();
    Diagnostic::error(
        "MC852",
        format!("线索 {called} 处于“{}”，不能执行 {verb}", stage.zh),
        format!("lead {called} is {}, so it cannot take the step `{verb}`", stage.en),
    )
    .with_help(
        format!("此时可以：{}、note", steps.join("、")),
        format!("steps from here: {}, note", steps.join(", ")),
    )
}

fn no_check() -> Check {
    Check { by: String::new(), on: String::new(), how: String::new(), document: None }
}

fn missing(action: &Action, flag: &str) -> Diagnostic {
    let verb = action.verb();
    Diagnostic::error(
        "MC853",
        format!("步骤 {verb} 需要 `{flag}`，但没有给出"),
        format!("the step `{verb}` needs `{flag}`, but it was not given"),
    )
    .with_help(format!("加上 `{flag}`"), format!("add `{flag}`"))
}

fn no_day(got: &str) -> Diagnostic {
    Diagnostic::error(
        "MC853",
        format!("日期应写成 YYYY-MM-DD，实际为 `{got}`"),
        format!("wanted a day as YYYY-MM-DD, got `{got}`"),
    )
}

fn not_yet(got: &str) -> Diagnostic {
    Diagnostic::error(
        "MC853",
        format!("核查日期不应在今天之后，实际为 {got}"),
        format!("wanted a day of checking that is not in the future, got {got}"),
    )
}

fn nobody(lead: &Lead, called: &str) -> Diagnostic {
    let area = lead.area_code.as_deref().unwrap_or("-");
    Diagnostic::error(
        "MC857",
        format!("线索 {called} 所在区划 {area} 没有可分派的核查人员"),
        format!("nobody works in area {area} of lead {called} who may check it"),
    )
    .with_help(
        "用 `--to` 指定，或在 mingcha.toml 的 [[ledger.people]] 中登记",
        "name somebody with `--to`, or enter people under [[ledger.people]] in mingcha.toml",
    )
}

/// Who must not have anything to do with what is `called` so (a lead, or the leads of a waiver), and why.
pub(super) fn refuse(conflict: Conflict, called: &str) -> Diagnostic {
    let (zh, en) = match conflict {
        Conflict::Handled => ("经办过这笔发放的人", "whoever handled the payment"),
        Conflict::AreaUnknown => (
            "经办某一区划发放的人（线索的区划不明或过宽，不能确认在其经办范围之外）",
            "somebody who handles payments of an area: the lead's own area is not known or too wide, so that it cannot be shown to lie outside",
        ),
        Conflict::AgencyUnknown => (
            "经办某一机构发放的人（证据没有写明经办人，不能确认在其经办范围之外）",
            "somebody who handles payments at an agency: the evidence names nobody who handled this one, so that it cannot be shown to lie outside",
        ),
        Conflict::WroteRule => ("编写或负责这条规则的人", "whoever wrote the rule or answers for it"),
        Conflict::AtHome => ("本村（社区）的人", "somebody who lives there"),
    };
    Diagnostic::error(
        "MC854",
        format!("线索 {called} 不能由{zh}核查、认定、排除、办结、重开、移送或豁免"),
        format!("lead {called} must not be checked or judged (confirmed, cleared, closed, reopened, handed over, waived) by {en}"),
    )
    .with_help("换一个人", "somebody else has to do it")
}
