//! `mingcha init`: a workspace of one's own, from what the binary carries. Never touches a folder that holds
//! anything.

use std::fs;
use std::path::Path;

use super::Context;
use crate::args::Init;
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::packs;

const CONFIG: &str = include_str!("../../texts/mingcha.toml");
const GUIDE: &str = include_str!("../../texts/guide.md");

pub(super) fn run(context: &Context, args: &Init) -> Outcome {
    super::must_be_empty(&args.dir)?;
    let shipped = packs::shipped();
    for folder in ["extracts", "rules", "datasets"] {
        let path = args.dir.join(folder);
        fs::create_dir_all(&path).map_err(|e| Failure::disk(&path, &e))?;
    }
    write(&args.dir.join(config::FILE), CONFIG)?;
    write(&args.dir.join("GUIDE.md"), GUIDE)?;
    for (path, text) in &shipped {
        write(&args.dir.join(path), text)?;
    }
    let screen = &context.screen;
    let dir = args.dir.display();
    screen.line(screen.say(
        &format!("工作目录已建好：{dir}\n  extracts/     原始数据放这里\n  mingcha.toml  配置\n  rules/        规则，可以修改和增加\n  datasets/     数据契约\n  GUIDE.md      一页指南"),
        &format!("workspace ready: {dir}\n  extracts/     put the extracts here\n  mingcha.toml  configuration\n  rules/        rules, yours to change and to add to\n  datasets/     contracts\n  GUIDE.md      a one-page guide"),
    ));
    screen.line("");
    screen.line(
        screen
            .say(&format!("下一步：cd {dir} && mingcha check"), &format!("next: cd {dir} && mingcha check")),
    );
    Ok(Exit::Done)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(|e| Failure::disk(folder, &e))?;
    }
    fs::write(file, text).map_err(|e| Failure::disk(file, &e))
}
