//! Explanations: why flagged, why not, in both languages.

use mingcha_ledger::explain::Verdict;
use mingcha_ledger::{Masker, Profile, Style, explain_finding, explain_person};
use mingcha_rules::Lang;

use crate::fixture::{self, case, contracts, finished, plain, rule};

#[test]
fn a_person_gets_an_answer_from_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let mut findings = plain(3);
    findings.push(case());
    let run = finished(folder.path(), findings);
    let mut unknown = rule();
    unknown.id = "PEN-99".to_owned();
    let explanation = explain_person(&run, &[&rule(), &unknown], &fixture::ID.to_lowercase()).unwrap();
    let answers: Vec<(&str, &str)> = explanation
        .answers
        .iter()
        .map(|a| {
            let word = match &a.verdict {
                Verdict::Flagged { .. } => "flagged",
                Verdict::Mentioned(_) => "mentioned",
                Verdict::Excused(_) => "excused",
                Verdict::NoFact => "no fact",
                Verdict::NoAnswer(..) => "no answer",
                Verdict::NotRun => "not run",
            };
            (a.rule_id.as_str(), word)
        })
        .collect();
    assert_eq!(
        answers,
        [
            ("PEN-02", "no answer"),
            ("PEN-03", "flagged"),
            ("PEN-09", "no fact"),
            ("PEN-13", "excused"),
            ("PEN-99", "not run")
        ]
    );
    let zh = explanation.render(&contracts(), Lang::Zh, Style::Plain);
    for part in [
        "共 5 条规则",
        "列为线索 1 条",
        "缺少数据集 火化",
        "X-CLAWED",
        "同时符合 X-FUNERAL",
        "X-LAG 登记时间差：已扣除 1 条",
        "死亡时间：2025-03-01 10:30",
    ] {
        assert!(zh.contains(part), "{part} in\n{zh}");
    }
    let en = explanation.render(&contracts(), Lang::En, Style::Markdown);
    for part in [
        "5 rules",
        "dataset cremations is missing",
        "suspicious facts excused: 2",
        "no fact matched",
        "not part of the run",
    ] {
        assert!(en.contains(part), "{part} in\n{en}");
    }
}

#[test]
fn somebody_who_is_only_evidence_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let explanation = explain_person(&run, &[], fixture::KIN_ID).unwrap();
    let death = explanation.answers.iter().find(|a| a.rule_id == "PEN-03").unwrap();
    assert!(matches!(&death.verdict, Verdict::Mentioned(findings) if findings.len() == 1));
}

#[test]
fn a_finding_is_explained_with_its_rule() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let explanation = explain_finding(&run, fixture::CASE, &[&rule()]).unwrap();
    let zh = explanation.render(&contracts(), Lang::Zh, Style::Markdown);
    for part in [
        "# PEN-03 开具死亡证明后仍领取养老金",
        "死亡后的就诊",
        "如何核实",
        "先电话联系本人或家属",
        "12,345.67 元",
        "不是结论",
    ] {
        assert!(zh.contains(part), "{part} in\n{zh}");
    }
    let fault = explain_finding(&run, "ffff", &[]).unwrap_err();
    assert_eq!(fault.code, "MC821");
}

#[test]
fn a_masked_explanation_shows_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let contracts = contracts();
    let masker = Masker::new(Profile::Supervisor, &contracts);
    for (lang, style) in [(Lang::Zh, Style::Plain), (Lang::En, Style::Plain), (Lang::Zh, Style::Markdown)] {
        let person = explain_person(&run, &[&rule()], fixture::ID)
            .unwrap()
            .masked(&masker)
            .render(&contracts, lang, style);
        let finding = explain_finding(&run, fixture::CASE, &[&rule()])
            .unwrap()
            .masked(&masker)
            .render(&contracts, lang, style);
        for secret in fixture::SECRETS {
            assert!(!person.contains(secret), "{secret} in\n{person}");
            assert!(!finding.contains(secret), "{secret} in\n{finding}");
        }
    }
}

#[test]
fn values_of_rows_cannot_act_on_a_terminal_or_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut hostile = case();
    hostile.evidence[0].columns.insert("name".to_owned(), "\u{1b}[2J<script>|*x*".to_owned());
    let run = finished(folder.path(), vec![hostile]);
    let explanation = explain_finding(&run, fixture::CASE, &[]).unwrap();
    assert!(!explanation.render(&[], Lang::En, Style::Plain).contains('\u{1b}'));
    let page = explanation.render(&[], Lang::En, Style::Markdown);
    assert!(page.contains(r"\<script\>\|\*x\*"), "{page}");
}
