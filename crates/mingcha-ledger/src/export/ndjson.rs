//! NDJSON: one object per finding, with the field names of `findings.parquet` and the evidence as JSON.
//! Money is text, so that no reader rounds it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use mingcha_rules::{Diagnostic, Finding};
use serde_json::{Value, json};

use super::Job;
use super::counts::{Count, LEAST};
use super::sheaf::Part;
use crate::fault;
use crate::words::plain_yuan;

/// Writes the findings.
pub(super) fn write(job: &Job<'_>, part: &Part<'_>, path: &Path) -> Result<(), Diagnostic> {
    let object = |f: &Finding| {
        json!({
            "finding_id": f.finding_id,
            "rule_id": f.rule_id,
            "rule_version": f.rule_version,
            "severity": f.severity,
            "grade": f.grade,
            "identity": f.identity,
            "subject_type": f.subject_type,
            "subject_id": f.subject_id,
            "subject_name": f.subject_name,
            "area_code": f.area_code,
            "period_from": f.period_from,
            "period_to": f.period_to,
            "amount": f.amount_fen.map(plain_yuan),
            "message_zh": f.message.zh,
            "message_en": f.message.en,
            "measures": f.measures,
            "evidence": f.evidence,
            "counter_evidence": f.counter_evidence,
            "exclusions_checked": f.exclusions_checked,
            "run_id": job.manifest.run_id,
        })
    };
    lines(path, part.findings().map(|finding| finding.map(|f| object(&f))))
}

/// Writes the public counts. A withheld cell has `findings` null and `fewer_than`.
pub(super) fn write_counts(job: &Job<'_>, cells: &[Count], path: &Path) -> Result<(), Diagnostic> {
    let object = |count: &Count| {
        let title = job.rule_title(&count.rule_id);
        json!({
            "rule_id": count.rule_id,
            "title_zh": title.zh,
            "title_en": title.en,
            "severity": count.severity,
            "county": count.county,
            "findings": count.sum.map(|(findings, _)| findings),
            "fewer_than": if count.sum.is_none() { Some(LEAST) } else { None },
            "amount": count.sum.map(|(_, fen)| plain_yuan(fen)),
            "run_id": job.manifest.run_id,
        })
    };
    lines(path, cells.iter().map(|cell| Ok(object(cell))))
}

fn lines(path: &Path, objects: impl Iterator<Item = Result<Value, Diagnostic>>) -> Result<(), Diagnostic> {
    let failed = |e: std::io::Error| fault::disk("MC811", ("写文件", "write the file"), path, &e);
    let mut file = BufWriter::new(File::create_new(path).map_err(failed)?);
    for object in objects {
        writeln!(file, "{}", object?).map_err(failed)?;
    }
    file.flush().map_err(failed)
}
