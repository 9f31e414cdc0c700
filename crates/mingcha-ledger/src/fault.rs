//! Failures of the disk and of the file formats as diagnostics, in both languages. Knows no finding; never
//! puts a value of a row into a message.

use std::io;
use std::path::Path;

use mingcha_rules::Diagnostic;

/// The disk refused `doing` on `path`.
pub(crate) fn disk(code: &str, doing: (&str, &str), path: &Path, error: &io::Error) -> Diagnostic {
    let why = match error.kind() {
        io::ErrorKind::NotFound => ("文件或文件夹不存在".to_owned(), "no such file or folder".to_owned()),
        io::ErrorKind::PermissionDenied => ("没有权限".to_owned(), "permission denied".to_owned()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("磁盘已满".to_owned(), "the disk is full".to_owned())
        }
        io::ErrorKind::ReadOnlyFilesystem => ("磁盘为只读".to_owned(), "the disk is read-only".to_owned()),
        _ => (format!("系统报告“{error}”"), format!("the system says \"{error}\"")),
    };
    let fault = Diagnostic::error(
        code,
        format!("{}失败：{}", doing.0, why.0),
        format!("could not {}: {}", doing.1, why.1),
    )
    .in_file(path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => fault.with_help(
            "腾出空间，或换一个输出位置后重试",
            "free some space or choose another place, then try again",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => fault.with_help(
            "换一个可写的位置，或请管理员授权",
            "choose a place you may write to, or ask for the right",
        ),
        _ => fault,
    }
}

/// A file of ours cannot be read as what it should be.
pub(crate) fn unreadable(path: &Path, detail: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(
        "MC806",
        format!("应为本程序写出的文件，但无法读取：{detail}"),
        format!("wanted a file written by this program, but it cannot be read: {detail}"),
    )
    .in_file(path.display())
}

/// A file format's library failed while `path` was written.
pub(crate) fn unwritable(path: &Path, detail: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error("MC811", format!("写文件失败：{detail}"), format!("could not write the file: {detail}"))
        .in_file(path.display())
        .with_help("检查剩余空间和写权限后重试", "check free space and rights, then try again")
}
