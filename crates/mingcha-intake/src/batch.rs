//! What every reader hands over: some rows of one file, column by column, not yet typed. Knows neither contract
//! nor target type; a column is either an Arrow array (Parquet, text files) or a list of spreadsheet cells.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date64Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use chrono::NaiveDateTime;

/// One cell of a spreadsheet.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Cell {
    /// Nothing.
    #[default]
    Empty,
    /// Text.
    Text(String),
    /// A number, in a cell that is not formatted as a date.
    Number(f64),
    /// A number, in a cell that is formatted as a date.
    Moment(NaiveDateTime),
    /// Yes or no.
    Bool(bool),
    /// An error of the spreadsheet (`#REF!`).
    Error,
    /// A formula whose value nobody has computed.
    Formula,
}

/// One column of a raw batch.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    /// The file has no such column.
    Missing,
    /// From Parquet or text, in canonical form (see [`canonical`]).
    Array(ArrayRef),
    /// From a spreadsheet.
    Cells {
        /// One for each row.
        cells: Vec<Cell>,
        /// Whether serial numbers count from 1904.
        epoch_1904: bool,
    },
}

/// A row that is no row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokenRow {
    /// Position in the batch.
    pub(crate) row: usize,
    /// Reason code.
    pub(crate) reason: &'static str,
    /// What stood there.
    pub(crate) value: String,
}

/// Rows of one file, with one column for each field of the contract.
#[derive(Debug, Clone)]
pub(crate) struct RawBatch {
    /// Data row of the first row, from 1.
    pub(crate) first_row: u64,
    /// Rows.
    pub(crate) rows: usize,
    /// One for each field of the contract, in its order.
    pub(crate) columns: Vec<Column>,
    /// Rows that cannot be typed.
    pub(crate) broken: Vec<BrokenRow>,
    /// Rows without any value, by position: they are no rows of the dataset.
    pub(crate) blank: Vec<usize>,
}

/// One value, before it is typed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// Nothing.
    Null,
    /// Text as it stands in the file.
    Text(&'a str),
    /// Days since 1970.
    Day(i32),
    /// A moment: days since 1970, and nanoseconds since midnight.
    Moment(i32, i64),
    /// A whole number of a column of whole numbers.
    Int(i64),
    /// A decimal: the digits and how many of them follow the point.
    Decimal(i128, i8),
    /// A float of a column of floats.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A number in a spreadsheet cell; the flag says that serial numbers count from 1904.
    Number(f64, bool),
    /// An error of the spreadsheet.
    Error,
}

/// A column whose type has been looked at once, for fast access row by row.
pub(crate) enum Values<'a> {
    Missing,
    Text(&'a StringArray),
    Day(&'a Date32Array),
    Stamp(&'a [i64], &'a dyn Array, i64),
    Int(&'a Int64Array),
    Decimal(&'a Decimal128Array, i8),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
    Cells(&'a [Cell], bool),
}

impl Column {
    /// The values, for access by row.
    pub(crate) fn values(&self) -> Values<'_> {
        match self {
            Self::Missing => Values::Missing,
            Self::Cells { cells, epoch_1904 } => Values::Cells(cells, *epoch_1904),
            Self::Array(array) => match array.data_type() {
                DataType::Utf8 => Values::Text(array.as_string()),
                DataType::Date32 => Values::Day(array.as_primitive()),
                DataType::Date64 => Values::Stamp(array.as_primitive::<Date64Type>().values(), array, 1_000),
                DataType::Timestamp(unit, _) => {
                    let (values, per_second): (&[i64], i64) = match unit {
                        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().values(), 1),
                        TimeUnit::Millisecond => {
                            (array.as_primitive::<TimestampMillisecondType>().values(), 1_000)
                        }
                        TimeUnit::Microsecond => {
                            (array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000)
                        }
                        TimeUnit::Nanosecond => {
                            (array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000)
                        }
                    };
                    Values::Stamp(values, array, per_second)
                }
                DataType::Int64 => Values::Int(array.as_primitive::<Int64Type>()),
                DataType::Decimal128(_, scale) => Values::Decimal(array.as_primitive(), *scale),
                DataType::Float64 => Values::Float(array.as_primitive::<Float64Type>()),
                DataType::Boolean => Values::Bool(array.as_boolean()),
                _ => Values::Missing,
            },
        }
    }
}

impl<'a> Values<'a> {
    /// The value of a row.
    pub(crate) fn at(&self, row: usize) -> Value<'a> {
        match self {
            Self::Missing => Value::Null,
            Self::Text(a) if a.is_valid(row) => Value::Text(a.value(row)),
            Self::Day(a) if a.is_valid(row) => Value::Day(a.value(row)),
            Self::Stamp(values, a, per_second) if a.is_valid(row) => stamp(values[row], *per_second),
            Self::Int(a) if a.is_valid(row) => Value::Int(a.value(row)),
            Self::Decimal(a, scale) if a.is_valid(row) => Value::Decimal(a.value(row), *scale),
            // pandas writes absent numbers so.
            Self::Float(a) if a.is_valid(row) && a.value(row).is_nan() => Value::Null,
            Self::Float(a) if a.is_valid(row) => Value::Float(a.value(row)),
            Self::Bool(a) if a.is_valid(row) => Value::Bool(a.value(row)),
            Self::Cells(cells, epoch_1904) => match &cells[row] {
                Cell::Empty => Value::Null,
                Cell::Text(text) => Value::Text(text),
                Cell::Number(n) => Value::Number(*n, *epoch_1904),
                Cell::Moment(m) => {
                    let (day, time) = crate::parse::day_and_time(*m);
                    Value::Moment(day, time)
                }
                Cell::Bool(b) => Value::Bool(*b),
                Cell::Error | Cell::Formula => Value::Error,
            },
            _ => Value::Null,
        }
    }
}

fn stamp(value: i64, per_second: i64) -> Value<'static> {
    let per_day = 86_400 * per_second;
    let day = i32::try_from(value.div_euclid(per_day)).unwrap_or(i32::MAX);
    Value::Moment(day, value.rem_euclid(per_day) * (1_000_000_000 / per_second))
}

impl Value<'_> {
    /// The value as a reader of the rejects would write it down.
    pub(crate) fn shown(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) => (*text).to_owned(),
            Self::Day(day) => date_text(*day),
            Self::Moment(day, 0) => date_text(*day),
            Self::Moment(day, time) => {
                let seconds = time / 1_000_000_000;
                format!(
                    "{} {:02}:{:02}:{:02}",
                    date_text(*day),
                    seconds / 3600,
                    seconds / 60 % 60,
                    seconds % 60
                )
            }
            Self::Int(n) => n.to_string(),
            Self::Decimal(n, scale) => decimal_text(*n, *scale),
            Self::Float(n) | Self::Number(n, _) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Error => "#ERROR".to_owned(),
        })
    }
}

fn date_text(day: i32) -> String {
    chrono::NaiveDate::from_epoch_days(day).map_or_else(|| day.to_string(), |d| d.to_string())
}

fn decimal_text(digits: i128, scale: i8) -> String {
    if scale <= 0 {
        return format!("{digits}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    }
    let power = 10u128.pow(u32::from(scale.unsigned_abs()));
    let (whole, fraction) = (digits.unsigned_abs() / power, digits.unsigned_abs() % power);
    let sign = if digits < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction:0width$}", width = usize::from(scale.unsigned_abs()))
}

/// The canonical type of a carrier: one text, one integer, one float, one decimal type; `None`: no table column
/// comes as this.
pub(crate) fn canonical_type(ty: &DataType) -> Option<DataType> {
    Some(match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Utf8,
        DataType::Dictionary(_, value) => return canonical_type(value),
        DataType::Null => DataType::Utf8,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal128(..) | DataType::Date32 | DataType::Date64 | DataType::Boolean => ty.clone(),
        DataType::Timestamp(_, None) => ty.clone(),
        _ => return None,
    })
}

/// The array in its canonical type. Nothing is lost: what does not fit is an error.
///
/// # Errors
/// With the cause, without a value.
pub(crate) fn canonical(array: &ArrayRef) -> Result<ArrayRef, String> {
    let target = canonical_type(array.data_type()).ok_or("a type that no column may have")?;
    if *array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    // Float32 is widened through its shortest text, so that 12.3 stays 12.3.
    if let DataType::Float32 = array.data_type() {
        let wide: Float64Array = array
            .as_primitive::<arrow::datatypes::Float32Type>()
            .iter()
            .map(|v| v.map(|v| v.to_string().parse::<f64>().unwrap_or(f64::NAN)))
            .collect();
        return Ok(Arc::new(wide));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &target, &options).map_err(|_| "a value that does not fit its type".to_owned())
}
