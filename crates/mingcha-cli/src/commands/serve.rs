//! `mingcha serve --schedule`: nights in one process, by the schedule of `mingcha.toml`. Looks at the clock every second
//! instead of sleeping until the night, so that a machine that slept or a clock that was set is no reason to miss one.
//! A night that fails is tried again later; the process goes on.

use std::time::{Duration, Instant};

use mingcha_rules::diagnostic::Diagnostic;

use super::Context;
use super::nightly::{Office, Plan};
use crate::args::{Desk, Format, Serve};
use crate::exit::{Exit, Failure, Outcome};

/// Between two tries of a night that failed.
const AGAIN: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(context: &Context, args: &Serve) -> Outcome {
    let plan = Plan::read(context)?;
    let desk = Desk { ledger: None, who: None, at: None };
    let mut tried: Option<Instant> = None;
    let mut said = String::new();
    loop {
        let now = plan.moment(None);
        let next = plan.schedule.next(now).ok_or_else(unscheduled)?.to_rfc3339();
        // A night that failed is not tried every second.
        if said != next || tried.is_some_and(|tried| tried.elapsed() >= AGAIN) {
            let office = Office {
                context,
                plan: &plan,
                packs: &args.packs,
                power: &args.power,
                desk: &desk,
                format: Format::Human,
                now,
            };
            tried = match office.night(false, None) {
                Ok(_) => None,
                Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
                Err(failure) => {
                    context.screen.diagnostics(&failure.diagnostics);
                    Some(Instant::now())
                }
            };
            said = next;
        }
        if context.interrupt.check().is_err() {
            // Between two nights there is nothing to interrupt.
            return Ok(Exit::Done);
        }
        std::thread::sleep(LOOK);
    }
}

fn unscheduled() -> Failure {
    Failure::usage(
        Diagnostic::error(
            "MC906",
            "`serve --schedule` 需要 `nightly.schedule`，但没有设置",
            "`serve --schedule` needs `nightly.schedule`, but it is not set",
        )
        .with_help(
            "在 mingcha.toml 的 [nightly] 中写明，例如 schedule = \"30 2 * * *\"",
            "set it under [nightly] in mingcha.toml, such as schedule = \"30 2 * * *\"",
        ),
    )
}
