//! Parquet. Whatever the row groups, encodings, codecs and array types, the same rows come out. Types are
//! compared with the contract before anything is read: an identity number that is stored as a number, an
//! instant with a zone or a nested column is refused as a whole, because no row of it can be trusted.

use std::fs::File;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::NaiveDate;
use mingcha_rules::contract::PiiClass;
use mingcha_rules::{Contract, Diagnostic, Field, FieldType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Type as Physical;

use super::{BATCH_ROWS, How, Opened, Sink, Unit, fingerprint};
use crate::batch::{Column, RawBatch, canonical, canonical_type};
use crate::discover::{Dates, Found};
use crate::fault;
use crate::headings::{Matched, matched};

/// Rows that one worker takes at a time.
const UNIT_ROWS: u64 = 500_000;
const WANTED: (&str, &str) = ("Parquet 文件", "a Parquet file");

type Builder = ParquetRecordBatchReaderBuilder<File>;

fn builder(found: &Found) -> Result<Builder, Diagnostic> {
    let file = File::open(&found.path).map_err(|e| fault::cannot_read(&found.name, WANTED, &e))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| fault::cannot_read(&found.name, WANTED, &e))
}

/// Looks at the footer.
pub(super) fn open(found: &Found, contract: &Contract) -> Result<Opened, Vec<Diagnostic>> {
    let builder = builder(found).map_err(|d| vec![d])?;
    let headings: Vec<String> =
        builder.parquet_schema().root_schema().get_fields().iter().map(|f| f.name().to_owned()).collect();
    let matched = matched(contract, &headings, &found.name)?;
    let mut faults = Vec::new();
    for (field, column) in contract.fields.iter().zip(&matched.columns) {
        let Some(column) = column else { continue };
        let ty = builder.schema().field(*column).data_type();
        let int96 = builder.parquet_schema().columns().iter().any(|c| {
            c.path().parts().first() == headings.get(*column) && c.physical_type() == Physical::INT96
        });
        faults.extend(
            carrier_fault(field, ty, int96).map(|f| f.in_file(&found.name).at_column(&headings[*column])),
        );
    }
    let dates = dates(&builder, &found.name).map_err(|d| vec![d])?;
    if !faults.is_empty() {
        return Err(faults);
    }
    let (bytes, sha256) = fingerprint(found, |_| {}).map_err(|d| vec![d])?;
    let (units, rows) = units(&builder);
    Ok(Opened {
        found: found.clone(),
        matched,
        how: How::Parquet,
        bytes,
        sha256,
        rows: Some(rows),
        dates,
        notes: Vec::new(),
        units,
    })
}

/// Reads some row groups.
pub(super) fn read(
    found: &Found,
    matched: &Matched,
    unit: &Unit,
    sink: &mut Sink<'_>,
) -> Result<(), Diagnostic> {
    let damaged = |e: &dyn std::fmt::Display| fault::cannot_read(&found.name, WANTED, e);
    let builder = builder(found)?;
    let wanted: Vec<usize> = matched.columns.iter().flatten().copied().collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let reader = builder
        .with_projection(mask)
        .with_row_groups(unit.row_groups.clone())
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| damaged(&e))?;
    // The projection keeps the order of the file.
    let mut order = wanted;
    order.sort_unstable();
    let mut first_row = unit.first_row;
    for batch in reader {
        let batch = batch.map_err(|e| damaged(&e))?;
        let mut columns = Vec::with_capacity(matched.columns.len());
        for column in &matched.columns {
            let place = column.and_then(|c| order.binary_search(&c).ok());
            columns.push(match place {
                Some(place) => Column::Array(canonical(batch.column(place)).map_err(|e| damaged(&e))?),
                None => Column::Missing,
            });
        }
        let rows = batch.num_rows();
        sink(RawBatch { first_row, rows, columns, broken: Vec::new(), blank: Vec::new() })?;
        first_row += rows as u64;
    }
    Ok(())
}

fn units(builder: &Builder) -> (Vec<Unit>, u64) {
    let mut units: Vec<Unit> = Vec::new();
    let mut rows = 0u64;
    let mut in_unit = UNIT_ROWS;
    for (index, group) in builder.metadata().row_groups().iter().enumerate() {
        if in_unit >= UNIT_ROWS {
            units.push(Unit { first_row: rows + 1, row_groups: Vec::new() });
            in_unit = 0;
        }
        let group_rows = u64::try_from(group.num_rows()).unwrap_or(0);
        if let Some(unit) = units.last_mut() {
            unit.row_groups.push(index);
        }
        in_unit += group_rows;
        rows += group_rows;
    }
    (units, rows)
}

/// The days in the key-value metadata.
fn dates(builder: &Builder, name: &str) -> Result<Dates, Diagnostic> {
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let day = |key: &str| -> Result<Option<NaiveDate>, Diagnostic> {
        let Some(text) =
            pairs.and_then(|p| p.iter().find(|kv| kv.key == key)).and_then(|kv| kv.value.as_deref())
        else {
            return Ok(None);
        };
        let found = crate::parse::moment(text).and_then(|(day, _)| NaiveDate::from_epoch_days(day));
        found.map(Some).ok_or_else(|| {
            Diagnostic::error(
                "MC611",
                format!("文件元数据 {key} 应为日期，如 2026-03-31"),
                format!("wanted a day like 2026-03-31 in the file metadata `{key}`, got something else"),
            )
            .in_file(name)
        })
    };
    Ok(Dates { as_of: day("as_of")?, covers_from: day("covers_from")?, covers_to: day("covers_to")? })
}

/// Why a column of this type cannot carry the field; `None`: it can.
fn carrier_fault(field: &Field, ty: &DataType, int96: bool) -> Option<Diagnostic> {
    let inner = match ty {
        DataType::Dictionary(_, value) => value.as_ref(),
        other => other,
    };
    if int96 || matches!(inner, DataType::Timestamp(_, Some(_))) {
        return Some(zoned(field));
    }
    let Some(canonical) = canonical_type(inner) else { return Some(wrong_type(field, ty)) };
    let text = canonical == DataType::Utf8;
    let integer = canonical == DataType::Int64;
    let decimal = matches!(canonical, DataType::Decimal128(..));
    let float = canonical == DataType::Float64;
    let dated = matches!(canonical, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None));
    let numeric = integer || decimal || float;
    let fits = match field.ty {
        FieldType::Id => {
            if numeric {
                return Some(id_as_number(field));
            }
            text
        }
        FieldType::Text => {
            if numeric && field.pii == Some(PiiClass::Financial) {
                return Some(account_as_number(field));
            }
            text || integer
        }
        FieldType::Code => text || integer || float,
        FieldType::Area => text || integer,
        FieldType::Date | FieldType::Datetime | FieldType::Month => text || integer || dated,
        FieldType::Money | FieldType::Decimal | FieldType::Int => text || numeric,
        FieldType::Bool => text || integer || canonical == DataType::Boolean,
    };
    if fits { None } else { Some(wrong_type(field, ty)) }
}

fn id_as_number(field: &Field) -> Diagnostic {
    Diagnostic::error(
        "MC636",
        format!("证件号码列「{}」应为文本，实际存为数字；18 位号码存成数字会丢失末位", field.name),
        format!(
            "wanted the identity numbers in `{}` as text, got numbers: 18 digits do not survive that",
            field.name
        ),
    )
    .with_help("把该列按文本（字符串）类型重新导出", "export the column again as text")
}

fn account_as_number(field: &Field) -> Diagnostic {
    Diagnostic::error(
        "MC635",
        format!("账号列「{}」应为文本，实际存为数字", field.name),
        format!("wanted the accounts in `{}` as text, got numbers", field.name),
    )
    .with_help("把该列按文本（字符串）类型重新导出", "export the column again as text")
}

fn zoned(field: &Field) -> Diagnostic {
    Diagnostic::error(
        "MC637",
        format!("列「{}」应为不带时区的当地时间，实际带有时区", field.name),
        format!("wanted local time without a zone in `{}`, got instants with a zone", field.name),
    )
    .with_help("按当地时间导出为不带时区的时间或文本", "export it as local time without a zone, or as text")
}

fn wrong_type(field: &Field, ty: &DataType) -> Diagnostic {
    let unit = if matches!(ty, DataType::Time32(TimeUnit::Second)) { "time" } else { "" };
    Diagnostic::error(
        "MC635",
        format!("列「{}」的类型不符：约定为 {:?}，实际为 {ty} {unit}", field.name, field.ty),
        format!("wanted `{}` as {:?}, got {ty} {unit}", field.name, field.ty),
    )
    .with_help("按约定的类型或文本重新导出", "export it again in the type of the contract, or as text")
}
