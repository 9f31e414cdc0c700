//! The functions that rules may call: ours, and which of DataFusion's. One table, walked by the session,
//! the lint and the documentation. None reads the clock, the disk or the network; all are immutable.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampNanosecondType};
use chrono::{Datelike, Months, NaiveDate};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::names;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;
const NANOS_PER_HOUR: i64 = 3_600_000_000_000;
/// Days from 0001-01-01 (day 1 of the common era) to 1970-01-01.
const EPOCH_FROM_CE: i32 = 719_163;

/// Functions of DataFusion that rules may call, aggregates and windows included.
pub(crate) const ALLOWED: &[&str] = &[
    // text
    "left",
    "right",
    "substr",
    "substring",
    "length",
    "char_length",
    "character_length",
    "upper",
    "lower",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "concat",
    "replace",
    "starts_with",
    "ends_with",
    "strpos",
    "position",
    "lpad",
    "rpad",
    "contains",
    // choice
    "coalesce",
    "nullif",
    "least",
    "greatest",
    "nvl",
    // numbers
    "abs",
    "round",
    "floor",
    "ceil",
    // dates
    "date_part",
    "extract",
    "make_date",
    // aggregates
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "bool_or",
    "bool_and",
    "first_value",
    "last_value",
    "string_agg",
    // windows
    "row_number",
    "rank",
    "dense_rank",
    "lag",
    "lead",
];

/// Aggregates and windows whose answer depends on the order of rows: they need a total order.
pub(crate) const ORDER_DEPENDENT: &[&str] =
    &["first_value", "last_value", "string_agg", "row_number", "lag", "lead", "nth_value", "array_agg"];

/// One of our functions.
struct Entry {
    name: &'static str,
    signatures: fn() -> Vec<Vec<DataType>>,
    returns: DataType,
    eval: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

const TS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
const D: DataType = DataType::Date32;

/// Our functions, in the order of the documentation (`rules/README.md`).
const FUNCTIONS: &[Entry] = &[
    Entry {
        name: "month_idx",
        signatures: || vec![vec![D], vec![TS]],
        returns: DataType::Int64,
        eval: month_idx,
    },
    Entry { name: "month_start", signatures: || vec![vec![D], vec![TS]], returns: D, eval: month_start },
    Entry { name: "to_day", signatures: || vec![vec![TS], vec![D]], returns: D, eval: to_day },
    Entry { name: "add_days", signatures: || vec![vec![D, DataType::Int64]], returns: D, eval: add_days },
    Entry { name: "add_months", signatures: || vec![vec![D, DataType::Int64]], returns: D, eval: add_months },
    Entry { name: "days_between", signatures: two_moments, returns: DataType::Int64, eval: days_between },
    Entry { name: "hours_between", signatures: two_moments, returns: DataType::Int64, eval: hours_between },
    Entry { name: "age_at", signatures: two_moments, returns: DataType::Int64, eval: age_at },
    Entry {
        name: "name_grade",
        signatures: || vec![vec![DataType::Utf8View, DataType::Utf8View]],
        returns: DataType::Utf8View,
        eval: name_grade,
    },
    Entry {
        name: "life_points",
        signatures: || vec![vec![DataType::Utf8View, D, D, DataType::Int64]],
        returns: DataType::Int64,
        eval: life_points,
    },
];

fn two_moments() -> Vec<Vec<DataType>> {
    vec![vec![D, D], vec![TS, TS], vec![TS, D], vec![D, TS]]
}

/// Our functions, for a session.
pub(crate) fn ours() -> Vec<Arc<ScalarUDF>> {
    (0..FUNCTIONS.len()).map(|index| Arc::new(ScalarUDF::from(RuleFunction::new(index)))).collect()
}

/// Whether a rule may call `name` (lower case).
pub(crate) fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(&name) || FUNCTIONS.iter().any(|f| f.name == name)
}

/// Every callable name, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|f| f.name).chain(ALLOWED.iter().copied())
}

struct RuleFunction {
    index: usize,
    signature: Signature,
}

impl RuleFunction {
    fn new(index: usize) -> Self {
        let variants = (FUNCTIONS[index].signatures)().into_iter().map(TypeSignature::Exact).collect();
        Self { index, signature: Signature::one_of(variants, Volatility::Immutable) }
    }

    fn entry(&self) -> &'static Entry {
        &FUNCTIONS[self.index]
    }
}

impl fmt::Debug for RuleFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().name)
    }
}

impl PartialEq for RuleFunction {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for RuleFunction {}

impl Hash for RuleFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl ScalarUDFImpl for RuleFunction {
    fn name(&self) -> &str {
        self.entry().name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.entry().returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let out = (self.entry().eval)(&ColumnarValue::values_to_arrays(&args.args)?)?;
        if scalar {
            Ok(ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&out, 0)?))
        } else {
            Ok(ColumnarValue::Array(out))
        }
    }
}

/// Days since 1970-01-01 of a date or of a moment's day.
fn days(array: &ArrayRef) -> Result<Vec<Option<i32>>> {
    match array.data_type() {
        DataType::Date32 => Ok(array.as_primitive::<Date32Type>().iter().collect()),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => Ok(array
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .map(|v| v.and_then(|n| i32::try_from(n.div_euclid(NANOS_PER_DAY)).ok()))
            .collect()),
        other => Err(DataFusionError::Internal(format!("a date was expected, not {other}"))),
    }
}

/// Nanoseconds since 1970-01-01 of a moment or of a date's midnight.
fn nanos(array: &ArrayRef) -> Result<Vec<Option<i64>>> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            Ok(array.as_primitive::<TimestampNanosecondType>().iter().collect())
        }
        _ => Ok(days(array)?
            .into_iter()
            .map(|d| d.and_then(|d| i64::from(d).checked_mul(NANOS_PER_DAY)))
            .collect()),
    }
}

fn civil(day: i32) -> Option<NaiveDate> {
    day.checked_add(EPOCH_FROM_CE).and_then(NaiveDate::from_num_days_from_ce_opt)
}

fn epoch_day(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH_FROM_CE
}

/// A day as YYYY-MM-DD.
pub(crate) fn date_text(day: i32) -> String {
    civil(day).map(|d| d.to_string()).unwrap_or_default()
}

/// A date as days since 1970-01-01.
pub(crate) fn day_of(date: NaiveDate) -> i32 {
    epoch_day(date)
}

fn ints(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<Int64Type>().iter().collect()
}

/// Year times 12 plus month (`rules.md` 1.3).
fn month_idx(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Int64Array = days(&args[0])?
        .into_iter()
        .map(|d| d.and_then(civil).map(|d| i64::from(d.year()) * 12 + i64::from(d.month())))
        .collect();
    Ok(Arc::new(out))
}

fn month_start(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Date32Array = days(&args[0])?
        .into_iter()
        .map(|d| d.and_then(civil).and_then(|d| d.with_day(1)).map(epoch_day))
        .collect();
    Ok(Arc::new(out))
}

fn to_day(args: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(Arc::new(Date32Array::from_iter(days(&args[0])?)))
}

fn add_days(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Date32Array = days(&args[0])?
        .into_iter()
        .zip(ints(&args[1]))
        .map(|(d, n)| d.zip(n).and_then(|(d, n)| i32::try_from(i64::from(d).checked_add(n)?).ok()))
        .collect();
    Ok(Arc::new(out))
}

/// The same day of the month `n` months on, or the last day of that month.
fn add_months(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Date32Array = days(&args[0])?
        .into_iter()
        .zip(ints(&args[1]))
        .map(|(d, n)| {
            let (date, n) = d.and_then(civil).zip(n)?;
            let months = Months::new(u32::try_from(n.unsigned_abs()).ok()?);
            let moved = if n < 0 { date.checked_sub_months(months) } else { date.checked_add_months(months) };
            moved.map(epoch_day)
        })
        .collect();
    Ok(Arc::new(out))
}

/// Whole calendar days from the first to the second, negative when the second is earlier.
fn days_between(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Int64Array = days(&args[0])?
        .into_iter()
        .zip(days(&args[1])?)
        .map(|(a, b)| a.zip(b).map(|(a, b)| i64::from(b) - i64::from(a)))
        .collect();
    Ok(Arc::new(out))
}

/// Whole hours from the first to the second, rounded down.
fn hours_between(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Int64Array = nanos(&args[0])?
        .into_iter()
        .zip(nanos(&args[1])?)
        .map(|(a, b)| a.zip(b).and_then(|(a, b)| Some(b.checked_sub(a)?.div_euclid(NANOS_PER_HOUR))))
        .collect();
    Ok(Arc::new(out))
}

/// Full years of age on a day.
fn age_at(args: &[ArrayRef]) -> Result<ArrayRef> {
    let out: Int64Array = days(&args[0])?
        .into_iter()
        .zip(days(&args[1])?)
        .map(|(born, day)| {
            let (born, day) = (born.and_then(civil)?, day.and_then(civil)?);
            let before_birthday = (day.month(), day.day()) < (born.month(), born.day());
            Some(i64::from(day.year()) - i64::from(born.year()) - i64::from(before_birthday))
        })
        .collect();
    Ok(Arc::new(out))
}

fn name_grade(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (a, b) = (args[0].as_string_view(), args[1].as_string_view());
    let out: StringViewArray =
        a.iter().zip(b.iter()).map(|(a, b)| Some(names::grade(a, b).as_str())).collect();
    Ok(Arc::new(out))
}

/// Weight of a life sign, halved every `half_life` months (`rules.md` 3.2), in millionths: S 1.0, M 0.6, W 0.2.
/// Whole numbers, so that a sum does not depend on the order of rows.
fn life_points(args: &[ArrayRef]) -> Result<ArrayRef> {
    let strength = args[0].as_string_view();
    let (event, as_of, half_life) = (days(&args[1])?, days(&args[2])?, ints(&args[3]));
    let out: Int64Array = (0..strength.len())
        .map(|i| {
            let weight = match strength.is_valid(i).then(|| strength.value(i))? {
                "S" => 1_000_000.0,
                "M" => 600_000.0,
                "W" => 200_000.0,
                _ => return None,
            };
            let (event, as_of) = (civil(event[i]?)?, civil(as_of[i]?)?);
            let months = (as_of.year() - event.year()) * 12 + i32::try_from(as_of.month()).ok()?
                - i32::try_from(event.month()).ok()?;
            if months < 0 {
                return Some(0);
            }
            let half_life = half_life[i].filter(|h| *h > 0)?;
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "months and points are small; the result is rounded once, here"
            )]
            Some((weight * 0.5_f64.powf(f64::from(months) / half_life as f64)).round() as i64)
        })
        .collect();
    Ok(Arc::new(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i32 {
        epoch_day(text.parse().unwrap())
    }

    fn dates(list: &[&str]) -> ArrayRef {
        Arc::new(Date32Array::from_iter(list.iter().map(|t| Some(day(t)))))
    }

    #[test]
    fn months_count_from_year_twelve() {
        let out = month_idx(&[dates(&["2026-01-31", "1899-12-01"])]).unwrap();
        assert_eq!(out.as_primitive::<Int64Type>().values(), &[2026 * 12 + 1, 1899 * 12 + 12]);
    }

    #[test]
    fn a_month_on_from_the_31st_is_the_last_day() {
        let out =
            add_months(&[dates(&["2026-01-31", "2024-03-31"]), Arc::new(Int64Array::from(vec![1, -1]))])
                .unwrap();
        assert_eq!(out.as_primitive::<Date32Type>().values(), &[day("2026-02-28"), day("2024-02-29")]);
    }

    #[test]
    fn age_changes_on_the_birthday_and_not_before() {
        let out =
            age_at(&[dates(&["1960-05-02", "1960-05-02"]), dates(&["2026-05-01", "2026-05-02"])]).unwrap();
        assert_eq!(out.as_primitive::<Int64Type>().values(), &[65, 66]);
    }

    #[test]
    fn hours_round_down_so_23_hours_59_is_not_a_day() {
        use arrow::array::TimestampNanosecondArray;
        let from = Arc::new(TimestampNanosecondArray::from(vec![0, 0])) as ArrayRef;
        let to = Arc::new(TimestampNanosecondArray::from(vec![24 * NANOS_PER_HOUR - 1, 24 * NANOS_PER_HOUR]))
            as ArrayRef;
        let out = hours_between(&[from, to]).unwrap();
        assert_eq!(out.as_primitive::<Int64Type>().values(), &[23, 24]);
    }

    #[test]
    fn a_life_sign_halves_in_one_half_life_and_the_future_counts_nothing() {
        let out = life_points(&[
            Arc::new(StringViewArray::from(vec!["S", "S", "W", "S"])),
            dates(&["2026-06-01", "2025-12-31", "2026-06-30", "2026-07-01"]),
            dates(&["2026-06-30"; 4]),
            Arc::new(Int64Array::from(vec![6; 4])),
        ])
        .unwrap();
        assert_eq!(out.as_primitive::<Int64Type>().values(), &[1_000_000, 500_000, 200_000, 0]);
    }
}
