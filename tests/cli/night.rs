//! Nights from outside: one at a time, on and on after whatever stopped them, told to whoever listens, held back where
//! they look implausible, and destroyed when their time is over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mingcha_ledger::book::{By, Certificate, Destroyed};
use mingcha_ledger::{Book, RunFolder, Zone};
use serde_json::{Value, json};

use crate::city::city;
use crate::harness::{Told, command, files, mingcha, names};
use crate::post::{MailServer, Post, Tls, authority};

/// A workspace over the city's extracts, with `more` in its settings.
fn office(more: &str) -> tempfile::TempDir {
    over(&city().join("extracts"), more)
}

fn over(data: &Path, more: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let settings = format!(
        "[paths]\ndata = '{}'\nstore = 'store'\nexport = 'lists'\n[export]\nformat = 'csv'\n[ledger]\npath = 'ledger.sqlite'\nas = 'nightly'\n[nightly]\nfolder = 'nights'\nschedule = '30 2 * * *'\nrules = 'PEN-01,PEN-13'\nsettle_seconds = 0\n{more}",
        data.display()
    );
    fs::write(dir.path().join("mingcha.toml"), settings).unwrap();
    dir
}

/// An extracts folder without extracts: a night in it gets no further than waiting.
fn empty(more: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    (over(data.path(), more), data)
}

fn night(home: &Path, day: &str, more: &[&str]) -> Told {
    let at = format!("{day}T03:00:00+08:00");
    mingcha(home, &[&["nightly", "--at", &at][..], more].concat())
}

fn status(home: &Path, at: &str) -> Told {
    mingcha(home, &["nightly", "--status", "--at", at])
}

fn record(home: &Path) -> Value {
    serde_json::from_slice(&fs::read(home.join("nights/night.json")).unwrap()).unwrap()
}

/// As if the last night had died in this step.
fn go_back_to(home: &Path, step: &str) {
    let mut state = record(home);
    state["open"] = state["last"].take();
    state["open"]["step"] = json!(step);
    fs::write(home.join("nights/night.json"), state.to_string()).unwrap();
}

#[test]
fn a_second_start_says_who_holds_the_lock() {
    let (dir, _data) = empty("wait_minutes = 5\n[[expect]]\npath = 'never.csv'\n");
    let mut first = command(dir.path(), &["nightly", "--at", "2026-10-31T03:00:00+08:00"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("nights/status.json").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = night(dir.path(), "2026-10-31", &[]);
    assert_eq!(told.code, Some(6), "{}", told.err);
    assert!(
        told.err.contains("MC085") && told.err.contains(&format!("process {}", first.id())),
        "{}",
        told.err
    );
    let told = status(dir.path(), "2026-10-31T03:00:00+08:00").well();
    assert!(
        told.out.starts_with("running since ") && told.out.contains("waiting for extracts"),
        "{}",
        told.out
    );
    first.kill().unwrap();
    first.wait().unwrap();
    let told = status(dir.path(), "2026-10-31T03:00:00+08:00");
    assert_eq!(told.code, Some(70));
    assert!(told.out.starts_with("failed: the night of 2026-10-31 stopped while waiting"), "{}", told.out);
}

#[test]
fn what_must_come_stops_the_night_until_it_has_come_and_is_told_once() {
    let post = Post::open(&["{\"errcode\":0}"]);
    let more = format!(
        "[[expect]]\npath = 'pension_payments-{{date}}.csv'\nrequired = true\n[[notify]]\nkind = 'wecom'\nurl = '{}'\ntoken = 'key-1'\n",
        post.url
    );
    let (dir, data) = empty(&more);
    for _ in 0..2 {
        let told = night(dir.path(), "2026-10-31", &[]);
        assert_eq!(told.code, Some(4), "{}", told.err);
        assert!(
            told.err.contains("MC901") && told.err.contains("pension_payments-2026-10-31.csv"),
            "{}",
            told.err
        );
    }
    assert_eq!(record(dir.path())["open"]["step"], "arrive");
    assert_eq!(post.bodies().len(), 1, "told once, however often it is tried");
    let told = status(dir.path(), "2026-10-31T04:00:00+08:00");
    assert_eq!(told.code, Some(4));
    assert!(told.out.contains("MC901") && told.out.contains("start `mingcha nightly` again"), "{}", told.out);
    // It comes, though as no table: the night gets further, and says so.
    fs::write(data.path().join("pension_payments-2026-10-31.csv"), "nothing\n").unwrap();
    let told = night(dir.path(), "2026-10-31", &[]);
    assert_eq!(told.code, Some(4));
    assert!(!told.err.contains("MC901"), "{}", told.err);
    assert_eq!(record(dir.path())["open"]["step"], "prepare");
    // The next evening its extracts are gone: it counts as missed.
    let told = night(dir.path(), "2026-11-01", &[]);
    assert!(told.err.contains("MC909") && told.err.contains("2026-10-31"), "{}", told.err);
    assert_eq!(record(dir.path())["open"]["as_of"], "2026-11-01");
}

#[test]
fn missed_nights_are_made_up_for_once_and_a_done_night_is_done() {
    let dir = office("");
    let home = dir.path();
    assert_eq!(
        status(home, "2026-10-31T03:00:00+08:00").well().out.trim_end(),
        "ok: no night so far; next at 2026-11-01T02:30:00+08:00"
    );
    let late = status(home, "2026-10-31T08:00:00+08:00");
    assert!(
        late.code == Some(4) && late.out.starts_with("late: the night of 2026-10-31 did not run"),
        "{}",
        late.out
    );
    night(home, "2026-10-31", &[]).well();
    let ok = status(home, "2026-10-31T09:00:00+08:00").well();
    assert!(
        ok.out.starts_with("ok: the night of 2026-10-31 was done at 2026-10-31 03:00 Asia/Shanghai"),
        "{}",
        ok.out
    );
    // Before it is due again there is nothing to do.
    let told = mingcha(home, &["nightly", "--at", "2026-11-01T02:29:00+08:00"]).well();
    assert!(told.out.contains("the next one is due at 2026-11-01T02:30:00+08:00"), "{}", told.out);
    let told = night(home, "2026-11-04", &[]);
    assert!(told.out.contains("late: 3 nights before it were missed"), "{}{}", told.out, told.err);
    let last = record(home)["last"].clone();
    assert_eq!(
        (&last["missed"], &last["late"], &last["number"]),
        (&Value::from(3), &Value::from(true), &Value::from(2))
    );
    assert_eq!(names(&home.join("nights/runs")), ["2026-10-31", "2026-11-04"]);
    assert_eq!(names(&home.join("lists")), ["2026-10-31", "2026-11-04"]);
    // Once more on demand: the same night, no second entry, lists beside the first ones.
    let again = night(home, "2026-11-04", &["--again"]);
    assert!(matches!(again.code, Some(0 | 4)), "{}", again.err);
    assert_eq!(Book::read(&home.join("ledger.sqlite")).unwrap().nights().unwrap().len(), 2);
    for folder in ["lists", "nights/runs"] {
        assert_eq!(names(&home.join(folder)), ["2026-10-31", "2026-11-04", "2026-11-04-2"]);
    }
    mingcha(home, &["verify", "--ledger", "ledger.sqlite"]).well();
}

#[test]
fn a_breaker_holds_the_list_and_not_the_result_until_somebody_lets_it_go() {
    let dir = office("[breaker.all]\nrows = 100000\n[breaker.PEN-01]\nrows = 3\n");
    let home = dir.path();
    let told = night(home, "2026-10-31", &[]);
    assert_eq!(told.code, Some(5), "{}", told.err);
    assert!(
        told.err.contains("MC905") && told.err.contains("PEN-01") && !told.err.contains("rule PEN-13"),
        "{}",
        told.err
    );
    let list =
        |folder: &str| fs::read_to_string(home.join("lists").join(folder).join("findings.csv")).unwrap();
    assert!(!list("2026-10-31").contains("PEN-01") && list("2026-10-31").contains("PEN-13"));
    let leads = mingcha(
        home,
        &[
            "findings",
            "list",
            "--ledger",
            "ledger.sqlite",
            "--rule",
            "PEN-01",
            "--limit",
            "0",
            "--format",
            "json",
        ],
    )
    .well()
    .json();
    let n = leads.as_array().unwrap().len();
    assert!(n > 3, "the result stands in the ledger");
    let told = night(home, "2026-10-31", &["--release", "PEN-13", "--as", "li"]);
    assert!(told.code == Some(2) && told.err.contains("MC908"), "{}", told.err);
    night(home, "2026-10-31", &["--release", "PEN-01", "--as", "li"]).well();
    let released = list("2026-10-31-released-1");
    assert!(released.matches("PEN-01").count() >= n && !released.contains("PEN-13"));
    let told = night(home, "2026-10-31", &["--release", "PEN-01", "--as", "li"]);
    assert!(told.code == Some(2) && told.err.contains("MC908"), "released once: {}", told.err);
    mingcha(home, &["verify", "--ledger", "ledger.sqlite"]).well();
}

#[test]
fn whoever_is_named_gets_a_numbered_list_of_what_is_new_once_even_if_the_night_dies_over_it() {
    let more = "[breaker.PEN-13]\nrows = 1\n[[list]]\nfor = '88'\nrecipient = '城东街道'\nprofile = 'investigator'\ndays = 10\n[[list]]\nfor = '老李'\n";
    let dir = office(more);
    let home = dir.path();
    night(home, "2026-11-02", &[]);
    let list = home.join("lists/2026-11-02/for/城东街道");
    let named = ["E0001-findings.xlsx", "E0001-visits.xlsx"];
    assert_eq!(names(&list), named, "and nothing for somebody who has no lead");
    let last = record(home)["last"].clone();
    assert_eq!((&last["handed_out"], &last["held"]["PEN-13"].is_array()), (&json!(["E0001"]), &true));
    assert_eq!(last["unlisted"], 0);
    let book = || Book::read(&home.join("ledger.sqlite")).unwrap();
    let handouts = book().handouts().unwrap();
    let [first] = handouts.as_slice() else { panic!("{handouts:?}") };
    assert_eq!((first.recipient.as_str(), first.expires.as_str()), ("城东街道", "2026-11-12"));
    let run = RunFolder::open(&home.join(last["run"].as_str().unwrap())).unwrap();
    let (of_rule, held) = (run.of_rule("PEN-01").unwrap().0, run.of_rule("PEN-13").unwrap().0);
    assert!(!held.is_empty());
    let leads: BTreeSet<String> = of_rule.into_iter().map(|finding| finding.finding_id).collect();
    assert_eq!(first.leads, leads, "what a breaker holds back leaves by no door");
    // It died after the list was on record and before its files were there.
    let files = named.map(|name| fs::read(list.join(name)).unwrap());
    fs::remove_dir_all(home.join("lists")).unwrap();
    go_back_to(home, "export");
    // Meanwhile somebody has asked for masked lists.
    let settings = home.join("mingcha.toml");
    let full = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, full.replace("'investigator'", "'supervisor'")).unwrap();
    night(home, "2026-11-02", &[]);
    assert_eq!(record(home)["last"]["handed_out"], json!(["E0001"]));
    assert!(
        named.map(|name| fs::read(list.join(name)).unwrap()) == files,
        "as it was recorded, not as it is asked for now"
    );
    fs::write(&settings, full).unwrap();
    assert_eq!(book().handouts().unwrap().len(), 1);
    // The same again tomorrow is no news; what was held back and is let go then is.
    night(home, "2026-11-03", &[]);
    assert_eq!(record(home)["last"]["handed_out"], json!([]));
    assert!(!home.join("lists/2026-11-03/for").exists());
    let calm = fs::read_to_string(&settings).unwrap().replace("rows = 1", "rows = 100000");
    fs::write(&settings, calm).unwrap();
    night(home, "2026-11-04", &[]);
    assert_eq!(record(home)["last"]["handed_out"], json!(["E0002"]));
    let second = book().handouts().unwrap().pop().unwrap();
    let held: BTreeSet<String> = held.into_iter().map(|finding| finding.finding_id).collect();
    assert_eq!(second.leads, held);
}

#[test]
fn what_is_let_go_reaches_whoever_is_named_and_a_list_that_fails_keeps_nobody_from_theirs() {
    let more = "[breaker.PEN-13]\nrows = 1\n[[list]]\nfor = '88'\nrecipient = '甲'\n[[list]]\nfor = '88'\nrecipient = '乙'\n";
    let dir = office(more);
    let home = dir.path();
    let lists = home.join("lists/2026-11-02/for");
    night(home, "2026-11-02", &[]);
    assert_eq!(names(&lists), ["乙", "甲"]);
    let told = night(home, "2026-11-02", &["--release", "PEN-13", "--as", "li"]).well();
    assert!(told.out.contains("lists to be handed out: E0003, E0004"), "{}", told.out);
    let handouts = Book::read(&home.join("ledger.sqlite")).unwrap().handouts().unwrap();
    assert_eq!(handouts.iter().map(|h| h.recipient.as_str()).collect::<Vec<_>>(), ["甲", "乙", "甲", "乙"]);
    assert!(handouts[0].leads.is_disjoint(&handouts[2].leads) && !handouts[2].leads.is_empty());
    // Two more while the night is open, of which one cannot be written.
    let settings = home.join("mingcha.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let more = "[[list]]\nfor = '88'\nrecipient = '丙'\n[[list]]\nfor = '88'\nrecipient = '丁'\n";
    fs::write(&settings, format!("{text}{more}")).unwrap();
    fs::write(lists.join("丙"), "in the way").unwrap();
    go_back_to(home, "export");
    let told = night(home, "2026-11-02", &[]);
    assert!(told.err.contains("MC811"), "{}", told.err);
    let last = record(home)["last"].clone();
    assert_eq!(last["unlisted"], 0);
    assert_eq!(
        (&last["handed_out"], &last["not_handed_out"]),
        (&json!(["E0001", "E0002", "E0005"]), &json!({"3": "MC811"}))
    );
    let last = Book::read(&home.join("ledger.sqlite")).unwrap().handouts().unwrap().pop().unwrap();
    assert_eq!(last.recipient, "丁");
}

#[test]
fn what_reaches_nobody_is_counted() {
    let dir = office("[[list]]\nfor = '880101'\n[[list]]\nfor = '老李'\n");
    let told = night(dir.path(), "2026-11-02", &[]);
    let book = Book::read(&dir.path().join("ledger.sqlite")).unwrap();
    let listed = book.handouts().unwrap().pop().unwrap().leads.len();
    let open = book.nights().unwrap()[0].marks["new"] as usize;
    assert!(listed > 0 && listed < open, "{listed} of {open}");
    assert_eq!(record(dir.path())["last"]["unlisted"], open - listed);
    let said = format!("open leads that are on nobody's list: {}", open - listed);
    assert!(told.out.contains(&said), "{}", told.out);
}

#[test]
fn lists_that_could_not_be_told_apart_are_refused() {
    for more in [
        "[[list]]\nfor = '88'\n[[list]]\nfor = ' 88 '\nprofile = 'investigator'\n",
        "[[list]]\nfor = '88'\nrecipient = 'A/B'\n[[list]]\nfor = '87'\nrecipient = 'A-B'\n",
    ] {
        let (dir, _data) = empty(more);
        let told = night(dir.path(), "2026-11-02", &[]);
        assert!(told.code == Some(2) && told.err.contains("MC092"), "{}", told.err);
    }
    let (dir, _data) = empty("[[list]]\nfor = '88'\n");
    let settings = dir.path().join("mingcha.toml");
    let text = fs::read_to_string(&settings).unwrap().replace("format = 'csv'", "profile = 'public'");
    fs::write(&settings, text).unwrap();
    let told = night(dir.path(), "2026-11-02", &[]);
    assert!(told.code == Some(2) && told.err.contains("MC891"), "{}", told.err);
}

/// Everything that must never be in a message: numbers, names and accounts of everybody who was flagged.
fn personal(home: &Path) -> Vec<String> {
    let run = RunFolder::open(&home.join("nights/runs/2026-10-31")).unwrap();
    let findings = run.findings().unwrap();
    assert!(findings.len() > 20);
    let rows = findings.iter().flat_map(|f| &f.evidence);
    let accounts = rows.filter_map(|row| row.columns.get("account_no").cloned());
    let mut out: Vec<String> = accounts.collect();
    for finding in &findings {
        out.push(finding.subject_id.clone());
        out.extend(finding.subject_name.clone());
        out.push(finding.finding_id.clone());
    }
    out.sort();
    out.dedup();
    out
}

#[test]
fn messages_hold_counts_and_a_link_and_nothing_about_anybody() {
    let (wecom, ding, json) =
        (Post::open(&["{\"errcode\":0}"]), Post::open(&["{\"errcode\":0}"]), Post::open(&["ok"]));
    let post = MailServer::open(Tls::Never);
    let smtp = format!("127.0.0.1:{}", post.port);
    let more = format!(
        "link = 'https://office.example/nights/{{as_of}}'\n[[notify]]\nkind = 'wecom'\nurl = '{}/'\ntoken = 'key-1'\n[[notify]]\nkind = 'dingtalk'\nurl = '{}'\ntoken = 'token-1'\nsecret = 'file:secret'\n[[notify]]\nkind = 'json'\nurl = '{}/hook'\ntoken = 'env:HOOK'\n[[notify]]\nkind = 'smtp'\nurl = 'smtp://{smtp}'\nfrom = 'Mingcha <night@office.example>'\nto = ['duty@office.example']\n[[notify]]\nkind = 'wecom'\nurl = 'http://127.0.0.1:1'\ntoken = 'x'\non = 'trouble'\n",
        wecom.url, ding.url, json.url
    );
    let dir = office(&more);
    let home = dir.path();
    fs::write(home.join("secret"), "SECdemo\n").unwrap();
    let output = command(home, &["nightly", "--at", "2026-10-31T03:00:00+08:00", "--lang", "zh"])
        .env("HOOK", "bearer-1")
        .output()
        .unwrap();
    let told = crate::harness::told(output).well();
    assert!(told.out.contains("夜间工作完成"), "{}", told.out);
    let all = [wecom.bodies(), ding.bodies(), json.bodies()].concat();
    assert_eq!(all.len(), 3, "the fifth wants to hear of trouble only: {}", told.err);
    assert!(all[0].starts_with("POST /cgi-bin/webhook/send?key=key-1 HTTP/1.1"), "{}", all[0]);
    assert!(all[1].starts_with("POST /robot/send?access_token=token-1&timestamp="), "{}", all[1]);
    assert!(all[1].contains("&sign="));
    assert!(all[2].starts_with("POST /hook ") && all[2].contains("Bearer bearer-1"), "{}", all[2]);
    let body: Value = serde_json::from_str(all[0].split_once("\n\n").map_or("", |(_, body)| body)).unwrap();
    let text = body["text"]["content"].as_str().unwrap();
    assert_eq!(body["msgtype"], "text");
    assert!(text.contains("2026-10-31") && text.contains("新增 "), "{text}");
    assert!(text.ends_with("https://office.example/nights/2026-10-31"), "{text}");
    let heard = post.heard();
    assert!(heard.contains("RCPT TO:<duty@office.example>") && heard.contains("Subject:"), "{heard}");
    let mail = post.mail() + &heard;
    assert!(mail.contains("https://office.example/nights/2026-10-31"), "{mail}");
    let secrets = personal(home);
    assert!(secrets.len() > 60);
    for message in all.iter().chain([&mail]) {
        for secret in &secrets {
            assert!(!message.contains(secret.as_str()), "a message holds {secret}:\n{message}");
        }
    }
    // Nor does anything that is written down of nights.
    for file in ["nights/night.json", "nights/status.json"] {
        let text = fs::read_to_string(home.join(file)).unwrap();
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "{file}");
        assert!(!text.contains("SECdemo") && !text.contains("bearer-1"), "{file}");
    }
}

#[test]
fn a_password_goes_through_tls_to_whom_the_office_trusts_or_not_at_all() {
    let (web, first, later, never) = (
        Post::secured(&["{\"errcode\":0}"]),
        MailServer::open(Tls::First),
        MailServer::open(Tls::Later),
        MailServer::open(Tls::Never),
    );
    let mail = |url: String, secret: &str| {
        format!(
            "[[notify]]\nkind = 'smtp'\nurl = '{url}'\nuser = 'night'\nsecret = '{secret}'\nfrom = 'night@office.example'\nto = 'duty@office.example'\n"
        )
    };
    let more = [
        format!("[[notify]]\nkind = 'wecom'\nurl = '{}'\ntoken = 'key-1'\n", web.url),
        mail(format!("smtps://localhost:{}", first.port), "word"),
        mail(format!("smtp://localhost:{}", later.port), "word"),
        mail(format!("smtp://localhost:{}", never.port), "word"),
        mail(format!("smtps://localhost:{}", first.port), "wrong"),
    ];
    let dir = office(&more.concat());
    // A system that does not trust the authority: nobody is told anything, and nobody hears a password.
    let start = |authority: &Path| {
        let output = command(dir.path(), &["nightly", "--at", "2026-10-31T03:00:00+08:00"])
            .env("SSL_CERT_FILE", authority)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        crate::harness::told(output).well()
    };
    let nobody = dir.path().join("none.pem");
    fs::write(&nobody, "").unwrap();
    let told = start(&nobody);
    assert_eq!(told.err.matches("MC904").count(), 5, "{}", told.err);
    assert!(told.err.contains("look at the certificate"), "{}", told.err);
    assert!(web.bodies().is_empty());
    let all = [first.heard(), later.heard(), never.heard()].concat();
    assert!(!all.contains("AUTH") && !all.contains("DATA"), "{all}");
    // One that does.
    let told = start(&authority());
    assert_eq!(told.err.matches("MC904").count(), 2, "{}", told.err);
    assert!(told.err.contains("number 4") && told.err.contains("no TLS, and a password"), "{}", told.err);
    assert!(told.err.contains("number 5") && told.err.contains("answered 535"), "{}", told.err);
    assert_eq!(web.bodies().len(), 1);
    for post in [&first, &later] {
        assert!(post.mail().contains("the night of 2026-10-31 is done"), "{}", post.mail());
    }
    assert!(later.heard().contains("STARTTLS") && !first.heard().contains("STARTTLS"));
    assert!(!never.heard().contains("AUTH"));
}

#[test]
fn a_message_that_cannot_be_delivered_fails_no_night_and_comes_the_next_time() {
    // It refuses the first message, then it takes all.
    let post = Post::open(&["{\"errcode\":93000,\"errmsg\":\"no\"}", "{\"errcode\":0}"]);
    let dir = office(&format!("[[notify]]\nkind = 'wecom'\nurl = '{}'\ntoken = 'key-1'\n", post.url));
    let home = dir.path();
    let told = night(home, "2026-10-31", &[]).well();
    assert!(told.err.contains("MC904") && told.err.contains("errcode 93000"), "{}", told.err);
    assert!(!told.err.contains("key-1"), "a key was shown: {}", told.err);
    let line = status(home, "2026-10-31T09:00:00+08:00").well().out;
    assert!(line.contains("1 messages undelivered"), "{line}");
    // The same evening nothing else is due.
    night(home, "2026-10-31", &[]).well();
    assert_eq!(post.bodies().len(), 2);
    assert!(!status(home, "2026-10-31T09:00:00+08:00").well().out.contains("undelivered"));
    assert_eq!(record(home)["letters"], Value::Array(Vec::new()));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let path = from.join(&name);
        if path.is_dir() {
            copy(&path, &to.join(&name));
        } else {
            fs::copy(path, to.join(&name)).unwrap();
        }
    }
}

fn age(path: &Path, days: u64) {
    let file = fs::File::open(path).unwrap();
    let now = file.metadata().unwrap().modified().unwrap();
    file.set_modified(now - Duration::from_secs(days * 86_400)).unwrap();
}

#[test]
fn what_is_past_its_time_is_destroyed_with_a_certificate_and_the_rest_stays() {
    let data = tempfile::tempdir().unwrap();
    copy(&city().join("extracts"), data.path());
    let dir = over(
        data.path(),
        "[retention]\nfindings = 30\nexports = 20\nruns = 10\nextracts = 60\nstores = 60\n",
    );
    let home = dir.path();
    night(home, "2026-10-31", &[]).well();
    // PEN-13 finds nothing any more where nobody is paid: its leads are resolved, those that were cleared stay known.
    for day in ["2026-11-01", "2026-11-02"] {
        night(home, day, &[]);
    }
    let ledger = home.join("ledger.sqlite");
    let purge = |at: &str, more: &[&str]| {
        mingcha(home, &[&["purge", "--at", at, "--as", "li", "--format", "json"][..], more].concat())
    };
    let agreed = ["--authority", "档案 2026-7", "--approver", "wang"];
    // Nothing is due yet; two people are needed.
    let due = purge("2026-11-09", &["--dry-run"]).well().json();
    assert_eq!((&due["due"], &due["findings"]), (&Value::Array(Vec::new()), &Value::from(0)));
    let alone = purge("2026-11-12", &["--authority", "x", "--approver", " Li "]);
    assert!(alone.code == Some(2) && alone.err.contains("MC916"), "{}", alone.err);
    let lawless = purge("2026-11-12", &["--approver", "wang"]);
    assert!(lawless.code == Some(2) && lawless.err.contains("MC915"), "{}", lawless.err);
    // Ten days after the second night: two runs, and never the last one.
    let due = purge("2026-11-12", &["--dry-run"]).well().json();
    assert_eq!(due["due"].as_array().unwrap().len(), 2, "{due}");
    assert_eq!(names(&home.join("nights/runs")).len(), 3, "a dry run destroys nothing");
    let done = purge("2026-11-12", &agreed).well().json();
    assert_eq!(done["destroyed"]["runs"], 2, "{done}");
    assert_eq!(names(&home.join("nights/runs")), ["2026-11-02"]);
    assert_eq!(names(&home.join("lists")).len(), 3, "lists have a clock of their own");
    let proof = mingcha(home, &["verify", "--ledger", "ledger.sqlite"]).well();
    assert!(proof.err.contains("MC913"), "{}", proof.err);
    let certificates = Book::read(&ledger).unwrap().destroyed().unwrap();
    assert!(certificates[0].authority.contains("档案 2026-7") && certificates[0].authority.contains("wang"));
    assert_eq!(certificates[0].items.len(), 2);
    // Extracts and store go by their last change.
    let old = files(data.path()).remove(0);
    age(&old, 100);
    let today = mingcha(home, &["purge", "--dry-run", "--as", "li", "--format", "json"]).well().json();
    let due = today["due"].as_array().unwrap().clone();
    let extracts: Vec<_> = due.iter().filter(|d| d["kind"] == "extracts").collect();
    assert_eq!(extracts.len(), 1, "{today}");
    assert_eq!(extracts[0]["path"].as_str().unwrap(), old.display().to_string());
    // Whoever was interrupted is found and finished first.
    let stray = home.join("lists/2026-10-31");
    let name = stray.canonicalize().unwrap().display().to_string();
    let item = Destroyed {
        name,
        sha256: "00".repeat(32),
        bytes: 1,
        since: "2026-10-31".to_owned(),
        ..Destroyed::default()
    };
    let at = "2026-11-12T10:00:00Z".parse().unwrap();
    let by = By { who: "li", at: &at, zone: Zone::default() };
    let certificate =
        Certificate { kind: "exports".to_owned(), authority: "x".to_owned(), items: vec![item] };
    Book::open(&ledger, by).unwrap().condemn(&certificate, by).unwrap();
    let done = purge("2026-11-12", &agreed).well().json();
    assert_eq!(done["destroyed"]["exports"], 1, "{done}");
    assert!(!stray.exists());
    assert!(Book::read(&ledger).unwrap().condemned().unwrap().is_empty());
    mingcha(home, &["verify", "--ledger", "ledger.sqlite"]).well();
}

#[cfg(unix)]
#[test]
fn an_interrupted_purge_is_finished_under_the_same_guards() {
    let dir = office("[retention]\nexports = 3000\n");
    let home = dir.path();
    night(home, "2026-10-31", &[]).well();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("letters")).unwrap();
    fs::write(outside.path().join("letters/a.txt"), "dear all").unwrap();
    std::os::unix::fs::symlink(outside.path(), home.join("lists/2020-01-01")).unwrap();
    let real = |path: PathBuf| path.canonicalize().unwrap().display().to_string();
    let lists = PathBuf::from(real(home.join("lists")));
    let item = |name: String| Destroyed {
        name,
        sha256: "00".repeat(32),
        bytes: 1,
        since: String::new(),
        ..Destroyed::default()
    };
    let items = vec![
        item(real(outside.path().join("letters"))),
        item(lists.join("2020-01-01/letters").display().to_string()),
        item(lists.join("../nights").display().to_string()),
        item(real(home.to_path_buf())),
        item(lists.join("2026-10-31").display().to_string()),
    ];
    let at = "2026-11-12T10:00:00Z".parse().unwrap();
    let by = By { who: "li", at: &at, zone: Zone::default() };
    let certificate = Certificate { kind: "exports".to_owned(), authority: "x".to_owned(), items };
    let ledger = home.join("ledger.sqlite");
    Book::open(&ledger, by).unwrap().condemn(&certificate, by).unwrap();
    let told = mingcha(
        home,
        &[
            "purge",
            "--at",
            "2026-11-12",
            "--as",
            "li",
            "--authority",
            "x",
            "--approver",
            "wang",
            "--format",
            "json",
        ],
    );
    assert!(outside.path().join("letters/a.txt").exists() && home.join("nights/runs").exists());
    assert_eq!(told.code, Some(4), "{}", told.err);
    let told = told.json();
    assert_eq!(told["destroyed"]["exports"], 1, "{told}");
    assert!(!home.join("lists/2026-10-31").exists());
    let left: Vec<&str> =
        told["left"].as_array().unwrap().iter().map(|l| l["why"]["en"].as_str().unwrap()).collect();
    assert!(left.len() == 4 && left[0].contains("outside") && left[1].contains("a link"), "{left:?}");
    assert!(left[2].contains("outside") && left[3].contains("outside"), "{left:?}");
    let book = Book::read(&ledger).unwrap();
    assert!(book.condemned().unwrap().is_empty());
    let certified: Vec<String> =
        book.destroyed().unwrap().remove(0).items.into_iter().map(|i| i.name).collect();
    assert_eq!(certified, [lists.join("2026-10-31").display().to_string()], "what stayed is not certified");
}

#[test]
fn a_byte_flipped_anywhere_in_a_run_folder_is_found_by_verify() {
    let dir = office("");
    let home = dir.path();
    night(home, "2026-10-31", &[]).well();
    let run = home.join("nights/runs/2026-10-31");
    let verify =
        |more: &[&str]| mingcha(home, &[&["verify", "--ledger", "ledger.sqlite"][..], more].concat());
    let told = verify(&[]).well();
    assert!(told.out.contains("1 run folders"), "{}", told.out);
    for file in names(&run) {
        let path = run.join(&file);
        let bytes = fs::read(&path).unwrap();
        // First, last, and some in between; in the manifest every place where nothing but a blank stands, too.
        let blank = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
        for at in [0, 1, blank, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            for flip in [1_u8, 0x2A] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                fs::write(&path, &changed).unwrap();
                let told = verify(&[]);
                assert_eq!(told.code, Some(4), "{file} byte {at} ^ {flip}: {}", told.out);
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    verify(&[]).well();
    // Taken away, moved elsewhere, exchanged for another run.
    let elsewhere = home.join("archive");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&run, elsewhere.join("2026-10-31")).unwrap();
    let told = verify(&[]);
    assert!(
        told.code == Some(4) && told.err.contains("MC910") && told.err.contains("--runs"),
        "{}",
        told.err
    );
    verify(&["--runs", "archive"]).well();
    let other = city().join("run");
    fs::create_dir(&run).unwrap();
    for file in names(&other) {
        fs::copy(other.join(&file), run.join(&file)).unwrap();
    }
    let told = verify(&[]);
    assert!(told.code == Some(4) && told.err.contains("MC911"), "{}", told.err);
}

#[cfg(unix)]
#[test]
fn serve_runs_the_nights_that_are_due_and_ends_when_asked() {
    let dir = office("");
    let home = dir.path();
    // Every second: the day of the night is today's, and it is done once.
    let settings =
        fs::read_to_string(home.join("mingcha.toml")).unwrap().replace("'30 2 * * *'", "'* * * * * *'");
    fs::write(home.join("mingcha.toml"), settings).unwrap();
    let mut served = command(home, &["serve", "--schedule"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let done = |home: &Path| {
        let state = home.join("nights/night.json");
        fs::read(state)
            .ok()
            .and_then(|b| serde_json::from_slice::<Value>(&b).ok())
            .is_some_and(|s| !s["last"].is_null())
    };
    let mut waited = 0;
    while !done(home) && waited < 600 {
        assert!(served.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(100));
        waited += 1;
    }
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &served.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let ended = served.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let nights = Book::read(&home.join("ledger.sqlite")).unwrap().nights().unwrap();
    assert!((1..=2).contains(&nights.len()), "one night a day, however often it is due: {}", nights.len());
    let (dir, _data) = empty("");
    let settings =
        fs::read_to_string(dir.path().join("mingcha.toml")).unwrap().replace("schedule = '30 2 * * *'\n", "");
    fs::write(dir.path().join("mingcha.toml"), settings).unwrap();
    let told = mingcha(dir.path(), &["serve", "--schedule"]);
    assert!(told.code == Some(2) && told.err.contains("MC906"), "{}", told.err);
}

/// The units that are shipped name commands and options that exist.
#[test]
fn the_shipped_units_call_what_there_is() {
    let dist = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dist");
    let read = |name: &str| fs::read_to_string(dist.join(name)).unwrap();
    for (file, wanted) in [
        ("mingcha-nightly.service", "mingcha --config"),
        ("mingcha-nightly.timer", "Persistent=true"),
        ("mingcha.cron", " nightly"),
        ("mingcha-serve.service", "serve --schedule"),
    ] {
        assert!(read(file).contains(wanted), "{file}");
    }
    assert!(read("mingcha-nightly.service").contains("SuccessExitStatus=3 4 5"));
    let help = mingcha(&dist, &["nightly", "--help"]).well().out;
    for flag in ["--status", "--again", "--release", "--as-of"] {
        assert!(help.contains(flag), "{flag}");
    }
}

/// An office has a ledger, and its lists go by the names that this ledger makes.
#[test]
fn the_lists_of_a_night_hold_no_id_that_could_be_computed() {
    let dir = office("");
    let home = dir.path();
    night(home, "2026-10-31", &[]);
    let run = RunFolder::open(&home.join(record(home)["last"]["run"].as_str().unwrap())).unwrap();
    let plain: Vec<String> =
        run.findings().unwrap().into_iter().map(|f| f.finding_id[..8].to_owned()).collect();
    assert!(plain.len() > 20);
    let names = Book::read(&home.join("ledger.sqlite")).unwrap();
    let mut named = 0;
    let all = files(&home.join("lists/2026-10-31"));
    assert!(all.iter().any(|file| file.to_string_lossy().contains("/areas/")), "{all:?}");
    for file in all.iter().filter(|file| file.extension().is_some_and(|end| end == "csv")) {
        let text = fs::read_to_string(file).unwrap();
        let found: Vec<&String> = plain.iter().filter(|id| text.contains(&format!("\"{id}"))).collect();
        assert!(found.is_empty(), "{} has {} plain ids", file.display(), found.len());
        let of_night = run.findings().unwrap();
        named += of_night.iter().filter(|f| text.contains(&names.alias(&f.finding_id).unwrap())).count();
    }
    assert!(named > 40, "only {named} names of the ledger");
}
