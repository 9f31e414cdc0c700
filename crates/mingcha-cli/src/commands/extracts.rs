//! Tonight's extracts, for the ledger: whether a row that a lead stood on is still in the store. Compared by subject
//! and by the dataset's own columns of text and date; numbers are left aside, because a rule may add them up, and so is
//! the place of the row, because files move every night. Reads once for all subjects of a rule. Knows no lead.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use mingcha_intake::{Part, Store, Tables, identity, sql_schema};
use mingcha_ledger::book::Extracts;
use mingcha_rules::EvidenceRow;
use mingcha_rules::diagnostic::Diagnostic;

/// The columns of one row that can be compared, as an investigator reads them.
type Row = BTreeMap<String, String>;

/// A store that was prepared tonight.
pub(super) struct InStore<'a> {
    store: &'a Store,
    known: RefCell<Known>,
    fault: RefCell<Option<Diagnostic>>,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Known {
    /// The persons asked for; `None` for numbers that are in no extract.
    pids: BTreeMap<String, Option<i32>>,
    /// By dataset and subject.
    rows: BTreeMap<(String, String), Vec<Row>>,
}

impl<'a> InStore<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, known: RefCell::default(), fault: RefCell::default() }
    }

    /// Why something could not be looked up; then nothing was taken for withdrawn because of it.
    pub(super) fn fault(&self) -> Option<Diagnostic> {
        self.fault.borrow_mut().take()
    }

    /// The columns of `dataset` that can be compared; who handled a row is no part of what it states. `None` where it has no persons or was not delivered.
    fn comparable(&self, dataset: &str) -> Option<Vec<String>> {
        self.store.rows(dataset)?;
        let contract = self.store.contracts().iter().find(|c| c.name == dataset)?;
        let own = contract.id_field().filter(|_| contract.person.is_some())?;
        let schema = sql_schema(contract);
        let fields = contract.fields.iter().filter(|f| f.name != own.name && !f.names_handler());
        let plain = |name: &str| {
            let field = schema.fields().find(name).map(|(_, field)| field.data_type());
            matches!(
                field,
                Some(DataType::Utf8View | DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..))
            )
        };
        Some(fields.map(|f| f.name.clone()).filter(|name| plain(name)).collect())
    }

    /// Reads what is needed to answer for `subjects` in `datasets`.
    fn load(&self, subjects: &BTreeSet<&str>, datasets: &BTreeSet<&str>) -> Result<(), Diagnostic> {
        self.find(subjects)?;
        for dataset in datasets {
            let Some(columns) = self.comparable(dataset) else { continue };
            self.read(dataset, &columns, subjects)?;
        }
        Ok(())
    }

    /// The persons that bear these numbers.
    fn find(&self, subjects: &BTreeSet<&str>) -> Result<(), Diagnostic> {
        let mut known = self.known.borrow_mut();
        let new: HashSet<&str> = subjects.iter().copied().filter(|s| !known.pids.contains_key(*s)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut left = new.len();
        for shard in 0..self.store.n_shards() {
            if left == 0 {
                break;
            }
            for batch in self.store.read("persons", Part::Shard(shard), &["pid", "id_number"])? {
                let pids = batch.column(0).as_primitive::<Int32Type>();
                let numbers = batch.column(1).as_string_view();
                for (pid, number) in pids.values().iter().zip(numbers.iter().flatten()) {
                    if new.contains(number) {
                        known.pids.insert(number.to_owned(), Some(*pid));
                        left = left.saturating_sub(1);
                    }
                }
            }
        }
        for subject in subjects {
            known.pids.entry((*subject).to_owned()).or_insert(None);
        }
        Ok(())
    }

    /// The rows of `subjects` in one dataset, shard by shard.
    fn read(&self, dataset: &str, columns: &[String], subjects: &BTreeSet<&str>) -> Result<(), Diagnostic> {
        let mut known = self.known.borrow_mut();
        let mut persons: BTreeMap<i32, String> = BTreeMap::new();
        for subject in subjects {
            let key = (dataset.to_owned(), (*subject).to_owned());
            if known.rows.contains_key(&key) {
                continue;
            }
            known.rows.insert(key, Vec::new());
            if let Some(pid) = known.pids.get(*subject).copied().flatten() {
                persons.insert(pid, (*subject).to_owned());
            }
        }
        let mut wanted: Vec<&str> = vec!["pid"];
        wanted.extend(columns.iter().map(String::as_str));
        for shard in 0..self.store.n_shards() {
            let Some((from, to)) = self.store.shard_persons(shard) else { continue };
            let here: Vec<i32> = persons.range(from..to).map(|(pid, _)| *pid).collect();
            if here.is_empty() {
                continue;
            }
            for batch in self.store.read_persons(dataset, shard, &wanted, &here)? {
                let pids = batch.column(0).as_primitive::<Int32Type>();
                let cells: Option<Vec<Cells<'_>>> = batch.columns()[1..].iter().map(Cells::of).collect();
                let cells = cells.ok_or_else(|| unwritable(dataset))?;
                for (at, pid) in pids.values().iter().enumerate() {
                    let Some(subject) = persons.get(pid) else { continue };
                    let values = columns.iter().zip(&cells);
                    let row =
                        values.filter_map(|(name, cells)| Some((name.clone(), cells.at(at)?))).collect();
                    known.rows.entry((dataset.to_owned(), subject.clone())).or_default().push(row);
                }
            }
        }
        Ok(())
    }
}

impl Extracts for InStore<'_> {
    fn expect(&self, subjects: &BTreeSet<&str>, datasets: &BTreeSet<&str>) {
        if let Err(fault) = self.load(subjects, datasets) {
            self.fault.borrow_mut().get_or_insert(fault);
        }
    }

    fn holds(&self, subject_id: &str, row: &EvidenceRow) -> Option<bool> {
        let columns = self.comparable(&row.dataset)?;
        // An account or a household is nobody whose rows could be looked up.
        identity::normalise(subject_id).ok()?;
        if self.fault.borrow().is_some() {
            return None;
        }
        let key = (row.dataset.clone(), subject_id.to_owned());
        if !self.known.borrow().rows.contains_key(&key) {
            self.expect(&[subject_id].into(), &[row.dataset.as_str()].into());
        }
        let known = self.known.borrow();
        let rows = known.rows.get(&key)?;
        if self.fault.borrow().is_some() {
            return None;
        }
        let own: Vec<_> = row.columns.iter().filter(|(name, _)| columns.contains(name)).collect();
        Some(rows.iter().any(|there| own.iter().all(|(name, value)| there.get(*name) == Some(*value))))
    }
}

fn unwritable(dataset: &str) -> Diagnostic {
    Diagnostic::error(
        "MC917",
        format!("数据集 {dataset} 的列无法写成文字，不能核对来源"),
        format!("a column of {dataset} cannot be written as text, so rows cannot be compared"),
    )
}

/// The values of one column, written as in the evidence of findings.
enum Cells<'a> {
    Text(&'a arrow::array::StringViewArray),
    Other(&'a ArrayRef, ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
        match array.as_string_view_opt() {
            Some(text) => Some(Self::Text(text)),
            None => Some(Self::Other(array, ArrayFormatter::try_new(array.as_ref(), &options).ok()?)),
        }
    }

    fn at(&self, row: usize) -> Option<String> {
        match self {
            Self::Text(text) => text.is_valid(row).then(|| text.value(row).to_owned()),
            Self::Other(array, format) => array.is_valid(row).then(|| format.value(row).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mingcha_engine::{RunOptions, Silent};
    use mingcha_intake::{PrepareOptions, Quiet, prepare};
    use mingcha_ledger::book::Policy;
    use mingcha_rules::{Finding, Library, Sources};
    use mingcha_synth::{CityFormat, CityOptions, write_city};

    use super::*;

    const DAY: &str = "2026-06-30";

    fn library() -> Library {
        let files = crate::packs::shipped();
        let sources = Sources::from_embedded(files.iter().map(|(path, text)| (path.as_str(), *text)));
        mingcha_rules::load(&sources).0
    }

    /// A store of a small city, and what the rules find in it.
    fn city(dir: &std::path::Path, library: &Library) -> (Arc<Store>, Vec<Finding>) {
        let options = CityOptions {
            persons: 2_000,
            seed: 5,
            as_of: DAY.parse().unwrap(),
            format: CityFormat::CsvUtf8,
            dirt: true,
            threads: 2,
        };
        write_city(&options, &dir.join("in"), &|_, _, _| {}).unwrap();
        let mut options = PrepareOptions::new(dir.join("in"), dir.join("store"), library.contracts.clone());
        options.shards = Some(3);
        prepare(&options, &Quiet).unwrap();
        let store = Arc::new(Store::open(dir.join("store")).unwrap());
        let tables: Arc<dyn Tables> = Arc::<Store>::clone(&store);
        let report =
            mingcha_engine::run(&tables, library, &RunOptions::new(DAY.parse().unwrap()), &Silent).unwrap();
        (store, report.findings)
    }

    #[test]
    fn every_ground_of_tonights_findings_is_found_in_tonights_store_and_its_neighbours_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let library = library();
        let (store, findings) = city(dir.path(), &library);
        let grounds = Policy::default().grounds;
        let (asked, one_by_one) = (InStore::new(&store), InStore::new(&store));
        let subjects = findings.iter().map(|f| f.subject_id.as_str()).collect();
        asked.expect(&subjects, &grounds.iter().map(String::as_str).collect());
        let (mut seen, mut compared) = (BTreeMap::<&str, usize>::new(), 0);
        for finding in &findings {
            let person = identity::normalise(&finding.subject_id).is_ok();
            for row in finding.evidence.iter().filter(|row| grounds.contains(&row.dataset)) {
                let held = asked.holds(&finding.subject_id, row);
                assert_eq!(held, person.then_some(true), "{} {row:?}", finding.rule_id);
                assert_eq!(held, one_by_one.holds(&finding.subject_id, row));
                *seen.entry(row.dataset.as_str()).or_default() += 1;
                let columns = asked.comparable(&row.dataset).unwrap();
                for name in row.columns.keys().filter(|name| person && columns.contains(name)) {
                    // One value of the row is another: it is not there any more.
                    let mut other = row.clone();
                    other.columns.insert(name.clone(), "1900-01-01".to_owned());
                    assert_eq!(asked.holds(&finding.subject_id, &other), Some(false), "{name}");
                    compared += 1;
                }
                // Somebody whom no extract knows has no such row.
                let stranger = identity::make("880199", "1931-02-03".parse().unwrap(), 977);
                assert_eq!(asked.holds(&stranger, row), Some(false));
                // Of an account, of a dataset that was not delivered or has no persons, nothing can be said.
                assert_eq!(asked.holds("6200000001", row), None);
                for dataset in ["coverage", "nowhere"] {
                    let row = EvidenceRow { dataset: dataset.to_owned(), ..row.clone() };
                    if store.rows(dataset).is_none() {
                        assert_eq!(asked.holds(&finding.subject_id, &row), None, "{dataset}");
                    }
                }
            }
        }
        for dataset in ["death_certificates", "cremations", "household_registry", "hospital_admissions"] {
            assert!(seen.get(dataset).is_some_and(|n| *n > 3), "{dataset}: {seen:?}");
        }
        assert!(compared > 50, "{compared}");
        assert!(asked.fault().is_none());
    }

    #[test]
    fn a_store_that_cannot_be_read_takes_nothing_for_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let library = library();
        let (store, findings) = city(dir.path(), &library);
        let finding = findings.iter().find(|f| f.rule_id == "PEN-03").unwrap();
        let row = finding.evidence.iter().find(|row| row.dataset == "death_certificates").unwrap();
        for file in &store.manifest().datasets["death_certificates"].files {
            std::fs::write(dir.path().join("store").join(&file.path), "damaged").unwrap();
        }
        let fresh = Store::open(dir.path().join("store")).unwrap();
        let asked = InStore::new(&fresh);
        assert_eq!(asked.holds(&finding.subject_id, row), None);
        assert!(asked.fault().is_some());
    }
}
