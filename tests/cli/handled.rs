//! Who handled what a lead rests on stands in the lead, whatever the rule shows: held against the raw extracts, which are
//! read here as plain text. So whoever handled it is kept from judging it, by every rule of the pack.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{files, mingcha, names};

const CITY: &[&str] = &["synth", "--persons", "2000", "--seed", "11", "--format", "csv", "--out", "extracts"];
const OPERATOR: &[&str] = &["经办人", "经办人员", "操作员", "经办员", "operator"];
const NUMBER: &[&str] =
    &["身份证号", "公民身份号码", "身份证号码", "证件号码", "身份证件号码", "社会保障号码", "id_number"];

/// What the extracts say, by file and row (1 is the first below the heading).
#[derive(Default)]
struct Extracts {
    /// Whose row it is.
    person: BTreeMap<(String, u64), String>,
    /// Who handled it.
    operator: BTreeMap<(String, u64), String>,
    /// Who handled any row of a person.
    of_person: BTreeMap<String, BTreeSet<String>>,
}

impl Extracts {
    fn read(folder: &Path) -> Self {
        let mut all = Self::default();
        for path in files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "csv")) {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let mut lines = text.trim_start_matches('\u{feff}').lines();
            let head = cells_of(lines.next().unwrap());
            let column = |names: &[&str]| head.iter().position(|h| names.contains(&h.trim()));
            let (number, operator) = (column(NUMBER), column(OPERATOR));
            for (row, line) in (1..).zip(lines) {
                let cells = cells_of(line);
                let cell = |at: Option<usize>| at.and_then(|at| cells.get(at)).map(|c| c.trim());
                let person = cell(number).and_then(whole_number);
                let clerk = cell(operator).filter(|c| !c.is_empty()).map(str::to_owned);
                if let (Some(person), Some(clerk)) = (&person, &clerk) {
                    all.of_person.entry(person.clone()).or_default().insert(clerk.clone());
                }
                all.person.extend(person.map(|p| ((name.clone(), row), p)));
                all.operator.extend(clerk.map(|c| ((name.clone(), row), c)));
            }
        }
        assert!(all.of_person.len() > 500, "the extracts name too few clerks to say anything");
        all
    }

    /// Everybody who handled a row that the finding shows, or any row of a person that it is about.
    fn behind(&self, finding: &Value) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        let mut persons: BTreeSet<String> =
            finding["subject_id"].as_str().map(str::to_owned).into_iter().collect();
        for row in finding["evidence"].as_array().unwrap() {
            let place = (row["file"].as_str().unwrap().to_owned(), row["row"].as_u64().unwrap());
            out.extend(self.operator.get(&place).cloned());
            persons.extend(self.person.get(&place).cloned());
        }
        out.extend(persons.iter().filter_map(|p| self.of_person.get(p)).flatten().cloned());
        out
    }
}

/// The cells of a line of CSV; no cell holds a line break.
fn cells_of(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

/// An identity number as 18 characters, however it is written.
fn whole_number(text: &str) -> Option<String> {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap(),
        other => other,
    };
    let text: String =
        text.chars().map(narrow).filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    match text.len() {
        18 => Some(text),
        15 => {
            let long = format!("{}19{}", &text[..6], &text[6..]);
            let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
            let digits = long.chars().map(|c| c.to_digit(10)).collect::<Option<Vec<u32>>>()?;
            let sum: u32 = digits.iter().zip(weights).map(|(d, w)| d * w).sum();
            Some(format!("{long}{}", &"10X98765432"[(sum % 11) as usize..][..1]))
        }
        _ => None,
    }
}

fn shown(finding: &Value) -> BTreeSet<String> {
    let rows = finding["evidence"].as_array().unwrap().iter();
    rows.filter_map(|row| row["columns"]["operator"].as_str()).map(str::to_owned).collect()
}

fn findings(at: &Path) -> Vec<Value> {
    let args =
        ["findings", "list", "--run", "run", "--format", "json", "--limit", "0", "--profile", "investigator"];
    mingcha(at, &args).well().json().as_array().unwrap().clone()
}

/// A city, in which those whom rules flag without being payees are payees as well, handled by 窗口09; and one whose
/// number nobody can have.
fn office() -> (tempfile::TempDir, Extracts) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    mingcha(at, CITY).well();
    let registry = fs::read_to_string(at.join("extracts/household_registry.csv")).unwrap();
    let name_of = |number: &str| {
        let row = registry.lines().find(|line| line.starts_with(number))?;
        cells_of(row).get(1).cloned()
    };
    let path = at.join("extracts/pension_payees.csv");
    let mut payees = fs::read_to_string(&path).unwrap();
    let head = cells_of(payees.lines().next().unwrap());
    let (number, name, operator) = (0, 1, head.iter().position(|h| OPERATOR.contains(&h.as_str())).unwrap());
    let mut like = cells_of(payees.lines().nth(1).unwrap());
    // A certification would say that the dead among them are alive.
    for (heading, cell) in head.iter().zip(&mut like) {
        if heading.contains("认证") {
            cell.clear();
        }
    }
    let mut add = |who: &str, called: &str| {
        let mut row = like.clone();
        (row[number], row[name], row[operator]) = (who.to_owned(), called.to_owned(), "窗口09".to_owned());
        payees = format!("{}\n{}\n", payees.trim_end(), row.join(","));
    };
    let truth = mingcha_synth::read_truth(&at.join("extracts/truth.parquet")).unwrap();
    for case in truth.iter().filter(|t| t.expected && t.rule_id.starts_with("MED-")) {
        if let Some(called) = name_of(&case.subject_id) {
            add(&case.subject_id, &called);
        }
    }
    add("880102195101170021", "卫长林");
    fs::write(&path, payees).unwrap();
    let extracts = Extracts::read(&at.join("extracts"));
    mingcha(at, &["run", "--data", "extracts", "--as-of", "2026-10-31", "--out", "run"]).well();
    (dir, extracts)
}

#[test]
fn every_finding_of_every_rule_names_everybody_who_handled_what_it_rests_on() {
    let (dir, extracts) = office();
    let all = findings(dir.path());
    let mut handled: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for finding in &all {
        let rule = finding["rule_id"].as_str().unwrap();
        let (wanted, got) = (extracts.behind(finding), shown(finding));
        *handled.entry(rule).or_default() += usize::from(!wanted.is_empty());
        if wanted != got {
            wrong.push(format!("{rule}: handled by {wanted:?}, shown are {got:?}"));
        }
    }
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{} of {} findings do not show who handled what they rest on:\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n")
    );
    let silent: Vec<String> =
        rules().into_iter().filter(|id| handled.get(id.as_str()).is_none_or(|n| *n == 0)).collect();
    assert!(silent.is_empty(), "nothing is said about {silent:?}: {handled:?}");
}

/// Every rule of the pack.
fn rules() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let packs = names(&root).into_iter().filter(|name| !name.contains('.') && name != "shared");
    let files = packs.flat_map(|pack| names(&root.join(pack)));
    let rules = files.filter(|name| name.ends_with(".yaml") && name != "pack.yaml");
    let ids: BTreeSet<String> =
        rules.map(|name| name.split('-').take(2).collect::<Vec<_>>().join("-")).collect();
    assert!(ids.len() >= 20, "{ids:?}");
    ids
}

/// As one who must not leave their own case to a colleague would: assigned by somebody else, and then judging.
#[test]
fn whoever_handled_it_cannot_judge_a_lead_of_any_rule() {
    const LEDGER: &str = "book/ledger.sqlite";
    let (dir, extracts) = office();
    let at = dir.path();
    let day = ["--ledger", LEDGER, "--at", "2026-11-02"];
    mingcha(at, &["ledger", "absorb", "run", "--ledger", LEDGER, "--as", "nightly", "--at", "2026-11-01"])
        .well();
    let step = |args: &[&str]| mingcha(at, &[&["findings"], args, &day].concat());
    let mut tried = BTreeSet::new();
    for finding in findings(at) {
        let (rule, id) = (finding["rule_id"].as_str().unwrap(), finding["finding_id"].as_str().unwrap());
        let Some(clerk) = extracts.behind(&finding).into_iter().next() else { continue };
        if !tried.insert(rule.to_owned()) {
            continue;
        }
        step(&["assign", id, "--to", "li", "--as", "chief"]).well();
        step(&["visit", id, "--as", "li", "--how", "papers", "--text", "seen"]).well();
        let confirm =
            |who: &str| step(&["confirm", id, "--as", who, "--how", "papers", "--document", "2026-7"]);
        let told = confirm(&clerk);
        assert!(
            told.code == Some(2) && told.err.contains("MC854"),
            "{rule}: {clerk} confirmed it: {}",
            told.err
        );
        confirm("li").well();
    }
    assert_eq!(tried, rules());
}
