//! What can be checked about rules, views, packs and contracts without data: a flat table, one function per
//! code. Knows no SQL grammar and no engine; whether the SQL plans is checked there.
//!
//! To refuse a bad rule earlier: write a function that returns what it found, give it a line in `CHECKS`
//! and one in [`crate::codes`], and break the good file in the tests with it.

mod contract;
mod example;
mod personal;
mod rule;
mod text;
mod view;

#[cfg(test)]
mod tests;

use crate::contract::Contract;
use crate::diagnostic::{Diagnostic, Level, Place};
use crate::library::{Library, LoadedRule, LoadedView, sort};
use crate::yaml::Document;

pub use personal::is_real_looking_id;

/// Something that a check found; the code is that of the check.
#[derive(Debug)]
struct Found {
    place: Place,
    level: Level,
    zh: String,
    en: String,
    help: Option<(String, String)>,
}

impl Found {
    fn new(place: Place, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { place, level: Level::Error, zh: zh.into(), en: en.into(), help: None }
    }

    fn help(mut self, zh: impl Into<String>, en: impl Into<String>) -> Self {
        self.help = Some((zh.into(), en.into()));
        self
    }

    /// "did you mean", where something near is known.
    fn nearest<'a>(self, word: &str, known: impl Iterator<Item = &'a str>) -> Self {
        match crate::yaml::nearest(word, known) {
            Some(word) => {
                let (zh, en) = crate::yaml::did_you_mean(&word);
                self.help(zh, en)
            }
            None => self,
        }
    }

    fn warning(mut self) -> Self {
        self.level = Level::Warning;
        self
    }
}

/// What a check looks at.
#[derive(Clone, Copy)]
enum Look {
    Rule(fn(&Library, &LoadedRule) -> Vec<Found>),
    View(fn(&Library, &LoadedView) -> Vec<Found>),
    Contract(fn(&Library, &Contract) -> Vec<Found>),
    /// Every file, as text with places.
    File(fn(&Document) -> Vec<Found>),
}

/// Every check: its code and what it looks at. The codes are explained in [`crate::codes`].
const CHECKS: &[(&str, Look)] = &[
    ("MC102", Look::Rule(rule::pack_prefix)),
    ("MC104", Look::Rule(rule::title_length)),
    ("MC105", Look::File(text::both_languages)),
    ("MC106", Look::Rule(rule::since)),
    ("MC107", Look::Rule(rule::legal)),
    ("MC108", Look::Rule(rule::false_positives)),
    ("MC109", Look::Rule(rule::verify)),
    ("MC110", Look::Rule(rule::inputs_known)),
    ("MC110", Look::View(view::inputs_known)),
    ("MC112", Look::Rule(rule::inputs_cover_views)),
    ("MC113", Look::Rule(rule::param_values)),
    ("MC113", Look::View(view::param_values)),
    ("MC114", Look::Rule(rule::params_declared)),
    ("MC114", Look::View(view::params_declared)),
    ("MC115", Look::Rule(rule::params_used)),
    ("MC115", Look::View(view::params_used)),
    ("MC116", Look::Rule(rule::exclusion_codes)),
    ("MC117", Look::Rule(rule::exclusion_conditions)),
    ("MC118", Look::Rule(rule::instead)),
    ("MC119", Look::Rule(rule::bands)),
    ("MC120", Look::Rule(rule::evidence)),
    ("MC121", Look::Rule(rule::placeholders)),
    ("MC122", Look::Rule(rule::placeholders_agree)),
    ("MC123", Look::Rule(rule::version)),
    ("MC125", Look::View(view::name)),
    ("MC127", Look::Rule(rule::names)),
    ("MC128", Look::Rule(rule::params_of_views)),
    ("MC128", Look::View(view::params_of_views)),
    ("MC129", Look::Rule(rule::sql_written)),
    ("MC129", Look::View(view::sql_written)),
    ("MC130", Look::File(text::blanks)),
    ("MC131", Look::Rule(rule::listed_once)),
    ("MC290", Look::Contract(contract::handlers_are_called_so)),
    ("MC301", Look::File(personal::no_real_ids)),
    ("MC302", Look::Contract(contract::ids_are_personal_data)),
    ("MC401", Look::Rule(example::a_hit)),
    ("MC402", Look::Rule(example::a_near_miss)),
    ("MC403", Look::Rule(example::every_exclusion)),
    ("MC404", Look::Rule(example::datasets_known)),
    ("MC405", Look::Rule(example::fields_known)),
    ("MC406", Look::Rule(example::datasets_are_inputs)),
    ("MC407", Look::Rule(example::dates)),
    ("MC408", Look::Rule(example::measures_known)),
    ("MC409", Look::Rule(example::kinds_hold)),
    ("MC410", Look::Rule(example::params_known)),
    ("MC411", Look::Rule(example::persons)),
    ("MC412", Look::Rule(example::expected_values)),
    ("MC413", Look::Rule(example::names_once)),
    ("MC651", Look::Contract(contract::name)),
    ("MC652", Look::Contract(contract::field_names)),
    ("MC653", Look::Contract(contract::key)),
    ("MC654", Look::Contract(contract::person)),
    ("MC655", Look::Contract(contract::via)),
    ("MC656", Look::Contract(contract::versions)),
    ("MC657", Look::Contract(contract::headings)),
    ("MC658", Look::Contract(contract::codes)),
    ("MC659", Look::Contract(contract::max_age)),
];

/// Runs every data-free check over the library; all faults, sorted by file and line.
pub fn check(library: &Library) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for (code, look) in CHECKS {
        let found: Vec<Found> = match look {
            Look::Rule(look) => library.rules.iter().flat_map(|rule| look(library, rule)).collect(),
            Look::View(look) => library.views.iter().flat_map(|view| look(library, view)).collect(),
            Look::Contract(look) => library.contracts.iter().flat_map(|c| look(library, c)).collect(),
            Look::File(look) => library.documents().flat_map(look).collect(),
        };
        out.extend(found.into_iter().map(|f| Diagnostic {
            level: f.level,
            place: f.place,
            help: f.help.map(|(zh, en)| crate::text::Text { zh, en }),
            ..Diagnostic::error(code, f.zh, f.en)
        }));
    }
    sort(&mut out);
    out
}

/// Checks the library and keeps what can be used: rules with an error in their file, or that stand on a view
/// or contract with one, move to [`Library::left_out`].
pub fn settle(library: Library) -> (Library, Vec<Diagnostic>) {
    let faults = check(&library);
    (library.without_broken(&faults), faults)
}
