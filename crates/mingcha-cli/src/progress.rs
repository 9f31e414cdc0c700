//! Bars on stderr for a person at a terminal: rows per second and the time left while extracts are read, one
//! line per rule while rules run. Silent otherwise. Also the place where a running task learns that the user
//! wants it to stop.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::{Outcome, OutcomeKind};
use mingcha_rules::text::{Lang, Text, printable};

use crate::commands::{self, Context};
use crate::render;

/// Below so many units they are files or rules, and units per second say nothing.
const FEW: u64 = 1_000;

/// What is shown while something takes its time.
pub(crate) struct Bars {
    lang: Lang,
    visible: bool,
    stop: Arc<std::sync::atomic::AtomicBool>,
    bar: Mutex<Option<ProgressBar>>,
    remarks: Mutex<Vec<Diagnostic>>,
}

impl Bars {
    /// Bars for `context`; they stay hidden unless `visible`.
    pub(crate) fn new(context: &Context, visible: bool) -> Self {
        Self {
            lang: context.screen.lang,
            visible,
            stop: context.interrupt.flag(),
            bar: Mutex::default(),
            remarks: Mutex::default(),
        }
    }

    fn start(&self, what: String, total: Option<u64>) {
        let template = match (total, self.lang) {
            (Some(n), _) if n < FEW => "{msg} {bar:20} {human_pos}/{human_len}",
            (Some(_), Lang::Zh) => "{msg} {bar:20} {human_pos}/{human_len}  {rate}  剩余 {eta}",
            (Some(_), Lang::En) => "{msg} {bar:20} {human_pos}/{human_len}  {rate}  {eta} left",
            (None, _) => "{msg} {spinner} {human_pos}  {rate}",
        };
        self.draw(what, total, template);
    }

    fn draw(&self, what: String, total: Option<u64>, template: &str) {
        if !self.visible {
            return;
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no reason to stop.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_message(printable(&what).into_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.put(Some(bar));
    }

    /// Where the writing of a city is.
    pub(crate) fn city(&self, stage: &str, done: u64, total: u64) {
        let (zh, en) = match stage {
            "census" => ("生成人口", "census"),
            "cases" => ("埋设案例", "planting cases"),
            "population" => ("生成生活轨迹", "lives"),
            _ => ("写文件", "writing files"),
        };
        let what = if self.lang == Lang::Zh { zh } else { en };
        let begun = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(|bar| bar.message() == what);
        if !begun {
            self.start(what.to_owned(), Some(total));
        }
        self.with(|bar| bar.set_position(done));
    }

    fn put(&self, bar: Option<ProgressBar>) {
        let mut slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = slot.take() {
            old.finish_and_clear();
        }
        *slot = bar;
    }

    fn with(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            act(bar);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What there was to remark since the last call.
    pub(crate) fn remarks(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.put(None);
    }
}

impl mingcha_intake::Progress for Bars {
    fn begin(&self, stage: Text, total: Option<u64>) {
        self.start(stage.get(self.lang).to_owned(), total);
    }

    fn advance(&self, n: u64) {
        self.with(|bar| bar.inc(n));
    }

    fn end(&self) {
        self.clear();
    }

    fn cancelled(&self) -> bool {
        self.stopped()
    }
}

impl mingcha_engine::RunProgress for Bars {
    fn begin(&self, units: u64) {
        // Units of work mean nothing to a reader: the share does.
        let (what, template) = match self.lang {
            Lang::Zh => ("运行规则", "{msg} {bar:20} {percent}%  剩余 {eta}"),
            Lang::En => ("running rules", "{msg} {bar:20} {percent}%  {eta} left"),
        };
        self.draw(what.to_owned(), Some(units), template);
    }

    fn resumed(&self, parts: usize, of: usize, units: u64) {
        self.with(|bar| {
            bar.println(commands::resumed(self.lang, parts, of));
            // What was done before says nothing about the time that the rest takes.
            bar.inc(units);
            bar.reset_eta();
        });
    }

    fn remark(&self, remark: &Diagnostic) {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).push(remark.clone());
    }

    fn advance(&self, units: u64) {
        self.with(|bar| bar.inc(units));
    }

    fn rule_done(&self, outcome: &Outcome) {
        self.with(|bar| bar.println(printable(&rule_line(outcome, self.lang))));
    }

    fn cancelled(&self) -> bool {
        self.stopped()
    }
}

/// `PEN-01  有线索  12  0.3 s`
fn rule_line(outcome: &Outcome, lang: Lang) -> String {
    let mark = match outcome.outcome {
        OutcomeKind::Found | OutcomeKind::Clean => "✓",
        OutcomeKind::Failed => "✗",
        OutcomeKind::Held | OutcomeKind::NotEvaluated => "–",
    };
    let kind = commands::outcome_word(outcome.outcome, lang);
    format!(
        "{mark} {:<7} {kind}  {}  {:.1} s",
        outcome.rule_id,
        render::count(outcome.findings),
        outcome.seconds
    )
}
