//! The scaffold of a new rule: a whole rule that checks, plans and passes its examples, but for the blanks
//! (`<...>`) that only its author can fill in. Knows the founding contracts, since a SELECT must read something.

/// A rule file for `rules/<pack>/<id>-<fault>.yaml`. An empty title becomes a blank of its own.
pub fn new_rule(id: &str, title_zh: &str, title_en: &str, pack: &str) -> String {
    let quoted = |title: &str, blank: &str| match title.trim() {
        "" => blank.to_owned(),
        // a JSON string is a YAML string
        title => serde_json::Value::from(title).to_string(),
    };
    TEMPLATE
        .replace("@ID@", id)
        .replace("@PACK@", pack)
        .replace("@TITLE_ZH@", &quoted(title_zh, "<问题的名称>"))
        .replace("@TITLE_EN@", &quoted(title_en, "<name of the fault>"))
}

const TEMPLATE: &str = r#"# yaml-language-server: $schema=../rule.schema.json
# rules/@PACK@/@ID@-....yaml: 尖括号里是要填写的内容；SQL 和例子可以运行，请改成自己的。
# What stands in angle brackets is yours to fill in. The SQL and the examples work: make them your own.
id: @ID@
title: {zh: @TITLE_ZH@, en: @TITLE_EN@}
version: 1
status: draft
since: <YYYY-MM-DD>
severity:
  default: medium
  bands:
    - {level: high, when: payments >= 6}
confidence: low
owner: {zh: <谁负责这条规则>, en: <who answers for this rule>}
legal:
  - instrument: {zh: <法律、法规或办事规程>, en: <law or regulation or procedure>}
    says: {zh: <它对这件事的规定>, en: <what it says on this matter>}
description:
  zh: <查出什么样的情况>
  en: <what is flagged>
rationale:
  zh: <为什么这样不对>
  en: <why that is a fault>
false_positives:
  - {zh: <一种正常的解释>, en: <an innocent explanation>}
verify:
  - {zh: <核实的第一步>, en: <the first step of an investigator>}
inputs:
  pension_payments: {grain: month, coverage: {zh: <要覆盖哪些地区和月份>, en: <which areas and months must be covered>}}
params:
  min_payments:
    type: int
    default: 3
    min: 2
    max: 12
    title: {zh: 同一个月至少几笔, en: fewest payments for one month}
    source: <默认值的出处 / where the default comes from>
sql: |
  SELECT p.pid,
         p.src AS payment_src,
         p.period_month,
         p.amount,
         p.adjust_type
  FROM pension_payments p
  WHERE p.pay_state = '1'
exclusions:
  - code: X-BACKPAY
    title: {zh: 补发或调整的款项, en: back-pay or an adjustment}
    when: coalesce(adjust_type, '0') <> '0'
  - code: X-FEW
    title: {zh: 笔数不够, en: too few payments}
    having: payments < $min_payments
subject: {type: person, key: pid}
matter: [period_month]
measures:
  payments: count(payment_src)
period: {from: min(period_month), to: max(period_month)}
amount: sum(amount)
identity: min('I1')
grade: "'C'"
evidence:
  - {src: payment_src, columns: [period_month, amount]}
message:
  zh: "{period_from} 所属月发放 {payments} 笔，共 {amount} 元"
  en: "{payments} payments for the month of {period_from}, {amount} yuan in all"
limits: {max_findings: 1000}
references: []
examples:
  as_of: '2026-06-30'
  defaults:
    pension_payments: {scheme: '170', item: basic, amount: '100.00', pay_state: '1'}
  cases:
    - name: {zh: 同一个月发放三笔, en: three payments for one month}
      kind: hit
      given:
        pension_payments:
          - {id_number: P1, period_month: 202601}
          - {id_number: P1, period_month: 202601}
          - {id_number: P1, period_month: 202601}
      expect:
        findings:
          - {subject: P1, severity: medium, amount: '300.00', measures: {payments: '3'}}
    - name: {zh: 三笔都没有发放成功, en: three payments of which none went through}
      kind: near_miss
      given:
        pension_payments:
          - {id_number: P1, period_month: 202601, pay_state: '2'}
          - {id_number: P1, period_month: 202601, pay_state: '2'}
          - {id_number: P1, period_month: 202601, pay_state: '2'}
    - name: {zh: 三笔都是补发, en: three payments of back-pay}
      kind: excluded
      given:
        pension_payments:
          - {id_number: P1, period_month: 202601, adjust_type: '11'}
          - {id_number: P1, period_month: 202601, adjust_type: '11'}
          - {id_number: P1, period_month: 202601, adjust_type: '11'}
      expect:
        excluded:
          - {subject: P1, code: X-BACKPAY}
    - name: {zh: 同一个月发放两笔, en: two payments for one month}
      kind: excluded
      given:
        pension_payments:
          - {id_number: P1, period_month: 202601}
          - {id_number: P1, period_month: 202601}
      expect:
        excluded:
          - {subject: P1, code: X-FEW}
"#;
