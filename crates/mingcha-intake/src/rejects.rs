//! The rejects: every value that could not be taken, with its row, its reason and what became of the row.
//! Knows how an entry looks; who is to blame is not known here.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;

use crate::schema::{builtin_schema, plain_schema};

/// The row was not stored.
pub(crate) const ROW_REJECTED: &str = "row_rejected";
/// The row was stored without the value.
pub(crate) const VALUE_DROPPED: &str = "value_dropped";
/// The row was stored as it is; a remark.
pub(crate) const KEPT: &str = "kept";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    /// Row locator.
    pub(crate) src: i64,
    /// Field; `None` for the row as a whole.
    pub(crate) field: Option<String>,
    /// Reason code.
    pub(crate) reason: &'static str,
    /// [`ROW_REJECTED`], [`VALUE_DROPPED`] or [`KEPT`].
    pub(crate) outcome: &'static str,
    /// The raw value.
    pub(crate) value: Option<String>,
    /// The raw identity number of the row.
    pub(crate) id_number: Option<String>,
    /// The raw name of the row.
    pub(crate) name: Option<String>,
    /// The raw area code of the row.
    pub(crate) area_code: Option<String>,
}

/// Entries of one dataset as a batch of the `rejects` table, with plain text.
///
/// # Errors
/// Never for entries made here; Arrow checks lengths.
pub(crate) fn to_batch(dataset: &str, entries: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&Reject) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(of).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(entries.iter().map(|e| e.src))),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(dataset, entries.len()))),
        text(|e| e.field.as_deref()),
        text(|e| Some(e.reason)),
        text(|e| Some(e.outcome)),
        text(|e| e.value.as_deref()),
        text(|e| e.id_number.as_deref()),
        text(|e| e.name.as_deref()),
        text(|e| e.area_code.as_deref()),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// The schema of the rejects file.
pub(crate) fn schema() -> arrow::datatypes::SchemaRef {
    builtin_schema("rejects")
        .map(|s| plain_schema(&s))
        .unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()))
}
