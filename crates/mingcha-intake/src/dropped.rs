//! What is said of values that were dropped while their rows were kept: days that are none, numbers that tell nobody
//! apart. Each column is named with a count and a first row; a column that is mostly destroyed refuses its file, because
//! silence about it would look like a clean answer, unless the contract says that no answer hangs on it. Counts only;
//! sees no value.

use mingcha_rules::contract::OnBadValue;
use mingcha_rules::{Contract, Diagnostic, Level};

use crate::days::NO_DAY;
use crate::identifiers::{NO_NUMBER, SCIENTIFIC, STORED_AS_NUMBER};
use crate::quality::{Blame, Tally};

/// Fewer destroyed values than this never refuse a file.
const FEW_VALUES: u64 = 10;
/// More than one long account in so many that looks cut refuses a file.
const CUT_PART: u64 = 20;

/// The remarks on one file. `lenient`: a destroyed column is remarked on as well.
///
/// # Errors
/// When the numbers of a column are mostly destroyed.
pub(crate) fn remarks(
    contract: &Contract,
    file: &str,
    tally: &Tally,
    lenient: bool,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut out = Vec::new();
    for field in &contract.fields {
        let lenient = lenient || field.on_bad_value == OnBadValue::DropValue;
        let field = field.name.as_str();
        let of = |reason| tally.dropped.get(&(field.to_owned(), reason)).copied();
        let count = |reason| of(reason).map_or(0, |b| b.count);
        out.extend(of(NO_DAY).map(|blame| no_days(blame).in_file(file).at_column(field)));
        let destroyed = count(SCIENTIFIC) + count(STORED_AS_NUMBER);
        let given = tally.filled(field) + destroyed + count(NO_NUMBER);
        if destroyed >= FEW_VALUES && destroyed * 2 > given && !lenient {
            let row = of(SCIENTIFIC).or(of(STORED_AS_NUMBER)).map_or(1, |b| b.row);
            return Err(column_destroyed(destroyed, given, row).in_file(file).at_column(field));
        }
        let (long, cut) = tally.notes.of(field).map_or((0, 0), |n| (n.long, n.cut));
        if cut >= FEW_VALUES && cut * CUT_PART > long {
            let fault = numbers_cut(cut, long).in_file(file).at_column(field);
            if !lenient {
                return Err(fault);
            }
            out.push(Diagnostic { level: Level::Warning, ..fault });
        }
        let reasons = [SCIENTIFIC, STORED_AS_NUMBER, NO_NUMBER];
        let told = reasons.into_iter().filter_map(|reason| Some(no_number(reason, of(reason)?)));
        out.extend(told.map(|d| d.in_file(file).at_column(field)));
    }
    Ok(out)
}

fn numbers_cut(cut: u64, long: u64) -> Diagnostic {
    Diagnostic::error(
        "MC671",
        format!("18 位以上的账号从第 16 位起全为 0 的应是个别，实际 {long} 个中有 {cut} 个：号码可能被电子表格截成了 15 位"),
        format!("wanted hardly any account of 18 digits or more with noughts from the sixteenth on, got {cut} of {long}: a spreadsheet has probably cut them to 15 digits"),
    )
    .with_help(
        "请发送方把该列按文本重新导出；确认无误后可加 --accept-damaged-ids，照原样采用",
        "have the column exported again as text; `--accept-damaged-ids` takes them as they are",
    )
}

fn no_days(Blame { count, row }: Blame) -> Diagnostic {
    Diagnostic::warning(
        "MC661",
        format!("应为日期，实际有 {count} 处是 0 或其显示形式（1899-12-30、1900-01-00、1900-01-01 等），按没有日期处理，如数据第 {row} 行"),
        format!("wanted days, got {count} times 0 or what is shown for it (1899-12-30, 1900-01-00, 1900-01-01 ...), taken as no day, as in data row {row}"),
    )
    .with_help(
        "逐行见数据仓中的 rejects.csv；确有日期的，请发送方改正后重新导出",
        "rejects.csv in the store lists them; where there is a day, have it mended and exported again",
    )
}

fn no_number(reason: &str, Blame { count, row }: Blame) -> Diagnostic {
    let (zh, en) = mingcha_rules::reject::meaning(reason).unwrap_or((reason, reason));
    Diagnostic::warning(
        "MC662",
        format!("应为能区分彼此的号码，实际有 {count} 处不是：{zh}；行保留，值未采用，如数据第 {row} 行"),
        format!("wanted numbers that tell one from another, got {count} that do not: {en}; the rows were kept without the value, as data row {row}"),
    )
    .with_help("逐行见数据仓中的 rejects.csv", "rejects.csv in the store lists them")
}

fn column_destroyed(destroyed: u64, given: u64, row: u64) -> Diagnostic {
    Diagnostic::error(
        "MC663",
        format!("号码应为文本，实际 {given} 个中有 {destroyed} 个成了数字或科学计数法，如数据第 {row} 行：原来的号码已丢失"),
        format!("wanted the numbers as text, got {destroyed} of {given} as numbers or in scientific notation, as in data row {row}: the digits are lost"),
    )
    .with_help(
        "请发送方把该列按文本重新导出；确认无误后可加 --accept-damaged-ids，不采用这些值",
        "have the column exported again as text; `--accept-damaged-ids` takes the file without these values",
    )
}
