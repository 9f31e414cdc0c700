#[path = "../tests/ledger/fixture.rs"]
#[allow(dead_code)]
mod fixture;
use mingcha_ledger::*;
use mingcha_rules::Lang;
fn main() {
    let dir = std::path::PathBuf::from("/tmp/mc/ledger-show");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let n: u32 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(12);
    let mut f = fixture::plain(n);
    f.push(fixture::case());
    let mut big = fixture::case();
    big.finding_id = "0f".repeat(16);
    big.severity = mingcha_rules::Severity::Critical;
    for i in 5..14 { let mut r = big.evidence[1].clone(); r.row += i; r.columns.insert("period_month".into(), format!("2025-{:02}-01", i.min(12))); big.evidence.push(r); }
    f.push(big);
    let t = std::time::Instant::now();
    let run = fixture::finished(&dir, f);
    eprintln!("run {:?}", t.elapsed());
    let c = fixture::contracts(); let r = [fixture::rule()];
    for (p, l, name) in [(Profile::Investigator, Lang::Zh, "zh"), (Profile::Supervisor, Lang::En, "en"), (Profile::Public, Lang::Zh, "pub")] {
        let t = std::time::Instant::now();
        export(&run, &dir.join(name), &ExportOptions { profile: p, lang: l, recipient: Some("城关镇纪委".into()), by_area: true, ..Default::default() }, &fixture::catalogue(&c, &r)).unwrap();
        eprintln!("{name} {:?}", t.elapsed());
    }
    let m = Masker::new(Profile::Supervisor, &c);
    let e = explain_person(&run, &[&r[0]], fixture::ID).unwrap();
    std::fs::write(dir.join("person.txt"), e.render(&c, Lang::Zh, Style::Plain)).unwrap();
    std::fs::write(dir.join("person.md"), e.masked(&m).render(&c, Lang::En, Style::Markdown)).unwrap();
}
