//! Checks of shared views.

use super::Found;
use super::rule::{default_faults, undeclared, unknown_dataset, unused, view_params};
use crate::library::{BUILTIN_TABLES, Library, LoadedView};
use crate::sqltext::tokens;

/// Its name is an SQL name that nothing else has.
pub(super) fn name(library: &Library, view: &LoadedView) -> Vec<Found> {
    let name = &view.view.name;
    let taken =
        library.contract(name).is_some() || BUILTIN_TABLES.contains(&name.as_str()) || name == "candidates";
    let mut out = Vec::new();
    if taken {
        out.push(
            Found::new(
                view.place("name"),
                format!("`{name}` 已是数据集或内置表的名称"),
                format!("`{name}` is already a dataset or a built-in table"),
            )
            .help("换一个名称", "take another name"),
        );
    }
    if !super::rule::is_sql_name(name) {
        out.push(not_a_name(view.place("name"), name));
    }
    out
}

pub(super) fn not_a_name(place: crate::diagnostic::Place, name: &str) -> Found {
    Found::new(
        place,
        format!("名称应为小写字母、数字和下划线，以字母开头，实际为 `{name}`"),
        format!("wanted a name of lower-case letters, digits and `_`, beginning with a letter, got `{name}`"),
    )
}

pub(super) fn inputs_known(library: &Library, view: &LoadedView) -> Vec<Found> {
    let inputs = view.view.inputs.iter().enumerate();
    inputs
        .filter_map(|(n, dataset)| unknown_dataset(library, dataset, view.place(&format!("inputs[{n}]"))))
        .collect()
}

pub(super) fn param_values(_: &Library, view: &LoadedView) -> Vec<Found> {
    default_faults(&view.view.params, |path| view.place(path))
}

pub(super) fn params_declared(_: &Library, view: &LoadedView) -> Vec<Found> {
    tokens(&view.view.sql)
        .into_iter()
        .filter_map(|token| undeclared(&view.view.params, token, || view.sql_place(token.line, token.column)))
        .collect()
}

pub(super) fn params_used(_: &Library, view: &LoadedView) -> Vec<Found> {
    let used = tokens(&view.view.sql).into_iter().filter(|t| t.is_param).map(|t| t.word).collect();
    unused(&view.view.params, &used, |path| view.place(path))
}

pub(super) fn params_of_views(library: &Library, view: &LoadedView) -> Vec<Found> {
    view_params(library, &view.view.views, &view.view.params, |path| view.place(path))
}

pub(super) fn sql_written(_: &Library, view: &LoadedView) -> Vec<Found> {
    if view.view.sql.trim().is_empty() {
        return vec![Found::new(view.place("sql"), "没有写 SQL", "there is no SQL")];
    }
    Vec::new()
}
