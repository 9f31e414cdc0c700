//! Headings: which column of a file is which field. A heading means a field when it is the field's name, a
//! title or an alias, letter for letter once blanks and decoration are gone; a near miss is suggested, never
//! taken. Knows no file format.

use mingcha_rules::{Contract, Diagnostic, Field};
use unicode_normalization::UnicodeNormalization;

use crate::fault::nearest;
use crate::parse::is_invisible;

/// Headings are looked for down to this row, to say where they are; they are never taken from there unasked.
pub(crate) const LAST_HEADING_ROW: u64 = 10;

/// The columns of a file, matched with a contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    /// For each field of the contract, the column that holds it.
    pub(crate) columns: Vec<Option<usize>>,
    /// Optional fields that the file does not have.
    pub(crate) missing: Vec<String>,
    /// Headings that mean no field, each with the field it comes near to.
    pub(crate) ignored: Vec<(String, Option<String>)>,
}

/// Matches headings with the fields of a contract.
///
/// # Errors
/// Every doubled, re-cased or missing column, in one list.
pub(crate) fn matched(
    contract: &Contract,
    headings: &[String],
    file: &str,
) -> Result<Matched, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let mut out = Matched { columns: vec![None; contract.fields.len()], ..Matched::default() };
    let mut seen: Vec<String> = Vec::with_capacity(headings.len());
    for (column, heading) in headings.iter().enumerate() {
        let heading = undecorated(heading);
        if heading.is_empty() {
            continue;
        }
        if seen.contains(&heading) {
            faults.push(doubled(&heading).in_file(file).at_column(&heading));
            continue;
        }
        seen.push(heading.clone());
        match field_of(contract, &heading) {
            Some(index) => match out.columns[index] {
                None => out.columns[index] = Some(column),
                Some(_) => {
                    faults.push(doubled(&contract.fields[index].name).in_file(file).at_column(&heading));
                }
            },
            None => match recased(contract, &heading) {
                Some(wanted) => faults.push(wrong_case(&wanted, &heading).in_file(file).at_column(&heading)),
                None => out.ignored.push((heading, None)),
            },
        }
    }
    let absent: Vec<&Field> =
        contract.fields.iter().zip(&out.columns).filter(|(_, c)| c.is_none()).map(|(f, _)| f).collect();
    for (heading, near) in &mut out.ignored {
        *near = near_field(&absent, heading);
    }
    for field in absent {
        if field.required || contract.id_field().is_some_and(|id| id.name == field.name) {
            let near =
                out.ignored.iter().find(|(_, n)| n.as_deref() == Some(&field.name)).map(|(h, _)| h.as_str());
            if !faults
                .iter()
                .any(|f| f.code == "MC632" && f.message.en.contains(&format!("`{}`", field.name)))
            {
                faults.push(absent_column(field, near).in_file(file));
            }
        } else {
            out.missing.push(field.name.clone());
        }
    }
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

/// How many of these headings mean a field.
pub(crate) fn recognised<'a>(contract: &Contract, headings: impl IntoIterator<Item = &'a str>) -> usize {
    headings.into_iter().filter(|h| field_of(contract, &undecorated(h)).is_some()).count()
}

fn field_of(contract: &Contract, heading: &str) -> Option<usize> {
    let exact = contract.fields.iter().position(|f| f.name == heading);
    exact.or_else(|| contract.fields.iter().position(|f| labels(f).any(|l| undecorated(l) == heading)))
}

fn labels(field: &Field) -> impl Iterator<Item = &str> {
    [field.title.zh.as_str(), field.title.en.as_str()]
        .into_iter()
        .chain(field.aliases.iter().map(String::as_str))
}

fn recased(contract: &Contract, heading: &str) -> Option<String> {
    let lower = heading.to_lowercase();
    contract
        .fields
        .iter()
        .find(|f| f.name.to_lowercase() == lower || labels(f).any(|l| undecorated(l).to_lowercase() == lower))
        .map(|f| f.name.clone())
}

fn near_field(absent: &[&Field], heading: &str) -> Option<String> {
    let mut best: Option<(&str, &Field)> = None;
    for field in absent {
        let known = std::iter::once(field.name.as_str()).chain(labels(field));
        if let Some(label) = nearest(heading, known.chain(best.map(|b| b.0)))
            && best.is_none_or(|b| b.0 != label)
        {
            best = Some((label, field));
        }
    }
    best.map(|(_, field)| field.name.clone())
}

/// A heading without blanks, invisible characters and the marks that forms put beside it.
fn undecorated(heading: &str) -> String {
    heading
        .nfkc()
        .filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c))
        .filter(|c| !matches!(c, '*' | ':' | '"' | '\'' | '“' | '”'))
        .collect()
}

fn doubled(heading: &str) -> Diagnostic {
    Diagnostic::error(
        "MC631",
        format!("每个字段应只有一列，「{heading}」出现了两次"),
        format!("wanted one column for each field, got `{heading}` twice"),
    )
    .with_help("删除或改名多余的一列后重新导出", "remove or rename one of the columns and export again")
}

fn wrong_case(wanted: &str, got: &str) -> Diagnostic {
    Diagnostic::error(
        "MC632",
        format!("应为列「{wanted}」，实际为「{got}」，仅大小写不同"),
        format!("wanted the column `{wanted}`, got `{got}`, which differs only in case"),
    )
    .with_help(
        format!("把列名改为 {wanted}，或在约定的 aliases 中加上「{got}」"),
        format!("rename the column to {wanted}, or add `{got}` to the aliases of the contract"),
    )
}

fn absent_column(field: &Field, near: Option<&str>) -> Diagnostic {
    let out = Diagnostic::error(
        "MC630",
        format!("缺少必需的列「{}」（{}）", field.name, field.title.zh),
        format!("wanted the column `{}` ({}), got none", field.name, field.title.en),
    );
    match near {
        Some(near) => out.with_help(
            format!("是否就是「{near}」？如是，改列名，或在约定的 aliases 中加上它"),
            format!("is it `{near}`? if so, rename it, or add it to the aliases of the contract"),
        ),
        None => out.with_help(
            "请发送方补上这一列；表头不在第一行时，在映射中写明 header_row",
            "ask for the column; where the headings are not in the first row, say header_row in the mapping",
        ),
    }
}
