//! The ledger: what is known of every lead from night to night, what people did about it, and the proof that nobody
//! changed it afterwards. One SQLite file with a seal beside it.
//!
//! Every fact is an event in one hash chain (`chain`); the registers (leads, runs, rules, waivers, handouts) follow
//! from the events and are written in the same transaction, so that reading is cheap and `verify` can derive them
//! again and compare. A night (`night`) says what a run changed; a person's step goes through one table (`life`).
//! Knows no clock (time comes with [`By`]), no engine and no extract: those who know one lend it as [`Extracts`].

mod chain;
mod commit;
mod course;
mod folders;
mod given;
mod hand;
mod handled;
mod keys;
mod lead;
mod life;
mod lock;
mod naming;
mod night;
mod policy;
mod receipts;
mod retention;
mod schema;
mod seal;
mod verify;
mod waiver;
mod waivers;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mingcha_files::private;
use mingcha_rules::rule::Severity;
use mingcha_rules::{Diagnostic, Lang};
use rusqlite::{Connection, params, params_from_iter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::export::Format;
use crate::fault;
use crate::names::{Names, alias};
use crate::record::hex;
use crate::run::RunFolder;
use crate::time::{Instant, Zone};
use chain::{Entry, Pen, Register};
use lock::Lock;
use schema::broken;

pub use chain::By;
pub use course::{Act, Course, Deed, Moment};
pub(crate) use given::person as person_key;
pub use given::same_person;
pub(crate) use hand::holdings;
pub(crate) use hand::settles;
pub use hand::{Answer, Control, Returned, Said, Sample};
pub(crate) use keys::{CellSeals, Keys};
pub use lead::{Check, Clearance, Evidence, Lead, Light, Mark, Presence, Stage};
pub use life::Action;
pub use naming::{several_subjects, subjects_called};
pub use night::{Extracts, Night};
pub(crate) use policy::parse as parse_day;
pub use policy::{Handler, Investigator, Policy};
pub(crate) use receipts::{Receipts, twice};
pub use retention::{Announced, Certificate, Destroyed, DestroyedFile};
pub use verify::Proof;
pub use waiver::{ListedWaiver, Waiver, WaiverState};

/// A ledger that is open: for reading, or, by one at a time, for writing.
#[derive(Debug)]
pub struct Book {
    conn: Connection,
    path: PathBuf,
    zone: Zone,
    lock: Option<Lock>,
    backup: Option<PathBuf>,
    warnings: Vec<Diagnostic>,
}

/// Which leads are meant. Empty lists and absent values do not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Finding ids, or beginnings of them (six digits and more).
    pub ids: Vec<String>,
    /// Rules.
    pub rules: Vec<String>,
    /// Beginning of an area code.
    pub area: Option<String>,
    /// The subject's number.
    pub subject: Option<String>,
    /// This grave or graver.
    pub least: Option<Severity>,
    /// Stages.
    pub stages: Vec<Stage>,
    /// What the last night said.
    pub marks: Vec<Mark>,
    /// Who is to check it.
    pub assignee: Option<String>,
    /// How the deadline stands.
    pub lights: Vec<Light>,
    /// Only what people still have to do something about, without what is waived.
    pub open: bool,
    /// Only waived ones, or only others.
    pub waived: Option<bool>,
}

/// A lead with what follows from the day on which it is looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// The lead.
    #[serde(flatten)]
    pub lead: Lead,
    /// What the last night that evaluated its rule said; none for a lead that was gone before.
    pub tonight: Option<Mark>,
    /// The day until which it is to be checked.
    pub due: Option<String>,
    /// How that stands.
    pub light: Option<Light>,
    /// The waiver that covers it.
    pub waiver: Option<String>,
}

/// An event, for a reader.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: Instant,
    /// Who.
    pub actor: String,
    /// What.
    pub what: String,
    /// The register it changed.
    pub register: String,
    /// The entry it changed.
    pub key: String,
    /// The night that brought it; empty for the acts of people.
    pub night: String,
    /// The changed fields as they were; `null` where the content was destroyed.
    pub before: Value,
    /// The changed fields as they are.
    pub after: Value,
    /// What else was said.
    pub why: Value,
}

/// A list that left the house: who holds which leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handout {
    /// Number of the export.
    pub id: String,
    /// Who received it.
    pub recipient: String,
    /// When.
    pub at: Instant,
    /// Last day on which it may be used.
    pub expires: String,
    /// Whose leads: the code of an area, the name of a person; empty for a whole run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub whose: String,
    /// Number of the last event when it was made, or of the last one of the run that it shows: what a later event says is
    /// news to its holder.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub seq: i64,
    /// The format of its files: so they can be written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Their language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Lang>,
    /// What it was made for, where a machine made it: one list for each recipient and occasion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub occasion: String,
    /// The leads in it.
    pub leads: BTreeSet<String>,
    /// Leads of earlier handouts that this one takes back.
    #[serde(default)]
    pub cancels: BTreeSet<String>,
    /// What its reader may see: `investigator`, `supervisor`, `public`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// The control sample that rides along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_nought(n: &i64) -> bool {
    *n == 0
}

/// A lead that somebody holds and that stands no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancellation {
    /// Who holds it.
    pub recipient: String,
    /// The lead.
    pub finding_id: String,
    /// The handouts by which.
    pub handouts: Vec<String>,
    /// Withdrawn by its source, or resolved.
    pub presence: Presence,
    /// Why.
    pub because: Option<String>,
}

impl Book {
    /// Opens the ledger at `path` for writing; makes one where there is none, and migrates an older one (then
    /// [`Book::backup`] names the old file).
    ///
    /// # Errors
    /// `MC841` where another writer holds it, `MC843` where it is no ledger or one of a later build, `MC844` where it
    /// was changed since it was sealed, `MC840`/`MC842` where the disk or the database refuses.
    pub fn open(path: &Path, by: By<'_>) -> Result<Self, Diagnostic> {
        std::fs::create_dir_all(seal::parent(path))
            .map_err(|e| fault::disk("MC840", ("创建文件夹", "create the folder"), seal::parent(path), &e))?;
        let lock = Lock::take(path, by.who, Duration::from_secs(2))?;
        if !path.exists() {
            Self::make(path, by)?;
        }
        let mut conn = schema::writer(path)?;
        let found = schema::version(&conn, path)?;
        let mut backup = None;
        if found < schema::VERSION {
            drop(conn);
            backup = Some(schema::migrate(path, found, by)?);
            conn = schema::writer(path)?;
        }
        let zone = zone::of(&conn, path)?;
        zone::must_be(zone, by.zone, path)?;
        if !schema::check_seal(&conn, path)? {
            schema::settle(&conn, path)?;
        }
        Ok(Self { conn, path: path.to_path_buf(), zone, lock: Some(lock), backup, warnings: Vec::new() })
    }

    /// Opens the ledger at `path` for reading, also while somebody writes: what is read is one state throughout.
    ///
    /// # Errors
    /// `MC843` where there is no ledger or one of another layout, `MC842` where the database refuses.
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        let conn = schema::reader(path)?;
        if schema::version(&conn, path)? < schema::VERSION {
            return Err(Diagnostic::error(
                "MC843",
                "台账由较早的版本写出，需要先升级",
                "this ledger was written by an earlier build and has to be migrated first",
            )
            .in_file(path.display())
            .with_help(
                "任何写入都会自动升级并保留旧文件，例如 `mingcha ledger absorb`",
                "any command that writes migrates it and keeps the old file, `mingcha ledger absorb` for one",
            ));
        }
        conn.execute_batch("BEGIN").map_err(|e| broken(path, e))?;
        let zone = zone::of(&conn, path)?;
        Ok(Self { conn, path: path.to_path_buf(), zone, lock: None, backup: None, warnings: Vec::new() })
    }

    /// A new ledger appears whole or not at all.
    fn make(path: &Path, by: By<'_>) -> Result<(), Diagnostic> {
        Self::make_version(path, by, schema::VERSION)
    }

    fn make_version(path: &Path, by: By<'_>, version: i64) -> Result<(), Diagnostic> {
        let disk = |e: std::io::Error| fault::disk("MC840", ("建立台账", "make the ledger"), path, &e);
        let aside = seal::beside(path, ".making");
        for leftover in [aside.clone(), seal::beside(&aside, "-wal"), seal::beside(&aside, "-shm")] {
            if leftover.exists() {
                std::fs::remove_file(&leftover).map_err(disk)?;
            }
        }
        private::file(&aside).map_err(disk)?;
        let mut conn = schema::writer(&aside)?;
        schema::build(&mut conn, version, by.at.as_stored()).map_err(|e| broken(path, e))?;
        let tx = conn.transaction().map_err(|e| broken(path, e))?;
        let (mut secret, mut name) = ([0_u8; 32], [0_u8; 8]);
        getrandom::fill(&mut secret)
            .and_then(|()| getrandom::fill(&mut name))
            .map_err(|e| broken(path, e))?;
        for (key, value) in [("name", hex(&name)), ("secret", hex(&secret))] {
            tx.execute("INSERT INTO ledger VALUES (?1, ?2)", [key, &value]).map_err(|e| broken(path, e))?;
        }
        let mut why = json!({"name": hex(&name), "secret_sha256": sha256(&hex(&secret)), "layout": version});
        if version >= schema::VERSION {
            zone::enter(&tx, path, by.zone)?;
            why["zone"] = json!(by.zone.to_string());
        }
        // The chain begins with the name of the ledger, and with a digest of its secret.
        Pen::new(&tx, path, by)?.write(&Entry {
            what: "opened",
            register: Register::Ledger,
            key: "ledger",
            run: "",
            old: None,
            new: None,
            why,
        })?;
        tx.commit().map_err(|e| broken(path, e))?;
        let (seq, head) = chain::head(&conn, path)?;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| broken(path, e))?;
        schema::leave(&conn, &aside);
        drop(conn);
        let sealed = seal::Seal::of(&aside, seq, &head)?;
        sealed.write(path)?;
        std::fs::rename(&aside, path).map_err(disk)?;
        crate::run::sync_folder(seal::parent(path)).map_err(disk)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The old file, where opening migrated one.
    #[must_use]
    pub fn backup(&self) -> Option<&Path> {
        self.backup.as_deref()
    }

    /// Takes a run into the ledger: all of it or, whatever happens in between, nothing. A run that was taken in last is
    /// not taken in again: then `false`, and the night as it was.
    ///
    /// # Errors
    /// `MC851` where a later night is in the ledger, `MC806` where the run cannot be read, `MC842` where the database
    /// refuses.
    pub fn absorb(
        &mut self,
        run: &RunFolder,
        policy: &Policy,
        extracts: Option<&dyn Extracts>,
        by: By<'_>,
    ) -> Result<(Night, bool), Diagnostic> {
        let nights = self.nights()?;
        let name = night::name(run.manifest());
        let again = |last: &&Night| last.night == name || last.night.starts_with(&format!("{name}-"));
        if let Some(last) = nights.last().filter(again) {
            return Ok((last.clone(), false));
        }
        let night = self.write(by, |conn, path, pen| {
            night::Dusk { conn, path, run, policy, extracts, by, nights: &nights }.fall(pen)
        })?;
        Ok((night, true))
    }

    /// Takes a step for every lead that `which` names: for all of them or for none. Returns them as they then stand.
    /// Without ids, those are meant for whom the step is next: a filter assigns what is new and open, and clears what
    /// can be cleared.
    ///
    /// # Errors
    /// `MC852` where the step may not be taken there, `MC853` where something it needs is missing, `MC854` where
    /// somebody must not take it, `MC855` where no lead is meant, `MC857` where nobody works there, `MC862` where money was
    /// entered before by this receipt, `MC863` where more comes back than was at risk.
    pub fn act(
        &mut self,
        which: &Filter,
        action: &Action,
        policy: &Policy,
        by: By<'_>,
    ) -> Result<Vec<Lead>, Diagnostic> {
        let mut chosen = self.leads(which, policy, &by.day())?;
        if which.ids.is_empty() {
            let first = matches!(action, Action::Assign { .. }) && which.stages.is_empty();
            chosen.retain(|listed| {
                let lead = &listed.lead;
                let fresh = lead.stage == Stage::New && lead.is_open() && listed.waiver.is_none();
                action.leads_to(lead.stage, lead.presence).is_some() && (!first || fresh)
            });
        }
        if chosen.is_empty() {
            return Err(nothing_meant());
        }
        let mut load = match action {
            Action::Assign { to: None } => self.load()?,
            _ => BTreeMap::new(),
        };
        let keys = self.keys()?;
        let zone = self.zone;
        self.write(by, |conn, path, pen| {
            let mut done = Vec::new();
            let mut receipts = match action {
                Action::Recover { .. } => Receipts::on_record(conn, path, zone, |id| keys.called(id))?,
                _ => Receipts::default(),
            };
            for listed in chosen {
                let was = listed.lead;
                let action = match action {
                    Action::Assign { to: None } => Action::Assign { to: policy.nearest(&was, &load) },
                    other => other.clone(),
                };
                let called = keys.called(&was.finding_id);
                let now = action.take(&was, &called, &by, policy)?;
                receipts.admit(conn, path, &was, &called, &action)?;
                if let Action::Assign { to: Some(to) } = &action {
                    *load.entry(person_key(to)).or_default() += 1;
                }
                pen.step(&action, &was, &now, action.why())?;
                done.push(now);
            }
            Ok(done)
        })
    }

    /// Leads that each person is to check, by [`given::person`].
    fn load(&self) -> Result<BTreeMap<String, u64>, Diagnostic> {
        let sql = "SELECT assignee, count(*) FROM leads WHERE stage IN ('assigned', 'checked') AND assignee IS NOT NULL GROUP BY 1";
        let read = || -> rusqlite::Result<BTreeMap<String, u64>> {
            let mut statement = self.conn.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut load = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let (name, leads): (String, i64) = (row.get(0)?, row.get(1)?);
                *load.entry(person_key(&name)).or_default() += u64::try_from(leads).unwrap_or(0);
            }
            Ok(load)
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// The leads that `which` names, as they stand on the day `today`; gravest first.
    ///
    /// # Errors
    /// `MC856` where the beginning of an id names several, `MC855` where it names none, `MC865` where a masked number fits
    /// several subjects, `MC842` where the database refuses.
    pub fn leads(&self, which: &Filter, policy: &Policy, today: &str) -> Result<Vec<Listed>, Diagnostic> {
        let (condition, values) = self.condition(which)?;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let last = night::last_nights(&self.conn, &self.path)?;
        let waivers: Vec<(String, Waiver, Value)> =
            entries(&self.conn, &self.path, Register::Waivers, "1 = 1", &[])?;
        let waivers: Vec<_> = waivers.into_iter().filter(|(_, waiver, _)| waiver.holds(today)).collect();
        let mut out = Vec::new();
        let mut judge = |_, lead: Lead| {
            let tonight = match last.get(&lead.rule_id) {
                Some(night) if *night == lead.marked_in => Some(lead.mark),
                _ if lead.presence == Presence::Live => Some(Mark::Continuing),
                _ => None,
            };
            let waiver =
                waivers.iter().find(|(_, waiver, _)| waiver.covers(&lead)).map(|(id, ..)| id.clone());
            let listed =
                Listed { due: policy.due(&lead), light: policy.light(&lead, today), tonight, waiver, lead };
            let wanted = (which.marks.is_empty() || listed.tonight.is_some_and(|m| which.marks.contains(&m)))
                && (which.lights.is_empty() || listed.light.is_some_and(|l| which.lights.contains(&l)))
                && (!which.open || (listed.lead.is_open() && listed.waiver.is_none()))
                && which.waived.is_none_or(|waived| waived == listed.waiver.is_some())
                && which.least.is_none_or(|least| listed.lead.severity >= least);
            if wanted {
                out.push(listed);
            }
        };
        each(&self.conn, &self.path, Register::Leads, &condition, &values, &mut judge)?;
        out.sort_by(|a, b| {
            let order = |l: &Listed| (std::cmp::Reverse(l.lead.severity), l.due.is_none(), l.due.clone());
            order(a).cmp(&order(b)).then_with(|| {
                let names = |l: &Listed| {
                    (l.lead.rule_id.clone(), l.lead.subject_id.clone(), l.lead.finding_id.clone())
                };
                names(a).cmp(&names(b))
            })
        });
        Ok(out)
    }

    /// What of `which` the database itself can tell, as a condition and its values.
    fn condition(&self, which: &Filter) -> Result<(String, Vec<String>), Diagnostic> {
        let (mut parts, mut values) = (vec!["1 = 1".to_owned()], Vec::new());
        let mut any = |column: &str, of: Vec<String>| {
            if of.is_empty() {
                return;
            }
            let marks: Vec<String> = (0..of.len()).map(|i| format!("?{}", values.len() + i + 1)).collect();
            parts.push(format!("{column} IN ({})", marks.join(", ")));
            values.extend(of);
        };
        let ids = which.ids.iter().map(|id| self.whole_id(id)).collect::<Result<Vec<_>, _>>()?;
        any("key", ids);
        any("rule", which.rules.clone());
        if let Some(subject) = &which.subject {
            any("subject", vec![self.subject_called(subject)?]);
        }
        any("stage", which.stages.iter().map(|s| s.as_str().to_owned()).collect());
        if let Some(name) = &which.assignee {
            let mut theirs = self.assignees_called(name)?;
            // Nobody of that name has anything to check: then nothing fits, and not everything.
            theirs.push(name.clone());
            any("assignee", theirs);
        }
        if let Some(area) = &which.area {
            values.push(area.clone());
            let n = values.len();
            parts.push(format!("substr(area, 1, length(?{n})) = ?{n}"));
        }
        Ok((parts.join(" AND "), values))
    }

    /// Everything that happened to the lead called `finding_id`, in order.
    ///
    /// # Errors
    /// `MC855`/`MC856` as [`Book::leads`].
    pub fn history(&self, finding_id: &str) -> Result<Vec<Event>, Diagnostic> {
        let id = self.whole_id(finding_id)?;
        self.events("register = 'leads' AND key = ?1", &[&id])
    }

    /// What a night changed, in order.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn events_of(&self, night: &str) -> Result<Vec<Event>, Diagnostic> {
        self.events("run = ?1", &[night])
    }

    fn events(&self, condition: &str, values: &[&str]) -> Result<Vec<Event>, Diagnostic> {
        let sql = format!(
            "SELECT seq, at, actor, what, register, key, run, c.body FROM events LEFT JOIN contents c USING (seq) WHERE {condition} ORDER BY seq"
        );
        let event = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Event> {
            let body: Option<String> = row.get(7)?;
            let mut body: Value =
                body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or(Value::Null);
            Ok(Event {
                seq: row.get(0)?,
                at: instant(row.get(1)?)?,
                actor: row.get(2)?,
                what: row.get(3)?,
                register: row.get(4)?,
                key: row.get(5)?,
                night: row.get(6)?,
                before: body["before"].take(),
                after: body["after"].take(),
                why: body["why"].take(),
            })
        };
        let read = || -> rusqlite::Result<Vec<Event>> {
            let mut statement = self.conn.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), event)?;
            rows.collect()
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// The nights, in order.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn nights(&self) -> Result<Vec<Night>, Diagnostic> {
        night::all(&self.conn, &self.path)
    }

    /// Notes that a list left the house. A number that is there already is refused.
    ///
    /// # Errors
    /// `MC859` where the number is taken, `MC896` where a lead is not in the ledger.
    pub fn hand_out(&mut self, handout: &Handout, by: By<'_>) -> Result<(), Diagnostic> {
        let taken =
            entries::<Handout>(&self.conn, &self.path, Register::Handouts, "key = ?1", &[&handout.id])?;
        if !taken.is_empty() {
            return Err(Diagnostic::error(
                "MC859",
                format!("导出编号 {} 已经用过", handout.id),
                format!("the export number {} was used before", handout.id),
            ));
        }
        match self.lacking(&handout.leads)? {
            0 => {}
            n => {
                return Err(Diagnostic::error(
                    "MC896",
                    format!("清单中有 {n} 条线索不在台账中"),
                    format!("{n} leads of this list are not in the ledger"),
                ));
            }
        }
        self.write(by, |_, _, pen| {
            pen.write(&Entry {
                what: "handed_out",
                register: Register::Handouts,
                key: &handout.id,
                run: "",
                old: None,
                new: Some(&chain::body(handout)),
                why: Value::Null,
            })
        })
        .map(drop)
    }

    /// The lists that left the house.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn handouts(&self) -> Result<Vec<Handout>, Diagnostic> {
        let mut all: Vec<Handout> = entries(&self.conn, &self.path, Register::Handouts, hand::LISTS, &[])?
            .into_iter()
            .map(|(_, handout, _)| handout)
            .collect();
        all.sort_by_key(|handout| (self.zone.moment(&handout.at), handout.id.clone()));
        Ok(all)
    }

    /// Leads that somebody holds, that stand no more, and whose holder was not told by a later handout: the next list
    /// for each recipient has to say so.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn cancellations(&self) -> Result<Vec<Cancellation>, Diagnostic> {
        let held = holdings(&self.handouts()?);
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let mut gone: BTreeMap<String, Lead> = BTreeMap::new();
        each(&self.conn, &self.path, Register::Leads, "presence <> 'live'", &[], |key, lead| {
            drop(gone.insert(key, lead));
        })?;
        let cancelled = held.into_iter().filter_map(|((recipient, finding_id), handouts)| {
            let lead = gone.get(&finding_id)?;
            Some(Cancellation {
                recipient,
                handouts,
                presence: lead.presence,
                because: lead.gone_because.clone(),
                finding_id,
            })
        });
        Ok(cancelled.collect())
    }

    /// A name for the lead that nobody can search back without the ledger: for masked lists, whose readers could
    /// otherwise try numbers against a plain hash.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn alias(&self, finding_id: &str) -> Result<String, Diagnostic> {
        Ok(alias(&self.secret()?, finding_id))
    }

    /// [`Book::alias`] for many leads, to be handed on.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn names(&self) -> Result<Names, Diagnostic> {
        Ok(Names::new(self.secret()?))
    }

    /// [`Book::alias`] for many leads; also a lot that nobody can foresee and that falls the same every time.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn lots(&self) -> Result<impl Fn(&str) -> String + use<>, Diagnostic> {
        let secret = self.secret()?;
        Ok(move |finding_id: &str| alias(&secret, finding_id))
    }

    fn secret(&self) -> Result<String, Diagnostic> {
        let sql = "SELECT value FROM ledger WHERE key = 'secret'";
        self.conn.query_row(sql, [], |row| row.get(0)).map_err(|e| broken(&self.path, e))
    }

    /// Destroys the content of everything that is known of `leads`, and leaves a certificate: who, when, on whose
    /// authority, how many. The chain stays whole; what was there cannot be had from it any more.
    ///
    /// # Errors
    /// `MC855` where a lead is not in the ledger, `MC842` where the database refuses.
    pub fn purge(&mut self, leads: &[String], authority: &str, by: By<'_>) -> Result<u64, Diagnostic> {
        let ids = leads.iter().map(|id| self.whole_id(id)).collect::<Result<BTreeSet<_>, _>>()?;
        let destroyed = self.write(by, |conn, path, pen| {
            let mut destroyed = 0;
            for id in ids {
                let seq = pen.write(&Entry {
                    what: "purged",
                    register: Register::Leads,
                    key: &id,
                    run: "",
                    old: None,
                    new: None,
                    why: json!({"authority": authority}),
                })?;
                let destroy = || -> rusqlite::Result<usize> {
                    conn.execute(
                        "INSERT INTO purged SELECT seq, ?2 FROM events WHERE register = 'leads' AND key = ?1 AND seq < ?2 AND seq NOT IN (SELECT seq FROM purged)",
                        params![id, seq],
                    )?;
                    conn.execute("DELETE FROM contents WHERE seq IN (SELECT seq FROM purged WHERE certificate = ?1)", [seq])
                };
                destroyed += destroy().map_err(|e| broken(path, e))? as u64;
            }
            Ok(destroyed)
        })?;
        self.clear_log();
        Ok(destroyed)
    }

    /// Hash of the last event. Kept elsewhere (on paper, in a mail), it proves later that nothing before it changed.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn head(&self) -> Result<String, Diagnostic> {
        Ok(hex(&chain::head(&self.conn, &self.path)?.1))
    }

    /// Digest over who did what, when, to what effect, without what chance and the clock gave (salts, the secret and
    /// whom it drew for samples, the seals of runs, which tell when each began and ended): two ledgers with the same history have the same.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn fingerprint(&self) -> Result<String, Diagnostic> {
        let mut fields = crate::record::Fields::new("mingcha history 1");
        for mut event in self.events("register <> 'ledger'", &[])? {
            if let Some(after) = event.after.as_object_mut() {
                match event.register.as_str() {
                    "runs" => drop(after.remove("seal")),
                    "handouts" => drop(after.remove("sample")),
                    _ => {}
                }
            }
            for text in
                [event.at.as_stored(), &event.actor, &event.what, &event.register, &event.key, &event.night]
            {
                fields.add(text);
            }
            for value in [&event.before, &event.after, &event.why] {
                fields.add(&value.to_string());
            }
        }
        Ok(fields.finish())
    }

    /// Proves the ledger at `path` whole, or says what is wrong with it. `earlier_head`: what [`Book::head`] said once.
    ///
    /// # Errors
    /// `MC841` where a writer holds it, `MC843` where there is none.
    pub fn verify(path: &Path, earlier_head: Option<&str>) -> Result<Proof, Diagnostic> {
        if !path.is_file() {
            return Err(schema::none_there(path));
        }
        let _lock = Lock::take(path, "verify", Duration::from_secs(10))?;
        Ok(verify::verify(path, earlier_head))
    }
}

/// Hands over the entries of a register that fulfil `condition`, by key.
fn each<T: DeserializeOwned>(
    conn: &Connection,
    path: &Path,
    register: Register,
    condition: &str,
    values: &[&str],
    mut take: impl FnMut(String, T),
) -> Result<(), Diagnostic> {
    let sql = format!("SELECT key, body FROM {} WHERE {condition} ORDER BY key", register.as_str());
    let mut statement = conn.prepare(&sql).map_err(|e| broken(path, e))?;
    let mut rows = statement.query(params_from_iter(values)).map_err(|e| broken(path, e))?;
    while let Some(row) = rows.next().map_err(|e| broken(path, e))? {
        let key: String = row.get(0).map_err(|e| broken(path, e))?;
        let body = row.get_ref(1).map_err(|e| broken(path, e))?;
        let entry = body.as_bytes().ok().and_then(|body| serde_json::from_slice(body).ok());
        // The entry itself is not repeated: it names people.
        let unlike = || broken(path, format!("an entry of `{}` is damaged", register.as_str()));
        take(key, entry.ok_or_else(unlike)?);
    }
    Ok(())
}

/// Entries of a register that fulfil `condition`, by key, each also as it is stored.
fn entries<T: DeserializeOwned>(
    conn: &Connection,
    path: &Path,
    register: Register,
    condition: &str,
    values: &[&str],
) -> Result<Vec<(String, T, Value)>, Diagnostic> {
    let mut stored: Vec<(String, Value)> = Vec::new();
    each(conn, path, register, condition, values, |key, body| stored.push((key, body)))?;
    let unlike = |_| broken(path, format!("an entry of `{}` is damaged", register.as_str()));
    let typed = |(key, body): (String, Value)| Ok((key, T::deserialize(&body).map_err(unlike)?, body));
    stored.into_iter().map(typed).collect()
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(text.as_bytes()))
}

/// A time of the chain. The fault names no value.
fn instant(text: String) -> rusqlite::Result<Instant> {
    let damaged = |_| rusqlite::Error::InvalidColumnType(1, "at".to_owned(), rusqlite::types::Type::Text);
    Instant::try_from(text).map_err(damaged)
}

fn nothing_meant() -> Diagnostic {
    Diagnostic::error("MC855", "没有符合条件的线索", "no lead fits what was asked for").with_help(
        "用 `mingcha findings list --ledger` 加同样的条件查看",
        "`mingcha findings list --ledger` with the same filter shows what there is",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mingcha_rules::{Finding, Text};

    fn noon() -> By<'static> {
        static AT: std::sync::LazyLock<Instant> =
            std::sync::LazyLock::new(|| "2026-11-01T12:00:00Z".parse().unwrap());
        By { who: "zhang", at: &AT, zone: Zone::default() }
    }

    fn finding() -> Finding {
        Finding {
            finding_id: "0123456789abcdef0123456789abcdef".to_owned(),
            rule_id: "PEN-13".to_owned(),
            rule_version: 1,
            severity: Severity::High,
            grade: "A".to_owned(),
            identity: "I1".to_owned(),
            subject_type: mingcha_rules::rule::SubjectType::Person,
            subject_id: "880101195003070027".to_owned(),
            subject_name: None,
            area_code: Some("880101".to_owned()),
            period_from: None,
            period_to: None,
            amount_fen: Some(5),
            message: Text::default(),
            measures: BTreeMap::new(),
            candidates: 1,
            evidence: Vec::new(),
            counter_evidence: Vec::new(),
            exclusions_checked: Vec::new(),
        }
    }

    /// A ledger as the first layout kept it, with a lead.
    fn old(path: &Path) -> String {
        Book::make_version(path, noon(), 1).unwrap();
        let mut conn = schema::writer(path).unwrap();
        let lead = chain::body(&Lead::found(&finding(), "text", "night", noon()));
        let tx = conn.transaction().unwrap();
        let entry = Entry {
            what: "new",
            register: Register::Leads,
            key: &finding().finding_id,
            run: "night",
            old: None,
            new: Some(&lead),
            why: Value::Null,
        };
        Pen::new(&tx, path, noon()).unwrap().write(&entry).unwrap();
        tx.commit().unwrap();
        schema::settle(&conn, path).unwrap();
        hex(&chain::head(&conn, path).unwrap().1)
    }

    #[test]
    fn an_older_ledger_is_migrated_as_a_copy_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let head = old(&path);
        let before = std::fs::read(&path).unwrap();
        assert_eq!(Book::read(&path).unwrap_err().code, "MC843");
        assert!(Book::verify(&path, Some(&head)).unwrap().faults.is_empty());
        let book = Book::open(&path, noon()).unwrap();
        let backup = book.backup().unwrap().to_path_buf();
        assert_eq!(std::fs::read(&backup).unwrap(), before);
        let leads = book.leads(&Filter::default(), &Policy::default(), "2026-11-02").unwrap();
        assert_eq!(leads.len(), 1);
        drop(book);
        for (path, events) in [(&path, 3), (&backup, 2)] {
            let proof = Book::verify(path, Some(&head)).unwrap();
            assert!(proof.faults.is_empty() && proof.remarks.is_empty(), "{proof:?}");
            assert_eq!(proof.events, events);
        }
        let mut book = Book::open(&path, noon()).unwrap();
        assert_eq!(book.backup(), None, "it was migrated once");
        let note = Action::Note { text: "seen".to_owned() };
        let which = Filter { ids: vec![finding().finding_id], ..Filter::default() };
        book.act(&which, &note, &Policy::default(), noon()).unwrap();
    }

    #[test]
    fn a_migration_that_dies_before_the_new_file_takes_the_name_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        old(&path);
        let before = std::fs::read(&path).unwrap();
        // What a death leaves beside it.
        std::fs::write(seal::beside(&path, ".migrating"), "half a file").unwrap();
        seal::Seal::read(&path).unwrap().unwrap().awaiting(&[7; 32]).write(&path).unwrap();
        assert!(Book::verify(&path, None).unwrap().faults.is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert!(Book::open(&path, noon()).unwrap().backup().is_some());
        assert!(Book::verify(&path, None).unwrap().faults.is_empty());
    }

    #[test]
    fn what_is_no_ledger_or_of_a_later_build_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        std::fs::write(&path, "a letter").unwrap();
        assert!(Book::open(&path, noon()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a letter");
        let path = dir.path().join("later.sqlite");
        drop(Book::open(&path, noon()).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert_eq!(Book::open(&path, noon()).unwrap_err().code, "MC843");
    }
}
