//! The sentences of this crate's errors that are needed in more than one place. Every one names a file and a
//! next step; none ever holds a value.

use std::any::Any;
use std::fmt::Display;
use std::path::Path;

use mingcha_rules::Diagnostic;

use crate::discover::Found;

/// The store or one of its files cannot be written; a full disk is told apart.
pub(crate) fn cannot_write(path: &Path, cause: &dyn Display) -> Diagnostic {
    let cause = cause.to_string();
    let full =
        cause.contains("No space left") || cause.contains("StorageFull") || cause.contains("os error 28");
    let out = Diagnostic::error("MC704", format!("无法写入：{cause}"), format!("cannot write: {cause}"))
        .in_file(path.display());
    if full {
        out.with_help(
            "磁盘已满；清理空间或换一个位置后重试，未完成的内容已删除",
            "the disk is full; make room or choose another place and start again, the unfinished part was removed",
        )
    } else {
        out.with_help("检查目录权限和磁盘", "check the rights of the folder and the disk")
    }
}

/// An extract cannot be read as what it claims to be.
pub(crate) fn cannot_read(file: &str, wanted: (&str, &str), cause: &dyn Display) -> Diagnostic {
    Diagnostic::error(
        "MC620",
        format!("应为{}，但无法读取（可能被截断或损坏）：{cause}", wanted.0),
        format!("wanted {}, got something that cannot be read (cut short or damaged?): {cause}", wanted.1),
    )
    .in_file(file)
    .with_help("请发送方重新导出并核对文件大小", "have it exported again and compare the sizes")
}

/// A reader broke on a file.
pub(crate) fn reader_broke(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC620",
        "文件损坏，读取程序无法继续",
        "the file is damaged in a way that the reader did not survive",
    )
    .in_file(file)
    .with_help("请发送方重新导出并核对文件大小", "have it exported again and compare the sizes")
}

/// Runs `work`; a panic inside a reader becomes a refusal of the file.
pub(crate) fn guarded<T>(file: &str, work: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
    let caught: Result<_, Box<dyn Any + Send>> = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err(reader_broke(file)))
}

/// The lines of `mingcha.toml` that say how to read a file.
pub(crate) fn source_lines(found: &Found, sheet: Option<&str>, header_row: u64) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = format!("[[sources]]\npath = {}", quoted(&found.name));
    if let Some(dataset) = &found.mapping.dataset {
        out.push_str(&format!("\ndataset = {}", quoted(dataset)));
    }
    if let Some(sheet) = sheet {
        out.push_str(&format!("\nsheet = {}", quoted(sheet)));
    }
    if header_row > 1 {
        out.push_str(&format!("\nheader_row = {header_row}"));
    }
    out
}

/// The headings stand below the first row; `sheet` where one is to be named.
pub(crate) fn later_headings(found: &Found, sheet: Option<&str>, row: u64) -> Diagnostic {
    let lines = source_lines(found, sheet, row);
    Diagnostic::error(
        "MC639",
        format!("第 1 行应为表头，实际表头在第 {row} 行"),
        format!("wanted the headings in row 1, got them in row {row}"),
    )
    .in_file(&found.name)
    .with_help(
        format!("删去上面的行，或在 mingcha.toml 中写明：\n{lines}"),
        format!("remove the rows above, or say it in mingcha.toml:\n{lines}"),
    )
}

/// The work was called off.
pub(crate) fn cancelled() -> Diagnostic {
    Diagnostic::error("MC646", "已取消，未留下任何结果", "cancelled, nothing was left behind")
}

/// A contract says something that cannot be done.
pub(crate) fn bad_contract(dataset: &str, zh: &str, en: &str) -> Diagnostic {
    Diagnostic::error(
        "MC644",
        format!("数据集 {dataset} 的约定：{zh}"),
        format!("contract of {dataset}: {en}"),
    )
}

/// A store file is missing or damaged.
pub(crate) fn damaged(path: &Path, cause: &dyn Display) -> Diagnostic {
    Diagnostic::error(
        "MC705",
        format!("数据仓文件缺失或损坏：{cause}"),
        format!("a file of the store is missing or damaged: {cause}"),
    )
    .in_file(path.display())
    .with_help("重新执行 mingcha prepare", "run `mingcha prepare` again")
}

/// The name in `known` that is nearest to `name`, if any is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&name, &k.to_lowercase()), k))
        .filter(|(score, _)| *score >= 0.82)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = cannot_write(Path::new("store"), &std::io::Error::from_raw_os_error(28));
        assert!(full.help.is_some_and(|h| h.en.contains("full")));
        let other = cannot_write(Path::new("store"), &std::io::Error::from_raw_os_error(13));
        assert!(other.help.is_some_and(|h| !h.en.contains("full")));
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(
            nearest("pension_payment", ["pension_payments", "pension_payees"]),
            Some("pension_payments")
        );
        assert_eq!(nearest("zebra", ["pension_payments", "cremations"]), None);
    }
}
