//! Ctrl-C and SIGTERM: the first asks everything to stop and tidy up, the second ends at once. Knows nothing
//! of what is being done; whoever works looks at the flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mingcha_rules::diagnostic::Diagnostic;

use crate::exit::{Exit, Failure};

/// Whether the user asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. Where signals cannot be had, nothing ever stops.
    pub(crate) fn listen() -> Self {
        let interrupt = Self::default();
        let flag = Arc::clone(&interrupt.0);
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || wait(&flag));
        interrupt
    }

    /// The flag itself, for libraries that poll it.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// A failure if the user asked to stop.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
    }
}

fn stopped() -> Failure {
    Failure::new(
        Exit::Interrupted,
        Diagnostic::warning(
            "MC084",
            "已中断，没有留下未完成的结果",
            "interrupted; nothing unfinished is left behind",
        ),
    )
}

fn wait(flag: &AtomicBool) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        while signal().await {
            if flag.swap(true, Ordering::Relaxed) {
                leave();
            }
        }
    });
}

#[cfg(unix)]
async fn signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        caught = tokio::signal::ctrl_c() => caught.is_ok(),
        caught = term.recv() => caught.is_some(),
    }
}

#[cfg(not(unix))]
async fn signal() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

#[expect(clippy::exit, reason = "the second Ctrl-C means now; temporary folders are left to the next run")]
fn leave() {
    std::process::exit(i32::from(Exit::Interrupted.code()));
}
