//! Checks of rules: what they say about themselves, what they declare, and that both fit together.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use super::text::is_blank;
use super::view::not_a_name;
use crate::diagnostic::Place;
use crate::library::{BUILTIN_TABLES, Library, LoadedRule, LoadedView};
use crate::rule::{MOST_EXCLUSIONS, Param, Rule, Status};
use crate::sources::rule_id_of;
use crate::sqltext::{Token, tokens};
use crate::value::{day_number, param_value, show};

/// Longest title, characters.
const MAX_TITLE: usize = 80;
/// Placeholders of a message that are no measures.
const FIXED_PLACEHOLDERS: [&str; 4] = ["amount", "period_from", "period_to", "subject_name"];
/// Names that conditions over a finding use already.
const TAKEN_MEASURES: [&str; 8] =
    ["amount", "identity", "period_from", "period_to", "subject_name", "severity", "grade", "as_of"];

/// The prefix of the id belongs to one pack: pack `pension` holds `PEN-..`.
pub(super) fn pack_prefix(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let prefix = rule.rule.id.split('-').next().unwrap_or_default().to_lowercase();
    if rule.pack.to_lowercase().starts_with(&prefix) {
        return Vec::new();
    }
    vec![
        Found::new(
            rule.place("id"),
            format!("规则包 `{}` 的编号应以包名开头的字母为前缀，实际为 `{}`", rule.pack, rule.rule.id),
            format!(
                "wanted an id whose prefix begins the name of pack `{}`, got `{}`",
                rule.pack, rule.rule.id
            ),
        )
        .help("例如规则包 pension 用 PEN-01", "for instance, pack pension holds PEN-01"),
    ]
}

pub(super) fn title_length(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let title = &rule.rule.title;
    [("zh", &title.zh), ("en", &title.en)]
        .into_iter()
        .map(|(language, text)| (language, text.chars().count()))
        .filter(|(_, n)| *n > MAX_TITLE)
        .map(|(language, n)| {
            Found::new(
                rule.place(&format!("title.{language}")),
                format!("标题最多 {MAX_TITLE} 个字符，实际为 {n}"),
                format!("wanted a title of at most {MAX_TITLE} characters, got {n}"),
            )
        })
        .collect()
}

pub(super) fn since(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    bad_date(&rule.rule.since, || rule.place("since")).into_iter().collect()
}

pub(super) fn bad_date(text: &str, place: impl FnOnce() -> Place) -> Option<Found> {
    (day_number(text).is_none() && !is_blank(text)).then(|| {
        Found::new(place(), "应为日历上存在的日期 YYYY-MM-DD", "wanted a date of the calendar, YYYY-MM-DD")
    })
}

pub(super) fn legal(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    if rule.rule.status == Status::Active && rule.rule.legal.is_empty() {
        return vec![
            Found::new(
                rule.place("legal"),
                "启用的规则应写明至少一条法律或程序依据",
                "an active rule names at least one law or procedure it stands on",
            )
            .help("补写 legal，或把状态改为 trial", "fill in `legal`, or set the status to trial"),
        ];
    }
    Vec::new()
}

pub(super) fn false_positives(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    if rule.rule.false_positives.is_empty() {
        return vec![Found::new(
            rule.place("false_positives"),
            "至少写一种正常情形的解释",
            "name at least one innocent explanation",
        )];
    }
    Vec::new()
}

pub(super) fn verify(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    if rule.rule.verify.is_empty() {
        return vec![Found::new(
            rule.place("verify"),
            "至少写一步核实方法",
            "name at least one step an investigator takes",
        )];
    }
    Vec::new()
}

pub(super) fn inputs_known(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let inputs = rule.rule.inputs.keys();
    inputs.filter_map(|d| unknown_dataset(library, d, rule.place(&format!("inputs.{d}")))).collect()
}

pub(super) fn unknown_dataset(library: &Library, dataset: &str, place: Place) -> Option<Found> {
    if BUILTIN_TABLES.contains(&dataset) || library.contract(dataset).is_some() {
        return None;
    }
    let found = Found::new(
        place,
        format!("没有数据集 `{dataset}` 的契约"),
        format!("there is no contract for dataset `{dataset}`"),
    )
    .help("契约放在 datasets/<名称>.yaml", "contracts are datasets/<name>.yaml");
    Some(found.nearest(dataset, library.contracts.iter().map(|c| c.name.as_str())))
}

/// Whoever reads the file must see all that the rule rests on.
pub(super) fn inputs_cover_views(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    library
        .needed_datasets(rule)
        .into_iter()
        .filter(|dataset| !rule.rule.inputs.contains_key(dataset))
        .map(|dataset| {
            let through = library.needed_views(rule).into_iter().find(|v| v.view.inputs.contains(&dataset));
            let view = through.map(|v| v.view.name.as_str()).unwrap_or_default();
            Found::new(
                rule.place("inputs"),
                format!("视图 `{view}` 读取数据集 `{dataset}`，但 inputs 里没有它"),
                format!("view `{view}` reads dataset `{dataset}`, which is not among the inputs"),
            )
            .help(format!("在 inputs 下加上 `{dataset}: {{}}`"), format!("add `{dataset}: {{}}` to `inputs`"))
        })
        .collect()
}

pub(super) fn param_values(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    default_faults(&rule.rule.params, |path| rule.place(path))
}

pub(super) fn default_faults(params: &BTreeMap<String, Param>, place: impl Fn(&str) -> Place) -> Vec<Found> {
    let mut out = Vec::new();
    for (name, param) in params {
        let bare = Param { min: None, max: None, ..param.clone() };
        for (key, bound) in [("min", &param.min), ("max", &param.max)] {
            if let Some(Err(why)) = bound.as_ref().map(|b| param_value(&bare, b)) {
                out.push(Found::new(place(&format!("params.{name}.{key}")), why.zh, why.en));
            }
        }
        if !out.is_empty() {
            continue;
        }
        if let Err(why) = param_value(param, &param.default) {
            out.push(Found::new(place(&format!("params.{name}.default")), why.zh, why.en));
        }
    }
    out
}

pub(super) fn params_declared(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    for token in tokens(&rule.sql) {
        out.extend(undeclared(&rule.rule.params, token, || rule.sql_place(token.line, token.column)));
    }
    for (path, sql) in fragments(&rule.rule) {
        for token in tokens(sql) {
            out.extend(undeclared(&rule.rule.params, token, || {
                rule.place_in(&path, token.line, token.column)
            }));
        }
    }
    out
}

pub(super) fn undeclared(
    params: &BTreeMap<String, Param>,
    token: Token<'_>,
    place: impl FnOnce() -> Place,
) -> Option<Found> {
    let name = token.word;
    if !token.is_param || name == "as_of" || params.contains_key(name) {
        return None;
    }
    let found = Found::new(
        place(),
        format!("参数 `${name}` 没有声明"),
        format!("parameter `${name}` is not declared"),
    )
    .help(format!("在 params 下声明 `{name}`"), format!("declare `{name}` under `params`"));
    Some(found.nearest(name, params.keys().map(String::as_str).chain(["as_of"])))
}

pub(super) fn params_used(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let fragments = fragments(&rule.rule);
    let texts = fragments.iter().map(|(_, sql)| *sql).chain([rule.sql.as_str()]);
    let used = texts.flat_map(tokens).filter(|t| t.is_param).map(|t| t.word).collect();
    unused(&rule.rule.params, &used, |path| rule.place(path))
}

pub(super) fn unused(
    params: &BTreeMap<String, Param>,
    used: &BTreeSet<&str>,
    place: impl Fn(&str) -> Place,
) -> Vec<Found> {
    let mut out = Vec::new();
    for name in params.keys() {
        let at = || place(&format!("params.{name}"));
        if name == "as_of" {
            out.push(Found::new(
                at(),
                "`as_of` 总是可用，不能再声明",
                "`as_of` is always there and cannot be declared",
            ));
        } else if !used.contains(name.as_str()) {
            out.push(
                Found::new(
                    at(),
                    format!("参数 `{name}` 没有被使用"),
                    format!("parameter `{name}` is not used"),
                )
                .help(
                    format!("删去它，或在 SQL 里写 `${name}`"),
                    format!("drop it, or write `${name}` in the SQL"),
                ),
            );
        }
    }
    out
}

/// Every SQL text of a rule but the SELECT itself, with its path.
fn fragments(rule: &Rule) -> Vec<(String, &str)> {
    let mut out: Vec<(String, &str)> = Vec::new();
    for (n, band) in rule.severity.bands.iter().enumerate() {
        out.push((format!("severity.bands[{n}].when"), &band.when));
    }
    out.extend(rule.severity.shift.iter().map(|sql| ("severity.shift".to_owned(), sql.as_str())));
    for (n, exclusion) in rule.exclusions.iter().enumerate() {
        out.extend(exclusion.when.iter().map(|sql| (format!("exclusions[{n}].when"), sql.as_str())));
        out.extend(exclusion.having.iter().map(|sql| (format!("exclusions[{n}].having"), sql.as_str())));
    }
    out.extend(rule.across.iter().map(|(name, a)| (format!("across.{name}.expr"), a.expr.as_str())));
    out.extend(rule.measures.iter().map(|(name, sql)| (format!("measures.{name}"), sql.as_str())));
    if let Some(period) = &rule.period {
        out.push(("period.from".to_owned(), &period.from));
        out.push(("period.to".to_owned(), &period.to));
    }
    out.extend(rule.amount.iter().map(|sql| ("amount".to_owned(), sql.as_str())));
    out.push(("identity".to_owned(), &rule.identity));
    out.push(("grade".to_owned(), &rule.grade));
    for (n, counter) in rule.counter_evidence.iter().enumerate() {
        out.push((format!("counter_evidence[{n}].sql"), &counter.sql));
    }
    out
}

/// A view is shared, so its parameters cannot follow one rule: the same name must mean the same.
pub(super) fn params_of_views(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    view_params(library, &rule.rule.views, &rule.rule.params, |path| rule.place(path))
}

pub(super) fn view_params(
    library: &Library,
    views: &[String],
    params: &BTreeMap<String, Param>,
    place: impl Fn(&str) -> Place,
) -> Vec<Found> {
    let mut out = Vec::new();
    let below: Vec<&LoadedView> = library.closure(views);
    for (name, param) in params {
        let other = below.iter().find_map(|v| {
            v.view.params.get(name).filter(|p| p.ty != param.ty || p.default != param.default).map(|p| (v, p))
        });
        let Some((view, theirs)) = other else { continue };
        out.push(
            Found::new(
                place(&format!("params.{name}.default")),
                format!("参数 `{name}` 在视图 `{}` 里的默认值是 {}", view.view.name, show(&theirs.default)),
                format!(
                    "parameter `{name}` has default {} in view `{}`",
                    show(&theirs.default),
                    view.view.name
                ),
            )
            .help(
                "视图由多条规则共用：改用另一个参数名，或使两处一致",
                "the view is shared by several rules: take another name, or make both agree",
            ),
        );
    }
    out
}

pub(super) fn exclusion_codes(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    let n = rule.rule.exclusions.len();
    if n > MOST_EXCLUSIONS {
        out.push(Found::new(
            rule.place(&format!("exclusions[{MOST_EXCLUSIONS}].code")),
            format!("排除条件最多 {MOST_EXCLUSIONS} 项，实际 {n} 项；请把同类的并成一项"),
            format!(
                "at most {MOST_EXCLUSIONS} exclusions may be given, got {n}; make one of those that are alike"
            ),
        ));
    }
    for (n, exclusion) in rule.rule.exclusions.iter().enumerate() {
        let code = exclusion.code.as_str();
        let place = || rule.place(&format!("exclusions[{n}].code"));
        let shaped = code.strip_prefix("X-").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        });
        if !shaped && !is_blank(code) {
            out.push(Found::new(
                place(),
                format!("排除代码应形如 `X-LAG`，实际为 `{code}`"),
                format!("wanted an exclusion code such as `X-LAG`, got `{code}`"),
            ));
        }
        // one reason may excuse candidates by one condition and whole subjects by another
        let kind = exclusion.having.is_some();
        if !seen.insert((code, kind)) {
            out.push(Found::new(
                place(),
                format!("排除代码 `{code}` 重复"),
                format!("exclusion code `{code}` is there twice"),
            ));
        }
    }
    out
}

pub(super) fn exclusion_conditions(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    for (n, exclusion) in rule.rule.exclusions.iter().enumerate() {
        let got = match (&exclusion.when, &exclusion.having) {
            (Some(_), Some(_)) => ("两者都有", "both"),
            (None, None) => ("两者都没有", "neither"),
            _ => continue,
        };
        out.push(
            Found::new(
                rule.place(&format!("exclusions[{n}].code")),
                format!("应有 `when` 或 `having` 之一，实际{}", got.0),
                format!("wanted either `when` or `having`, got {}", got.1),
            )
            .help(
                "`when` 排除单条候选，`having` 排除整个对象；两种都要时分写两条",
                "`when` excuses candidates, `having` whole subjects; for both, write two entries",
            ),
        );
    }
    out
}

pub(super) fn instead(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    for (n, exclusion) in rule.rule.exclusions.iter().enumerate() {
        let Some(other) = &exclusion.instead else { continue };
        if library.rule(other).is_none() && rule_id_of(other) != Some(other) && !is_blank(other) {
            out.push(Found::new(
                rule.place(&format!("exclusions[{n}].instead")),
                format!("应为规则编号，如 `PEN-07`，实际为 `{other}`"),
                format!("wanted the id of a rule, such as `PEN-07`, got `{other}`"),
            ));
        }
    }
    out
}

/// The first band that holds wins, so one that is never reached is a mistake.
pub(super) fn bands(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let bands = &rule.rule.severity.bands;
    let mut out = Vec::new();
    for (n, band) in bands.iter().enumerate() {
        let hidden = bands[..n].iter().find(|earlier| {
            earlier.when.trim() == band.when.trim()
                || match (at_least(&earlier.when), at_least(&band.when)) {
                    (Some((name, low)), Some((other, high))) => name == other && low <= high,
                    _ => false,
                }
        });
        if let Some(earlier) = hidden {
            out.push(
                Found::new(
                    rule.place(&format!("severity.bands[{n}].when")),
                    format!("这一档永远轮不到：前面的 `{}` 已先满足", earlier.when.trim()),
                    format!("this band is never reached: `{}` before it holds already", earlier.when.trim()),
                )
                .help("把最严重的一档写在最前", "write the gravest band first"),
            );
        }
    }
    out
}

/// `months >= 12` as (`months`, 12).
fn at_least(condition: &str) -> Option<(&str, i64)> {
    let (name, figure) = condition.split_once(">=")?;
    let name = name.trim();
    is_sql_name(name).then_some((name, figure.trim().parse().ok()?))
}

pub(super) fn evidence(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    if rule.rule.evidence.is_empty() {
        out.push(Found::new(
            rule.place("evidence"),
            "每条线索都要有证据行：evidence 不能为空",
            "every finding has rows that speak for it: `evidence` cannot be empty",
        ));
    }
    for (n, entry) in rule.rule.evidence.iter().enumerate() {
        if entry.columns.is_empty() {
            out.push(Found::new(
                rule.place(&format!("evidence[{n}].columns")),
                "至少列出一个要展示的字段",
                "name at least one column to show",
            ));
        }
    }
    out
}

/// The `{names}` of a message, and whether its braces are well formed.
fn placeholders_in(message: &str) -> Result<BTreeSet<&str>, ()> {
    let mut out = BTreeSet::new();
    let mut rest = message;
    while let Some(start) = rest.find(['{', '}']) {
        let inner = rest[start..].strip_prefix('{').ok_or(())?;
        let end = inner.find('}').ok_or(())?;
        out.insert(&inner[..end]);
        rest = &inner[end + 1..];
    }
    Ok(out)
}

pub(super) fn placeholders(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    let r = &rule.rule;
    for (language, text) in [("zh", &r.message.zh), ("en", &r.message.en)] {
        let place = || rule.place(&format!("message.{language}"));
        let Ok(names) = placeholders_in(text) else {
            out.push(Found::new(place(), "花括号没有配对", "a brace without its partner"));
            continue;
        };
        for name in names {
            let there = match name {
                "amount" => r.amount.is_some(),
                "period_from" | "period_to" => r.period.is_some(),
                "subject_name" => r.subject.name.is_some(),
                _ => r.measures.contains_key(name),
            };
            if there {
                continue;
            }
            let found = if FIXED_PLACEHOLDERS.contains(&name) {
                Found::new(
                    place(),
                    format!("`{{{name}}}` 没有来源：规则没有写 amount、period 或 subject.name"),
                    format!(
                        "`{{{name}}}` has no source: the rule has no `amount`, `period` or `subject.name`"
                    ),
                )
            } else {
                Found::new(
                    place(),
                    format!("`{{{name}}}` 不是本规则的度量"),
                    format!("`{{{name}}}` is not a measure of this rule"),
                )
            };
            let known = r.measures.keys().map(String::as_str).chain(FIXED_PLACEHOLDERS);
            out.push(found.nearest(name, known.filter(|k| *k != name)));
        }
    }
    out
}

pub(super) fn placeholders_agree(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let message = &rule.rule.message;
    let (Ok(zh), Ok(en)) = (placeholders_in(&message.zh), placeholders_in(&message.en)) else {
        return Vec::new();
    };
    if zh == en {
        return Vec::new();
    }
    let odd: Vec<String> = zh.symmetric_difference(&en).map(|name| format!("{{{name}}}")).collect();
    let odd = odd.join(" ");
    vec![Found::new(
        rule.place("message"),
        format!("中英文消息的占位符应相同，只在一种语言里出现：{odd}"),
        format!("wanted the same placeholders in both languages, in one only: {odd}"),
    )]
}

pub(super) fn version(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    if rule.rule.version == 0 {
        return vec![Found::new(rule.place("version"), "版本从 1 开始", "versions begin with 1")];
    }
    Vec::new()
}

/// Lower-case letters, digits and `_`, beginning with a letter.
pub(super) fn is_sql_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

pub(super) fn names(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let r = &rule.rule;
    let keyed = |top: &str, name: &String| (format!("{top}.{name}"), name.clone());
    let listed = |top: &str, n: usize, name: &String| (format!("{top}[{n}]"), name.clone());
    let mut named: Vec<(String, String)> = Vec::new();
    named.extend(r.params.keys().map(|name| keyed("params", name)));
    named.extend(r.across.keys().map(|name| keyed("across", name)));
    named.extend(r.across.iter().map(|(name, a)| (format!("across.{name}.by"), a.by.clone())));
    named.extend(r.measures.keys().map(|name| keyed("measures", name)));
    named.extend(r.matter.iter().enumerate().map(|(n, name)| listed("matter", n, name)));
    named.push(("subject.key".to_owned(), r.subject.key.clone()));
    named.extend(r.subject.name.iter().map(|name| ("subject.name".to_owned(), name.clone())));
    named.extend(r.subject.area.iter().map(|name| ("subject.area".to_owned(), name.clone())));
    for (n, entry) in r.evidence.iter().enumerate() {
        named.push((format!("evidence[{n}].src"), entry.src.clone()));
        let columns = entry.columns.iter().enumerate();
        named.extend(columns.map(|(c, name)| listed(&format!("evidence[{n}].columns"), c, name)));
    }
    let mut out: Vec<Found> = named
        .iter()
        .filter(|(_, name)| !is_sql_name(name) && !is_blank(name))
        .map(|(path, name)| not_a_name(rule.place(path), name))
        .collect();
    for name in r.measures.keys().filter(|name| TAKEN_MEASURES.contains(&name.as_str())) {
        out.push(
            Found::new(
                rule.place(&format!("measures.{name}")),
                format!("度量不能叫 `{name}`，这个名称另有含义"),
                format!("a measure cannot be called `{name}`: the name has a meaning of its own"),
            )
            .help("换一个名称", "take another name"),
        );
    }
    out
}

pub(super) fn sql_written(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let path = if rule.rule.sql.is_some() { "sql" } else { "sql_file" };
    let all = fragments(&rule.rule);
    all.iter()
        .map(|(path, sql)| (path.as_str(), *sql))
        .chain([(path, rule.sql.as_str())])
        .filter(|(_, sql)| sql.trim().is_empty())
        .map(|(path, _)| Found::new(rule.place(path), "没有写 SQL", "there is no SQL"))
        .collect()
}

pub(super) fn listed_once(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let r = &rule.rule;
    let mut lists: Vec<(String, &[String])> =
        vec![("views".to_owned(), &r.views), ("matter".to_owned(), &r.matter)];
    for (n, entry) in r.evidence.iter().enumerate() {
        lists.push((format!("evidence[{n}].columns"), &entry.columns));
    }
    let mut out = Vec::new();
    for (path, list) in lists {
        let mut seen = BTreeSet::new();
        for (n, name) in list.iter().enumerate() {
            if !seen.insert(name) {
                out.push(
                    Found::new(
                        rule.place(&format!("{path}[{n}]")),
                        format!("`{name}` 列了两次"),
                        format!("`{name}` is listed twice"),
                    )
                    .warning(),
                );
            }
        }
    }
    out
}
