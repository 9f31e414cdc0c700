//! Checks of contracts.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use super::rule::is_sql_name;
use super::view::not_a_name;
use crate::contract::{Contract, FieldType, PersonKey, PiiClass};
use crate::diagnostic::Place;
use crate::handler::{HANDLERS, heads_handler};
use crate::library::{BUILTIN_TABLES, Library};

/// SQL columns that the store adds.
const TAKEN_FIELDS: [&str; 4] = ["pid", "src", "id_length", "is_latest"];

fn place(library: &Library, contract: &Contract, path: &str) -> Place {
    library.contract_place(&contract.name, path)
}

pub(super) fn name(library: &Library, contract: &Contract) -> Vec<Found> {
    let name = &contract.name;
    let at = place(library, contract, "name");
    if !is_sql_name(name) {
        return vec![not_a_name(at, name)];
    }
    if BUILTIN_TABLES.contains(&name.as_str()) || name == "candidates" {
        return vec![Found::new(
            at,
            format!("`{name}` 是内置表的名称"),
            format!("`{name}` is the name of a built-in table"),
        )];
    }
    Vec::new()
}

pub(super) fn field_names(library: &Library, contract: &Contract) -> Vec<Found> {
    let mut out = Vec::new();
    if contract.fields.is_empty() {
        out.push(Found::new(
            place(library, contract, "fields"),
            "契约没有字段",
            "the contract has no fields",
        ));
    }
    let mut seen = BTreeSet::new();
    for (n, field) in contract.fields.iter().enumerate() {
        let at = || place(library, contract, &format!("fields[{n}].name"));
        let name = field.name.as_str();
        if !is_sql_name(name) {
            out.push(not_a_name(at(), name));
        } else if TAKEN_FIELDS.contains(&name) {
            out.push(Found::new(
                at(),
                format!("字段不能叫 `{name}`，库里会自动加上这一列"),
                format!("a field cannot be called `{name}`: the store adds a column of that name"),
            ));
        }
        if !seen.insert(name) {
            out.push(Found::new(
                at(),
                format!("字段 `{name}` 重复"),
                format!("field `{name}` is there twice"),
            ));
        }
    }
    out
}

/// That `name` is a field of `contract`; else what to say.
fn no_field(library: &Library, contract: &Contract, path: &str, name: &str) -> Option<Found> {
    if contract.field(name).is_some() {
        return None;
    }
    let found = Found::new(
        place(library, contract, path),
        format!("没有字段 `{name}`"),
        format!("there is no field `{name}`"),
    );
    Some(found.nearest(name, contract.fields.iter().map(|f| f.name.as_str())))
}

pub(super) fn key(library: &Library, contract: &Contract) -> Vec<Found> {
    let key = contract.key.iter().enumerate();
    key.filter_map(|(n, name)| no_field(library, contract, &format!("key[{n}]"), name)).collect()
}

pub(super) fn person(library: &Library, contract: &Contract) -> Vec<Found> {
    let Some(PersonKey::Field(name)) = &contract.person else { return Vec::new() };
    if let Some(found) = no_field(library, contract, "person", name) {
        return vec![found];
    }
    let is_id = contract.field(name).is_some_and(|f| f.ty == FieldType::Id);
    if is_id {
        return Vec::new();
    }
    vec![
        Found::new(
            place(library, contract, "person"),
            format!("`{name}` 的类型应为 id"),
            format!("wanted a field of type `id`, and `{name}` has another"),
        )
        .help("给该字段写 `type: id`", "give the field `type: id`"),
    ]
}

/// One step only: the other dataset holds the identity number itself.
pub(super) fn via(library: &Library, contract: &Contract) -> Vec<Found> {
    let Some(PersonKey::Via(via)) = &contract.person else { return Vec::new() };
    let mut out: Vec<Found> = no_field(library, contract, "person.on", &via.on).into_iter().collect();
    let at = place(library, contract, "person.dataset");
    let Some(other) = library.contract(&via.dataset).filter(|o| o.name != contract.name) else {
        let found = Found::new(
            at,
            format!("没有另一个数据集 `{}` 的契约", via.dataset),
            format!("there is no contract for another dataset `{}`", via.dataset),
        );
        out.push(found.nearest(&via.dataset, library.contracts.iter().map(|c| c.name.as_str())));
        return out;
    };
    if other.field(&via.on).is_none() {
        out.push(Found::new(
            place(library, contract, "person.on"),
            format!("数据集 `{}` 没有字段 `{}`", via.dataset, via.on),
            format!("dataset `{}` has no field `{}`", via.dataset, via.on),
        ));
    }
    if other.id_field().is_none() {
        out.push(Found::new(
            at,
            format!("数据集 `{}` 自身不含身份证号", via.dataset),
            format!("dataset `{}` does not hold identity numbers itself", via.dataset),
        ));
    }
    out
}

pub(super) fn versions(library: &Library, contract: &Contract) -> Vec<Found> {
    let Some(versions) = &contract.versions else { return Vec::new() };
    let fields = [("versions.key", &versions.key), ("versions.by", &versions.by)];
    let mut out: Vec<Found> =
        fields.into_iter().filter_map(|(path, name)| no_field(library, contract, path, name)).collect();
    if contract.field(&versions.by).is_some_and(|f| f.ty != FieldType::Int) {
        out.push(Found::new(
            place(library, contract, "versions.by"),
            format!("`{}` 的类型应为 int", versions.by),
            format!("wanted a field of type `int`, and `{}` has another", versions.by),
        ));
    }
    out
}

/// A heading that means two fields would put one's values into the other.
pub(super) fn headings(library: &Library, contract: &Contract) -> Vec<Found> {
    let mut owner: BTreeMap<String, usize> = BTreeMap::new();
    let mut out = Vec::new();
    for (n, field) in contract.fields.iter().enumerate() {
        let aliases = field.aliases.iter().enumerate();
        let own =
            [(format!("fields[{n}].name"), &field.name), (format!("fields[{n}].title.zh"), &field.title.zh)];
        for (path, heading) in
            own.into_iter().chain(aliases.map(|(a, h)| (format!("fields[{n}].aliases[{a}]"), h)))
        {
            let folded = heading.trim().to_lowercase();
            let first = *owner.entry(folded).or_insert(n);
            if first != n {
                out.push(
                    Found::new(
                        place(library, contract, &path),
                        format!("列名 `{heading}` 已指字段 `{}`", contract.fields[first].name),
                        format!("heading `{heading}` already means field `{}`", contract.fields[first].name),
                    )
                    .help("一个列名只能指一个字段", "a heading means one field only"),
                );
            } else if heading.trim().is_empty() {
                out.push(Found::new(place(library, contract, &path), "列名是空的", "the heading is empty"));
            }
        }
    }
    out
}

pub(super) fn codes(library: &Library, contract: &Contract) -> Vec<Found> {
    let mut out = Vec::new();
    for (n, field) in contract.fields.iter().enumerate() {
        let at = |path: &str| place(library, contract, &format!("fields[{n}].{path}"));
        if field.ty != FieldType::Code && (!field.codes.is_empty() || field.open_codes) {
            out.push(Found::new(
                at("type"),
                "只有 type: code 的字段可以有码表",
                "only a field of type `code` has a code table",
            ));
        }
        if field.ty == FieldType::Code && field.codes.is_empty() && !field.open_codes {
            out.push(
                Found::new(at("type"), "缺少码表", "the code table is missing")
                    .help("写出 codes，或写 open_codes: true", "write `codes`, or `open_codes: true`"),
            );
        }
        let mut owner: BTreeMap<String, &str> = BTreeMap::new();
        for (code, meaning) in &field.codes {
            for spelling in [code, &meaning.zh, &meaning.en].into_iter().chain(&meaning.aliases) {
                let first = *owner.entry(spelling.trim().to_lowercase()).or_insert(code);
                if first != code {
                    out.push(Found::new(
                        at(&format!("codes.{code}")),
                        format!("`{spelling}` 已指代码 `{first}`"),
                        format!("`{spelling}` already means code `{first}`"),
                    ));
                }
            }
        }
    }
    out
}

pub(super) fn max_age(library: &Library, contract: &Contract) -> Vec<Found> {
    if contract.max_age_days == 0 {
        return vec![Found::new(
            place(library, contract, "max_age_days"),
            "有效天数至少为 1",
            "wanted at least 1 day",
        )];
    }
    Vec::new()
}

/// Whom a field of another name names would be shown with no lead, and could judge what they handled.
pub(super) fn handlers_are_called_so(library: &Library, contract: &Contract) -> Vec<Found> {
    let fields = contract.fields.iter().enumerate();
    let headed = |field: &&crate::contract::Field| {
        let mut headings = field.aliases.iter().chain([&field.title.zh]);
        headings.any(|heading| heads_handler(heading))
    };
    fields
        .filter(|(_, field)| matches!(field.ty, FieldType::Text | FieldType::Code) && !field.names_handler())
        .filter(|(_, field)| headed(field))
        .map(|(n, field)| {
            Found::new(
                place(library, contract, &format!("fields[{n}].name")),
                format!("`{}` 像是记录经办或审批人的字段，经办人回避不会认得它", field.name),
                format!(
                    "`{}` seems to say who handled a row; nobody is kept from judging what they handled by a field of this name",
                    field.name
                ),
            )
            .help(
                format!("字段名请用 {} 之一，列名写入 aliases", HANDLERS.join("、")),
                format!("call it one of {}; headings go into `aliases`", HANDLERS.join(", ")),
            )
            .warning()
        })
        .collect()
}

pub(super) fn ids_are_personal_data(library: &Library, contract: &Contract) -> Vec<Found> {
    let fields = contract.fields.iter().enumerate();
    fields
        .filter(|(_, field)| field.ty == FieldType::Id && field.pii != Some(PiiClass::DirectId))
        .map(|(n, field)| {
            Found::new(
                place(library, contract, &format!("fields[{n}].name")),
                format!("身份证号字段 `{}` 应写 `pii: direct_id`", field.name),
                format!("identity number `{}` must have `pii: direct_id`", field.name),
            )
            .help("否则导出时不会遮盖", "otherwise exports would not mask it")
        })
        .collect()
}
