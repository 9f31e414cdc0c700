//! The truth table of a city: which rule must flag whom, and who must be left alone although close to it.
//! Knows nothing of how it came about.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::SynthError;

/// One verdict of the truth. The table is complete for what must be flagged: a finding on a subject that no
/// row with `expected` names is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TruthRow {
    /// `hit`, `near_miss`, or the code of the exclusion that spares the subject (`X-LAG`).
    pub kind: String,
    /// The person's number, 18 characters; of an account one of its holders; of a damaged number itself.
    pub id_number: String,
    /// The rule (`PEN-01`).
    pub rule_id: String,
    /// Whether the rule must flag the subject.
    pub expected: bool,
    /// The exclusion that spares the subject, if one does.
    pub exclusion: Option<String>,
    /// The subject of the finding: the number, or for PEN-22 the account.
    pub subject_id: String,
    /// What the case shows. For damaged numbers it ends in the dataset.
    pub note: String,
}

pub(crate) fn write(rows: &[TruthRow], path: &Path) -> Result<(), SynthError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("id_number", DataType::Utf8, false),
        Field::new("rule_id", DataType::Utf8, false),
        Field::new("expected", DataType::Boolean, false),
        Field::new("exclusion", DataType::Utf8, true),
        Field::new("subject_id", DataType::Utf8, false),
        Field::new("note", DataType::Utf8, false),
    ]));
    let text = |of: fn(&TruthRow) -> &String| Arc::new(StringArray::from_iter_values(rows.iter().map(of)));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            text(|r| &r.kind),
            text(|r| &r.id_number),
            text(|r| &r.rule_id),
            Arc::new(rows.iter().map(|r| Some(r.expected)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| r.exclusion.as_deref()).collect::<StringArray>()),
            text(|r| &r.subject_id),
            text(|r| &r.note),
        ],
    )?;
    let file = File::create(path).map_err(|e| SynthError::io(path, e))?;
    let mut writer = ArrowWriter::try_new(file, schema, None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Reads a truth table.
///
/// # Errors
/// When the file cannot be read or has not the columns of a truth table.
pub fn read_truth(path: &Path) -> Result<Vec<TruthRow>, SynthError> {
    let file = File::open(path).map_err(|e| SynthError::io(path, e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch?;
        let kind = strings(&batch, "kind", path)?;
        let id_number = strings(&batch, "id_number", path)?;
        let rule_id = strings(&batch, "rule_id", path)?;
        let exclusion = strings(&batch, "exclusion", path)?;
        let subject_id = strings(&batch, "subject_id", path)?;
        let note = strings(&batch, "note", path)?;
        let expected = batch
            .column_by_name("expected")
            .and_then(|c| c.as_boolean_opt())
            .ok_or_else(|| SynthError::not_a_truth_table(path, "expected"))?;
        rows.extend((0..batch.num_rows()).map(|i| TruthRow {
            kind: kind.value(i).to_owned(),
            id_number: id_number.value(i).to_owned(),
            rule_id: rule_id.value(i).to_owned(),
            expected: expected.value(i),
            exclusion: exclusion.is_valid(i).then(|| exclusion.value(i).to_owned()),
            subject_id: subject_id.value(i).to_owned(),
            note: note.value(i).to_owned(),
        }));
    }
    Ok(rows)
}

fn strings<'a>(
    batch: &'a RecordBatch,
    column: &'static str,
    path: &Path,
) -> Result<&'a StringArray, SynthError> {
    batch
        .column_by_name(column)
        .and_then(|c| c.as_string_opt::<i32>())
        .ok_or_else(|| SynthError::not_a_truth_table(path, column))
}
