//! The `mingcha` command: arguments, wiring, rendering, exit codes. What is computed is computed elsewhere.

mod args;
mod commands;
mod config;
mod exit;
mod interrupt;
mod lock;
mod packs;
mod progress;
mod render;
mod truth;

fn main() -> std::process::ExitCode {
    let raw: Vec<_> = std::env::args_os().collect();
    commands::main(&raw).code().into()
}
