//! Hashes of rows, column by column, over typed values: equal rows have equal hashes, whatever file they came from. Knows
//! no contract; which columns count is the caller's business.

use std::hash::{DefaultHasher, Hash};

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, TimestampNanosecondType, UInt64Type,
};

/// Adds the values of a column to the hashes of their rows.
pub(crate) fn hash_into(array: &ArrayRef, hashers: &mut [DefaultHasher]) {
    let numeric = |hashers: &mut [DefaultHasher], at: &dyn Fn(usize) -> i128| {
        for (row, hasher) in hashers.iter_mut().enumerate() {
            if array.is_valid(row) { Some(at(row)).hash(hasher) } else { None::<i128>.hash(hasher) }
        }
    };
    match array.data_type() {
        DataType::Utf8 => {
            let text: &StringArray = array.as_string();
            for (row, hasher) in hashers.iter_mut().enumerate() {
                text.is_valid(row).then(|| text.value(row)).hash(hasher);
            }
        }
        DataType::UInt64 => {
            let a = array.as_primitive::<UInt64Type>();
            numeric(hashers, &|row| i128::from(a.value(row)));
        }
        DataType::Date32 => {
            let a = array.as_primitive::<Date32Type>();
            numeric(hashers, &|row| i128::from(a.value(row)));
        }
        DataType::Timestamp(..) => {
            let a = array.as_primitive::<TimestampNanosecondType>();
            numeric(hashers, &|row| i128::from(a.value(row)));
        }
        DataType::Int64 => {
            let a = array.as_primitive::<Int64Type>();
            numeric(hashers, &|row| i128::from(a.value(row)));
        }
        DataType::Decimal128(..) => {
            let a = array.as_primitive::<Decimal128Type>();
            numeric(hashers, &|row| a.value(row));
        }
        DataType::Boolean => {
            let a = array.as_boolean();
            numeric(hashers, &|row| i128::from(a.value(row)));
        }
        _ => {}
    }
}
