//! `mingcha completions` and `mingcha man`: both come from the argument table, in the user's language.

use std::fs;

use clap::Command;
use mingcha_rules::text::Lang;

use super::Context;
use crate::args::{self, Completions, Man};
use crate::exit::{Exit, Failure, Outcome};

/// Section headings of a man page.
const HEADINGS: [(&str, &str); 6] = [
    ("NAME", "名称"),
    ("SYNOPSIS", "用法"),
    ("DESCRIPTION", "说明"),
    ("OPTIONS", "选项"),
    ("SUBCOMMANDS", "命令"),
    ("EXTRA", "补充"),
];

pub(super) fn completions(context: &Context, args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(context.screen.lang), "mingcha", &mut script);
    context.screen.raw(&script);
    Ok(Exit::Done)
}

pub(super) fn man(context: &Context, args: &Man) -> Outcome {
    fs::create_dir_all(&args.out).map_err(|e| Failure::disk(&args.out, &e))?;
    let mut command = args::command(context.screen.lang);
    command.build();
    let mut pages = Vec::new();
    page(&command, "mingcha", context.screen.lang, &mut pages);
    for (name, text) in &pages {
        let file = args.out.join(format!("{name}.1"));
        fs::write(&file, text).map_err(|e| Failure::disk(&file, &e))?;
        context.screen.line(file.display().to_string());
    }
    Ok(Exit::Done)
}

/// The pages of `command` and of all below it, as (name, roff).
fn page(command: &Command, name: &str, lang: Lang, pages: &mut Vec<(String, String)>) {
    let mut roff = Vec::new();
    // Writing into memory does not fail.
    let _ = clap_mangen::Man::new(command.clone().name(name.to_owned()).display_name(name.to_owned()))
        .render(&mut roff);
    let mut text = String::from_utf8_lossy(&roff).into_owned();
    if lang == Lang::Zh {
        for (en, zh) in HEADINGS {
            text = text.replace(&format!(".SH {en}\n"), &format!(".SH {zh}\n"));
        }
    }
    pages.push((name.to_owned(), text));
    for below in command.get_subcommands() {
        page(below, &format!("{name}-{}", below.get_name()), lang, pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_in_both_languages() {
        for lang in [Lang::Zh, Lang::En] {
            let mut pages = Vec::new();
            let mut command = args::command(lang);
            command.build();
            page(&command, "mingcha", lang, &mut pages);
            let names: Vec<&str> = pages.iter().map(|(n, _)| n.as_str()).collect();
            for name in ["mingcha", "mingcha-run", "mingcha-rules-explain", "mingcha-findings-list"] {
                assert!(names.contains(&name), "{names:?}");
            }
            assert!(pages.iter().all(|(_, text)| text.contains(".SH NAME") == (lang == Lang::En)));
        }
    }
}
