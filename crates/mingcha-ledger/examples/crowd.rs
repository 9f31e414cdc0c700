//! Run folders of any size for `benches/ledger.sh`: a first night of N findings, and a second one in which some are
//! new, gone, changed or stand on more. Every number is invented (area 88 is never issued); no rule has run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mingcha_ledger::{InputFile, RunRecord, RunWriter};
use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Diagnostic, EvidenceRow, Finding, Outcome, OutcomeKind, Severity, Text};

const RULES: u64 = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(n)) = (args.next(), args.next()) else {
        return Err("crowd DIR N".into());
    };
    let n: u64 = n.parse()?;
    for (night, as_of) in [(1, "2026-06-30"), (2, "2026-07-01"), (3, "2026-07-02")] {
        write(&Path::new(&folder).join(night.to_string()), as_of, n, night)?;
    }
    Ok(())
}

fn write(out: &Path, as_of: &str, n: u64, night: u64) -> Result<(), Diagnostic> {
    let record = RunRecord {
        engine: "crowd".to_owned(),
        as_of: as_of.to_owned(),
        started: format!("{as_of}T22:00:00Z"),
        inputs: ["pension_payments", "death_certificates"].map(input).into(),
        ..RunRecord::default()
    };
    let mut outcomes: Vec<Outcome> = (0..RULES).map(outcome).collect();
    let mut writer = RunWriter::create(out)?;
    writer.begin(&record, &outcomes)?;
    for (rule, outcome) in (0..RULES).zip(&mut outcomes) {
        // A hundredth is new in the second night and a hundredth is gone; the third is like the second.
        let later = night > 1;
        let (from, to) = if later { (n / 100, n + n / 100) } else { (0, n) };
        let mut findings: Vec<Finding> =
            (from..to).filter(|i| i % RULES == rule).map(|i| finding(i, later)).collect();
        findings.sort_by(|a, b| (&a.subject_id, &a.finding_id).cmp(&(&b.subject_id, &b.finding_id)));
        outcome.findings = findings.len() as u64;
        writer.add(findings, [])?;
    }
    writer.finish(&outcomes, &format!("{as_of}T23:00:00Z"))?;
    writer.commit()
}

fn input(dataset: &str) -> InputFile {
    let path = format!("{dataset}.parquet");
    InputFile { dataset: dataset.to_owned(), path, bytes: 1, rows: 1, sha256: "00".repeat(32) }
}

fn outcome(rule: u64) -> Outcome {
    Outcome {
        rule_id: format!("XXX-{rule:02}"),
        rule_version: 1,
        title: text("压力测试", "a rule of the crowd"),
        rule_hash: format!("{rule}"),
        outcome: OutcomeKind::Found,
        reason: None,
        warnings: Vec::new(),
        candidates: 0,
        excluded: BTreeMap::new(),
        findings: 0,
        amount_fen: 0,
        rows_read: 0,
        seconds: 0.0,
        peak_memory: 0,
        shard_local: true,
        not_local_because: None,
    }
}

fn text(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}

fn finding(i: u64, later: bool) -> Finding {
    let (changed, more) = (later && i % 50 == 7, later && i % 100 == 11);
    let months = 12 + u64::from(more);
    let payment = |month: u64| {
        row(
            "pension_payments",
            i * 20 + month,
            &[
                ("period_month", format!("2025{:02}", month % 100)),
                ("pay_day", format!("2025-{:02}-12", month % 12 + 1)),
                ("amount", format!("{}.00", 100 + i % 900)),
                ("account_no", format!("62000000{i:010}")),
            ],
        )
    };
    let death = row("death_certificates", i, &[("death_time", "2025-01-05T10:00:00".to_owned())]);
    let subject = format!("8801{:02}1950{:010}", i % 20 + 1, i).chars().take(18).collect::<String>();
    let reached = BTreeSet::from([i % 3, 1]);
    Finding {
        finding_id: format!("{:032x}", u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        rule_id: format!("XXX-{:02}", i % RULES),
        rule_version: 1,
        severity: if reached.len() == 1 { Severity::High } else { Severity::Medium },
        grade: "A".to_owned(),
        identity: "I1".to_owned(),
        subject_type: SubjectType::Person,
        subject_id: subject,
        subject_name: Some("王小满".to_owned()),
        area_code: Some(format!("8801{:02}001", i % 20 + 1)),
        period_from: Some("2025-01-01".to_owned()),
        period_to: Some("2025-12-01".to_owned()),
        amount_fen: Some(120_000 + i64::from(changed)),
        message: text(
            "死亡证明显示王小满已于 2025-01-05 去世，但此后 12 个月仍在发放养老金，共 1200.00 元。请核实本人情况、取款人和应追回的金额。",
            "A death certificate says that the person died on 2025-01-05, but pension was paid for 12 later months, 1200.00 yuan in all. Please verify the person's situation, who drew the money, and what is to be recovered.",
        ),
        measures: BTreeMap::new(),
        candidates: months,
        evidence: std::iter::once(death).chain((1..=months).map(payment)).collect(),
        counter_evidence: Vec::new(),
        exclusions_checked: Vec::new(),
    }
}

fn row(dataset: &str, number: u64, columns: &[(&str, String)]) -> EvidenceRow {
    EvidenceRow {
        dataset: dataset.to_owned(),
        file: format!("{dataset}.parquet"),
        row: number,
        columns: columns.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        title: None,
    }
}
