//! Everything that was read: contracts, packs, views and rules, linked to one another and ready to look up.
//! Knows no disk (that is [`crate::sources`]) and no data. What is broken is left out and named; the rest stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::contract::Contract;
use crate::diagnostic::{Diagnostic, Level, Place};
use crate::rule::{PackHeader, Param, Rule, Scalar, View};
use crate::sources::{FileKind, SourceFile, Sources, rule_id_of};
use crate::value::{ParamValue, param_value};
use crate::yaml::{self, Document};

/// Tables that need no contract: the person index and the rows that `prepare` refused.
pub const BUILTIN_TABLES: [&str; 2] = ["persons", "rejects"];

/// A rule and where it came from.
#[derive(Debug, Clone)]
pub struct LoadedRule {
    /// The rule as written.
    pub rule: Rule,
    /// Folder name of its pack.
    pub pack: String,
    /// File, as the user would name it.
    pub file: String,
    /// The YAML text.
    pub text: String,
    /// The SELECT, from `sql` or from the file that `sql_file` names.
    pub sql: String,
    /// SHA-256 (64 hex digits) over the rule's text, its SQL file and the views it reads, with line ends as LF.
    pub hash: String,
    pub(crate) document: Document,
    sql_document: Option<Document>,
}

impl LoadedRule {
    /// Bytes in [`LoadedRule::text`] of what `path` names: `sql`, `exclusions[2].when`, `measures.months`,
    /// `examples.cases[0].given`. The key where the value is a list or a mapping.
    pub fn locate(&self, path: &str) -> Option<Range<usize>> {
        self.document.locate(path)
    }

    /// The place of what `path` names, or of the nearest thing around it.
    pub fn place(&self, path: &str) -> Place {
        self.document.place(path)
    }

    /// The place of a line and column (from 1, in characters) inside the text at `path`, such as
    /// `measures.months` or `exclusions[0].when`.
    pub fn place_in(&self, path: &str, line: usize, column: usize) -> Place {
        self.document.place_in(path, line, column)
    }

    /// The place of a line and column (from 1, in characters) of [`LoadedRule::sql`], be it in the rule's
    /// `sql: |` block or in its SQL file.
    pub fn sql_place(&self, line: usize, column: usize) -> Place {
        match &self.sql_document {
            Some(document) => document.place_at(line, column),
            None => self.document.place_in("sql", line, column),
        }
    }

    /// Byte of a line and column of [`LoadedRule::sql`], in [`LoadedRule::sql_text`].
    pub fn sql_offset(&self, line: usize, column: usize) -> Option<usize> {
        self.sql_place(line, column).span.map(|s| s.start)
    }

    /// The text that [`LoadedRule::sql_place`] points into: the SQL file, else the rule's own.
    pub fn sql_text(&self) -> &str {
        self.sql_document.as_ref().map_or(self.document.text(), Document::text)
    }

    /// The value of each parameter: its default, or what the workspace or an example sets.
    ///
    /// # Errors
    /// A parameter that the rule does not declare, of another type, or outside its bounds.
    pub fn effective_params(
        &self,
        overrides: &BTreeMap<String, Scalar>,
    ) -> Result<BTreeMap<String, ParamValue>, Vec<Diagnostic>> {
        effective(&self.rule.params, overrides, &self.rule.id)
    }
}

/// A view and where it came from.
#[derive(Debug, Clone)]
pub struct LoadedView {
    /// The view as written.
    pub view: View,
    /// Folder name of its pack.
    pub pack: String,
    /// File, as the user would name it.
    pub file: String,
    /// The YAML text.
    pub text: String,
    /// SHA-256 over its text and that of the views it reads.
    pub hash: String,
    pub(crate) document: Document,
}

impl LoadedView {
    /// Bytes in [`LoadedView::text`] of what `path` names.
    pub fn locate(&self, path: &str) -> Option<Range<usize>> {
        self.document.locate(path)
    }

    /// The place of what `path` names, or of the nearest thing around it.
    pub fn place(&self, path: &str) -> Place {
        self.document.place(path)
    }

    /// The place of a line and column (from 1, in characters) of the view's SQL.
    pub fn sql_place(&self, line: usize, column: usize) -> Place {
        self.document.place_in("sql", line, column)
    }

    /// The value of each parameter; see [`LoadedRule::effective_params`].
    ///
    /// # Errors
    /// A parameter that the view does not declare, of another type, or outside its bounds.
    pub fn effective_params(
        &self,
        overrides: &BTreeMap<String, Scalar>,
    ) -> Result<BTreeMap<String, ParamValue>, Vec<Diagnostic>> {
        effective(&self.view.params, overrides, &self.view.name)
    }
}

fn effective(
    params: &BTreeMap<String, Param>,
    overrides: &BTreeMap<String, Scalar>,
    owner: &str,
) -> Result<BTreeMap<String, ParamValue>, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    for name in overrides.keys().filter(|name| !params.contains_key(*name)) {
        let fault = Diagnostic::error(
            "MC114",
            format!("`{owner}` 没有参数 `{name}`"),
            format!("`{owner}` has no parameter `{name}`"),
        );
        faults.push(match yaml::nearest(name, params.keys().map(String::as_str)) {
            Some(word) => {
                let (zh, en) = yaml::did_you_mean(&word);
                fault.with_help(zh, en)
            }
            None => fault,
        });
    }
    let mut values = BTreeMap::new();
    for (name, param) in params {
        match param_value(param, overrides.get(name).unwrap_or(&param.default)) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(why) => faults.push(Diagnostic::error(
                "MC113",
                format!("`{owner}` 的参数 `{name}`：{}", why.zh),
                format!("parameter `{name}` of `{owner}`: {}", why.en),
            )),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

/// A rule that cannot be used. A run reports it as failed; it is not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The rule's id, by its file name.
    pub id: String,
    /// File, as the user would name it.
    pub file: String,
}

/// Contracts, packs, views and rules that can be used together.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// By name.
    pub contracts: Vec<Contract>,
    /// By id.
    pub packs: Vec<PackHeader>,
    /// Each after those it reads; else by name.
    pub views: Vec<LoadedView>,
    /// By id.
    pub rules: Vec<LoadedRule>,
    /// Rules that were found and cannot be used; their faults are among the diagnostics.
    pub left_out: Vec<LeftOut>,
    pub(crate) contract_documents: BTreeMap<String, Document>,
    pack_documents: Vec<Document>,
}

impl Library {
    /// The contract called `name`.
    pub fn contract(&self, name: &str) -> Option<&Contract> {
        self.contracts.iter().find(|c| c.name == name)
    }

    /// The rule with this id.
    pub fn rule(&self, id: &str) -> Option<&LoadedRule> {
        self.rules.iter().find(|r| r.rule.id == id)
    }

    /// The view called `name`.
    pub fn view(&self, name: &str) -> Option<&LoadedView> {
        self.views.iter().find(|v| v.view.name == name)
    }

    /// The place of what `path` names in a contract's file.
    pub fn contract_place(&self, name: &str, path: &str) -> Place {
        self.contract_documents.get(name).map(|d| d.place(path)).unwrap_or_default()
    }

    /// The text of a file that was read, for an excerpt under a diagnostic.
    pub fn text_of(&self, file: &str) -> Option<&str> {
        self.documents().find(|d| d.file() == file).map(Document::text)
    }

    /// Every file that was read into the library.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &Document> {
        let rules = self.rules.iter().flat_map(|r| [Some(&r.document), r.sql_document.as_ref()]).flatten();
        let views = self.views.iter().map(|v| &v.document);
        rules.chain(views).chain(self.contract_documents.values()).chain(&self.pack_documents)
    }

    /// The views that a rule reads, directly or through others, each after those it reads.
    pub fn needed_views(&self, rule: &LoadedRule) -> Vec<&LoadedView> {
        self.closure(&rule.rule.views)
    }

    /// The datasets that a rule reads, directly or through its views; built-in tables not counted.
    pub fn needed_datasets(&self, rule: &LoadedRule) -> BTreeSet<String> {
        let of_views = self.needed_views(rule).into_iter().flat_map(|v| v.view.inputs.iter());
        rule.rule
            .inputs
            .keys()
            .chain(of_views)
            .filter(|d| !BUILTIN_TABLES.contains(&d.as_str()))
            .cloned()
            .collect()
    }

    /// The views called `names` and all that they read, in the order of [`Library::views`].
    pub(crate) fn closure(&self, names: &[String]) -> Vec<&LoadedView> {
        let mut wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut out: Vec<&LoadedView> = Vec::new();
        for view in self.views.iter().rev() {
            if wanted.contains(view.view.name.as_str()) {
                wanted.extend(view.view.views.iter().map(String::as_str));
                out.push(view);
            }
        }
        out.reverse();
        out
    }

    /// The same without the rules, views and contracts in whose files there is an error, and without what
    /// reads such views. What is left can run; see [`crate::check::settle`].
    pub(crate) fn without_broken(mut self, faults: &[Diagnostic]) -> Self {
        let broken: BTreeSet<&str> = faults
            .iter()
            .filter(|f| f.level == Level::Error)
            .filter_map(|f| f.place.file.as_deref())
            .collect();
        let bad_contracts: BTreeSet<String> = self
            .contract_documents
            .iter()
            .filter(|(_, d)| broken.contains(d.file()))
            .map(|(name, _)| name.clone())
            .collect();
        let mut bad_views = BTreeSet::new();
        for view in &self.views {
            let stands_on_broken = view.view.views.iter().any(|v| bad_views.contains(v))
                || view.view.inputs.iter().any(|d| bad_contracts.contains(d));
            if stands_on_broken || broken.contains(view.file.as_str()) {
                bad_views.insert(view.view.name.clone());
            }
        }
        let is_bad = |rule: &LoadedRule| {
            broken.contains(rule.file.as_str())
                || rule.sql_document.as_ref().is_some_and(|d| broken.contains(d.file()))
                || rule.rule.views.iter().any(|v| bad_views.contains(v))
                || rule.rule.inputs.keys().any(|d| bad_contracts.contains(d))
        };
        let (bad, good): (Vec<_>, Vec<_>) = std::mem::take(&mut self.rules).into_iter().partition(is_bad);
        self.rules = good;
        self.left_out.extend(bad.into_iter().map(|r| LeftOut { id: r.rule.id, file: r.file }));
        self.left_out.sort();
        self.views.retain(|v| !bad_views.contains(&v.view.name));
        self.contracts.retain(|c| !bad_contracts.contains(&c.name));
        self
    }
}

/// Reads all files. Everything wrong with their form and with the links between them is in the list, sorted
/// by file and line; what is broken is left out of the library.
pub fn load(sources: &Sources) -> (Library, Vec<Diagnostic>) {
    let mut loading = Loading { sources, faults: sources.faults.clone() };
    let mut library = Library::default();
    loading.contracts(&mut library);
    loading.packs(&mut library);
    loading.views(&mut library);
    loading.rules(&mut library);
    let mut faults = loading.faults;
    sort(&mut faults);
    (library, faults)
}

/// By file, then line, then code.
pub(crate) fn sort(faults: &mut [Diagnostic]) {
    let key = |d: &Diagnostic| {
        let start = d.place.span.as_ref().map(|s| s.start);
        (d.place.file.clone(), d.place.line, start, d.code.clone(), d.message.en.clone())
    };
    faults.sort_by_cached_key(key);
}

struct Loading<'a> {
    sources: &'a Sources,
    faults: Vec<Diagnostic>,
}

impl Loading<'_> {
    /// Reads one file; `None` where it has errors.
    fn read<T: serde::de::DeserializeOwned>(&mut self, file: &SourceFile) -> Option<(T, Document)> {
        // an unreadable file is empty, and reported already
        if self.sources.faults.iter().any(|f| f.place.file.as_deref() == Some(&file.file)) {
            return None;
        }
        let (value, document, faults) = yaml::read::<T>(&file.file, &file.text);
        self.faults.extend(faults);
        value.map(|v| (v, document))
    }

    fn fault(&mut self, fault: Diagnostic, document: &Document, path: &str) {
        self.faults.push(Diagnostic { place: document.place(path), ..fault });
    }

    fn contracts(&mut self, library: &mut Library) {
        for file in self.sources.of(FileKind::Contract) {
            let Some((contract, document)) = self.read::<Contract>(file) else { continue };
            if contract.name != file.stem {
                let fault = misnamed("name", &contract.name, &file.stem);
                self.fault(fault, &document, "name");
                continue;
            }
            library.contract_documents.insert(contract.name.clone(), document);
            library.contracts.push(contract);
        }
        library.contracts.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn packs(&mut self, library: &mut Library) {
        for file in self.sources.of(FileKind::Pack) {
            let Some((pack, document)) = self.read::<PackHeader>(file) else { continue };
            if pack.id != file.pack {
                let fault = misnamed("id", &pack.id, &file.pack);
                self.fault(fault, &document, "id");
            }
            library.packs.push(PackHeader { id: file.pack.clone(), ..pack });
            library.pack_documents.push(document);
        }
        library.packs.sort_by(|a, b| a.id.cmp(&b.id));
        let headed: BTreeSet<&str> = self.sources.of(FileKind::Pack).map(|f| f.pack.as_str()).collect();
        let mut headless: BTreeMap<&str, &SourceFile> = BTreeMap::new();
        for file in self.sources.of(FileKind::Rule).filter(|f| !headed.contains(f.pack.as_str())) {
            headless.entry(&file.pack).or_insert(file);
        }
        for (pack, file) in headless {
            self.faults.push(
                Diagnostic::warning(
                    "MC017",
                    format!("规则包 `{pack}` 没有 pack.yaml"),
                    format!("pack `{pack}` has no pack.yaml"),
                )
                .in_file(&file.file)
                .with_help(
                    format!("新建 rules/{pack}/pack.yaml，写明 id、title、description"),
                    format!("add rules/{pack}/pack.yaml with id, title, description"),
                ),
            );
        }
    }

    fn views(&mut self, library: &mut Library) {
        let mut read: BTreeMap<String, (LoadedView, usize)> = BTreeMap::new();
        for file in self.sources.of(FileKind::View) {
            let Some((view, document)) = self.read::<View>(file) else { continue };
            if view.name != file.stem {
                let fault = misnamed("name", &view.name, &file.stem);
                self.fault(fault, &document, "name");
                continue;
            }
            if let Some((first, _)) = read.get(&view.name) {
                let fault = taken_twice("视图", "view", &view.name, &first.file);
                self.fault(fault, &document, "name");
                continue;
            }
            let loaded = LoadedView {
                pack: file.pack.clone(),
                file: file.file.clone(),
                text: file.text.clone(),
                hash: String::new(),
                document,
                view,
            };
            read.insert(loaded.view.name.clone(), (loaded, file.layer));
        }
        // repeatedly take what stands on taken ones only; what is left over hangs on itself or on nothing
        loop {
            let ready = read
                .iter()
                .find(|(_, (v, _))| v.view.views.iter().all(|name| library.view(name).is_some()))
                .map(|(name, _)| name.clone());
            let Some((mut view, _)) = ready.and_then(|name| read.remove(&name)) else { break };
            let below = library.closure(&view.view.views);
            view.hash = hash([view.text.as_str()].into_iter().chain(below.iter().map(|v| v.text.as_str())));
            library.views.push(view);
        }
        for (name, (view, _)) in &read {
            for (n, below) in view.view.views.iter().enumerate() {
                if library.view(below).is_some() {
                    continue;
                }
                let fault = if reaches(&read, below, name) {
                    Diagnostic::error(
                        "MC126",
                        format!("视图 `{name}` 经 `{below}` 又读到自己"),
                        format!("view `{name}` reads itself through `{below}`"),
                    )
                } else {
                    unknown_view(below, library, read.contains_key(below))
                };
                self.fault(fault, &view.document, &format!("views[{n}]"));
            }
        }
    }

    fn rules(&mut self, library: &mut Library) {
        let mut used_sql: BTreeSet<&str> = BTreeSet::new();
        let mut by_id: BTreeMap<String, Vec<LoadedRule>> = BTreeMap::new();
        for file in self.sources.of(FileKind::Rule) {
            let id = rule_id_of(&file.stem).unwrap_or(&file.stem).to_owned();
            // the SQL file that the rule probably names is not a stray one, even where the rule is unreadable
            used_sql.extend(
                self.sources.sql_beside(file, &format!("{}.sql", file.stem)).map(|f| f.file.as_str()),
            );
            match self.rule(library, file) {
                Some(rule) => by_id.entry(rule.rule.id.clone()).or_default().push(rule),
                None => library.left_out.push(LeftOut { id, file: file.file.clone() }),
            }
        }
        for (id, mut rules) in by_id {
            if let [_] = rules.as_slice() {
                library.rules.append(&mut rules);
                continue;
            }
            // which of them is meant cannot be known, so none runs
            for n in 0..rules.len() {
                let other = &rules[if n == 0 { 1 } else { 0 }].file;
                let fault = taken_twice("规则", "rule", &id, other);
                self.faults.push(Diagnostic { place: rules[n].place("id"), ..fault });
            }
            library.left_out.extend(rules.into_iter().map(|r| LeftOut { id: r.rule.id, file: r.file }));
        }
        library.left_out.sort();
        for file in self.sources.of(FileKind::Sql).filter(|f| !used_sql.contains(f.file.as_str())) {
            self.faults.push(
                Diagnostic::error("MC016", "没有规则使用这个 SQL 文件", "no rule uses this SQL file")
                    .in_file(&file.file)
                    .with_help(
                        "在同名规则里写 sql_file，或删去此文件",
                        "name it in `sql_file` of the rule beside it, or remove it",
                    ),
            );
        }
    }

    fn rule(&mut self, library: &Library, file: &SourceFile) -> Option<LoadedRule> {
        let (rule, document) = self.read::<Rule>(file)?;
        let n_faults = self.faults.len();
        if rule_id_of(&file.stem) != Some(rule.id.as_str()) {
            let wanted = rule_id_of(&file.stem).unwrap_or(&file.stem);
            let fault = misnamed("id", &rule.id, wanted);
            self.fault(fault, &document, "id");
        }
        for (n, name) in rule.views.iter().enumerate() {
            if library.view(name).is_none() {
                let found = self.sources.of(FileKind::View).any(|f| f.stem == *name);
                self.fault(unknown_view(name, library, found), &document, &format!("views[{n}]"));
            }
        }
        let (sql, sql_document) = self.sql(&rule, &document, file)?;
        if self.faults.len() > n_faults {
            return None;
        }
        let views = library.closure(&rule.views);
        let sql_text = sql_document.as_ref().map(Document::text);
        let texts =
            [file.text.as_str()].into_iter().chain(sql_text).chain(views.iter().map(|v| v.text.as_str()));
        Some(LoadedRule {
            hash: hash(texts),
            pack: file.pack.clone(),
            file: file.file.clone(),
            text: file.text.clone(),
            rule,
            sql,
            document,
            sql_document,
        })
    }

    /// The SELECT, and its own file where it has one.
    fn sql(
        &mut self,
        rule: &Rule,
        document: &Document,
        file: &SourceFile,
    ) -> Option<(String, Option<Document>)> {
        match (&rule.sql, &rule.sql_file) {
            (Some(sql), None) => Some((sql.clone(), None)),
            (None, Some(name)) => {
                let wanted = format!("{}.sql", file.stem);
                let found = self.sources.sql_beside(file, name).filter(|_| *name == wanted);
                let Some(found) = found else {
                    let fault = Diagnostic::error(
                        "MC015",
                        format!("应在规则旁有 SQL 文件 `{wanted}`，实际写的是 `{name}`，或该文件不存在"),
                        format!(
                            "wanted the SQL file `{wanted}` beside the rule, got `{name}`, or it is not there"
                        ),
                    );
                    self.fault(fault, document, "sql_file");
                    return None;
                };
                let sql = found.text.trim_start_matches('\u{feff}').to_owned();
                Some((sql, Some(Document::plain(&found.file, &found.text))))
            }
            (Some(_), Some(_)) => {
                let fault = Diagnostic::error(
                    "MC015",
                    "`sql` 与 `sql_file` 只能写一个",
                    "wanted either `sql` or `sql_file`, got both",
                );
                self.fault(fault, document, "sql_file");
                None
            }
            (None, None) => {
                let fault = Diagnostic::error(
                    "MC015",
                    "应有 `sql` 或 `sql_file`，两者都没有",
                    "wanted `sql` or `sql_file`, got neither",
                );
                self.fault(fault, document, "id");
                None
            }
        }
    }
}

/// Whether `from` reads `to`, through any number of views that are not linked yet.
fn reaches(views: &BTreeMap<String, (LoadedView, usize)>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(
                views.get(name).into_iter().flat_map(|(v, _)| v.view.views.iter().map(String::as_str)),
            );
        }
    }
    false
}

fn misnamed(key: &str, got: &str, wanted: &str) -> Diagnostic {
    Diagnostic::error(
        "MC101",
        format!("按文件位置，`{key}` 应为 `{wanted}`，实际为 `{got}`"),
        format!("by the place of the file, `{key}` should be `{wanted}`, got `{got}`"),
    )
    .with_help("改正其一，使两者一致", "change one of them so that they agree")
}

fn taken_twice(zh: &str, en: &str, name: &str, other: &str) -> Diagnostic {
    Diagnostic::error(
        "MC103",
        format!("{zh} `{name}` 在 {other} 中已有"),
        format!("{en} `{name}` is also in {other}"),
    )
    .with_help("编号和名称不得重复使用", "ids and names are used once")
}

fn unknown_view(name: &str, library: &Library, found: bool) -> Diagnostic {
    if found {
        return Diagnostic::error(
            "MC111",
            format!("视图 `{name}` 有错误，不能使用"),
            format!("view `{name}` has errors and cannot be used"),
        );
    }
    let fault = Diagnostic::error(
        "MC111",
        format!("没有名为 `{name}` 的视图"),
        format!("there is no view called `{name}`"),
    );
    match yaml::nearest(name, library.views.iter().map(|v| v.view.name.as_str())) {
        Some(word) => {
            let (zh, en) = yaml::did_you_mean(&word);
            fault.with_help(zh, en)
        }
        None => fault.with_help(
            "视图放在 rules/<规则包>/views/<名称>.yaml",
            "views are rules/<pack>/views/<name>.yaml",
        ),
    }
}

/// Each part behind its length, so that text cannot move from one part to the next unseen.
fn hash<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        let part = part.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, views: &str) -> (String, String) {
        let text = format!(
            "name: {name}\ndescription: {{zh: 甲, en: a}}\ninputs: [d_{name}]\nviews: [{views}]\nsql: SELECT 1\n"
        );
        (format!("rules/pension/views/{name}.yaml"), text)
    }

    fn rule(id: &str, views: &str, sql: &str) -> (String, String) {
        let text = format!(
            "id: {id}\ntitle: &t\nversion: 1\nstatus: draft\nsince: 2026-01-01\nseverity: {{default: low}}\n\
             confidence: low\nowner: &t\nlegal: []\ndescription: &t\nrationale: &t\nfalse_positives: []\n\
             verify: []\ninputs: {{base: {{}}}}\nviews: [{views}]\n{sql}\nsubject: {{type: person, key: pid}}\n\
             identity: a\ngrade: a\nevidence: []\nmessage: &t\nexamples: {{as_of: 2026-01-01, cases: []}}\n"
        );
        (format!("rules/pension/{id}-x.yaml"), text.replace("&t", "{zh: 甲, en: a}"))
    }

    fn read(files: &[(String, String)]) -> (Library, Vec<Diagnostic>) {
        let pack = "id: pension\ntitle: {zh: 甲, en: a}\ndescription: {zh: 甲, en: a}\n";
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        load(&Sources::from_embedded(files.chain([("rules/pension/pack.yaml", pack)])))
    }

    /// Codes and lines of the faults, rules that are there and rules left out.
    fn check(files: &[(String, String)], faults: &[(&str, u64)], there: &[&str], left_out: &[&str]) {
        let (library, found) = read(files);
        let got: Vec<(&str, u64)> =
            found.iter().map(|f| (f.code.as_str(), f.place.line.unwrap_or(0))).collect();
        assert_eq!(got, faults, "{found:?}");
        assert_eq!(library.rules.iter().map(|r| r.rule.id.as_str()).collect::<Vec<_>>(), there);
        assert_eq!(library.left_out.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), left_out);
    }

    const SQL: &str = "sql: SELECT 1";

    #[test]
    fn views_stand_after_those_they_read() {
        let files =
            [view("a", "c"), view("b", ""), view("c", "d, b"), view("d", ""), rule("PEN-01", "c", SQL)];
        let (library, faults) = read(&files);
        assert!(faults.is_empty(), "{faults:?}");
        let names =
            |views: Vec<&LoadedView>| views.iter().map(|v| v.view.name.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(library.views.iter().collect()), "b d c a");
        let rule = library.rule("PEN-01").unwrap();
        assert_eq!(names(library.needed_views(rule)), "b d c");
        let datasets: Vec<String> = library.needed_datasets(rule).into_iter().collect();
        assert_eq!(datasets, ["base", "d_b", "d_c", "d_d"]);
    }

    #[test]
    fn views_in_a_ring_are_refused_with_the_rules_on_them() {
        let files = [
            view("a", "b"),
            view("b", "a"),
            view("c", "a"),
            view("d", ""),
            rule("PEN-01", "c", SQL),
            rule("PEN-02", "d", SQL),
        ];
        check(&files, &[("MC111", 15), ("MC126", 4), ("MC126", 4), ("MC111", 4)], &["PEN-02"], &["PEN-01"]);
        check(&[view("a", "a")], &[("MC126", 4)], &[], &[]);
    }

    #[test]
    fn an_unknown_view_is_guessed() {
        let (_, faults) = read(&[view("deaths", ""), rule("PEN-01", "death", SQL)]);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].help.as_ref().unwrap().en, "did you mean `deaths`?");
    }

    #[test]
    fn the_id_must_be_that_of_the_file_and_used_once() {
        let (path, text) = rule("PEN-01", "", SQL);
        let misnamed = [(path.clone(), text.replace("PEN-01", "PEN-02"))];
        check(&misnamed, &[("MC101", 1)], &[], &["PEN-01"]);
        let twice = [(path.clone(), text.clone()), (path.replace("-x", "-y"), text), rule("PEN-02", "", SQL)];
        check(&twice, &[("MC103", 1), ("MC103", 1)], &["PEN-02"], &["PEN-01", "PEN-01"]);
    }

    #[test]
    fn a_broken_rule_of_a_workspace_does_not_let_the_built_in_one_run() {
        let (path, text) = rule("PEN-01", "", SQL);
        let mine = Sources::from_embedded([(path.as_str(), "id: PEN-01\n")]);
        let theirs = Sources::from_embedded([(path.as_str(), text.as_str())]);
        let (library, faults) = load(&Sources::layered(mine, theirs));
        assert!(library.rules.is_empty() && !faults.is_empty());
        assert_eq!(library.left_out.len(), 1);
    }

    #[test]
    fn the_select_is_in_one_place() {
        check(&[rule("PEN-01", "", "")], &[("MC015", 1)], &[], &["PEN-01"]);
        let both = "sql: SELECT 1\nsql_file: PEN-01-x.sql";
        check(&[rule("PEN-01", "", both)], &[("MC015", 17)], &[], &["PEN-01"]);
        let file = ("rules/pension/PEN-01-x.sql".to_owned(), "SELECT 1".to_owned());
        check(&[rule("PEN-01", "", "sql_file: PEN-01-x.sql")], &[("MC015", 16)], &[], &["PEN-01"]);
        check(
            &[rule("PEN-01", "", "sql_file: ../PEN-01-x.sql"), file.clone()],
            &[("MC015", 16)],
            &[],
            &["PEN-01"],
        );
        let stray = ("rules/pension/PEN-09-x.sql".to_owned(), "SELECT 1".to_owned());
        check(
            &[rule("PEN-01", "", "sql_file: PEN-01-x.sql"), file, stray],
            &[("MC016", 0)],
            &["PEN-01"],
            &[],
        );
    }

    #[test]
    fn places_of_the_sql_lead_to_the_file_that_holds_it() {
        let file = ("rules/pension/PEN-01-x.sql".to_owned(), "\u{feff}SELECT\n  甲, wrong".to_owned());
        let (library, _) = read(&[rule("PEN-01", "", "sql_file: PEN-01-x.sql"), file]);
        let rule_in_file = library.rule("PEN-01").unwrap();
        assert!(rule_in_file.sql.starts_with("SELECT"));
        assert_eq!(rule_in_file.sql_place(1, 1).span, Some(3..9));
        let place = rule_in_file.sql_place(2, 6);
        assert!(place.file.unwrap().ends_with("PEN-01-x.sql"));
        assert_eq!(&rule_in_file.sql_text()[place.span.unwrap()], "wrong");

        let (library, _) = read(&[rule("PEN-01", "", "sql: |\n  SELECT\n    甲, wrong")]);
        let rule = library.rule("PEN-01").unwrap();
        assert_eq!(rule.sql_offset(2, 6), rule.text.find("wrong"));
        assert_eq!(rule.sql_place(2, 6).line, Some(18));
    }

    #[test]
    fn the_hash_follows_the_rule_its_sql_and_its_views_and_not_line_ends() {
        let hash = |files: &[(String, String)]| read(files).0.rule("PEN-01").unwrap().hash.clone();
        let good = [rule("PEN-01", "a", SQL), view("a", "b"), view("b", "")];
        let same: Vec<_> = good.iter().map(|(p, t)| (p.clone(), t.replace('\n', "\r\n"))).collect();
        assert_eq!(hash(&good), hash(&same));
        assert_eq!(hash(&good).len(), 64);
        for n in 0..good.len() {
            let mut other = good.clone();
            other[n].1 = other[n].1.replace("SELECT 1", "SELECT 2");
            assert_ne!(hash(&good), hash(&other), "{}", good[n].0);
        }
        let sql = |text: &str| {
            [
                rule("PEN-01", "", "sql_file: PEN-01-x.sql"),
                ("rules/pension/PEN-01-x.sql".to_owned(), text.to_owned()),
            ]
        };
        assert_ne!(hash(&sql("SELECT 1")), hash(&sql("SELECT 2")));
    }

    #[test]
    fn parameters_are_their_defaults_unless_set() {
        let (path, text) = rule("PEN-01", "", SQL);
        let params =
            "params:\n  grace: {type: int, default: 1, max: 3, title: {zh: 甲, en: a}, source: s}\nsubject:";
        let (library, faults) = read(&[(path, text.replace("subject:", params))]);
        // the parameters stand after the SQL here, which is a warning only
        assert_eq!(faults.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["MC007"]);
        let rule = library.rule("PEN-01").unwrap();
        let set =
            |name: &str, value: Scalar| rule.effective_params(&BTreeMap::from([(name.to_owned(), value)]));
        let wanted = |n: i64| BTreeMap::from([("grace".to_owned(), ParamValue::Int(n))]);
        assert_eq!(rule.effective_params(&BTreeMap::new()), Ok(wanted(1)));
        assert_eq!(set("grace", Scalar::Int(2)), Ok(wanted(2)));
        let code = |result: Result<_, Vec<Diagnostic>>| result.unwrap_err()[0].code.clone();
        assert_eq!(code(set("grace", Scalar::Int(4))), "MC113");
        assert_eq!(code(set("grace", Scalar::Text("2".into()))), "MC113");
        assert_eq!(code(set("grcae", Scalar::Int(2))), "MC114");
    }

    #[test]
    fn a_pack_without_header_is_a_warning_and_one_under_another_name_an_error() {
        let (path, text) = rule("PEN-01", "", SQL);
        let (library, faults) = load(&Sources::from_embedded([(path.as_str(), text.as_str())]));
        assert_eq!(library.rules.len(), 1);
        assert_eq!((faults[0].code.as_str(), faults[0].level), ("MC017", Level::Warning));
        let header = "id: pensions\ntitle: {zh: 甲, en: a}\ndescription: {zh: 甲, en: a}\n";
        let (_, faults) = load(&Sources::from_embedded([("rules/pension/pack.yaml", header)]));
        assert_eq!((faults[0].code.as_str(), faults[0].level), ("MC101", Level::Error));
    }
}
