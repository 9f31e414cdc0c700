//! A month of nights through the real binary: extracts change every day (arrivals, late deaths, corrections,
//! retractions, a feed that does not come, a broken file), and for every planted case it is written down beforehand
//! which nights say what. In a second world the same month is disturbed by `kill -9` at random moments; its ledger ends
//! equal to the first one's.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its month has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use mingcha_intake::identity;
use mingcha_ledger::Book;
use mingcha_ledger::book::{Filter, Policy, Presence};

const NIGHTS: u32 = 30;
/// Ordinary people, so that a handful of cases is no reason to hold a rule.
const ORDINARY: u16 = 700;
/// The night on which July is paid.
const JULY: u32 = 10;
/// The night on which the payments come in two files, in another order.
const MOVED: u32 = 11;
/// The night without cremations.
const NO_FEED: u32 = 18;
/// The night whose certificates are no table.
const BROKEN: u32 = 22;

/// A case: somebody, what the extracts say of them, and what the ledger says of it night by night.
struct Case {
    what: &'static str,
    rule: &'static str,
    /// On which night what was entered: word of the event, and why for leads that go.
    story: &'static [(u32, &'static str)],
}

const CERTIFICATES: &str = "row_withdrawn:death_certificates";
const CREMATIONS: &str = "row_withdrawn:cremations";
const REGISTRY: &str = "row_withdrawn:household_registry";

/// The truth. The place of a case is the number of its person. A rule that says nothing about them says nothing all
/// month: that is tested as well.
const CASES: &[Case] = &[
    // Hits, and what becomes of them.
    Case {
        what: "registered dead in February, paid on",
        rule: "PEN-01",
        story: &[(1, "new"), (JULY, "changed")],
    },
    Case {
        what: "certificate of February comes on night 5",
        rule: "PEN-03",
        story: &[(5, "new"), (JULY, "changed")],
    },
    Case {
        what: "certificate of May: one month is lag, with July it is two",
        rule: "PEN-03",
        story: &[(JULY, "new")],
    },
    Case {
        what: "certificate retracted on night 12, back on night 20",
        rule: "PEN-03",
        story: &[(1, "new"), (JULY, "changed"), (12, CERTIFICATES), (20, "reopened")],
    },
    Case {
        what: "date of death corrected in place on night 14: paid before it",
        rule: "PEN-03",
        story: &[(1, "new"), (JULY, "changed"), (14, CERTIFICATES)],
    },
    Case {
        what: "second version of the certificate on night 14, the first one stays: nothing was taken back",
        rule: "PEN-03",
        story: &[(1, "new"), (JULY, "changed"), (14, "no_longer_found")],
    },
    Case {
        what: "cremation of February comes on night 3",
        rule: "PEN-02",
        story: &[(3, "new"), (JULY, "changed")],
    },
    Case {
        what: "cremation retracted while the feed was missing",
        rule: "PEN-02",
        story: &[(1, "new"), (JULY, "changed"), (NO_FEED + 1, CREMATIONS)],
    },
    Case {
        what: "certificate comes in the broken file, and is read a night later",
        rule: "PEN-03",
        story: &[(BROKEN + 1, "new")],
    },
    Case {
        what: "registration of the death cancelled on night 15",
        rule: "PEN-01",
        story: &[(1, "new"), (JULY, "changed"), (15, REGISTRY)],
    },
    Case {
        what: "one payment corrected on night 8",
        rule: "PEN-03",
        story: &[(1, "new"), (8, "changed"), (JULY, "changed")],
    },
    Case {
        what: "paid twice for May, one of them reversed on night 16",
        rule: "PEN-13",
        story: &[(1, "new"), (16, "excused:X-CLAWED")],
    },
    Case { what: "paid twice for April, all month", rule: "PEN-13", story: &[(1, "new")] },
    // Near misses: nobody ever hears of them.
    Case { what: "certificate of June 28: July alone is lag", rule: "PEN-03", story: &[] },
    Case { what: "died in May, payment stopped in time", rule: "PEN-03", story: &[] },
    Case { what: "died in July: the month of death is due", rule: "PEN-03", story: &[] },
    Case { what: "the certificate carries another name", rule: "PEN-03", story: &[] },
    Case { what: "certificate that comes and goes before anything was overpaid", rule: "PEN-03", story: &[] },
    Case { what: "cremated in July", rule: "PEN-02", story: &[] },
    Case { what: "cremation of somebody else with a number alike", rule: "PEN-02", story: &[] },
    Case { what: "registered dead in July, entered on night 20", rule: "PEN-01", story: &[] },
    Case { what: "moved away: the entry is cancelled, and not for death", rule: "PEN-01", story: &[] },
    Case { what: "registered dead in June: one month is lag", rule: "PEN-01", story: &[] },
    Case { what: "two different items in one month", rule: "PEN-13", story: &[] },
    Case { what: "a second payment that failed", rule: "PEN-13", story: &[] },
    Case { what: "two payments for two months on one day", rule: "PEN-13", story: &[] },
    Case { what: "back-pay beside the ordinary payment", rule: "PEN-13", story: &[] },
    Case { what: "arrives on night 7, alive", rule: "PEN-01", story: &[] },
    Case { what: "leaves on night 9, alive", rule: "PEN-01", story: &[] },
];

fn person(n: u16) -> String {
    let birth =
        NaiveDate::from_ymd_opt(1940 + i32::from(n % 12), 1 + u32::from(n % 12), 1 + u32::from(n % 28));
    identity::make("880101", birth.unwrap(), n % 1000)
}

fn case(what: &str) -> u16 {
    let place = CASES.iter().position(|case| case.what.starts_with(what));
    u16::try_from(place.unwrap()).unwrap()
}

fn name(n: u16) -> String {
    let family = ["林", "贺", "郑", "宋", "梁", "方", "董", "苏"][usize::from(n) % 8];
    let given = ["青石", "春桃", "小满", "有福", "秋白", "云山", "长河"][usize::from(n) % 7];
    format!("{family}{given}")
}

/// The rows of tonight's extracts.
#[derive(Default)]
struct Extracts {
    payees: String,
    payments: Vec<String>,
    certificates: String,
    cremations: String,
    registry: String,
}

impl Extracts {
    fn pay(&mut self, n: u16, month: u32, (amount, item, state, adjust): (&str, &str, &str, &str)) {
        let id = person(n);
        self.payments.push(format!(
            "{id},170,{item},2026{month:02},2026-{month:02}-08,{amount},{state},{adjust},62000{n:06}"
        ));
    }

    fn certificate(&mut self, n: u16, version: u32, name: &str, death: &str) {
        let id = person(n);
        writeln!(self.certificates, "Z{n:04},{version},{id},{name},{death} 04:30:00,青石县人民医院").unwrap();
    }

    fn cremation(&mut self, id: &str, name: &str, day: &str) {
        writeln!(self.cremations, "{id},{name},{day},青石县殡仪馆").unwrap();
    }

    /// Everything as it stands on a night.
    fn of(night: u32) -> Self {
        let mut e = Self::default();
        let ordinary = ("200.00", "basic", "1", "0");
        let first = u16::try_from(CASES.len()).unwrap();
        // Somebody new moves in every night.
        let people = (0..first).chain(100..100 + ORDINARY + u16::try_from(night).unwrap());
        for n in people {
            let (id, name) = (person(n), name(n));
            let (arrives, leaves) = (case("arrives on night 7"), case("leaves on night 9"));
            if (n == arrives && night < 7) || (n == leaves && night >= 9) {
                continue;
            }
            writeln!(e.payees, "{id},{name},170,1,880101001,62000{n:06}").unwrap();
            e.enter(n, night);
            let stops = n == case("died in May, payment stopped");
            let months = 1..=if stops {
                5
            } else if night >= JULY {
                7
            } else {
                6
            };
            for month in months {
                let mut payment = ordinary;
                if n == case("one payment corrected") && night >= 8 && month == 3 {
                    payment.0 = "190.00";
                }
                e.pay(n, month, payment);
            }
        }
        e.doubles(night);
        e.deaths(night);
        if night >= MOVED {
            e.payments.reverse();
        }
        e
    }

    /// The entry in the household registry.
    fn enter(&mut self, n: u16, night: u32) {
        let (id, name) = (person(n), name(n));
        let cancelled = match n {
            _ if n == case("registered dead in February") => Some(("1", "2026-02-11", "2026-02-03")),
            _ if n == case("registration of the death cancelled") && night < 15 => {
                Some(("1", "2026-02-20", "2026-02-05"))
            }
            _ if n == case("registered dead in July") && night >= 20 => {
                Some(("1", "2026-07-18", "2026-07-15"))
            }
            _ if n == case("moved away") => Some(("3", "2026-02-11", "")),
            _ if n == case("registered dead in June") => Some(("1", "2026-06-20", "2026-06-11")),
            _ => None,
        };
        let (status, (category, day, death)) = match cancelled {
            Some(cancelled) => ("2", cancelled),
            None => ("1", ("", "", "")),
        };
        writeln!(self.registry, "{id},{name},880101001,{status},{category},{day},{death}").unwrap();
    }

    fn doubles(&mut self, night: u32) {
        let twice = case("paid twice for May");
        self.pay(twice, 5, ("200.00", "basic", if night >= 16 { "3" } else { "1" }, "0"));
        self.pay(case("paid twice for April"), 4, ("200.00", "basic", "1", "0"));
        self.pay(case("two different items"), 4, ("55.00", "personal_account", "1", "0"));
        self.pay(case("a second payment that failed"), 4, ("200.00", "basic", "2", "0"));
        self.pay(case("back-pay beside"), 4, ("30.00", "basic", "1", "11"));
        // Of the two months that were paid on one day the ordinary rows are there already.
        let id = person(case("two payments for two months"));
        let old = format!("{id},170,basic,202604,2026-04-08");
        for row in &mut self.payments {
            if row.starts_with(&old) {
                *row = row.replace("2026-04-08", "2026-05-08");
            }
        }
    }

    fn deaths(&mut self, night: u32) {
        let certify = |e: &mut Self, what: &str, from: u32, death: &str| {
            if night >= from {
                let n = case(what);
                e.certificate(n, 1, &name(n), death);
            }
        };
        certify(self, "certificate of February comes", 5, "2026-02-10");
        certify(self, "certificate of May", 5, "2026-05-20");
        if !(12..20).contains(&night) {
            certify(self, "certificate retracted", 1, "2026-01-15");
        }
        let corrected = if night < 14 { "2026-01-10" } else { "2026-07-12" };
        certify(self, "date of death corrected", 1, corrected);
        certify(self, "second version", 1, "2026-01-10");
        if night >= 14 {
            let n = case("second version");
            self.certificate(n, 2, &name(n), "2026-07-12");
        }
        certify(self, "certificate comes in the broken file", BROKEN, "2026-02-10");
        certify(self, "one payment corrected", 1, "2026-01-20");
        certify(self, "certificate of June 28", 6, "2026-06-28");
        certify(self, "died in May", 6, "2026-05-11");
        certify(self, "died in July", 8, "2026-07-05");
        let other = case("the certificate carries another name");
        self.certificate(other, 1, "欧阳无此人", "2026-01-10");
        if (2..5).contains(&night) {
            certify(self, "certificate that comes and goes", 2, "2026-06-25");
        }
        let cremated = |e: &mut Self, what: &str, day: &str| {
            let n = case(what);
            e.cremation(&person(n), &name(n), day);
        };
        if night >= 3 {
            cremated(self, "cremation of February", "2026-02-12");
        }
        if night < NO_FEED {
            cremated(self, "cremation retracted", "2026-02-12");
        }
        if night >= 12 {
            cremated(self, "cremated in July", "2026-07-11");
        }
        let alike = case("cremation of somebody else");
        self.cremation(&person(alike + 900), &name(alike), "2026-02-12");
        // Feeds are never empty: somebody whom nobody pays.
        self.cremation(&person(990), "无待遇者", "2025-02-12");
        self.certificate(991, 1, "无待遇者", "2025-02-12");
    }

    /// Puts tonight's files in the place of yesterday's.
    fn write(&self, night: u32, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
        let put = |name: &str, head: &str, rows: &str| {
            fs::write(folder.join(name), format!("{head}\n{rows}")).unwrap();
        };
        put("pension_payees.csv", "id_number,name,scheme,status,area_code,account_no", &self.payees);
        let head = "id_number,scheme,item,period_month,paid_date,amount,pay_state,adjust_type,account_no";
        let lines = |rows: &[String]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
        if night >= MOVED {
            let (a, b) = self.payments.split_at(self.payments.len() / 3);
            put("pension_payments-b.csv", head, &lines(a));
            put("pension_payments-a.csv", head, &lines(b));
        } else {
            put("pension_payments.csv", head, &lines(&self.payments));
        }
        let head = "certificate_no,version,id_number,name,death_time,issuing_org";
        if night == BROKEN {
            fs::write(folder.join("death_certificates.csv"), "<html>502 Bad Gateway</html>\n").unwrap();
        } else {
            put("death_certificates.csv", head, &self.certificates);
        }
        if night != NO_FEED {
            put("cremations.csv", "id_number,name,cremation_date,funeral_home", &self.cremations);
        }
        let head = "id_number,name,area_code,status,cancel_category,cancel_date,death_date";
        put("household_registry.csv", head, &self.registry);
    }
}

const SETTINGS: &str = "threads = 1
[paths]
data = 'in'
store = 'store'
export = 'lists'
[export]
format = 'csv'
[ledger]
path = 'ledger.sqlite'
as = 'nightly'
[nightly]
folder = 'nights'
schedule = '30 2 * * *'
rules = 'PEN-01,PEN-02,PEN-03,PEN-13'
settle_seconds = 0
by_area = false
[[expect]]
path = 'cremations*.csv'
[[expect]]
path = 'pension_payments*.csv'
required = true
[[list]]
for = '88'
recipient = 'desk'
";

fn mingcha(at: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mingcha"));
    command.args(args).current_dir(at).env_clear().env("LANG", "C").env("NO_COLOR", "1");
    command
}

fn at(night: u32) -> String {
    format!("2026-07-{night:02}T02:30:00+08:00")
}

/// One night to its end; what it said.
#[track_caller]
fn nightly(home: &Path, night: u32) -> String {
    let told: Output = mingcha(home, &["nightly", "--at", &at(night)]).output().unwrap();
    let (out, err) = (String::from_utf8(told.stdout).unwrap(), String::from_utf8(told.stderr).unwrap());
    // The feeds of the other rules' inputs are there but for two nights.
    let again = out.contains("the next one is due");
    let wanted = if [NO_FEED, BROKEN].contains(&night) && !again { 4 } else { 0 };
    assert_eq!(told.status.code(), Some(wanted), "night {night}\n{out}\n{err}");
    format!("{out}{err}")
}

/// A number below `below`, another each time and in each process.
fn any(below: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % below.max(1)
}

/// Starts a night and kills it at a random moment of what it usually takes; whether it could be killed.
fn killed(home: &Path, night: u32, usual: Duration) -> bool {
    let mut child = mingcha(home, &["nightly", "--at", &at(night)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // From the moment on which it has begun.
    let today = format!("2026-07-{night:02}");
    let begun =
        |home: &Path| fs::read_to_string(home.join("nights/status.json")).is_ok_and(|s| s.contains(&today));
    while !begun(home) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(any(u64::try_from(usual.as_millis()).unwrap())));
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// The nights on which somebody was killed, and what `--status` then said.
type Kills = Vec<(u32, String)>;

/// A month, with a kill on each of these nights, or on the next one that was slow enough; what `--status` then said.
fn month(home: &Path, kills: &[u32]) -> Kills {
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home).unwrap();
    fs::write(home.join("mingcha.toml"), SETTINGS).unwrap();
    let mut usual = Duration::from_millis(300);
    let mut done = Vec::new();
    for night in 1..=NIGHTS {
        Extracts::of(night).write(night, &home.join("in"));
        if kills.get(done.len()).is_some_and(|from| night >= *from) && killed(home, night, usual) {
            let told = mingcha(home, &["nightly", "--status", "--at", &at(night)]).output().unwrap();
            let text = String::from_utf8(told.stdout).unwrap();
            // Killed when all was done and said: that disturbs nobody, and the next night is tried.
            let over = format!("ok: the night of 2026-07-{night:02} was done");
            if told.status.code() != Some(0) || !text.starts_with(&over) {
                done.push((night, text));
            }
        }
        let begun = Instant::now();
        nightly(home, night);
        usual = begun.elapsed();
    }
    done
}

/// The month twice, the second one disturbed; made once, side by side.
fn months() -> &'static (PathBuf, PathBuf, Kills) {
    static MONTHS: OnceLock<(PathBuf, PathBuf, Kills)> = OnceLock::new();
    MONTHS.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("month");
        let (quiet, disturbed) = (home.join("quiet"), home.join("disturbed"));
        let kills = [6 + u32::try_from(any(10)).unwrap(), 17 + u32::try_from(any(12)).unwrap()];
        let done = std::thread::scope(|scope| {
            let first = scope.spawn(|| month(&quiet, &[]));
            let second = scope.spawn(|| month(&disturbed, &kills));
            assert!(first.join().unwrap().is_empty());
            second.join().unwrap()
        });
        (quiet, disturbed, done)
    })
}

fn ledger(home: &Path) -> PathBuf {
    home.join("ledger.sqlite")
}

/// What the ledger says of the leads of one rule about one person: night and word, or night and why.
fn story(book: &Book, nights: &BTreeMap<String, u32>, subject: &str, rule: &str) -> Vec<(u32, String)> {
    let of = Filter { subject: Some(subject.to_owned()), rules: vec![rule.to_owned()], ..Filter::default() };
    let leads = book.leads(&of, &Policy::default(), "2026-07-31").unwrap();
    assert!(leads.len() <= 1, "{rule} has several leads about one person");
    let history = leads.iter().flat_map(|listed| book.history(&listed.lead.finding_id).unwrap());
    history
        .map(|event| {
            let because = event.why["because"].as_str().map(str::to_owned);
            (nights[&event.night], because.unwrap_or(event.what))
        })
        .collect()
}

#[test]
fn every_planted_case_goes_the_way_that_was_written_down() {
    let (quiet, disturbed, _) = months();
    for home in [quiet, disturbed] {
        let book = Book::read(&ledger(home)).unwrap();
        let nights: BTreeMap<String, u32> = book
            .nights()
            .unwrap()
            .into_iter()
            .map(|night| (night.night, night.as_of[8..].parse().unwrap()))
            .collect();
        assert_eq!(nights.len(), 30);
        for (n, case) in (0_u16..).zip(CASES) {
            let got = story(&book, &nights, &person(n), case.rule);
            let wanted: Vec<(u32, String)> = case.story.iter().map(|(n, w)| (*n, (*w).to_owned())).collect();
            assert_eq!(got, wanted, "{}: {}", case.rule, case.what);
        }
        // And nobody else is a lead, under whatever rule.
        let planted = CASES.iter().filter(|case| !case.story.is_empty()).count();
        let all = book.leads(&Filter::default(), &Policy::default(), "2026-07-31").unwrap();
        let who = |listed: &mingcha_ledger::book::Listed| {
            let lead = &listed.lead;
            (0_u16..).zip(CASES).any(|(n, case)| {
                person(n) == lead.subject_id && case.rule == lead.rule_id && !case.story.is_empty()
            })
        };
        assert!(all.iter().all(who), "somebody was flagged who was not planted");
        assert_eq!(all.len(), planted);
        let gone = all.iter().filter(|l| l.lead.presence != Presence::Live).count();
        assert_eq!(
            gone, 5,
            "two corrected, one cremation retracted, one registered alive again, one reversed"
        );
    }
    let near = CASES.iter().filter(|case| case.story.is_empty()).count();
    assert!(near > CASES.len() / 2, "near misses outnumber hits");
}

#[test]
fn a_month_with_kills_ends_with_the_ledger_of_an_undisturbed_one() {
    let (quiet, disturbed, kills) = months();
    assert_eq!(kills.len(), 2, "{kills:?}");
    for (night, status) in kills {
        let said = format!("failed: the night of 2026-07-{night:02} stopped while ");
        assert!(status.starts_with(&said) && status.contains("start `mingcha nightly` again"), "{status}");
    }
    let read = |home: &Path| Book::read(&ledger(home)).unwrap();
    let (a, b) = (read(quiet), read(disturbed));
    assert_eq!(a.fingerprint().unwrap(), b.fingerprint().unwrap());
    assert_eq!(a.nights().unwrap().len(), 30);
    for home in [quiet, disturbed] {
        let told = mingcha(home, &["verify", "--ledger", "ledger.sqlite"]).output().unwrap();
        assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
        assert!(String::from_utf8(told.stdout).unwrap().contains("30 run folders"));
        // Nothing half-made is left behind.
        let left = fs::read_dir(home).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> =
            left.filter(|name| name.contains("partial") || name.contains("parts")).collect();
        assert!(left.is_empty(), "{left:?}");
        for folder in ["lists", "nights/runs"] {
            let names: Vec<String> = fs::read_dir(home.join(folder))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(names.len(), 30, "{folder}: {names:?}");
            assert!(names.iter().all(|name| name.starts_with("2026-07-")), "{names:?}");
        }
    }
}

#[test]
fn every_lead_reached_the_desk_once_for_each_piece_of_news_and_was_taken_back_where_it_fell() {
    let (quiet, disturbed, _) = months();
    for home in [quiet, disturbed] {
        let book = Book::read(&ledger(home)).unwrap();
        let handouts = book.handouts().unwrap();
        let occasions: BTreeSet<&String> = handouts.iter().map(|list| &list.occasion).collect();
        assert_eq!(occasions.len(), handouts.len(), "one list for a night at most");
        let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for list in &handouts {
            let day = book.nights().unwrap().into_iter().find(|n| n.night == list.occasion).unwrap().as_of;
            let file = home.join(format!("lists/{day}/for/desk/{}-findings.xlsx", list.id));
            assert!(file.is_file(), "{}", file.display());
            for lead in &list.leads {
                told.entry(lead.clone()).or_default().push("listed");
            }
            for lead in &list.cancels {
                told.entry(lead.clone()).or_default().push("cancelled");
            }
        }
        for listed in book.leads(&Filter::default(), &Policy::default(), "2026-08-01").unwrap() {
            let id = listed.lead.finding_id;
            let story: Vec<String> = book.history(&id).unwrap().into_iter().map(|event| event.what).collect();
            let wanted: Vec<&str> = story
                .iter()
                .filter_map(|what| match what.as_str() {
                    "new" | "changed" | "reopened" => Some("listed"),
                    "resolved" | "withdrawn" => Some("cancelled"),
                    _ => None,
                })
                .collect();
            assert_eq!(told.remove(&id).unwrap_or_default(), wanted, "{story:?}");
        }
        assert!(told.is_empty());
        assert!(book.cancellations().unwrap().is_empty());
    }
}

#[test]
fn the_missing_feed_and_the_broken_file_are_told_and_resolve_nothing() {
    let (quiet, ..) = months();
    let book = Book::read(&ledger(quiet)).unwrap();
    let nights = book.nights().unwrap();
    let of = |night: u32| nights.iter().find(|n| n.as_of == format!("2026-07-{night:02}")).unwrap();
    let unanswered = |night: u32| of(night).not_evaluated.keys().cloned().collect::<Vec<_>>();
    assert_eq!(unanswered(NO_FEED), ["PEN-02"]);
    assert_eq!(unanswered(BROKEN), ["PEN-03"]);
    for night in [NO_FEED, BROKEN] {
        for mark in ["resolved", "withdrawn", "new", "reopened"] {
            assert_eq!(of(night).marks.get(mark), None, "night {night}: {mark}");
        }
    }
    for night in (1..=NIGHTS).filter(|n| ![NO_FEED, BROKEN].contains(n)) {
        assert!(unanswered(night).is_empty(), "night {night}");
    }
    // Moving every payment into other files, in another order, is no change.
    assert_eq!(of(MOVED).marks.keys().collect::<Vec<_>>(), ["continuing"]);
}
