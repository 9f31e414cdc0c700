//! Waivers: what is known and lawful. A waiver hides nothing: what it covers is still found and counted, as waived.
//! Plain data; knows no storage.

use chrono::Days;
use mingcha_rules::Diagnostic;
use serde::{Deserialize, Serialize};

use super::given::{among, same_person};
use super::lead::Lead;
use super::policy::parse;

/// Days that a waiver may last.
const LONGEST: u64 = 366;

/// What is known and lawful, for how long, and who says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The rule; none: every rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The subject; none: every subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Beginning of an area code; none: every area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Leads whose period ends on this day or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_from: Option<String>,
    /// Leads whose period begins on this day or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_to: Option<String>,
    /// Why it is lawful.
    pub reason: String,
    /// Who asked.
    pub requester: String,
    /// Who agreed: somebody else.
    pub approver: String,
    /// First day.
    pub from: String,
    /// Last day: at most 366 days after the first.
    pub expires: String,
    /// Taken back on this day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// How a waiver stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaiverState {
    /// It covers leads.
    Active,
    /// Not yet begun.
    Early,
    /// Its last day has passed: what it covered is a lead again.
    Expired,
    /// It covers no lead that is live.
    Useless,
    /// Taken back.
    Revoked,
}

/// A waiver, its number and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedWaiver {
    /// Its number.
    pub id: String,
    /// The waiver.
    pub waiver: Waiver,
    /// How it stands.
    pub state: WaiverState,
    /// Live leads that it covers.
    pub covers: u64,
    /// Live leads in its scope that it does not cover, because who asked for it or who agreed handled the payment.
    pub own_case: u64,
}

impl Waiver {
    /// What speaks against it.
    pub(super) fn faults(&self) -> Result<(), Diagnostic> {
        let needed = [
            ("--reason", &self.reason),
            ("--as", &self.requester),
            ("--approver", &self.approver),
            ("--from", &self.from),
            ("--expires", &self.expires),
        ];
        if let Some((flag, _)) = needed.iter().find(|(_, value)| value.trim().is_empty()) {
            return Err(Diagnostic::error(
                "MC503",
                format!("豁免需要 `{flag}`，但没有给出"),
                format!("a waiver needs `{flag}`, but it was not given"),
            ));
        }
        if same_person(&self.approver, &self.requester) {
            return Err(Diagnostic::error(
                "MC501",
                "豁免的批准人应与申请人不同，实际相同",
                "wanted an approver other than the requester, got the same person",
            )
            .with_help(
                "请另一人批准，用 `--approver` 写明",
                "have somebody else approve and name them with `--approver`",
            ));
        }
        if self.rule.is_none() && self.subject.is_none() {
            return Err(Diagnostic::error(
                "MC503",
                "豁免应限定规则或对象，实际都没有限定",
                "wanted a waiver of one rule or one subject, got one of everything",
            )
            .with_help("加上 `--rule` 或 `--subject`", "add `--rule` or `--subject`"));
        }
        let days =
            [Some(&self.from), Some(&self.expires), self.period_from.as_ref(), self.period_to.as_ref()];
        if let Some(day) = days.into_iter().flatten().find(|day| parse(day).is_none()) {
            return Err(Diagnostic::error(
                "MC503",
                format!("日期应写成 YYYY-MM-DD，实际为 `{day}`"),
                format!("wanted a day as YYYY-MM-DD, got `{day}`"),
            ));
        }
        let longest = parse(&self.from).and_then(|day| day.checked_add_days(Days::new(LONGEST)));
        if parse(&self.expires) > longest || self.expires < self.from {
            return Err(Diagnostic::error(
                "MC502",
                format!("豁免期应不超过 {LONGEST} 天，实际为 {} 至 {}", self.from, self.expires),
                format!("wanted a waiver of at most {LONGEST} days, got {} to {}", self.from, self.expires),
            )
            .with_help("缩短期限；到期后可重新申请", "make it shorter; it can be asked for again"));
        }
        Ok(())
    }

    /// Whether it holds on the day `today`.
    pub(super) fn holds(&self, today: &str) -> bool {
        self.revoked.is_none() && self.from.as_str() <= today && today <= self.expires.as_str()
    }

    /// Whether it covers `lead`: it is in its scope, and neither who asked for it nor who agreed handled the payment. When
    /// they did, the lead may not have been known, nor its handlers; so this is asked whenever the waiver is applied.
    ///
    /// What the house lays down (areas and agencies of handlers, who answers for a rule) is asked when the waiver is given
    /// and not here: who came to answer for a rule afterwards does not undo what was given before.
    pub(super) fn covers(&self, lead: &Lead) -> bool {
        self.in_scope(lead) && !self.in_own_case(lead)
    }

    /// Whether who asked for it or who agreed is named by the evidence of `lead` as its handler.
    pub(super) fn in_own_case(&self, lead: &Lead) -> bool {
        let handled = |name: &str| lead.handlers.iter().any(|field| among(field, name));
        handled(&self.requester) || handled(&self.approver)
    }

    /// Whether `lead` is in its scope, whoever handled it.
    pub(super) fn in_scope(&self, lead: &Lead) -> bool {
        let begins =
            |area: &String| lead.area_code.as_ref().is_some_and(|code| code.starts_with(area.as_str()));
        let ends = lead.period_to.as_ref().or(lead.period_from.as_ref());
        let starts = lead.period_from.as_ref().or(lead.period_to.as_ref());
        self.rule.as_ref().is_none_or(|rule| *rule == lead.rule_id)
            && self.subject.as_ref().is_none_or(|subject| *subject == lead.subject_id)
            && self.area.as_ref().is_none_or(begins)
            && self.period_from.as_ref().is_none_or(|day| ends.is_some_and(|end| end >= day))
            && self.period_to.as_ref().is_none_or(|day| starts.is_some_and(|start| start <= day))
    }

    /// How it stands, when it covers `covers` live leads.
    pub(super) fn state(&self, today: &str, covers: u64) -> WaiverState {
        match () {
            () if self.revoked.is_some() => WaiverState::Revoked,
            () if self.expires.as_str() < today => WaiverState::Expired,
            () if self.from.as_str() > today => WaiverState::Early,
            () if covers == 0 => WaiverState::Useless,
            () => WaiverState::Active,
        }
    }
}
