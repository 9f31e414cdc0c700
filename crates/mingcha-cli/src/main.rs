//! The `mingcha` command: arguments, wiring, rendering, exit codes. What is computed is computed elsewhere.

mod args;
mod blank;
mod clock;
mod commands;
mod config;
mod exit;
mod interrupt;
mod lock;
mod packs;
mod progress;
mod render;
mod truth;

/// Batches are made and let go by the thousand in every shard; the system's allocator spent a fifth of a run on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let raw: Vec<_> = std::env::args_os().collect();
    commands::main(&raw).code().into()
}
