//! No argument may be empty or all blanks. It is what a shell makes of a variable that was never set, and every filter
//! would take it for "everything", every path for the current folder. Looks at what clap has parsed, whatever the
//! argument's type, so that a new argument cannot be forgotten; knows no argument by name.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// The fault of the first argument that was given and is blank, in the words of `command`.
pub(crate) fn blank(command: &Command, matches: &ArgMatches) -> Option<clap::Error> {
    let mut name = None;
    let mut at = (command, matches);
    loop {
        let (table, given) = at;
        name = name.or_else(|| blank_here(table, given));
        let Some((verb, below)) = given.subcommand() else { break };
        let Some(table) = table.find_subcommand(verb) else { break };
        at = (table, below);
    }
    let name = name?;
    let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
    error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    error.insert(ContextKind::InvalidValue, ContextValue::String(String::new()));
    Some(error)
}

fn blank_here(command: &Command, matches: &ArgMatches) -> Option<String> {
    let mut args = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    let blank = args.find(|arg| {
        let id = arg.get_id().as_str();
        // A default is ours and may be empty. Global arguments stand in every table, and only some know their value.
        let known = matches.try_contains_id(id).unwrap_or(false);
        let given =
            || matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        let values = if known && given() { matches.try_get_raw(id).ok().flatten() } else { None };
        values
            .into_iter()
            .flatten()
            .any(|value| value.to_str().is_some_and(|text| text.chars().all(is_blank)))
    })?;
    Some(blank.to_string())
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || mingcha_rules::text::is_unseen(c)
}

#[cfg(test)]
mod tests {
    use clap::builder::Str;
    use mingcha_rules::text::Lang;

    use crate::args;

    /// Values for arguments without which nothing is parsed, by what they are called in usage lines.
    fn some_value(arg: &clap::Arg) -> String {
        if let Some(value) = arg.get_possible_values().first() {
            return value.get_name().to_owned();
        }
        match arg.get_id().as_str() {
            "persons" => "500",
            "amount" => "1.00",
            _ => "x",
        }
        .to_owned()
    }

    fn leaves(command: &clap::Command, path: &[String], out: &mut Vec<(Vec<String>, clap::Command)>) {
        if command.get_subcommands().next().is_none() {
            out.push((path.to_vec(), command.clone()));
        }
        for sub in command.get_subcommands() {
            leaves(sub, &[path, &[sub.get_name().to_owned()]].concat(), out);
        }
    }

    fn required_beside(command: &clap::Command, tried: &clap::Arg) -> Vec<String> {
        let mut words = Vec::new();
        // `verify` wants one of several, `--new` and the like want another beside them.
        let also: &[&str] = match tried.get_id().as_str() {
            "head" | "runs" => &["--ledger", "x"],
            _ if command.get_name() == "verify"
                && !["store", "run", "ledger"].contains(&tried.get_id().as_str()) =>
            {
                &["--ledger", "x"]
            }
            _ => &[],
        };
        words.extend(also.iter().map(|w| (*w).to_owned()));
        let needed =
            command.get_arguments().filter(|arg| arg.is_required_set() && arg.get_id() != tried.get_id());
        let (places, flags): (Vec<_>, Vec<_>) = needed.partition(|arg| arg.is_positional());
        for flag in flags {
            words.push(format!("--{}", flag.get_long().unwrap()));
            if flag.get_action().takes_values() {
                words.push(some_value(flag));
            }
        }
        words.extend(places.into_iter().map(some_value));
        words
    }

    #[test]
    fn no_argument_of_any_verb_takes_an_empty_value() {
        let mut table = args::command(Lang::En);
        table.build();
        let mut all = Vec::new();
        leaves(&table, &["mingcha".to_owned()], &mut all);
        let mut tried = 0;
        for (path, command) in all {
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                for value in ["", " ", "\u{3000}\t", "\u{200b}"] {
                    let mut raw: Vec<std::ffi::OsString> = path.iter().map(Into::into).collect();
                    raw.extend(required_beside(&command, arg).into_iter().map(Into::into));
                    match arg.get_long() {
                        Some(long) => raw.push(format!("--{long}={value}").into()),
                        None => raw.push(value.into()),
                    }
                    let name = arg.get_long().map_or_else(|| arg.get_id().as_str().to_owned(), str::to_owned);
                    let error = args::parse(&raw, Lang::En)
                        .err()
                        .unwrap_or_else(|| panic!("{path:?} {name} takes {value:?}"));
                    assert!(error.use_stderr(), "{raw:?}");
                    // It is this argument that is wrong, and not that another is missing.
                    let text = error.render().to_string().to_lowercase();
                    let heads: Vec<Str> = arg.get_value_names().unwrap_or_default().to_vec();
                    let named = text.contains(&format!("--{name}"))
                        || heads.iter().any(|head| text.contains(&head.to_lowercase()));
                    let missing = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
                    assert!(named && !missing, "{raw:?} gave:\n{text}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 400, "only {tried} tried");
    }

    #[test]
    fn one_empty_value_among_several_is_one_too_many() {
        let words = |raw: &[&str]| {
            let raw: Vec<_> = raw.iter().map(Into::into).collect();
            args::parse(&raw, Lang::Zh).map(|_| ()).map_err(|e| args::usage_error(&e, Lang::Zh))
        };
        let said = words(&["mingcha", "run", "--only", "PEN-01,,PEN-02"]).unwrap_err();
        assert!(said.contains("--only") && said.contains("需要一个值"), "{said}");
        assert!(words(&["mingcha", "check", "rules", ""]).is_err());
        // What is empty by default is not given.
        assert!(words(&["mingcha", "findings", "close", "abcdef"]).is_ok());
        assert!(words(&["mingcha", "--config", "", "check"]).is_err());
    }
}
