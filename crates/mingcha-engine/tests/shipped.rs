//! The shipped rules, views and contracts: they check without a fault and every example holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot find the rules has failed")]

use std::path::Path;

use mingcha_rules::{Library, Sources};

fn library() -> Library {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let sources = Sources::from_dirs(Some(&root.join("rules")), Some(&root.join("datasets")));
    let (library, mut faults) = mingcha_rules::load(&sources);
    faults.extend(mingcha_rules::check::check(&library));
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(text.is_empty(), "{}", text.join("\n"));
    library
}

#[test]
fn every_rule_and_view_plans_against_the_contracts() {
    let faults: Vec<String> = mingcha_engine::check_sql(&library()).iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_example_of_every_rule_holds() {
    let results = mingcha_engine::test_examples(&library(), &[]);
    assert!(!results.is_empty());
    let failed: Vec<String> = results
        .iter()
        .filter(|r| !r.passed())
        .map(|r| {
            format!(
                "{} {}: {}",
                r.rule_id,
                r.name.en,
                r.faults.iter().map(|f| f.en.as_str()).collect::<Vec<_>>().join("; ")
            )
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} failed\n{}", failed.len(), results.len(), failed.join("\n"));
}
