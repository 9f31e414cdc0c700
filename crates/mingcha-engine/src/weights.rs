//! How much there is to read: of each shard for what is local to a person, of everything for what is not. It measures
//! progress, and says how finely a shard has to be cut. Estimates only: nothing that a rule finds depends on them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;
use mingcha_intake::{Part, Tables, builtin_schema, sql_schema};

use crate::program::{Place, Program, RulePlan};
use crate::run::Stage;

/// Bytes that a text takes in memory, on average: its view, and what does not fit into that.
const TEXT_BYTES: usize = 24;

/// How much of the progress each shard is: what there is to read of it.
#[derive(Default)]
pub(crate) struct Weights(Vec<u64>);

/// Bytes that make one unit of progress.
pub(crate) const UNIT_BYTES: u64 = 1 << 12;

impl Weights {
    /// Those of the shards that the local rules and views of `stage` read.
    pub(crate) fn new(stage: &Stage<'_>) -> Self {
        let columns = local_columns(stage.program);
        let tables = stage.tables.as_ref();
        let units = |shard| bytes_of(&columns, stage, shard) / UNIT_BYTES + 1;
        Self((0..tables.n_shards()).map(units).collect())
    }

    /// Those of all parts together.
    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().sum::<u64>() + self.rest()
    }

    /// That of the rows that lead to no person; nothing where nothing is counted.
    fn rest(&self) -> u64 {
        u64::from(!self.0.is_empty())
    }

    /// That of one part.
    pub(crate) fn of(&self, tables: &dyn Tables, part: Part) -> u64 {
        let of_shard = |shard: usize| self.0.get(shard).copied().unwrap_or_default();
        match part {
            Part::Shard(shard) => of_shard(shard),
            Part::Slice { shard, from, to } => {
                let (first, last) = tables.shard_persons(shard).unwrap_or((from, to));
                let share = |pid: i32| {
                    let n = u64::from(pid.abs_diff(first));
                    of_shard(shard) * n / u64::from(last.abs_diff(first)).max(1)
                };
                // Differences of one scale: the slices of a shard come to the shard.
                share(to).saturating_sub(share(from))
            }
            Part::Unassigned | Part::Whole => self.rest(),
        }
    }
}

/// Units that reading everything `rule` reads counts for.
pub(crate) fn weight_of_rule(stage: &Stage<'_>, rule: &RulePlan) -> u64 {
    let columns: Columns = rule.candidates.columns.clone().into_iter().collect();
    (0..stage.tables.n_shards()).map(|shard| bytes_of(&columns, stage, shard)).sum::<u64>() / UNIT_BYTES + 1
}

/// Columns to decode: dataset -> names.
pub(crate) type Columns = BTreeMap<String, BTreeSet<String>>;

/// Those that the local rules and views of `program` read.
pub(crate) fn local_columns(program: &Program) -> Columns {
    let mut columns = Columns::new();
    let views = program.views.iter().filter(|v| v.place == Place::Local).map(|v| &v.compiled);
    let rules = program
        .rules
        .iter()
        .filter(|r| r.place == Place::Local)
        .flat_map(|r| std::iter::once(&r.candidates).chain(&r.counters));
    for compiled in views.chain(rules) {
        for (table, names) in &compiled.columns {
            columns.entry(table.clone()).or_default().extend(names.iter().cloned());
        }
    }
    columns
}

/// Bytes that these columns of a shard are expected to take.
pub(crate) fn bytes_of(columns: &Columns, stage: &Stage<'_>, shard: usize) -> u64 {
    let width = |t: &DataType| t.primitive_width().unwrap_or(TEXT_BYTES) as u64;
    columns
        .iter()
        .filter_map(|(dataset, columns)| {
            let rows = stage.tables.part_rows(dataset, shard)?;
            let schema = match stage.library.contract(dataset) {
                Some(contract) => sql_schema(contract),
                None => builtin_schema(dataset)?,
            };
            let own = |name: &String| schema.field_with_name(name).map_or(0, |f| width(f.data_type()));
            Some(rows * columns.iter().map(own).sum::<u64>())
        })
        .sum()
}
