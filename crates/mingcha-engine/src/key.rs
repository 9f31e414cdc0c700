//! What the results of a walk follow from: kept results are used again only where all of it is the same. Names stand
//! for nothing here: a view that has kept its name may have another text, and so may what it reads. Refuses to know
//! where results are kept.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::{Diagnostic, Library, Text};
use serde::{Deserialize, Serialize};

use crate::carry::BUILD;
use crate::program::{Place, Program, RulePlan};
use crate::report::{PartsFolder, RunOptions};
use crate::stash::sum_of;
use crate::tables::Content;

/// What the results of a walk follow from. Nothing that only decides how it is walked: threads, memory, slices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The code.
    pub build: String,
    /// What the tables hold.
    pub tables: String,
    /// The contracts that say how tables are read.
    pub contracts: String,
    pub as_of: String,
    pub plain_plans: bool,
    /// The rules of the walk: id -> hash of it, its SQL and its views, and the parameters that the workspace sets.
    pub rules: BTreeMap<String, (String, String)>,
    /// Local views whose rows are kept: name -> hash of it and of all that it reads.
    pub views: BTreeMap<String, String>,
    /// What was made before the shards: name -> hash of it and of all that it reads. What could not be made is not here.
    pub before: BTreeMap<String, String>,
    /// The persons who are looked at, where it is not everybody.
    pub persons: String,
}

impl Key {
    /// What another key has otherwise.
    pub(crate) fn differs(&self, other: &Self) -> Text {
        let (zh, en) = match self {
            Self { build, .. } if *build != other.build => ("程序", "the program".to_owned()),
            Self { tables, .. } if *tables != other.tables => ("数据仓", "the store".to_owned()),
            Self { contracts, .. } if *contracts != other.contracts => {
                ("数据契约", "the contracts".to_owned())
            }
            Self { as_of, .. } if *as_of != other.as_of => ("运行日", "the day (--as-of)".to_owned()),
            Self { rules: r, .. } if *r != other.rules => {
                let ids = differing(r, &other.rules);
                return Text {
                    zh: format!("规则或其参数：{ids}"),
                    en: format!("rules or their parameters: {ids}"),
                };
            }
            Self { plain_plans, .. } if *plain_plans != other.plain_plans => {
                ("--plain-plans", "--plain-plans".to_owned())
            }
            Self { persons, .. } if *persons != other.persons => {
                ("沿用的上次运行（--since）", "the run built upon (--since)".to_owned())
            }
            Self { views, before, .. } => {
                let (a, b) = (differing(views, &other.views), differing(before, &other.before));
                let names =
                    [a, b].into_iter().filter(|names| !names.is_empty()).collect::<Vec<_>>().join(", ");
                return Text {
                    zh: format!("所用视图：{names}"),
                    en: format!("the views that it reads: {names}"),
                };
            }
        };
        Text { zh: zh.to_owned(), en }
    }
}

/// The names under which two maps hold different things.
fn differing<T: PartialEq>(a: &BTreeMap<String, T>, b: &BTreeMap<String, T>) -> String {
    let names: BTreeSet<&str> =
        a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).map(String::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// A walk whose results are to be kept.
pub(crate) struct Subject<'a> {
    pub program: &'a Program,
    pub library: &'a Library,
    pub options: &'a RunOptions,
    /// Local views whose rows are kept.
    pub kept: &'a BTreeSet<String>,
    /// What was to be made before the shards.
    pub before: &'a BTreeMap<String, Content>,
    /// The persons who are looked at, in a word; empty: everybody.
    pub persons: &'a str,
}

impl Subject<'_> {
    /// What its results follow from.
    ///
    /// # Errors
    /// When something of it cannot be told.
    pub(crate) fn key(&self, parts: &PartsFolder) -> Result<Key, Diagnostic> {
        let contracts = self.library.contracts.iter().map(serde_json::to_vec);
        let contracts = contracts.collect::<Result<Vec<_>, _>>().map_err(|_| untold("contracts"))?;
        let rules = self.program.rules.iter().filter(|r| r.place == Place::Local);
        let made = self.before.iter().filter(|(_, content)| !matches!(content, Content::Unmade(_)));
        Ok(Key {
            build: BUILD.to_owned(),
            tables: parts.tables.clone(),
            contracts: sum_of(contracts.iter().map(Vec::as_slice)),
            as_of: self.options.as_of.to_string(),
            plain_plans: self.options.plain_plans,
            rules: rules.map(|rule| Ok((rule.id.clone(), self.of_rule(rule)?))).collect::<Result<_, _>>()?,
            views: self.contents(self.kept.iter())?,
            before: self.contents(made.map(|(name, _)| name))?,
            persons: self.persons.to_owned(),
        })
    }

    /// The hash of a rule, and what its parameters are set to.
    fn of_rule(&self, rule: &RulePlan) -> Result<(String, String), Diagnostic> {
        let loaded = self.library.rule(&rule.id).ok_or_else(|| untold(&rule.id))?;
        let set = self.options.params.get(&rule.id);
        Ok((loaded.hash.clone(), set.map_or_else(String::new, |set| format!("{set:?}"))))
    }

    fn contents<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
    ) -> Result<BTreeMap<String, String>, Diagnostic> {
        names.map(|name| Ok((name.clone(), self.content(name)?))).collect()
    }

    /// The hash of a view and of all that it reads, or of a part of plans with all that it reads.
    fn content(&self, name: &str) -> Result<String, Diagnostic> {
        if let Some(view) = self.library.view(name) {
            // It covers the texts of all views below it.
            return Ok(view.hash.clone());
        }
        let piece = self.program.view(name).ok_or_else(|| untold(name))?;
        let mut texts = vec![piece.compiled.written.display_indent_schema().to_string()];
        for read in piece.compiled.columns.keys().filter(|read| self.program.view(read).is_some()) {
            texts.push(self.content(read)?);
        }
        Ok(sum_of(texts.iter().map(String::as_bytes)))
    }
}

fn untold(name: &str) -> Diagnostic {
    Diagnostic::error(
        "MC715",
        format!("程序内部错误：无法确定 `{name}` 的中间结果由什么得出"),
        format!("an internal error: what the kept results of `{name}` follow from cannot be told"),
    )
    .with_help("去掉 --resume 重新运行，并报告此错误", "run again without --resume, and report this")
}
