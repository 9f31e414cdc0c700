//! Exit codes: what a scheduler reads. Knows no command and prints nothing.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; findings are success |
//! | 1 | a finding reached `--fail-on` |
//! | 2 | wrong usage or configuration |
//! | 3 | rules invalid, or some failed while the rest ran; in `demo`: the rules and the truth disagree |
//! | 4 | inputs missing, stale or breaking their contract |
//! | 5 | a rule was held by its limits |
//! | 6 | another run holds the lock |
//! | 70 | internal error, also a disk that cannot be written |
//! | 130 | interrupted (Ctrl-C or SIGTERM); nothing that looks finished is left |
//!
//! Where several apply at once, the first of 130, 70, 6, 2, 3, 4, 5, 1 is returned: what an operator must
//! mend first. A run that ends with 1, 3, 4 or 5 has still written its complete folder when rules ran.

use mingcha_rules::diagnostic::Diagnostic;

/// How the process ends. The order of the variants is the precedence, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done,
    /// A finding is as grave as `--fail-on`.
    Threshold,
    /// A rule was held by its limits.
    Held,
    /// Inputs are missing, stale or break their contract.
    Inputs,
    /// Rules are invalid or failed.
    Rules,
    /// The command line or `mingcha.toml` is wrong.
    Usage,
    /// Another run works in the same folder.
    Locked,
    /// Our fault, or the disk's.
    Internal,
    /// The user, or the system, stopped it.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Threshold => 1,
            Self::Usage => 2,
            Self::Rules => 3,
            Self::Inputs => 4,
            Self::Held => 5,
            Self::Locked => 6,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    /// The ending that `code` stands for; an unknown one is our fault.
    pub(crate) fn of_code(code: u8) -> Self {
        use Exit::{Done, Held, Inputs, Internal, Interrupted, Locked, Rules, Threshold, Usage};
        let all = [Done, Threshold, Held, Inputs, Rules, Usage, Locked, Internal, Interrupted];
        all.into_iter().find(|exit| exit.code() == code).unwrap_or(Internal)
    }

    /// The one to return where several apply.
    pub(crate) fn first(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max().unwrap_or(Self::Done)
    }
}

/// Why a command stopped: what to show, and how to end.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What the user is told. Empty where it was said already.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// A failure with one diagnostic.
    pub(crate) fn new(exit: Exit, diagnostic: Diagnostic) -> Self {
        Self { exit, diagnostics: vec![diagnostic] }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(diagnostic: Diagnostic) -> Self {
        Self::new(Exit::Usage, diagnostic)
    }

    /// Inputs missing or broken.
    pub(crate) fn inputs(diagnostics: Vec<Diagnostic>) -> Self {
        Self { exit: Exit::Inputs, diagnostics }
    }

    /// A file or folder that could not be read or written.
    pub(crate) fn disk(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Exit::Internal, disk_error(path, error))
    }
}

/// The commands' result.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

/// `error` at `path`, in words.
pub(crate) fn disk_error(path: &std::path::Path, error: &std::io::Error) -> Diagnostic {
    use std::io::ErrorKind::{NotFound, PermissionDenied, StorageFull};
    let file = path.display();
    match error.kind() {
        NotFound => Diagnostic::error(
            "MC080",
            format!("需要文件或文件夹 `{file}`，但它不存在"),
            format!("needed the file or folder `{file}`, but it does not exist"),
        ),
        PermissionDenied => Diagnostic::error(
            "MC081",
            format!("需要读写 `{file}`，但没有权限"),
            format!("needed to read or write `{file}`, but permission was denied"),
        )
        .with_help(
            "请检查该路径的权限，或换一个文件夹",
            "check the rights on that path, or choose another folder",
        ),
        StorageFull => Diagnostic::error(
            "MC082",
            format!("需要写入 `{file}`，但磁盘已满"),
            format!("needed to write `{file}`, but the disk is full"),
        )
        .with_help(
            "请清理磁盘，或换一个磁盘后重试",
            "free some space, or choose another disk, and run again",
        ),
        _ => Diagnostic::error(
            "MC083",
            format!("读写 `{file}` 时出错：{error}"),
            format!("could not read or write `{file}`: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_gravest_of_several_codes_is_returned() {
        use Exit::{Done, Held, Inputs, Internal, Rules, Threshold};
        assert_eq!(Exit::first([]), Done);
        assert_eq!(Exit::first([Threshold, Held]), Held);
        assert_eq!(Exit::first([Threshold, Held, Inputs]), Inputs);
        assert_eq!(Exit::first([Rules, Inputs, Held]), Rules);
        assert_eq!(Exit::first([Internal, Rules, Threshold]), Internal);
    }

    #[test]
    fn codes_are_those_of_the_contract() {
        let all =
            [Exit::Done, Exit::Threshold, Exit::Usage, Exit::Rules, Exit::Inputs, Exit::Held, Exit::Locked];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!((Exit::Internal.code(), Exit::Interrupted.code()), (70, 130));
    }
}
