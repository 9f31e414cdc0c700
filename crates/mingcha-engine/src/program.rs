//! The rules of a run, compiled: which views and rules there are, in which order, on which rows they work.
//! Compiled once: plans hold nothing of an execution, all workers share them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use chrono::NaiveDate;
use mingcha_intake::Tables;
use mingcha_rules::library::{LoadedRule, LoadedView};
use mingcha_rules::rule::Scalar;
use mingcha_rules::{Library, ParamValue};

use crate::columns;
use crate::functions;
use crate::local::Spread;
use crate::plan::{self, Catalog, Compiled, Cut};
use crate::rekey::Keys;
use crate::sql::{self, Scope, SqlFault};

/// Name under which a rule's own candidates stand while its counter-evidence is gathered.
pub(crate) const CANDIDATES: &str = "candidates";
/// Prefix of the columns that say whether an exclusion holds.
pub(crate) const EXCLUSION: &str = "__x";

/// On which rows something works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Shard by shard.
    Local,
    /// Bucket by bucket of another key than the person, before everything else.
    ByKey(String),
    /// Once over everything, before the shards: it reads datasets only.
    Before,
    /// Once over everything, after the shards; and why.
    After(String),
}

impl Place {
    /// Whether it is there before the shards.
    pub(crate) fn is_first(&self) -> bool {
        matches!(self, Self::Before | Self::ByKey(_))
    }
}

/// A compiled view, or a part of plans that is made by another key.
#[derive(Clone)]
pub(crate) struct ViewPlan {
    pub name: String,
    pub compiled: Compiled,
    pub place: Place,
}

/// A compiled rule.
#[derive(Clone)]
pub(crate) struct RulePlan {
    pub id: String,
    /// The candidates with one column per row exclusion.
    pub candidates: Compiled,
    /// Columns of the candidates as the rule's SQL names them.
    pub schema: SchemaRef,
    pub counters: Vec<Compiled>,
    pub place: Place,
    /// Views that it reads, directly or not.
    pub views: BTreeSet<String>,
    /// Parts of it and of its views that are made by another key, among the views of the program.
    pub pieces: BTreeSet<String>,
}

/// A compiled library.
pub(crate) struct Program {
    pub catalog: Catalog,
    pub views: Vec<ViewPlan>,
    pub rules: Vec<RulePlan>,
    /// Rules that could not be compiled.
    pub broken: BTreeMap<String, Vec<PieceFault>>,
    /// Views that could not be compiled.
    pub broken_views: BTreeMap<String, Vec<PieceFault>>,
}

/// A fault in a piece of a rule or view: `sql`, `exclusions[1].when`, `measures.months` ...
#[derive(Debug, Clone)]
pub(crate) struct PieceFault {
    pub path: String,
    pub fault: SqlFault,
}

/// What to compile.
#[derive(Clone)]
pub(crate) struct Order<'a> {
    pub library: &'a Library,
    /// Ids of the rules.
    pub rules: &'a BTreeSet<String>,
    /// Absent: planning without data.
    pub tables: Option<&'a dyn Tables>,
    pub as_of: NaiveDate,
    /// Parameters set by the workspace: rule id -> name -> value.
    pub params: &'a BTreeMap<String, BTreeMap<String, Scalar>>,
    /// Leave DataFusion's plans as they are.
    pub plain_plans: bool,
}

impl Program {
    /// Compiles the rules of `order` and the views they need.
    pub(crate) fn new(order: &Order<'_>) -> Result<Self, datafusion::common::DataFusionError> {
        let catalog = Catalog::new(&order.library.contracts, order.tables)?;
        let mut program = Self {
            catalog,
            views: Vec::new(),
            rules: Vec::new(),
            broken: BTreeMap::new(),
            broken_views: BTreeMap::new(),
        };
        let selected: Vec<&LoadedRule> =
            order.library.rules.iter().filter(|r| order.rules.contains(&r.rule.id)).collect();
        let keys = order.tables.filter(|_| !order.plain_plans).map(Keys::new);
        let needed: BTreeSet<&str> = selected
            .iter()
            .flat_map(|r| order.library.needed_views(r))
            .map(|v| v.view.name.as_str())
            .collect();
        for view in order.library.views.iter().filter(|v| needed.contains(v.view.name.as_str())) {
            program.add_view(order, view, keys.as_ref())?;
        }
        for rule in selected {
            // A planner that panics over one rule must not take the others along.
            let compiled =
                catch_unwind(AssertUnwindSafe(|| program.compile_rule(order, rule, keys.as_ref())))
                    .unwrap_or_else(|_| {
                        let fault = SqlFault::new(
                            "MC701",
                            "编制查询时程序内部错误",
                            "an internal error while planning",
                        );
                        Err(vec![PieceFault { path: "sql".to_owned(), fault }])
                    });
            match compiled {
                Ok(plan) => program.rules.push(plan),
                Err(faults) => {
                    program.broken.insert(rule.rule.id.clone(), faults);
                }
            }
        }
        Ok(program)
    }

    /// The same with some of its rules, and the views that they need.
    pub(crate) fn only(&self, rules: &BTreeSet<String>) -> Self {
        let rules: Vec<RulePlan> = self.rules.iter().filter(|r| rules.contains(&r.id)).cloned().collect();
        let needed: BTreeSet<&String> = rules.iter().flat_map(|r| r.views.iter().chain(&r.pieces)).collect();
        let views = self.views.iter().filter(|v| needed.contains(&v.name)).cloned().collect();
        let (broken, broken_views) = (BTreeMap::new(), BTreeMap::new());
        Self { catalog: self.catalog.clone(), views, rules, broken, broken_views }
    }

    /// The same with those of its views that are made by `key` and called one of `names`, and the views by that key
    /// that these read, as if they were local: a bucket of a view is there only while the bucket is walked.
    pub(crate) fn by_key(&self, key: &str, names: &BTreeSet<String>) -> Self {
        let by_key = Place::ByKey(key.to_owned());
        let mut wanted: BTreeSet<&String> = names.iter().collect();
        // Views stand in order: those that a view reads come before it.
        for view in self.views.iter().rev() {
            if view.place == by_key && wanted.contains(&view.name) {
                wanted.extend(view.compiled.columns.keys());
            }
        }
        let mine = self.views.iter().filter(|v| v.place == by_key && wanted.contains(&v.name));
        let views = mine.map(|v| ViewPlan { place: Place::Local, ..v.clone() }).collect();
        let (broken, broken_views) = (BTreeMap::new(), BTreeMap::new());
        Self { catalog: self.catalog.clone(), views, rules: Vec::new(), broken, broken_views }
    }

    /// `names`, and the views by a key that read one of them.
    pub(crate) fn with_readers_by_key(&self, names: BTreeSet<String>) -> BTreeSet<String> {
        let mut names = names;
        for view in self.views.iter().filter(|v| matches!(v.place, Place::ByKey(_))) {
            if view.compiled.columns.keys().any(|name| names.contains(name)) {
                names.insert(view.name.clone());
            }
        }
        names
    }

    /// Adds the parts of a plan that are made by another key, but for those that are there already.
    fn add_pieces(&mut self, compiled: &mut Compiled) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for piece in &mut compiled.pieces {
            names.insert(piece.name.clone());
            if self.view(&piece.name).is_none() {
                self.views.push(ViewPlan {
                    name: piece.name.clone(),
                    compiled: (*piece.compiled).clone(),
                    place: Place::ByKey(piece.key.clone()),
                });
            }
        }
        names
    }

    /// The view called `name`.
    pub(crate) fn view(&self, name: &str) -> Option<&ViewPlan> {
        self.views.iter().find(|v| v.name == name)
    }

    fn add_view(
        &mut self,
        order: &Order<'_>,
        view: &LoadedView,
        keys: Option<&Keys<'_>>,
    ) -> Result<(), datafusion::common::DataFusionError> {
        let name = &view.view.name;
        let scope: BTreeSet<String> = view.view.inputs.iter().chain(&view.view.views).cloned().collect();
        let compiled = with_as_of(view.effective_params(&BTreeMap::new()), order.as_of)
            .and_then(|params| {
                self.piece(&view.view.sql, &scope, &params, keys.map_or(Cut::Nothing, Cut::View))
            })
            .map_err(|faults| {
                faults
                    .into_iter()
                    .map(|fault| PieceFault { path: "sql".to_owned(), fault })
                    .collect::<Vec<_>>()
            });
        match compiled {
            Ok(mut compiled) => {
                self.add_pieces(&mut compiled);
                let place = self.place(&compiled);
                if !order.plain_plans {
                    compiled.by_person(&self.catalog, place == Place::Local)?;
                }
                let spread = match &place {
                    Place::Local => Some(compiled.spread.clone()),
                    Place::Before | Place::ByKey(_) => Some(Spread::Everywhere),
                    Place::After(_) => None,
                };
                if let Some((key, spread)) = compiled.by_key.clone() {
                    self.catalog.by_key.entry(key).or_default().insert(name.clone(), spread);
                }
                self.catalog.define(
                    name,
                    Arc::clone(&compiled.schema),
                    spread.as_ref(),
                    compiled.estimate,
                )?;
                self.views.push(ViewPlan { name: name.clone(), compiled, place });
            }
            Err(faults) => {
                self.broken_views.insert(name.clone(), faults);
            }
        }
        Ok(())
    }

    fn compile_rule(
        &mut self,
        order: &Order<'_>,
        loaded: &LoadedRule,
        keys: Option<&Keys<'_>>,
    ) -> Result<RulePlan, Vec<PieceFault>> {
        let cut = keys.map_or(Cut::Nothing, Cut::Rule);
        let rule = &loaded.rule;
        let at = |path: &str| {
            let path = path.to_owned();
            move |faults: Vec<SqlFault>| {
                faults.into_iter().map(|fault| PieceFault { path: path.clone(), fault }).collect::<Vec<_>>()
            }
        };
        let needed: BTreeSet<String> =
            order.library.needed_views(loaded).iter().map(|v| v.view.name.clone()).collect();
        if let Some(name) = needed.iter().find(|name| self.broken_views.contains_key(*name)) {
            return Err(at("views")(vec![SqlFault::new(
                "MC206",
                format!("所用视图 `{name}` 有错"),
                format!("view `{name}`, which it reads, is broken"),
            )]));
        }
        let none = BTreeMap::new();
        let params =
            with_as_of(loaded.effective_params(order.params.get(&rule.id).unwrap_or(&none)), order.as_of)
                .map_err(at("params"))?;
        let scope: BTreeSet<String> = rule.inputs.keys().chain(&rule.views).cloned().collect();
        let mut candidates = self.with_exclusions(loaded, &scope, &params, cut).map_err(|faults| {
            // Alone, the SQL says better where its fault is.
            self.piece(&loaded.sql, &scope, &params, Cut::Nothing).map_err(at("sql")).err().unwrap_or(faults)
        })?;
        let (schema, spread) = own_part(&candidates);
        self.catalog
            .define(CANDIDATES, Arc::clone(&schema), Some(&spread), candidates.estimate)
            .map_err(|e| at("sql")(vec![plan::planning_fault(&e)]))?;
        let mut counter_scope = scope;
        counter_scope.insert(CANDIDATES.to_owned());
        let mut counters = Vec::new();
        for (i, counter) in rule.counter_evidence.iter().enumerate() {
            counters.push(
                self.piece(&counter.sql, &counter_scope, &params, cut)
                    .map_err(at(&format!("counter_evidence[{i}].sql")))?,
            );
        }
        let shapes: Vec<SchemaRef> = counters.iter().map(|c| Arc::clone(&c.schema)).collect();
        let faults = columns::faults(loaded, &schema, &shapes);
        if !faults.is_empty() {
            return Err(faults);
        }
        let not_local = std::iter::once(&candidates).chain(&counters).find_map(|c| match &c.spread {
            Spread::ByPerson(_) => None,
            Spread::Everywhere => Some(match c.columns.keys().find(|name| self.view(name).is_some()) {
                Some(view) => format!("`{view}` is made from everything at once"),
                None => "it reads no dataset of persons".to_owned(),
            }),
            Spread::Scattered(why) => Some(why.clone()),
        });
        let place = not_local.map_or(Place::Local, Place::After);
        if !order.plain_plans {
            for compiled in std::iter::once(&mut candidates).chain(&mut counters) {
                compiled
                    .by_person(&self.catalog, place == Place::Local)
                    .map_err(|e| at("sql")(vec![plan::planning_fault(&e)]))?;
            }
        }
        let of_views = |name: &String| self.view(name).into_iter().flat_map(|v| &v.compiled.pieces);
        let mut pieces: BTreeSet<String> =
            needed.iter().flat_map(of_views).map(|piece| piece.name.clone()).collect();
        for compiled in std::iter::once(&mut candidates).chain(&mut counters) {
            pieces.extend(self.add_pieces(compiled));
        }
        Ok(RulePlan { id: rule.id.clone(), schema, candidates, counters, place, views: needed, pieces })
    }

    /// Parses, lints, binds and plans one piece of SQL.
    fn piece(
        &self,
        text: &str,
        scope: &BTreeSet<String>,
        params: &BTreeMap<String, ParamValue>,
        cut: Cut<'_>,
    ) -> Result<Compiled, Vec<SqlFault>> {
        let mut statement = sql::parse(text).map_err(|f| vec![f])?;
        let faults = sql::lint(&statement, &Scope { tables: scope, params });
        if !faults.is_empty() {
            return Err(faults);
        }
        sql::bind(&mut statement, params);
        plan::compile(&self.catalog, statement, Some(scope), cut)
    }

    /// The candidates with a column per row exclusion; NULL means that it does not hold.
    fn with_exclusions(
        &self,
        loaded: &LoadedRule,
        scope: &BTreeSet<String>,
        params: &BTreeMap<String, ParamValue>,
        cut: Cut<'_>,
    ) -> Result<Compiled, Vec<PieceFault>> {
        let mut faults = Vec::new();
        let mut columns = String::new();
        for (i, exclusion) in loaded.rule.exclusions.iter().enumerate() {
            let Some(when) = &exclusion.when else { continue };
            let path = format!("exclusions[{i}].when");
            match expression(when, params) {
                Ok(text) => columns.push_str(&format!(", coalesce(({text}), false) AS \"{EXCLUSION}{i}\"")),
                Err(found) => {
                    faults.extend(found.into_iter().map(|fault| PieceFault { path: path.clone(), fault }))
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let of_sql = |fault| vec![PieceFault { path: "sql".to_owned(), fault }];
        let inner = sql::parse(&loaded.sql).map_err(of_sql)?;
        let faults = sql::lint(&inner, &Scope { tables: scope, params });
        if !faults.is_empty() {
            return Err(faults.into_iter().flat_map(of_sql).collect());
        }
        let mut statement = sql::parse(&format!("SELECT c.*{columns} FROM ({inner}) AS c"))
            .map_err(|fault| vec![PieceFault { path: "exclusions".to_owned(), fault }])?;
        sql::bind(&mut statement, params);
        plan::compile(&self.catalog, statement, Some(scope), cut).map_err(|faults| {
            faults
                .into_iter()
                .map(|mut fault| {
                    fault.at = None;
                    PieceFault { path: "exclusions".to_owned(), fault }
                })
                .collect()
        })
    }

    fn place(&self, compiled: &Compiled) -> Place {
        if let Some((key, _)) = &compiled.by_key {
            return Place::ByKey(key.clone());
        }
        match &compiled.spread {
            Spread::ByPerson(_) => Place::Local,
            Spread::Everywhere => Place::Before,
            Spread::Scattered(why) => {
                let reads_later =
                    compiled.columns.keys().any(|name| self.view(name).is_some_and(|v| !v.place.is_first()));
                if reads_later { Place::After(why.clone()) } else { Place::Before }
            }
        }
    }
}

/// What the rule's own SQL gives: the columns before those of the exclusions, and how its rows lie.
fn own_part(candidates: &Compiled) -> (SchemaRef, Spread) {
    let fields = candidates.schema.fields().iter();
    let own: Vec<_> = fields.filter(|f| !f.name().starts_with(EXCLUSION)).cloned().collect();
    let spread = match &candidates.spread {
        Spread::Scattered(_) => Spread::Everywhere,
        other => other.clone(),
    };
    (Arc::new(arrow::datatypes::Schema::new(own)), spread)
}

impl RulePlan {
    /// Why the rule does not run shard by shard.
    pub(crate) fn not_local_because(&self) -> Option<String> {
        match &self.place {
            Place::After(why) => Some(why.clone()),
            _ => None,
        }
    }
}

/// Checks an expression over columns and gives it back bound, as text.
pub(crate) fn expression(text: &str, params: &BTreeMap<String, ParamValue>) -> Result<String, Vec<SqlFault>> {
    let mut statement = sql::parse_expression(text).map_err(|f| vec![f])?;
    let faults = sql::lint(&statement, &Scope { tables: &BTreeSet::new(), params });
    if !faults.is_empty() {
        return Err(faults
            .into_iter()
            .map(|mut f| {
                f.at = f.at.map(|(line, column)| (line.saturating_sub(1).max(1), column));
                f
            })
            .collect());
    }
    sql::bind(&mut statement, params);
    sql::single_expression(&statement).ok_or_else(|| {
        vec![SqlFault::new("MC268", "此处只能写一个表达式", "exactly one expression is wanted here")]
    })
}

/// Declared parameters and `$as_of`.
pub(crate) fn with_as_of(
    params: Result<BTreeMap<String, ParamValue>, Vec<mingcha_rules::Diagnostic>>,
    as_of: NaiveDate,
) -> Result<BTreeMap<String, ParamValue>, Vec<SqlFault>> {
    let mut params = params.map_err(|faults| {
        faults.into_iter().map(|d| SqlFault::new("MC113", d.message.zh, d.message.en)).collect::<Vec<_>>()
    })?;
    params.insert("as_of".to_owned(), ParamValue::Date(functions::day_of(as_of)));
    Ok(params)
}

/// Whether a column holds text.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
