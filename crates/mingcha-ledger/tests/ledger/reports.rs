//! Reports over the small office of `learning`: every figure by hand, both languages, both forms, and what readers must
//! not see.

use std::collections::BTreeMap;
use std::path::Path;

use calamine::{Reader, Xlsx, open_workbook};
use mingcha_ledger::book::{Book, Filter};
use mingcha_ledger::report::{Asked, Page, Subject, report, report_page};
use mingcha_ledger::{Catalogue, Profile};
use mingcha_rules::Lang;

use crate::book::{Desk, RULE, Tonight, findings};
use crate::fixture::{catalogue, contracts, rule};
use crate::learning::{TODAY, november, october};

fn asked(subject: Subject) -> Asked {
    Asked {
        subject,
        profile: Profile::Supervisor,
        lang: Lang::En,
        today: TODAY.to_owned(),
        limit: 50,
        replace: false,
    }
}

fn page_of(desk: &Desk, asked: &Asked) -> Page {
    let contracts = contracts();
    let rules = [rule()];
    let catalogue = catalogue(&contracts, &rules);
    report_page(&Book::read(&desk.path()).unwrap(), &desk.policy, asked, &catalogue).unwrap()
}

fn month(desk: &Desk, month: &str) -> Page {
    page_of(desk, &asked(Subject::Month(Some(month.to_owned()))))
}

/// The rows of the table whose heading begins so, each as one text.
#[track_caller]
fn table(page: &Page, heading: &str) -> Vec<String> {
    let tables = page.tables();
    let found = tables.iter().find(|(title, _)| title.starts_with(heading));
    found.unwrap().1[1..].iter().map(|row| row.join("|")).collect()
}

fn figures(page: &Page) -> BTreeMap<String, String> {
    page.figures().into_iter().collect()
}

#[test]
fn october_is_told_as_it_was_planted() {
    let desk = october();
    november(&desk);
    let page = month(&desk, "2026-10");
    let funnel: Vec<String> = table(&page, "The funnel")
        .iter()
        .map(|row| row.split('|').take(5).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(
        funnel,
        [
            "Found|40|787.80|40|787.80",
            "Handed out|24|278.76|24|278.76",
            "Checked|22|233.31|22|233.31",
            "Confirmed|12|66.66|12|66.66",
            "Recovered|2|2.01|2|2.01",
        ]
    );
    assert_eq!(
        table(&page, "Open leads"),
        [
            "open before the period|0|0.00",
            "in: found, found again, taken up again|29|646.40",
            "out: cleared, closed, gone before anybody acted|0|0.00",
            "open at its end|29|646.40",
        ]
    );
    assert_eq!(table(&page, "Clues"), ["police|0|2|0|2|0", "Total|0|2|0|2|0"]);
    assert_eq!(table(&page, "Lists"), Vec::<String>::new());
    let rules = table(&page, "By rule");
    assert_eq!(
        rules,
        [
            "PEN-13|Pension paid twice for one month|40|24|22|12|8|2.01|29|646.40",
            "Total||40|24|22|12|8|2.01|29|646.40",
        ]
    );
    // Even ones lie in 880101, odd ones in 880102; 3 and 7 were closed, and 6.
    assert_eq!(
        table(&page, "By area"),
        [
            "880101|20|12|11|6|4|1.00|15|317.14",
            "880102 北山县|20|12|11|6|4|1.01|14|329.26",
            "Total|40|24|22|12|8|2.01|29|646.40",
        ]
    );
    let trend = table(&page, "Twelve months");
    assert_eq!((trend.len(), trend[11].as_str()), (12, "2026-10|40|24|22|12|2|2.01"));
    assert!(trend[..11].iter().all(|row| row.ends_with("|0|0|0|0|0|0.00")));
    assert_eq!(
        table(&page, "Scorecard"),
        [
            "PEN-13|40|787.80|22|12|66.66|6|0|2|60.0% (38.7–78.1%)|2.01|10|keep",
            "Total|40|787.80|22|12|66.66|6|0|2|60.0% (38.7–78.1%)|2.01|10|",
        ]
    );
    assert_eq!(table(&page, "What was evaluated").len(), 2);
    assert_eq!(table(&page, "What was evaluated")[1], "PEN-13|Pension paid twice for one month|1|0|0|0|0");
    // Reported at the time, the month was the same.
    let then = october();
    let at_the_time = Asked { today: "2026-10-31".to_owned(), ..asked(Subject::Month(None)) };
    assert_eq!(page_of(&then, &at_the_time).tables(), page.tables());
}

#[test]
fn november_carries_on_where_october_ended() {
    let desk = october();
    november(&desk);
    let page = month(&desk, "2026-11");
    let funnel: Vec<String> = table(&page, "The funnel")
        .iter()
        .map(|row| row.split('|').take(5).collect::<Vec<_>>().join("|"))
        .collect();
    // 40, 41, 42 are new, 6, 7, 12 are back; 22, 23, 30 went out on a list; 22 was visited; 4 paid back.
    assert_eq!(
        funnel,
        [
            "Found|6|149.48|6|149.48",
            "Handed out|3|75.75|0|0.00",
            "Checked|1|22.22|0|0.00",
            "Confirmed|0|0.00|0|0.00",
            "Recovered|1|4.04|0|0.00",
        ]
    );
    let balance = table(&page, "Open leads");
    // 25 grew by ten yuan: what was open before is told with today's amount.
    assert_eq!(balance[0], "open before the period|29|656.40");
    assert_eq!(balance[1], "in: found, found again, taken up again|6|149.48");
    assert_eq!(balance[2], "out: cleared, closed, gone before anybody acted|1|24.24");
    assert_eq!(balance[3], "open at its end|34|781.64");
    assert_eq!(table(&page, "Clues"), ["police|2|0|1|1|1", "Total|2|0|1|1|1"]);
    assert_eq!(table(&page, "Lists"), ["office|0|3|1|2|0", "Total|0|3|1|2|0"]);
    let look = table(&page, "Looking back");
    assert_eq!(look[0], "unfinished (欠账)|7|194.93");
    assert_eq!(look[1], "declared done, still found (假账)|1|3.03");
    assert_eq!(look[2], "stuck (呆账)|0|0.00");
    assert_eq!(look[3], "again after it was done (新账)|2|46.46");
    // To the fen: open money by rule, by area, at the top and in the ledger itself.
    let open = desk.leads(&Filter::default(), TODAY);
    let fen: i64 = open.iter().filter(|l| l.lead.is_open()).filter_map(|l| l.lead.amount_fen).sum();
    assert_eq!(fen, 78_164);
    assert_eq!(figures(&page)["At risk in these (yuan)"], "781.64");
    for heading in ["By rule", "By area"] {
        assert!(table(&page, heading).last().unwrap().ends_with("|34|781.64"), "{heading}");
    }
}

#[test]
fn the_nightly_brief_tells_what_the_night_told() {
    let desk = october();
    november(&desk);
    let page = page_of(&desk, &asked(Subject::Night(None)));
    let told = figures(&page);
    let marks = ["new", "continuing", "changed", "resolved", "reopened", "withdrawn by source"];
    assert_eq!(marks.map(|mark| told[mark].as_str()), ["3", "34", "1", "2", "3", "0"]);
    let rules = table(&page, "What the night changed");
    // New 40, 41, 42 and reopened 6, 7, 12.
    assert_eq!(rules[0], "PEN-13|Pension paid twice for one month|3|3|1|2|0|149.48");
    assert_eq!(table(&page, "What weighs differently"), ["amount|1", "evidence for|3", "last day|1"]);
    assert_eq!(table(&page, "New and reopened").len(), 6);
    assert_eq!((table(&page, "Changed").len(), table(&page, "Resolved").len()), (1, 2));
    let grown = &table(&page, "Changed")[0];
    assert!(grown.ends_with("|new|amount") && grown.contains("|35.25|"), "{grown}");
    let first = page_of(&desk, &asked(Subject::Night(Some(1))));
    assert_eq!(figures(&first)["new"], "40");
    assert_eq!(table(&first, "New and reopened").len(), 40);
    // As the lead stood in that night: nobody had been there.
    assert!(table(&first, "New and reopened").iter().all(|row| row.ends_with("|new")));
    assert_eq!(
        report_page(
            &Book::read(&desk.path()).unwrap(),
            &desk.policy,
            &asked(Subject::Night(Some(9))),
            &Catalogue::default()
        )
        .unwrap_err()
        .code,
        "MC871"
    );
}

#[test]
fn a_rule_without_an_answer_is_told_and_none_of_its_leads_counts_as_resolved() {
    let desk = october();
    let silent =
        Tonight { outcome: mingcha_rules::OutcomeKind::Held, ..Tonight::new("2026-11-02", Vec::new()) };
    desk.absorb(&silent);
    let page = page_of(&desk, &asked(Subject::Night(None)));
    assert_eq!(
        table(&page, "Rules without an answer"),
        ["PEN-13|Pension paid twice for one month|held by its limits|"]
    );
    assert_eq!(figures(&page)["resolved"], "0");
    assert_eq!(
        table(&month(&desk, "2026-11"), "What was evaluated")[1],
        "PEN-13|Pension paid twice for one month|0|0|1|0|0"
    );
}

#[test]
fn area_unit_and_rule_tell_their_part() {
    let desk = october();
    november(&desk);
    let page = page_of(&desk, &asked(Subject::Area("880102".to_owned(), Some("2026-10".to_owned()))));
    assert_eq!(table(&page, "By area")[0], "880102001 北山县|20|12|11|6|4|1.01|14|329.26");
    let by_deadline = table(&page, "Open leads by deadline");
    assert_eq!(by_deadline[2], "deadline|green: time enough|6|181.80", "{by_deadline:#?}");
    // Its queue is today's: 21, 23, 25 to 39 odd, 41 and 7.
    assert_eq!(table(&page, "What to check next").len(), 2 + 8 + 2);
    // `qian` handled everything but 42.
    let page = page_of(&desk, &asked(Subject::Unit(" qian".to_owned())));
    assert_eq!(table(&page, "All leads").len(), 42);
    let page = page_of(&desk, &asked(Subject::Rule(RULE.to_owned())));
    assert_eq!(table(&page, "Scorecard").len(), 2);
    assert_eq!(table(&page, "How leads were judged"), ["v1|12|6|0|2|25|1"]);
    assert_eq!(table(&page, "Exclusions"), ["X-LAG||3"]);
    for nothing in [
        Subject::Area("8899".to_owned(), None),
        Subject::Unit("sun".to_owned()),
        Subject::Rule("PEN-99".to_owned()),
    ] {
        let book = Book::read(&desk.path()).unwrap();
        let fault = report_page(&book, &desk.policy, &asked(nothing), &Catalogue::default()).unwrap_err();
        assert_eq!(fault.code, "MC874");
    }
}

/// Every report there is.
fn all() -> [Subject; 5] {
    [
        Subject::Night(None),
        Subject::Month(None),
        Subject::Area("8801".to_owned(), None),
        Subject::Unit("qian".to_owned()),
        Subject::Rule(RULE.to_owned()),
    ]
}

#[test]
fn readers_see_what_they_may_see() {
    let desk = october();
    november(&desk);
    let leads = desk.leads(&Filter::default(), TODAY);
    let held = |html: &str, secret: &dyn Fn(usize) -> String| {
        (0..leads.len()).filter(|n| html.contains(&secret(*n))).count()
    };
    let numbers = |n: usize| leads[n].lead.subject_id.clone();
    let ids = |n: usize| leads[n].lead.finding_id.clone();
    for subject in all() {
        for lang in [Lang::Zh, Lang::En] {
            let masked = page_of(&desk, &Asked { lang, ..asked(subject.clone()) }).html().unwrap();
            // The charts' code holds many digits, but none of these.
            assert_eq!((held(&masked, &numbers), held(&masked, &ids)), (0, 0), "{subject:?}");
            assert!(!masked.contains("赵小满"), "{subject:?}");
        }
        let full = Asked { profile: Profile::Investigator, ..asked(subject.clone()) };
        let full = page_of(&desk, &full).html().unwrap();
        if !matches!(subject, Subject::Month(_)) {
            assert!(held(&full, &numbers) > 3 && full.contains("赵小满"), "{subject:?}");
        }
    }
    let everybody = |subject| Asked { profile: Profile::Public, ..asked(subject) };
    let page = page_of(&desk, &everybody(Subject::Month(Some("2026-10".to_owned()))));
    assert!(page.tables().iter().all(|(title, _)| !title.starts_with("By ") && !title.starts_with("Clues")));
    assert!(
        table(&page, "The funnel")[4].starts_with("Recovered|<3||<3||"),
        "{:?}",
        table(&page, "The funnel")
    );
    assert!(table(&page, "The funnel")[3].starts_with("Confirmed|12|66.66|"));
    for subject in &all()[2..] {
        let book = Book::read(&desk.path()).unwrap();
        let asked = everybody(subject.clone());
        let fault = report_page(&book, &desk.policy, &asked, &Catalogue::default()).unwrap_err();
        assert_eq!(fault.code, "MC873");
    }
}

#[test]
fn hostile_names_stay_names_in_both_languages() {
    let desk = Desk::new();
    let mut hostile = findings(12);
    for finding in &mut hostile {
        finding.subject_name = Some("<script>alert('x')</script>\"&".to_owned());
        finding.message.zh = "</table><script>alert(1)</script>".to_owned();
        finding.message.en = "</script><img src=x onerror=alert(2)>".to_owned();
        finding.area_code = Some("<b>880101".to_owned());
        finding.evidence[0].columns.insert("operator".to_owned(), "<i>sun</i>".to_owned());
    }
    desk.absorb(&Tonight::new("2026-11-20", hostile));
    let subjects = [
        Subject::Night(None),
        Subject::Month(None),
        Subject::Area("<b>".to_owned(), None),
        Subject::Unit("<i>sun</i>".to_owned()),
        Subject::Rule(RULE.to_owned()),
    ];
    for subject in subjects {
        for lang in [Lang::Zh, Lang::En] {
            let full = Asked { lang, profile: Profile::Investigator, ..asked(subject.clone()) };
            let html = page_of(&desk, &full).html().unwrap();
            for raw in ["<script>alert", "onerror=alert(2)>", "<b>880101", "<i>sun"] {
                assert!(!html.contains(raw), "{subject:?} holds {raw}");
            }
            if !matches!(subject, Subject::Month(_)) {
                assert!(
                    html.contains("&lt;script&gt;alert")
                        || html.contains("onerror&#x3d;alert")
                        || html.contains("&lt;img src"),
                    "{subject:?}"
                );
            }
            for outside in ["<script src", "<link ", "<iframe"] {
                assert!(!html.contains(outside), "{subject:?} leans on {outside}");
            }
        }
    }
}

#[test]
fn page_and_workbook_say_the_same_and_nothing_is_written_twice() {
    let desk = october();
    november(&desk);
    let contracts = contracts();
    let rules = [rule()];
    let book = Book::read(&desk.path()).unwrap();
    for (lang, words) in [
        (Lang::Zh, ["概览", "线索不是结论", "双向移送台账", "回头看"]),
        (Lang::En, ["Overview", "Leads, not verdicts", "Clues transferred", "Looking back"]),
    ] {
        let out = desk.dir.path().join("reports");
        let asked = Asked { lang, ..asked(Subject::Month(Some("2026-10".to_owned()))) };
        let files = report(&book, &desk.policy, &asked, &catalogue(&contracts, &rules), &out).unwrap();
        let names: Vec<String> =
            files.iter().map(|f| f.path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        let stem = if lang == Lang::Zh { "month-2026-10-zh" } else { "month-2026-10-en" };
        assert_eq!(names, [format!("{stem}.html"), format!("{stem}.xlsx")]);
        let html = std::fs::read_to_string(&files[0].path).unwrap();
        assert!(words[1..].iter().all(|word| html.contains(word)));
        let page = page_of(&desk, &asked);
        let mut workbook: Xlsx<_> = open_workbook(&files[1].path).unwrap();
        let sheets = workbook.sheet_names();
        assert_eq!(sheets[0], words[0]);
        assert_eq!(sheets.len(), 1 + page.tables().len());
        for (sheet, (title, rows)) in sheets[1..].iter().zip(page.tables()) {
            let range = workbook.worksheet_range(sheet).unwrap();
            assert_eq!(range.get_value((0, 0)).unwrap().to_string(), title);
            // The heading of the columns stands in the third row; in the fourth where the table has sums of money, over
            // which it is said how they are counted.
            let sums = rows[0].iter().any(|head| {
                let money = head.contains('元') || head.contains("uan");
                money && (rows[0].len() > 7 || !(head.contains("追回") || head.contains("Recovered")))
            });
            let said = [
                "同一笔钱被几条规则查出就计几次，实际金额可能较小。",
                "The same payment is counted once for each rule that flags it; the money itself may be less.",
            ];
            let above = range.get_value((2, 0)).map(ToString::to_string).unwrap_or_default();
            assert_eq!(said.contains(&above.as_str()), sums, "{title}: {above}");
            assert_eq!(range.height(), 2 + usize::from(sums) + rows.len(), "{title}");
        }
        let again = report(&book, &desk.policy, &asked, &Catalogue::default(), &out).unwrap_err();
        assert_eq!(again.code, "MC812");
        let asked = Asked { replace: true, ..asked };
        report(&book, &desk.policy, &asked, &Catalogue::default(), &out).unwrap();
    }
    desk.whole();
    assert!(!Path::new("page.html").exists());
}
