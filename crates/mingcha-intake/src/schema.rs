//! The Arrow shape of a dataset: as rules see it, as the store keeps it, and as it travels between the two
//! passes of preparation. Follows from the contract alone; knows no file.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use mingcha_rules::{Contract, Field, FieldType};

/// Column of the dense person number.
pub(crate) const PID: &str = "pid";
/// Column of the row locator.
pub(crate) const SRC: &str = "src";
/// Column of the identity number: looked up in the person index, never stored with the rows.
pub(crate) const ID_NUMBER: &str = "id_number";
/// Column of the length of the number in the raw file.
pub(crate) const ID_LENGTH: &str = "id_length";
/// Column that tells the newest version of a document.
pub(crate) const IS_LATEST: &str = "is_latest";
/// Between the passes: the number as an integer.
pub(crate) const CODE: &str = "__code";
/// Between the passes: a hash of the contract's key.
pub(crate) const KEY: &str = "__key";

/// Digits before and after the point of money.
pub(crate) const MONEY: (u8, i8) = (14, 2);
/// Digits before and after the point of other decimals.
pub(crate) const DECIMAL: (u8, i8) = (18, 4);

/// The columns that rules see, in order. Person datasets: `pid`, `src`, `id_number`, the other fields, then
/// `id_length` where the row itself holds the number and `is_latest` where the contract has versions.
/// Datasets without persons: `src`, the fields, `is_latest`.
pub fn sql_schema(contract: &Contract) -> SchemaRef {
    let mut columns = Vec::with_capacity(contract.fields.len() + 4);
    if contract.person.is_some() {
        columns.push(ArrowField::new(PID, DataType::Int32, true));
    }
    columns.push(ArrowField::new(SRC, DataType::Int64, false));
    if contract.person.is_some() {
        columns.push(ArrowField::new(ID_NUMBER, DataType::Utf8View, true));
    }
    for field in stored_fields(contract) {
        columns.push(ArrowField::new(&field.name, sql_type(field.ty), true));
    }
    if contract.id_field().is_some() {
        columns.push(ArrowField::new(ID_LENGTH, DataType::Int32, true));
    }
    if contract.versions.is_some() {
        columns.push(ArrowField::new(IS_LATEST, DataType::Boolean, false));
    }
    Arc::new(Schema::new(columns))
}

/// The columns of the built-in tables `persons` and `rejects`; `None` for any other name.
pub fn builtin_schema(name: &str) -> Option<SchemaRef> {
    let text = |name: &str, nullable| ArrowField::new(name, DataType::Utf8View, nullable);
    let columns = match name {
        "persons" => vec![
            ArrowField::new(PID, DataType::Int32, false),
            text(ID_NUMBER, false),
            text("id_kind", false),
            ArrowField::new("id_birth_date", DataType::Date32, false),
            text("id_sex", false),
            text("id_area_code", false),
        ],
        "rejects" => vec![
            ArrowField::new(SRC, DataType::Int64, false),
            text("file", false),
            ArrowField::new("row", DataType::Int64, false),
            text("dataset", false),
            text("field", true),
            text("reason", false),
            text("outcome", false),
            text("value", true),
            text(ID_NUMBER, true),
            text("name", true),
            text("area_code", true),
            text("handlers", true),
        ],
        _ => return None,
    };
    Some(Arc::new(Schema::new(columns)))
}

/// The fields that are columns of the store: all but the person's own number.
pub(crate) fn stored_fields(contract: &Contract) -> impl Iterator<Item = &Field> {
    let id = contract.id_field().map(|f| f.name.as_str());
    contract.fields.iter().filter(move |f| Some(f.name.as_str()) != id)
}

/// The type of a field as rules see it.
pub(crate) fn sql_type(ty: FieldType) -> DataType {
    match stored_type(ty) {
        DataType::Utf8 => DataType::Utf8View,
        other => other,
    }
}

/// The type of a field while it is typed and written. Text is `Utf8` here: a string view drags the buffers of
/// its neighbours along when it is spilled.
pub(crate) fn stored_type(ty: FieldType) -> DataType {
    match ty {
        FieldType::Id | FieldType::Text | FieldType::Code | FieldType::Area => DataType::Utf8,
        FieldType::Date | FieldType::Month => DataType::Date32,
        FieldType::Datetime => DataType::Timestamp(TimeUnit::Nanosecond, None),
        FieldType::Money => DataType::Decimal128(MONEY.0, MONEY.1),
        FieldType::Decimal => DataType::Decimal128(DECIMAL.0, DECIMAL.1),
        FieldType::Int => DataType::Int64,
        FieldType::Bool => DataType::Boolean,
    }
}

/// What one typed batch looks like on its way from the readers to the shards.
pub(crate) fn run_schema(contract: &Contract) -> SchemaRef {
    let mut columns = vec![ArrowField::new(SRC, DataType::Int64, false)];
    if contract.id_field().is_some() {
        columns.push(ArrowField::new(CODE, DataType::UInt64, true));
    }
    if !contract.key.is_empty() {
        columns.push(ArrowField::new(KEY, DataType::UInt64, false));
    }
    for field in stored_fields(contract) {
        columns.push(ArrowField::new(&field.name, stored_type(field.ty), true));
    }
    if contract.id_field().is_some() {
        columns.push(ArrowField::new(ID_LENGTH, DataType::Int32, true));
    }
    Arc::new(Schema::new(columns))
}

/// What a file of the store looks like: the SQL columns without the virtual one, with plain text.
pub(crate) fn file_schema(contract: &Contract) -> SchemaRef {
    let columns: Vec<_> = sql_schema(contract)
        .fields()
        .iter()
        .filter(|f| contract.person.is_none() || f.name() != ID_NUMBER)
        .map(|f| plain(f))
        .collect();
    Arc::new(Schema::new(columns))
}

/// A schema with string views turned into plain text, for writing.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| plain(f)).collect::<Vec<_>>()))
}

fn plain(field: &ArrowField) -> ArrowField {
    match field.data_type() {
        DataType::Utf8View => field.clone().with_data_type(DataType::Utf8),
        _ => field.clone(),
    }
}
