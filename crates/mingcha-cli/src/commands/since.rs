//! `mingcha run --since`: what an earlier run folder lends to a new run, and what is said of it. The folder is only
//! read; which rules may take over what is the engine's decision.

use std::collections::BTreeMap;

use mingcha_engine::{Carried, Records, Since};
use mingcha_intake::Store;
use mingcha_ledger::RunFolder;
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::{Excused, Finding};
use mingcha_rules::text::{Lang, Text};

/// Keys of a run's environment: by which code, on which store.
pub(super) const BUILD: &str = "build";
pub(super) const STORE: &str = "store";

/// Values of parameters: rule -> name -> value.
pub(super) type Parameters = BTreeMap<String, BTreeMap<String, String>>;

/// The run folder that a run builds upon.
pub(super) struct Earlier(RunFolder);

impl Records for Earlier {
    fn of(&self, rule_id: &str) -> Result<(Vec<Finding>, Vec<Excused>), Diagnostic> {
        self.0.of_rule(rule_id)
    }
}

impl Earlier {
    pub(super) fn new(folder: RunFolder) -> Self {
        Self(folder)
    }

    pub(super) fn run_id(&self) -> &str {
        &self.0.manifest().run_id
    }

    /// What can be built upon. Inside `Err`: why nothing.
    pub(super) fn since(
        &self,
        store: &Store,
        parameters: &Parameters,
    ) -> Result<Result<Since<'_>, Text>, Diagnostic> {
        let manifest = self.0.manifest();
        let said = |zh: &str, en: &str| Ok(Err(Text { zh: zh.to_owned(), en: en.to_owned() }));
        let engine = super::run::engine();
        if manifest.environment.get(BUILD).map(String::as_str) != Some(mingcha_engine::BUILD)
            || manifest.engine != engine
        {
            return said("它由另一版程序写成", "another build wrote it");
        }
        let Ok(as_of) = manifest.as_of.parse() else {
            return said("它的运行日无法识别", "its day cannot be read");
        };
        let then = manifest.environment.get(STORE).map(String::as_str).unwrap_or_default();
        let Some(changes) = store.changes_since(then)? else {
            return said(
                "本次的数据仓不是在它所用的数据仓上续建的",
                "this store was not built upon the one that it used",
            );
        };
        let other_params = parameters
            .iter()
            .filter(|(rule, values)| manifest.parameters.get(*rule) != Some(values))
            .map(|(rule, _)| rule.clone())
            .collect();
        let outcomes = self.0.outcomes()?;
        Ok(Ok(Since { as_of, outcomes, other_params, changes, records: self }))
    }
}

/// What is kept in the manifest of a run: rule by rule, in both languages.
pub(super) fn environment(run_id: &str, carried: &BTreeMap<String, Carried>) -> BTreeMap<String, String> {
    let word = |carried: &Carried| match carried {
        Carried::Kept => "kept".to_owned(),
        Carried::Partial(persons) => format!("kept but for {persons} persons"),
        Carried::Full(why) => format!("not kept: {} / {}", why.zh, why.en),
    };
    let mut out: BTreeMap<String, String> =
        carried.iter().map(|(rule, c)| (format!("since.{rule}"), word(c))).collect();
    out.insert("since".to_owned(), run_id.to_owned());
    out
}

/// The same for the reader, in few words: how many rules took over how much, and why the others nothing.
pub(super) fn lines(lang: Lang, carried: &BTreeMap<String, Carried>) -> Vec<String> {
    let kept = carried.values().filter(|c| **c == Carried::Kept).count();
    let partial: Vec<u64> = carried
        .values()
        .filter_map(|c| if let Carried::Partial(persons) = c { Some(*persons) } else { None })
        .collect();
    let mut why: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (rule, carried) in carried {
        if let Carried::Full(text) = carried {
            why.entry(text.get(lang)).or_default().push(rule);
        }
    }
    let (n, persons) = (partial.len(), partial.first().copied().unwrap_or_default());
    let mut out = vec![match lang {
        Lang::Zh => format!("沿用上次结果：{kept} 条规则全部沿用，{n} 条规则只重算 {persons} 人"),
        Lang::En => format!("taken over: {kept} rules whole, {n} rules but for {persons} persons"),
    }];
    out.extend(why.into_iter().map(|(why, rules)| match lang {
        Lang::Zh => format!("全部重算：{why}（{}）", rules.join("、")),
        Lang::En => format!("run in full: {why} ({})", rules.join(", ")),
    }));
    out
}
