//! Waivers in the ledger: asked for, approved, taken back, listed. Who handled a payment in their scope does neither.
//! What a waiver is, and what speaks against it by itself, is in [`super::waiver`].

use mingcha_rules::Diagnostic;
use serde_json::Value;

use super::chain::{self, Entry, Register};
use super::lead::Lead;
use super::life::refuse;
use super::policy::Conflict;
use super::waiver::{ListedWaiver, Waiver};
use super::{Book, By, Policy, each, entries};

impl Book {
    /// Enters a waiver; returns its number.
    ///
    /// # Errors
    /// `MC501` where requester and approver are one person, `MC502` where it lasts too long, `MC503` where something
    /// is missing, `MC854` where requester, approver or whoever enters it must not judge what it covers, `MC865` where a
    /// masked number fits several subjects.
    pub fn waive(&mut self, waiver: &Waiver, policy: &Policy, by: By<'_>) -> Result<String, Diagnostic> {
        waiver.faults()?;
        let subject = match &waiver.subject {
            Some(given) => Some(self.subject_called(given)?),
            None => None,
        };
        let waiver = Waiver { subject, ..waiver.clone() };
        self.may_waive(&[&waiver.requester, &waiver.approver, by.who], &waiver, policy)?;
        let all = self.all_waivers()?;
        let id = format!("W{:04}", all.len() + 1);
        self.write(by, |_, _, pen| {
            pen.write(&Entry {
                what: "waived",
                register: Register::Waivers,
                key: &id,
                run: "",
                old: None,
                new: Some(&chain::body(&waiver)),
                why: Value::Null,
            })
        })?;
        Ok(id)
    }

    /// Takes a waiver back from the day of `by` on.
    ///
    /// # Errors
    /// `MC504` where there is no such waiver, or it was taken back before; `MC854` where whoever takes it back must not
    /// judge what it covers.
    pub fn revoke(&mut self, id: &str, policy: &Policy, by: By<'_>) -> Result<(), Diagnostic> {
        let found = entries::<Waiver>(&self.conn, &self.path, Register::Waivers, "key = ?1", &[id])?;
        let Some((key, waiver, old)) = found.into_iter().find(|(_, waiver, _)| waiver.revoked.is_none())
        else {
            return Err(Diagnostic::error(
                "MC504",
                "没有这个编号的有效豁免",
                "there is no waiver of this number that could be taken back",
            )
            .with_help("用 `mingcha findings waivers` 查看", "`mingcha findings waivers` lists them"));
        };
        self.may_waive(&[by.who], &waiver, policy)?;
        let now = Waiver { revoked: Some(by.day().into()), ..waiver };
        self.write(by, |_, _, pen| {
            pen.write(&Entry {
                what: "unwaived",
                register: Register::Waivers,
                key: &key,
                run: "",
                old: Some(&old),
                new: Some(&chain::body(&now)),
                why: Value::Null,
            })
        })
        .map(drop)
    }

    /// Whether all of `names` may have to do with a waiver: what it covers would not be judged any more.
    fn may_waive(&self, names: &[&str], waiver: &Waiver, policy: &Policy) -> Result<(), Diagnostic> {
        let mut covered: Vec<Lead> = Vec::new();
        each(&self.conn, &self.path, Register::Leads, "1 = 1", &[], |_, lead: Lead| {
            if waiver.in_scope(&lead) {
                covered.push(lead);
            }
        })?;
        // What will be found later is covered too; of a subject whose leads are known it is known where that is.
        let later = waiver.subject.is_none() || covered.is_empty();
        let keys = self.keys()?;
        for name in names {
            let by_lead = covered.iter().find_map(|lead| Some((policy.may_not_judge(name, lead)?, lead)));
            if let Some((conflict, lead)) = by_lead {
                return Err(refuse(conflict, &keys.called(&lead.finding_id)));
            }
            let by_scope = policy.may_not_waive(name, waiver.rule.as_deref(), waiver.area.as_deref());
            // Where a subject's payments are made is known of its leads; that a rule is somebody's own is known anyway.
            if let Some(conflict) = by_scope.filter(|conflict| later || *conflict == Conflict::WroteRule) {
                return Err(refuse(conflict, "（豁免范围内 in the scope of the waiver）"));
            }
        }
        Ok(())
    }

    fn all_waivers(&self) -> Result<Vec<(String, Waiver, Value)>, Diagnostic> {
        entries(&self.conn, &self.path, Register::Waivers, "1 = 1", &[])
    }

    /// All waivers as they stand on the day `today`.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn waivers(&self, today: &str) -> Result<Vec<ListedWaiver>, Diagnostic> {
        let waivers = self.all_waivers()?;
        let mut counts = vec![(0_u64, 0_u64); waivers.len()];
        if !waivers.is_empty() {
            for lead in self.live()? {
                for ((_, waiver, _), (covers, own_case)) in waivers.iter().zip(&mut counts) {
                    *covers += u64::from(waiver.covers(&lead));
                    *own_case += u64::from(waiver.in_scope(&lead) && waiver.in_own_case(&lead));
                }
            }
        }
        let listed = waivers.into_iter().zip(counts).map(|((id, waiver, _), (covers, own_case))| {
            ListedWaiver { id, state: waiver.state(today, covers), waiver, covers, own_case }
        });
        Ok(listed.collect())
    }

    /// Which waiver covers a lead on the day `today`.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn waived(&self, today: &str) -> Result<impl Fn(&Lead) -> Option<String> + use<>, Diagnostic> {
        let mut waivers = self.all_waivers()?;
        waivers.retain(|(_, waiver, _)| waiver.holds(today));
        Ok(move |lead: &Lead| {
            waivers.iter().find(|(_, waiver, _)| waiver.covers(lead)).map(|(id, ..)| id.clone())
        })
    }

    fn live(&self) -> Result<Vec<Lead>, Diagnostic> {
        let mut live = Vec::new();
        each(&self.conn, &self.path, Register::Leads, "presence = 'live'", &[], |_, lead| live.push(lead))?;
        Ok(live)
    }
}
