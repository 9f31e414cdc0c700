//! The findings of a list. Evidence unpacked takes ten times the room of its text, and a list needs it once for each
//! sheet; so a [`Sheaf`] holds findings as they lie in the run's file, what a list is ordered and counted by is read
//! beforehand ([`Line`]), and the whole of a finding is unpacked when its row is written, as its reader may see it.
//! Knows no format.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use mingcha_rules::{Diagnostic, Finding};

use crate::book::Lead;
use crate::fault;
use crate::mask::Masker;
use crate::run::RunFolder;
use crate::table::{self, Columns, Tabled};

/// Findings, unmasked.
#[derive(Default)]
pub(super) struct Sheaf {
    packed: Vec<(PathBuf, RecordBatch)>,
    /// Leads whose run is gone: nothing is left of them but what the ledger says.
    bare: Vec<Finding>,
    places: Vec<Place>,
}

/// Where a finding lies.
#[derive(Debug, Clone, Copy)]
enum Place {
    Packed { batch: usize, row: usize },
    Bare(usize),
}

impl Sheaf {
    /// All findings of a run, but for the rules that are held back.
    pub(super) fn whole(run: &RunFolder, held_back: &BTreeSet<String>) -> Result<Self, Diagnostic> {
        let mut sheaf = Self::default();
        for batch in run.packed(None)? {
            sheaf.add(run, batch?, |finding| !held_back.contains(&finding.rule_id))?;
        }
        Ok(sheaf)
    }

    /// These leads, each out of the first of the runs that has it.
    pub(super) fn of<R: Borrow<RunFolder>>(
        leads: &BTreeMap<String, Lead>,
        runs: impl IntoIterator<Item = R>,
    ) -> Result<Self, Diagnostic> {
        let mut sheaf = Self::default();
        let mut wanted: HashSet<String> = leads.keys().cloned().collect();
        let mut runs = runs.into_iter();
        while !wanted.is_empty()
            && let Some(run) = runs.next()
        {
            let run = run.borrow();
            for batch in run.packed(Some(wanted.clone()))? {
                sheaf.add(run, batch?, |finding| wanted.remove(&finding.finding_id))?;
            }
        }
        for (_, lead) in leads.iter().filter(|(id, _)| wanted.contains(*id)) {
            sheaf.places.push(Place::Bare(sheaf.bare.len()));
            sheaf.bare.push(lead.without_rows());
        }
        Ok(sheaf)
    }

    fn add(
        &mut self,
        run: &RunFolder,
        batch: RecordBatch,
        mut is_wanted: impl FnMut(&Finding) -> bool,
    ) -> Result<(), Diagnostic> {
        let (at, rows) = (self.packed.len(), batch.num_rows());
        self.packed.push((run.path().to_path_buf(), batch));
        for row in 0..rows {
            if is_wanted(&head(&self.packed[at], row)?) {
                self.places.push(Place::Packed { batch: at, row });
            }
        }
        Ok(())
    }

    /// How many of them have no rows to show.
    pub(super) fn bare(&self) -> u64 {
        self.bare.len() as u64
    }

    /// All of them, unmasked, without their rows: to be counted and entered, not to be shown.
    pub(super) fn heads(&self) -> impl Iterator<Item = Result<Finding, Diagnostic>> {
        self.places.iter().map(|place| match *place {
            Place::Packed { batch, row } => head(&self.packed[batch], row),
            Place::Bare(at) => Ok(self.bare[at].clone()),
        })
    }

    /// Its lines for this reader, gravest first, then by area, rule and money, so that the top of the list is where to
    /// begin.
    pub(super) fn lines(&self, masker: &Masker) -> Result<Vec<Line>, Diagnostic> {
        let mut lines = Vec::with_capacity(self.places.len());
        for place in self.places.iter().copied() {
            // What is masked of a sentence depends on what the rows say.
            let seen = match (masker.shows_all(), place) {
                (true, Place::Packed { batch, row }) => masker.finding(&head(&self.packed[batch], row)?),
                _ => Finding {
                    evidence: Vec::new(),
                    counter_evidence: Vec::new(),
                    exclusions_checked: Vec::new(),
                    ..self.seen(masker, place)?
                },
            };
            lines.push(Line { seen, place });
        }
        lines.sort_by(|Line { seen: a, .. }, Line { seen: b, .. }| {
            (b.severity.cmp(&a.severity))
                .then_with(|| a.area_code.cmp(&b.area_code))
                .then_with(|| a.rule_id.cmp(&b.rule_id))
                .then_with(|| b.amount_fen.cmp(&a.amount_fen))
                .then_with(|| a.finding_id.cmp(&b.finding_id))
        });
        Ok(lines)
    }

    fn seen(&self, masker: &Masker, place: Place) -> Result<Finding, Diagnostic> {
        match place {
            Place::Packed { batch, row } => {
                let (path, batch) = &self.packed[batch];
                let finding = Finding::row(&Columns(batch), row).map_err(|e| fault::unreadable(path, e))?;
                Ok(masker.finding(&finding))
            }
            Place::Bare(at) => Ok(masker.finding(&self.bare[at])),
        }
    }
}

fn head((path, batch): &(PathBuf, RecordBatch), row: usize) -> Result<Finding, Diagnostic> {
    table::head(&Columns(batch), row).map_err(|e| fault::unreadable(path, e))
}

/// A row of a list, as its reader may see it.
pub(super) struct Line {
    /// Without the rows of evidence and what was checked.
    pub(super) seen: Finding,
    place: Place,
}

/// The lines of one file.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) sheaf: &'a Sheaf,
    pub(super) masker: &'a Masker,
    pub(super) lines: Vec<&'a Line>,
}

impl Part<'_> {
    /// Its findings without their rows.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Finding> {
        self.lines.iter().map(|line| &line.seen)
    }

    /// Its findings, unpacked one after another.
    pub(super) fn findings(&self) -> impl Iterator<Item = Result<Finding, Diagnostic>> {
        self.lines.iter().map(|line| self.sheaf.seen(self.masker, line.place))
    }
}
