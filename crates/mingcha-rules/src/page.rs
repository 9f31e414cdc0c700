//! The page of a rule in Markdown: what a reader of the list needs to know before knocking at a door, with
//! the SQL at the end. Built from the rule alone; knows no run and no findings.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::library::LoadedRule;
use crate::rule::{
    CaseKind, Confidence, ExampleCase, Grain, Input, Param, ParamType, Rule, Severity, Status,
};
use crate::text::{Lang, Text};
use crate::value::show;

/// The page of `rule` in `lang`.
pub fn markdown(rule: &LoadedRule, lang: Lang) -> String {
    let mut page = Page { lang, out: String::new() };
    let r = &rule.rule;
    page.heading(r);
    page.text(("查什么", "What is flagged"), &r.description);
    page.text(("为什么", "Why that is a fault"), &r.rationale);
    page.legal(r);
    page.inputs(r);
    page.params(r);
    page.severity(r);
    page.exclusions(r);
    page.evidence(r);
    page.list(("可能的正常情形", "Innocent explanations"), &r.false_positives, false);
    page.list(("怎样核实", "How to verify"), &r.verify, true);
    page.examples(r);
    page.references(r);
    page.sql(rule);
    page.out
}

struct Page {
    lang: Lang,
    out: String,
}

impl Page {
    fn pick<'a>(&self, both: (&'a str, &'a str)) -> &'a str {
        match self.lang {
            Lang::Zh => both.0,
            Lang::En => both.1,
        }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.out.push_str(line.as_ref());
        self.out.push('\n');
    }

    fn section(&mut self, title: (&str, &str)) {
        let title = self.pick(title).to_owned();
        self.line(format!("\n## {title}\n"));
    }

    /// `name: value`, with the colon of the language.
    fn pair(&self, name: (&str, &str), value: &str) -> String {
        format!("{}{}{value}", self.pick(name), self.pick(("：", ": ")))
    }

    /// What is written in brackets after something.
    fn aside(&self, text: &str) -> String {
        match self.lang {
            Lang::Zh => format!("（{text}）"),
            Lang::En => format!(" ({text})"),
        }
    }

    fn row(&mut self, cells: &[&str]) {
        let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|").replace('\n', " ")).collect();
        self.line(format!("| {} |", cells.join(" | ")));
    }

    fn head(&mut self, cells: &[(&str, &str)]) {
        let names: Vec<&str> = cells.iter().map(|c| self.pick(*c)).collect();
        let rule = vec!["---"; cells.len()];
        self.row(&names);
        self.row(&rule);
    }

    fn heading(&mut self, r: &Rule) {
        self.line(format!("# {} {}\n", r.id, r.title.get(self.lang)));
        let status = self.pick(match r.status {
            Status::Draft => ("起草中，不运行", "draft, does not run"),
            Status::Trial => ("试运行", "on trial"),
            Status::Active => ("启用", "active"),
            Status::Deprecated => ("将停用，仍运行以作比较", "deprecated, still runs for comparison"),
            Status::Retired => ("已停用", "retired"),
        });
        let confidence = self.pick(match r.confidence {
            Confidence::Low => ("较少属实", "rarely right"),
            Confidence::Medium => ("多半属实", "often right"),
            Confidence::High => ("几乎都属实", "nearly always right"),
        });
        let status = format!("{status}{}", self.aside(&r.since));
        let lines = [
            self.pair(("版本", "Version"), &r.version.to_string()),
            self.pair(("状态", "Status"), &status),
            self.pair(("严重程度", "Severity"), self.severity_word(r.severity.default)),
            self.pair(("预期准确度", "Expected to be"), confidence),
            self.pair(("负责", "Owner"), r.owner.get(self.lang)),
        ];
        for line in lines {
            self.line(format!("- {line}"));
        }
        let reminder = self.pick(("命中只是线索，不是结论。", "A finding is a lead, not a verdict."));
        self.line(format!("\n{reminder}"));
    }

    fn severity_word(&self, severity: Severity) -> &'static str {
        match (self.lang, severity) {
            (Lang::En, other) => other.as_str(),
            (Lang::Zh, Severity::Info) => "提示",
            (Lang::Zh, Severity::Low) => "低",
            (Lang::Zh, Severity::Medium) => "中",
            (Lang::Zh, Severity::High) => "高",
            (Lang::Zh, Severity::Critical) => "严重",
        }
    }

    fn text(&mut self, title: (&str, &str), text: &Text) {
        self.section(title);
        self.line(text.get(self.lang).trim());
    }

    fn list(&mut self, title: (&str, &str), items: &[Text], numbered: bool) {
        if items.is_empty() {
            return;
        }
        self.section(title);
        for (n, item) in items.iter().enumerate() {
            let bullet = if numbered { format!("{}.", n + 1) } else { "-".to_owned() };
            self.line(format!("{bullet} {}", item.get(self.lang).trim()));
        }
    }

    fn legal(&mut self, r: &Rule) {
        if r.legal.is_empty() {
            return;
        }
        self.section(("依据", "Legal basis"));
        for legal in &r.legal {
            let article = match (&legal.article, self.lang) {
                (None, _) => String::new(),
                (Some(article), Lang::Zh) => format!(" {article}"),
                (Some(article), Lang::En) => format!(", {article}"),
            };
            let line = format!("**{}**{article}", legal.instrument.get(self.lang));
            let says = legal.says.get(self.lang).trim();
            self.line(format!("- {line}{}{says}", self.pick(("：", ": "))));
        }
    }

    fn inputs(&mut self, r: &Rule) {
        self.section(("用到的数据", "Data it reads"));
        self.head(&[("数据集", "Dataset"), ("要求", "Asked of it")]);
        for (name, input) in &r.inputs {
            let asked = self.asked_of(input);
            self.row(&[&format!("`{name}`"), &asked]);
        }
        if !r.views.is_empty() {
            let views: Vec<String> = r.views.iter().map(|v| format!("`{v}`")).collect();
            let views = views.join(self.pick(("、", ", ")));
            let line = self.pair(("共用视图", "Shared views"), &views);
            self.line(format!("\n{line}"));
        }
    }

    fn asked_of(&self, input: &Input) -> String {
        let need =
            if input.optional { ("可以没有", "may be missing") } else { ("必须有", "required") };
        let mut asked = vec![self.pick(need).to_owned()];
        if let Some(days) = input.max_age_days {
            asked.push(match self.lang {
                Lang::Zh => format!("不早于 {days} 天前"),
                Lang::En => format!("not older than {days} days"),
            });
        }
        if let Some(grain) = input.grain {
            let grain = self.pick(match grain {
                Grain::Event => ("一事一行", "one row per event"),
                Grain::Day => ("一天一行", "one row per day"),
                Grain::Month => ("一月一行", "one row per month"),
                Grain::Year => ("一年一行", "one row per year"),
                Grain::Snapshot => ("提取日的状态", "state at the extract date"),
            });
            asked.push(grain.to_owned());
        }
        asked.extend(input.coverage.as_ref().map(|c| c.get(self.lang).trim().to_owned()));
        asked.join(self.pick(("；", "; ")))
    }

    fn params(&mut self, r: &Rule) {
        if r.params.is_empty() {
            return;
        }
        self.section(("参数", "Parameters"));
        self.head(&[
            ("参数", "Parameter"),
            ("含义", "Meaning"),
            ("类型", "Type"),
            ("默认值", "Default"),
            ("范围", "Range"),
            ("来源", "Source"),
        ]);
        for (name, param) in &r.params {
            let ty = self.pick(match param.ty {
                ParamType::Int => ("整数", "whole number"),
                ParamType::Decimal => ("小数", "decimal"),
                ParamType::Date => ("日期", "date"),
                ParamType::Text => ("文本", "text"),
                ParamType::Bool => ("是否", "yes or no"),
            });
            let range = range(param);
            let name = format!("`{name}`");
            let meaning = param.title.get(self.lang).to_owned();
            self.row(&[&name, &meaning, ty, &plain(&show(&param.default)), &range, &param.source]);
        }
    }

    fn severity(&mut self, r: &Rule) {
        if r.severity.bands.is_empty() && r.severity.shift.is_none() {
            return;
        }
        self.section(("严重程度", "Severity"));
        self.head(&[("条件", "When"), ("程度", "Severity")]);
        for band in &r.severity.bands {
            let word = self.severity_word(band.level);
            self.row(&[&code(&band.when), word]);
        }
        let otherwise = self.pick(("其他", "otherwise"));
        let word = self.severity_word(r.severity.default);
        self.row(&[otherwise, word]);
        if let Some(shift) = &r.severity.shift {
            let line = self.pair(("再按此升降级数", "Then raised or lowered by"), &code(shift));
            self.line(format!("\n{line}"));
        }
    }

    fn exclusions(&mut self, r: &Rule) {
        if r.exclusions.is_empty() {
            return;
        }
        self.section(("不列为线索的情形", "What excuses"));
        let order = self.pick((
            "按顺序判断，计入第一个成立的；每一项都有计数。\n",
            "Tried in this order, the first that holds is counted; each is counted.\n",
        ));
        self.line(order);
        self.head(&[("代码", "Code"), ("原因", "Reason"), ("排除", "Excuses"), ("条件", "Condition")]);
        for e in &r.exclusions {
            let whom = if e.when.is_some() {
                ("单条记录", "single rows")
            } else {
                ("整个对象", "the whole subject")
            };
            let mut reason = e.title.get(self.lang).to_owned();
            if let Some(other) = &e.instead {
                reason.push_str(&self.aside(&self.pair(("转由", "taken over by"), other)));
            }
            let condition = e.when.iter().chain(&e.having).map(|sql| code(sql)).collect::<Vec<_>>().join(" ");
            let whom = self.pick(whom);
            self.row(&[&e.code, &reason, whom, &condition]);
        }
    }

    fn evidence(&mut self, r: &Rule) {
        self.section(("证据", "Evidence"));
        for entry in &r.evidence {
            let columns: Vec<String> = entry.columns.iter().map(|c| format!("`{c}`")).collect();
            let columns = columns.join(self.pick(("、", ", ")));
            let rows = self.pick(("的来源行", "rows of"));
            self.line(match self.lang {
                Lang::Zh => format!("- `{}` {rows}：{columns}", entry.src),
                Lang::En => format!("- {rows} `{}`: {columns}", entry.src),
            });
        }
        let handled = self.pick((
            "以及经办、复核、审批以上各行和所涉人员记录的人，自动附上",
            "and who handled these rows and those of the persons concerned, which comes by itself",
        ));
        self.line(format!("- {handled}"));
        if !r.counter_evidence.is_empty() {
            let title = self.pick(("相反的证据：", "Against it:")).to_owned();
            self.line(format!("\n{title}\n"));
            for counter in &r.counter_evidence {
                self.line(format!("- {}", counter.title.get(self.lang)));
            }
        }
        let message = self.pair(("线索写作", "A finding reads"), r.message.get(self.lang).trim());
        self.line(format!("\n{message}"));
    }

    fn examples(&mut self, r: &Rule) {
        self.section(("例子", "Examples"));
        let day = self.pair(("判断日", "Seen on"), &r.examples.as_of);
        self.line(format!("{day}\n"));
        for case in &r.examples.cases {
            let kind = self.pick(match case.kind {
                CaseKind::Hit => ("命中", "flagged"),
                CaseKind::NearMiss => ("不命中", "not flagged"),
                CaseKind::Excluded => ("被排除", "excused"),
            });
            self.line(format!("- **{kind}**{}{}", self.pick(("：", ": ")), case.name.get(self.lang).trim()));
            for outcome in self.outcomes(case) {
                self.line(format!("  - {outcome}"));
            }
        }
    }

    fn outcomes(&self, case: &ExampleCase) -> Vec<String> {
        let mut out = Vec::new();
        for finding in &case.expect.findings {
            let mut facts = Vec::new();
            facts.extend(finding.severity.map(|s| self.severity_word(s).to_owned()));
            facts.extend(finding.grade.as_ref().map(|g| self.pair(("证据等级", "grade"), g)));
            facts.extend(finding.amount.as_ref().map(|a| match self.lang {
                Lang::Zh => format!("{a} 元"),
                Lang::En => format!("{a} yuan"),
            }));
            facts.extend(finding.measures.iter().map(|(name, value)| format!("{name} = {value}")));
            let facts = facts.join(self.pick(("，", ", ")));
            let tail =
                if facts.is_empty() { String::new() } else { format!("{}{facts}", self.pick(("：", ": "))) };
            out.push(format!("{}{tail}", finding.subject));
        }
        // several rows of one subject may be excused for the same reason
        let mut excused: BTreeMap<(&str, &str), ()> = BTreeMap::new();
        for e in &case.expect.excluded {
            excused.insert((&e.subject, &e.code), ());
        }
        out.extend(excused.into_keys().map(|(subject, code)| match self.lang {
            Lang::Zh => format!("{subject} 因 {code} 排除"),
            Lang::En => format!("{subject} excused by {code}"),
        }));
        out
    }

    fn references(&mut self, r: &Rule) {
        if r.references.is_empty() {
            return;
        }
        self.section(("出处", "References"));
        for reference in &r.references {
            self.line(format!("- {reference}"));
        }
    }

    fn sql(&mut self, rule: &LoadedRule) {
        self.section(("SQL", "SQL"));
        self.line("```sql");
        self.line(rule.sql.trim_end());
        self.line("```");
        if !rule.rule.measures.is_empty() {
            let title = self.pick(("度量：", "Measures:")).to_owned();
            self.line(format!("\n{title}\n"));
            for (name, sql) in &rule.rule.measures {
                self.line(format!("- `{name}` = {}", code(sql)));
            }
        }
        if !rule.rule.across.is_empty() {
            let title = self.pick(("跨对象的数字：", "Figures across subjects:")).to_owned();
            self.line(format!("\n{title}\n"));
            for (name, across) in &rule.rule.across {
                let (sql, by) = (code(&across.expr), &across.by);
                self.line(match self.lang {
                    Lang::Zh => format!("- `{name}` = {sql}，按 `{by}`"),
                    Lang::En => format!("- `{name}` = {sql} by `{by}`"),
                });
            }
        }
        let _ = write!(self.out, "\n{}\n", self.pair(("规则文件", "Rule file"), &format!("`{}`", rule.file)));
    }
}

/// SQL inside a line.
fn code(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().collect();
    format!("`{}`", words.join(" "))
}

/// Without the quotes of YAML.
fn plain(value: &str) -> String {
    value.trim_matches('"').to_owned()
}

fn range(param: &Param) -> String {
    match (&param.min, &param.max) {
        (None, None) => String::new(),
        (Some(min), None) => format!("≥ {}", plain(&show(min))),
        (None, Some(max)) => format!("≤ {}", plain(&show(max))),
        (Some(min), Some(max)) => format!("{} – {}", plain(&show(min)), plain(&show(max))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sources, load, scaffold};

    /// The page of the scaffold with one edit.
    fn page(find: &str, put: &str, lang: Lang) -> String {
        let text = scaffold::new_rule("PEN-99", "多付", "Paid twice", "pension");
        assert!(text.contains(find), "{find}");
        let text = text.replace(find, put);
        let (library, faults) =
            load(&Sources::from_embedded([("rules/pension/PEN-99-new.yaml", text.as_str())]));
        let rule = library.rule("PEN-99").unwrap_or_else(|| panic!("{faults:?}"));
        markdown(rule, lang)
    }

    /// Lines that the page must hold, in this order.
    fn check(page: &str, lines: &[&str]) {
        let mut left = page.lines();
        for line in lines {
            assert!(left.any(|l| l == *line), "`{line}` is missing or out of order in\n{page}");
        }
    }

    #[test]
    fn the_english_page_says_all_in_a_fixed_order() {
        let lines = [
            "# PEN-99 Paid twice",
            "- Status: draft, does not run (<YYYY-MM-DD>)",
            "A finding is a lead, not a verdict.",
            "## What is flagged",
            "## Why that is a fault",
            "## Legal basis",
            "- **<law or regulation or procedure>**: <what it says on this matter>",
            "## Data it reads",
            "## Parameters",
            "| `min_payments` | fewest payments for one month | whole number | 3 | 2 – 12 | <默认值的出处 / where the default comes from> |",
            "## Severity",
            "| `payments >= 6` | high |",
            "| otherwise | medium |",
            "## What excuses",
            "| X-FEW | too few payments | the whole subject | `payments < $min_payments` |",
            "## Evidence",
            "## Innocent explanations",
            "## How to verify",
            "1. <the first step of an investigator>",
            "## Examples",
            "- **flagged**: three payments for one month",
            "  - P1: medium, 300.00 yuan, payments = 3",
            "  - P1 excused by X-BACKPAY",
            "## SQL",
            "WHERE p.pay_state = '1'",
            "- `payments` = `count(payment_src)`",
        ];
        check(&page("version: 1", "version: 2", Lang::En), &lines);
    }

    #[test]
    fn the_chinese_page_has_no_english_words_of_ours() {
        let page = page("references: []", "references: [规程一]", Lang::Zh);
        let lines = [
            "# PEN-99 多付",
            "- 严重程度：中",
            "## 查什么",
            "## 为什么",
            "## 依据",
            "## 用到的数据",
            "## 参数",
            "## 不列为线索的情形",
            "## 证据",
            "## 可能的正常情形",
            "## 怎样核实",
            "## 例子",
            "- **被排除**：三笔都是补发",
            "## 出处",
            "- 规程一",
            "## SQL",
        ];
        check(&page, &lines);
        let prose = page.split("```").next().unwrap();
        for word in ["medium", "draft", "required", "excused", "whole number", "yuan"] {
            assert!(!prose.contains(word), "{word}");
        }
    }

    #[test]
    fn a_bar_in_a_condition_does_not_break_the_table() {
        let page =
            page("when: coalesce(adjust_type, '0') <> '0'", "when: adjust_type || '' <> '0'", Lang::En);
        check(
            &page,
            &["| X-BACKPAY | back-pay or an adjustment | single rows | `adjust_type \\|\\| '' <> '0'` |"],
        );
    }

    #[test]
    fn what_a_rule_does_not_have_is_not_on_its_page() {
        let text = page("  bands:\n    - {level: high, when: payments >= 6}\n", "", Lang::En);
        assert!(!text.contains("## Severity") && !text.contains("## References"));
        let text = page(
            "matter: [period_month]",
            "across: {crowd: {by: period_month, expr: count(payment_src)}}",
            Lang::En,
        );
        assert!(text.contains("- `crowd` = `count(payment_src)` by `period_month`"), "{text}");
    }
}
