//! A small invented run: names, numbers and places exist nowhere (area 88 is never issued).

use std::collections::BTreeMap;
use std::path::Path;

use mingcha_ledger::{Catalogue, InputFile, Manifest, RunFolder, RunRecord, RunWriter};
use mingcha_rules::finding::ExclusionChecked;
use mingcha_rules::rule::SubjectType;
use mingcha_rules::{
    Contract, Diagnostic, EvidenceRow, Excused, Finding, Outcome, OutcomeKind, Rule, Severity, Text,
};
use serde_json::json;

pub(crate) const ID: &str = "88010119500307002X";
pub(crate) const KIN_ID: &str = "880101198001010016";
pub(crate) const NAME: &str = "欧阳明月";
pub(crate) const KIN_NAME: &str = "林晓";
pub(crate) const ACCOUNT: &str = "6222020200112345678";
pub(crate) const PHONE: &str = "13800001234";
pub(crate) const HOUSEHOLD: &str = "HH880101000777";
pub(crate) const DIAGNOSIS: &str = "慢性支气管炎";
pub(crate) const CASE: &str = "00000000000000000000000000000001";

/// Everything that must not be seen in a masked list.
pub(crate) const SECRETS: [&str; 10] =
    [ID, "880101500307002", KIN_ID, NAME, KIN_NAME, ACCOUNT, PHONE, HOUSEHOLD, DIAGNOSIS, "1950-03-07"];

fn text(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}

pub(crate) fn row(dataset: &str, number: u64, columns: &[(&str, &str)]) -> EvidenceRow {
    EvidenceRow {
        dataset: dataset.to_owned(),
        file: format!("{dataset}/2026.parquet"),
        row: number,
        columns: columns.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        title: None,
    }
}

/// The case with something personal in every place.
pub(crate) fn case() -> Finding {
    let clinic =
        row("outpatient_visits", 9, &[("visit_time", "2025-05-02T09:30:00"), ("diagnosis", DIAGNOSIS)]);
    Finding {
        finding_id: CASE.to_owned(),
        rule_id: "PEN-03".to_owned(),
        rule_version: 1,
        severity: Severity::High,
        grade: "A".to_owned(),
        identity: "I1".to_owned(),
        subject_type: SubjectType::Person,
        subject_id: ID.to_owned(),
        subject_name: Some(NAME.to_owned()),
        area_code: Some("880101001001".to_owned()),
        period_from: Some("2025-04-01".to_owned()),
        period_to: Some("2025-08-01".to_owned()),
        amount_fen: Some(1_234_567),
        message: text(
            &format!(
                "{NAME}（{ID}）于 2025-03-01 死亡后，仍按月领取 5 个月养老金，转入账户 {ACCOUNT}，联系人 {KIN_NAME}，患有{DIAGNOSIS}"
            ),
            &format!(
                "{NAME} ({ID}) was paid for 5 months after death on 2025-03-01, to account {ACCOUNT}, contact {KIN_NAME} {PHONE}"
            ),
        ),
        candidates: 1,
        measures: BTreeMap::from([
            ("months".to_owned(), "5".to_owned()),
            ("kin_name".to_owned(), KIN_NAME.to_owned()),
        ]),
        evidence: vec![
            row(
                "death_certificates",
                3,
                &[("name", NAME), ("death_time", "2025-03-01T10:30:00"), ("kin_id_number", KIN_ID)],
            ),
            row(
                "pension_payments",
                17,
                &[
                    ("period_month", "2025-04-01"),
                    ("amount", "2469.13"),
                    ("pay_state", "1"),
                    ("account_no", ACCOUNT),
                    ("payee_name", NAME),
                    ("payee_birth_date", "1950-03-07"),
                    ("household_no", HOUSEHOLD),
                    ("contact_phone", PHONE),
                    ("remark", "旧号880101500307002，经手林晓"),
                ],
            ),
        ],
        counter_evidence: vec![EvidenceRow {
            title: Some(text("死亡后的就诊", "Visits after death")),
            ..clinic
        }],
        exclusions_checked: vec![
            ExclusionChecked { code: "X-LAG".to_owned(), excused: 1 },
            ExclusionChecked { code: "X-ALIVE".to_owned(), excused: 0 },
        ],
    }
}

/// `n` plain findings of rule PEN-13 in two townships.
pub(crate) fn plain(n: u32) -> Vec<Finding> {
    let finding = |i: u32| Finding {
        finding_id: format!("{:032x}", 0x1000 + i),
        rule_id: "PEN-13".to_owned(),
        severity: if i.is_multiple_of(3) { Severity::Medium } else { Severity::Low },
        subject_id: format!("88010219600101{:04}", i),
        subject_name: Some("赵小满".to_owned()),
        area_code: Some(if i.is_multiple_of(2) { "880101002" } else { "880102001" }.to_owned()),
        amount_fen: Some(i64::from(i) * 101),
        message: text("同一月份重复发放", "paid twice for one month"),
        measures: BTreeMap::new(),
        candidates: 1,
        evidence: vec![row("pension_payments", u64::from(i) + 100, &[("amount", "1.01")])],
        counter_evidence: Vec::new(),
        ..case()
    };
    (0..n).map(finding).collect()
}

fn outcome(rule_id: &str, zh: &str, en: &str, kind: OutcomeKind, findings: &[Finding]) -> Outcome {
    let of_rule = findings.iter().filter(|f| f.rule_id == rule_id);
    Outcome {
        rule_id: rule_id.to_owned(),
        rule_version: 1,
        title: text(zh, en),
        rule_hash: format!("hash of {rule_id}"),
        outcome: kind,
        reason: (kind == OutcomeKind::NotEvaluated)
            .then(|| text("缺少数据集 火化", "dataset cremations is missing")),
        warnings: Vec::new(),
        candidates: 40,
        excluded: BTreeMap::from([("X-LAG".to_owned(), 3)]),
        findings: of_rule.clone().count() as u64,
        amount_fen: of_rule.filter_map(|f| f.amount_fen).sum(),
        rows_read: 1000,
        seconds: 0.25,
        peak_memory: 1024,
        shard_local: true,
        not_local_because: None,
    }
}

/// All of a run, in any order.
pub(crate) struct Run {
    pub(crate) record: RunRecord,
    pub(crate) ended: String,
    pub(crate) findings: Vec<Finding>,
    pub(crate) excused: Vec<Excused>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Run {
    /// Writes it in its order, rule by rule.
    pub(crate) fn write(mut self, writer: &mut RunWriter) -> Result<Manifest, Diagnostic> {
        writer.begin(&self.record, &self.outcomes)?;
        self.findings.sort_by(|a, b| {
            (&a.rule_id, &a.subject_id, &a.finding_id).cmp(&(&b.rule_id, &b.subject_id, &b.finding_id))
        });
        self.excused
            .sort_by(|a, b| (&a.rule_id, &a.subject_id, &a.code).cmp(&(&b.rule_id, &b.subject_id, &b.code)));
        for rule in self.findings.chunk_by(|a, b| a.rule_id == b.rule_id) {
            writer.add(rule.to_vec(), [])?;
        }
        writer.add([], self.excused)?;
        writer.finish(&self.outcomes, &self.ended)
    }
}

pub(crate) fn record(findings: Vec<Finding>) -> Run {
    let excused = |rule_id: &str, subject_id: &str, code: &str| Excused {
        rule_id: rule_id.to_owned(),
        subject_type: SubjectType::Person,
        subject_id: subject_id.to_owned(),
        code: code.to_owned(),
        also: vec!["X-FUNERAL".to_owned()],
        candidates: 2,
        evidence: vec![row("pension_payments", 21, &[("account_no", ACCOUNT), ("amount", "10.00")])],
    };
    let record = RunRecord {
        engine: "mingcha 0.1.0".to_owned(),
        as_of: "2026-11-22".to_owned(),
        started: "2026-11-22T01:00:00Z".to_owned(),
        parameters: BTreeMap::from([(
            "PEN-03".to_owned(),
            BTreeMap::from([("grace_months".to_owned(), "1".to_owned())]),
        )]),
        inputs: vec![InputFile {
            dataset: "pension_payments".to_owned(),
            path: "pension_payments/2026.parquet".to_owned(),
            bytes: 1000,
            rows: 50,
            sha256: "ab".repeat(32),
        }],
        environment: BTreeMap::from([("threads".to_owned(), "2".to_owned())]),
    };
    Run {
        record,
        ended: "2026-11-22T01:02:00Z".to_owned(),
        outcomes: vec![
            outcome(
                "PEN-13",
                "同月重复发放养老金",
                "Pension paid twice for one month",
                OutcomeKind::Found,
                &findings,
            ),
            outcome(
                "PEN-03",
                "开具死亡证明后仍领取养老金",
                "Pension paid after a death certificate",
                OutcomeKind::Found,
                &findings,
            ),
            outcome(
                "PEN-02",
                "火化后仍领取养老金",
                "Pension paid after cremation",
                OutcomeKind::NotEvaluated,
                &findings,
            ),
            outcome(
                "PEN-09",
                "超高龄领取养老金",
                "Pension paid at an improbable age",
                OutcomeKind::Clean,
                &findings,
            ),
        ],
        excused: vec![excused("PEN-13", ID, "X-CLAWED"), excused("PEN-13", KIN_ID, "X-LAG")],
        findings,
    }
}

/// A finished run in `folder`/run.
pub(crate) fn finished(folder: &Path, findings: Vec<Finding>) -> RunFolder {
    let out = folder.join("run");
    let mut writer = RunWriter::create(&out).unwrap();
    record(findings).write(&mut writer).unwrap();
    writer.commit().unwrap();
    RunFolder::open(&out).unwrap()
}

pub(crate) fn contracts() -> Vec<Contract> {
    let field = |name: &str, zh: &str, en: &str, ty: &str, pii: Option<&str>| json!({"name": name, "title": {"zh": zh, "en": en}, "type": ty, "pii": pii});
    let contract = |name: &str, zh: &str, en: &str, fields: Vec<serde_json::Value>| {
        let text = json!({"zh": zh, "en": en});
        let value = json!({"name": name, "title": text, "description": text, "person": "id_number",
            "max_age_days": 60, "fields": fields});
        serde_json::from_value::<Contract>(value).unwrap()
    };
    let id = || field("id_number", "身份证号", "Identity number", "id", Some("direct_id"));
    let name = || field("name", "姓名", "Name", "text", Some("direct_id"));
    let mut state = field("pay_state", "支付状态", "State of payment", "code", None);
    state["codes"] = json!({"1": {"zh": "已发放", "en": "paid"}});
    vec![
        contract(
            "death_certificates",
            "死亡医学证明",
            "Death certificates",
            vec![id(), name(), field("death_time", "死亡时间", "Time of death", "datetime", None)],
        ),
        contract(
            "pension_payments",
            "养老金发放明细",
            "Pension payments",
            vec![
                id(),
                field("period_month", "费款所属期", "Month paid for", "month", None),
                field("amount", "金额", "Amount", "money", Some("financial")),
                state,
                field("account_no", "银行账号", "Account", "text", Some("financial")),
            ],
        ),
        contract(
            "pension_payees",
            "待遇人员",
            "Pension payees",
            vec![
                id(),
                name(),
                field("birth_date", "出生日期", "Birth date", "date", Some("quasi_id")),
                field("household_no", "户号", "Household", "text", Some("quasi_id")),
                field("phone", "联系电话", "Telephone", "text", Some("contact")),
            ],
        ),
        contract(
            "outpatient_visits",
            "门诊购药",
            "Outpatient visits",
            vec![
                id(),
                field("visit_time", "就诊时间", "Time of visit", "datetime", None),
                field("diagnosis", "诊断", "Diagnosis", "text", Some("health")),
            ],
        ),
    ]
}

pub(crate) fn rule() -> Rule {
    let text = |zh: &str, en: &str| json!({"zh": zh, "en": en});
    let empty = text("略", "see title");
    serde_json::from_value(json!({
        "id": "PEN-03", "title": text("开具死亡证明后仍领取养老金", "Pension paid after a death certificate"),
        "version": 1, "status": "active", "since": "2026-11-22", "severity": {"default": "high"},
        "confidence": "high", "owner": empty, "legal": [], "description": empty, "rationale": empty,
        "false_positives": [text("死亡证明登记错人", "The certificate names the wrong person")],
        "verify": [text("先电话联系本人或家属", "First telephone the person or the family")],
        "inputs": {}, "identity": "'I1'", "grade": "'A'", "evidence": [], "message": empty,
        "subject": {"type": "person", "key": "pid"},
        "exclusions": [
            {"code": "X-LAG", "title": text("登记时间差", "Registration lag"), "having": "months <= 1"},
            {"code": "X-ALIVE", "title": text("死亡后有生命迹象", "Signs of life after death"), "when": "alive"}
        ],
        "examples": {"as_of": "2026-01-01", "cases": []}
    }))
    .unwrap()
}

pub(crate) fn catalogue<'a>(contracts: &'a [Contract], rules: &'a [Rule]) -> Catalogue<'a> {
    let areas = [("880101001", "城关镇"), ("880101002", "河东镇"), ("880102", "北山县")];
    Catalogue {
        contracts,
        rules: rules.iter().collect(),
        area_names: areas.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect(),
    }
}
