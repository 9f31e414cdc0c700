//! Money that came back, known by its receipt: each receipt once, on one lead, and never more in all than was at risk
//! unless somebody says why. Reads the chain; what is written goes through the life of a lead.

use std::collections::BTreeMap;
use std::path::Path;

use mingcha_rules::Diagnostic;
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::lead::Lead;
use super::schema::broken;
use super::{Action, Book, given};
use crate::time::Zone;
use crate::words::yuan;

/// What a receipt was entered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booked {
    /// Number of the event; none while it is only planned.
    pub(crate) seq: Option<i64>,
    /// The lead.
    pub(crate) lead: String,
    /// What it is called towards a reader.
    pub(crate) called: String,
    /// Who entered it.
    pub(crate) actor: String,
    /// On which day.
    pub(crate) day: String,
    /// Fen that came back.
    pub(crate) amount_fen: i64,
}

/// Every receipt that is on record, and those that are about to be, by [`given::number`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Receipts(BTreeMap<String, Booked>);

impl Receipts {
    /// All of the ledger; `called`: what a lead is called towards a reader. What was destroyed is not known any more.
    pub(super) fn on_record(
        conn: &Connection,
        path: &Path,
        zone: Zone,
        called: impl Fn(&str) -> String,
    ) -> Result<Self, Diagnostic> {
        let read = || -> rusqlite::Result<Self> {
            let mut statement = conn.prepare(
                "SELECT seq, key, actor, at, body FROM events JOIN contents USING (seq) WHERE register = 'leads' AND what = 'recovered' ORDER BY seq",
            )?;
            let mut rows = statement.query([])?;
            let mut receipts = Self::default();
            while let Some(row) = rows.next()? {
                let (lead, body): (String, String) = (row.get(1)?, row.get(4)?);
                let at = super::instant(row.get(3)?)?;
                let why = serde_json::from_str::<Value>(&body).map(|mut body| body["why"].take());
                let Ok(why) = why else { continue };
                let booked = Booked {
                    seq: Some(row.get(0)?),
                    called: called(&lead),
                    lead,
                    actor: row.get(2)?,
                    day: zone.day(&at).to_string(),
                    amount_fen: why["amount_fen"].as_i64().unwrap_or(0),
                };
                // The first stands: a ledger of an earlier build may hold a receipt twice.
                let number = given::number(why["document"].as_str().unwrap_or_default());
                receipts.0.entry(number).or_insert(booked);
            }
            Ok(receipts)
        };
        read().map_err(|e| broken(path, e))
    }

    /// What the receipt was entered for.
    pub(crate) fn of(&self, document: &str) -> Option<&Booked> {
        self.0.get(&given::number(document))
    }

    /// Refuses money that was entered before, or that is more than `at_risk`; any other step passes. `lead`: as it stands
    /// before the step.
    pub(crate) fn pass(&self, lead: &Lead, at_risk: Option<i64>, action: &Action) -> Result<(), Diagnostic> {
        let Action::Recover { amount_fen, document, more_than_owed } = action else { return Ok(()) };
        if let Some(booked) = self.of(document) {
            return Err(twice(booked));
        }
        let all = crate::record::add_fen(lead.recovered_fen, *amount_fen)?;
        if more_than_owed.is_none() && at_risk.is_none_or(|at_risk| all > at_risk) {
            return Err(too_much(at_risk, lead.recovered_fen, *amount_fen));
        }
        Ok(())
    }

    /// Notes what a step is about to enter for the lead `called` so.
    pub(crate) fn enter(&mut self, lead: &Lead, called: &str, action: &Action) {
        if let Action::Recover { amount_fen, document, .. } = action {
            let booked = Booked {
                seq: None,
                lead: lead.finding_id.clone(),
                called: called.to_owned(),
                actor: String::new(),
                day: String::new(),
                amount_fen: *amount_fen,
            };
            self.0.entry(given::number(document)).or_insert(booked);
        }
    }

    /// [`Receipts::pass`] and [`Receipts::enter`] for a step of `lead`, which stands as it does before it.
    pub(super) fn admit(
        &mut self,
        conn: &Connection,
        path: &Path,
        lead: &Lead,
        called: &str,
        action: &Action,
    ) -> Result<(), Diagnostic> {
        if matches!(action, Action::Recover { .. }) {
            self.pass(lead, most_at_risk(conn, path, lead)?, action)?;
            self.enter(lead, called, action);
        }
        Ok(())
    }
}

impl Book {
    /// Every receipt that is on record.
    pub(crate) fn receipts(&self) -> Result<Receipts, Diagnostic> {
        let keys = self.keys()?;
        Receipts::on_record(&self.conn, &self.path, self.zone, |id| keys.called(id))
    }

    /// Fen that were at risk when most was: what came back makes the data show less of it.
    pub(crate) fn most_at_risk(&self, lead: &Lead) -> Result<Option<i64>, Diagnostic> {
        most_at_risk(&self.conn, &self.path, lead)
    }
}

/// As [`Book::most_at_risk`].
pub(super) fn most_at_risk(conn: &Connection, path: &Path, lead: &Lead) -> Result<Option<i64>, Diagnostic> {
    let read = || -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached(
            "SELECT max(coalesce(body ->> '$.before.amount_fen', 0), coalesce(body ->> '$.after.amount_fen', 0)) AS most FROM events JOIN contents USING (seq) WHERE register = 'leads' AND key = ?1 AND (body ->> '$.before.amount_fen' IS NOT NULL OR body ->> '$.after.amount_fen' IS NOT NULL) ORDER BY most DESC LIMIT 1",
        )?
        .query_row([&lead.finding_id], |row| row.get(0))
        .optional()
    };
    Ok(read().map_err(|e| broken(path, e))?.max(lead.amount_fen))
}

/// The receipt was entered before.
pub(crate) fn twice(booked: &Booked) -> Diagnostic {
    let Booked { seq, called, actor, day, amount_fen, .. } = booked;
    let money = yuan(*amount_fen);
    let (zh, en) = match seq {
        Some(seq) => (
            format!(
                "这个收据号已在第 {seq} 号事件中登记：线索 {called}，{actor} 于 {day} 登记追回 {money} 元"
            ),
            format!(
                "this receipt was entered before, in event {seq}: lead {called}, {money} yuan, by {actor} on {day}"
            ),
        ),
        None => (
            format!("这个收据号在同一次办理中已用于线索 {called}（{money} 元）"),
            format!("this receipt is used in the same step already, for lead {called} ({money} yuan)"),
        ),
    };
    Diagnostic::error("MC862", zh, en).with_help(
        "同一笔钱只登记一次；另一笔款项请填写它自己的收据号",
        "money is entered once; a further payment needs the number of its own receipt",
    )
}

fn too_much(at_risk: Option<i64>, before: i64, now: i64) -> Diagnostic {
    let (before, now) = (yuan(before), yuan(now));
    let (zh, en) = match at_risk.map(yuan) {
        Some(at_risk) => (
            format!("追回总额应不超过涉及金额 {at_risk} 元，实际已追回 {before} 元，本次 {now} 元"),
            format!(
                "wanted no more back in all than the {at_risk} yuan at risk, got {now} yuan after {before} before"
            ),
        ),
        None => (
            format!("这条线索没有涉及金额，实际登记追回 {now} 元（此前 {before} 元）"),
            format!("this lead has no amount at risk, got {now} yuan that came back after {before} before"),
        ),
    };
    Diagnostic::error("MC863", zh, en).with_help(
        "核对金额；确实多于涉及金额的（如利息、罚款），用 `mingcha findings recover --more-than-owed 理由` 登记",
        "check the amount; where more did come back (interest, a fine), enter it with `mingcha findings recover --more-than-owed REASON`",
    )
}
