//! Starting the binary, and folders to start it in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mingcha");

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    /// Code, stdout and stderr in one text, for a snapshot.
    pub(crate) fn all(&self) -> String {
        let code = self.code.map_or_else(|| "none".to_owned(), |c| c.to_string());
        format!("exit {code}\n{}{}", self.out, self.err).trim_end().to_owned()
    }

    /// The same, when it went well.
    #[track_caller]
    pub(crate) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let value = serde_json::from_str(&self.out);
        assert!(value.is_ok(), "no JSON: {}", self.out);
        value.unwrap()
    }
}

/// A command in the folder `at`, free of the settings of whoever runs the tests.
pub(crate) fn command(at: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(at).env_clear().env("NO_COLOR", "1").env("LANG", "C");
    // The only thing that is taken over: where temporary files may lie.
    if let Some(folder) = std::env::var_os("TMPDIR") {
        command.env("TMPDIR", folder);
    }
    command
}

/// Runs `mingcha args` in the folder `at`.
pub(crate) fn mingcha(at: &Path, args: &[&str]) -> Told {
    told(command(at, args).output().unwrap())
}

/// What `output` says.
pub(crate) fn told(output: Output) -> Told {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The hidden file by which a folder of lists is known.
pub(crate) const MARKS: &str = ".mingcha-lists.json";

/// Names in `folder`, in order; the record of its lists aside.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != MARKS)
        .collect();
    names.sort();
    names
}

/// All files below `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out
}
