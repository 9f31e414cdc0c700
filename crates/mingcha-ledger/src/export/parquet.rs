//! Parquet: the table of `findings.parquet` again, masked for its reader; or the public counts.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use mingcha_rules::{Diagnostic, Finding};

use super::Job;
use super::counts::Count;
use super::sheaf::Part;
use crate::fault;
use crate::table::{self, Columns, Tabled};

/// Writes the findings, by rule.
pub(super) fn write(job: &Job<'_>, part: &Part<'_>, path: &Path) -> Result<(), Diagnostic> {
    let mut part = part.clone();
    // By id inside a rule: the subject's number is masked here, and its order would tell something of it.
    part.lines
        .sort_by(|a, b| (&a.seen.rule_id, &a.seen.finding_id).cmp(&(&b.seen.rule_id, &b.seen.finding_id)));
    table::write::<Finding, _>(path, part.findings(), &job.manifest.run_id, &marks(job)).map(|_| ())
}

/// Writes the public counts; a withheld cell has no count and no amount.
pub(super) fn write_counts(job: &Job<'_>, cells: &[Count], path: &Path) -> Result<(), Diagnostic> {
    table::write::<Count, _>(path, cells.iter().map(Ok), &job.manifest.run_id, &marks(job)).map(|_| ())
}

fn marks<'j>(job: &'j Job<'_>) -> [(&'static str, &'j str); 4] {
    [
        ("mingcha.run_id", &job.manifest.run_id),
        ("mingcha.rule_pack_hash", &job.manifest.rule_pack_hash),
        ("mingcha.export_id", &job.export_id),
        ("mingcha.profile", job.options.profile.as_str()),
    ]
}

impl Tabled for Count {
    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("rule_id", DataType::Utf8, false),
            Field::new("severity", DataType::Utf8, false),
            Field::new("county", DataType::Utf8, false),
            Field::new("findings", DataType::Int64, true),
            Field::new("amount", DataType::Decimal128(18, 2), true),
            Field::new("run_id", DataType::Utf8, false),
        ]))
    }

    fn batch(rows: &[&Self], run_id: &str) -> Result<RecordBatch, Diagnostic> {
        let text = |value: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
        };
        let findings: Int64Array =
            rows.iter().map(|row| row.sum.and_then(|(n, _)| i64::try_from(n).ok())).collect();
        let amounts: Decimal128Array =
            rows.iter().map(|row| row.sum.map(|(_, fen)| i128::from(fen))).collect();
        let amounts =
            amounts.with_precision_and_scale(18, 2).map_err(|e| fault::unwritable(Path::new(""), e))?;
        let columns = vec![
            text(|row| &row.rule_id),
            text(|row| row.severity.as_str()),
            text(|row| &row.county),
            Arc::new(findings),
            Arc::new(amounts),
            Arc::new(rows.iter().map(|_| Some(run_id)).collect::<StringArray>()),
        ];
        RecordBatch::try_new(Self::schema(), columns).map_err(|e| fault::unwritable(Path::new(""), e))
    }

    fn row(_: &Columns<'_>, _: usize) -> Result<Self, String> {
        Err("public counts are written, never read".to_owned())
    }
}
