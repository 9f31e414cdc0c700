//! The only place that opens a DataFusion session. What a rule can reach is decided here: the functions of
//! [`crate::functions`], the tables that [`crate::plan`] registers, no files, no URLs, no settings.
//!
//! The settings are those of the night profile (`design.md` 4): dynamic filters off, hash joins, one
//! partition, no session time zone, decimals for literals with a point.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, PeakRecordingPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions;

/// What one worker may use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget {
    /// Bytes of the worker's pool; absent: unlimited.
    pub memory: Option<usize>,
    /// Folder for spills; absent: the system's.
    pub spill_dir: Option<std::path::PathBuf>,
}

/// A session and its memory meter.
pub(crate) struct Session {
    pub ctx: SessionContext,
    pub pool: Arc<dyn MemoryPool>,
}

impl Session {
    /// Greatest number of bytes reserved since the last call.
    pub(crate) fn take_peak(&self) -> u64 {
        let Some(meter) = PeakRecordingPool::from_pool(self.pool.as_ref()) else { return 0 };
        let peak = meter.peak_reserved();
        meter.reset_peak();
        u64::try_from(peak).unwrap_or(u64::MAX)
    }
}

/// Opens a session with one partition.
pub(crate) fn open(budget: &Budget) -> Result<Session> {
    let inner: Arc<dyn MemoryPool> = match budget.memory {
        Some(bytes) => Arc::new(FairSpillPool::new(bytes)),
        None => Arc::new(UnboundedMemoryPool::default()),
    };
    let pool: Arc<dyn MemoryPool> = Arc::new(PeakRecordingPool::new(inner));
    let mut runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool));
    if let Some(dir) = budget.spill_dir.as_deref().map(Path::to_path_buf) {
        runtime = runtime.with_temp_file_path(dir);
    }
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config())
        .with_runtime_env(runtime.build_arc()?)
        .build();
    let allowed = |name: &str| functions::ALLOWED.contains(&name);
    let mut scalars: Vec<_> = state
        .scalar_functions()
        .iter()
        .filter(|(name, _)| allowed(name))
        .map(|(_, f)| Arc::clone(f))
        .collect();
    scalars.sort_by(|a, b| a.name().cmp(b.name()));
    scalars.dedup_by(|a, b| a.name() == b.name());
    scalars.extend(functions::ours());
    // One count(DISTINCT) beside a decimal sum fails under this rewrite on some data; the plain form does not.
    let rules = state
        .optimizer()
        .rules
        .iter()
        .filter(|r| r.name() != "single_distinct_aggregation_to_group_by")
        .cloned()
        .collect();
    let state = SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(rules)
        .with_scalar_functions(scalars)
        .with_table_functions(HashMap::new())
        .build();
    #[expect(clippy::disallowed_methods, reason = "the one place that opens sessions")]
    let ctx = SessionContext::new_with_state(state);
    Ok(Session { ctx, pool })
}

fn config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(true);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.skip_failed_rules = false;
    options.optimizer.prefer_hash_join = true;
    // Persons of a shard are a dense range: joins on them go through an array instead of a hash table.
    options.execution.perfect_hash_join_small_build_threshold = 1 << 18;
    config
}
