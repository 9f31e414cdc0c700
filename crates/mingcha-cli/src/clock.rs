//! The clock, read here and nowhere else, and the zone of the office: what time it is, and what day that is. Knows no
//! command; what is written, judged and counted gets its instant or its day from here.

use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, Utc};
use mingcha_ledger::{Instant, Zone};

use crate::config::Config;

/// The zone of the office: `[office] zone`, checked when the configuration was read.
pub(crate) fn zone(config: &Config) -> Zone {
    config.setting("office.zone", None).and_then(|setting| setting.text.parse().ok()).unwrap_or_default()
}

/// What time it is.
pub(crate) fn now() -> Instant {
    Instant::at(DateTime::<Utc>::from(read()))
}

/// Milliseconds since 1970, as robots want them.
pub(crate) fn millis() -> u128 {
    read().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

/// How long ago; a time to come counts as long ago.
pub(crate) fn since(time: SystemTime) -> Duration {
    read().duration_since(time).unwrap_or(Duration::MAX)
}

/// The day in the office on which a file was last changed.
pub(crate) fn changed_on(path: &Path, zone: Zone) -> Option<NaiveDate> {
    let time: SystemTime = path.symlink_metadata().ok()?.modified().ok()?;
    Some(zone.date_of(DateTime::<Utc>::from(time)))
}

#[expect(clippy::disallowed_methods, reason = "the rim: what the office notes as the time, and no rule sees")]
fn read() -> SystemTime {
    SystemTime::now()
}
