//! Rows of a person dataset as plain text, for callers that know no Arrow: a draw among payees, a list of names. Shard by
//! shard, so that a store of any size passes through.

use arrow::array::{Array, AsArray};
use mingcha_rules::Diagnostic;

use crate::tables::{Part, Tables};

/// The text columns `columns` of every row of `dataset` that leads to a person, in order of person; NULL is empty.
///
/// The iterator ends with an error where the dataset was not delivered, a column is unknown or no text, or a file is
/// damaged.
pub fn texts<'t>(
    tables: &'t dyn Tables,
    dataset: &'t str,
    columns: &'t [&'t str],
) -> impl Iterator<Item = Result<Vec<String>, Diagnostic>> + 't {
    (0..tables.n_shards()).flat_map(move |shard| match of_shard(tables, dataset, shard, columns) {
        Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(fault) => vec![Err(fault)],
    })
}

fn of_shard(
    tables: &dyn Tables,
    dataset: &str,
    shard: usize,
    columns: &[&str],
) -> Result<Vec<Vec<String>>, Diagnostic> {
    let mut rows = Vec::new();
    for batch in tables.read(dataset, Part::Shard(shard), columns)? {
        let arrays: Vec<_> = (0..columns.len()).map(|at| batch.column(at).as_string_view_opt()).collect();
        for row in 0..batch.num_rows() {
            let mut texts = Vec::with_capacity(columns.len());
            for (array, name) in arrays.iter().zip(columns) {
                let array = array.ok_or_else(|| no_text(dataset, name))?;
                texts.push(if array.is_null(row) { String::new() } else { array.value(row).to_owned() });
            }
            rows.push(texts);
        }
    }
    Ok(rows)
}

fn no_text(dataset: &str, column: &str) -> Diagnostic {
    Diagnostic::error(
        "MC714",
        format!("数据集 {dataset} 的字段 {column} 应为文本，实际不是"),
        format!("wanted the column {column} of {dataset} as text, got another type"),
    )
}
