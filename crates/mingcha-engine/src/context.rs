//! The only place that opens a DataFusion session. What a rule can reach is decided here: the functions of
//! [`crate::functions`], the tables that [`crate::plan`] registers, no files, no URLs, no settings.
//!
//! The settings are those of the night profile (`design.md` 4): dynamic filters off, hash joins, one
//! partition, no session time zone, decimals for literals with a point.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, PeakRecordingPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions;
use crate::tables::Scene;

/// What one worker may use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget {
    /// Bytes of the worker's pool; absent: unlimited.
    pub memory: Option<usize>,
    /// Folder for spills; absent: the system's.
    pub spill_dir: Option<std::path::PathBuf>,
}

/// What one worker executes with: its own pool, and a meter on it.
pub(crate) struct Workplace {
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    pool: Arc<dyn MemoryPool>,
}

impl Workplace {
    /// A place to execute plans of `session`, within `budget`.
    pub(crate) fn new(session: &SessionContext, budget: &Budget) -> Result<Self> {
        let inner: Arc<dyn MemoryPool> = match budget.memory {
            Some(bytes) => Arc::new(FairSpillPool::new(bytes)),
            None => Arc::new(UnboundedMemoryPool::default()),
        };
        let pool: Arc<dyn MemoryPool> = Arc::new(PeakRecordingPool::new(inner));
        let mut runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool));
        if let Some(dir) = budget.spill_dir.as_deref().map(Path::to_path_buf) {
            runtime = runtime.with_temp_file_path(dir);
        }
        let mut config = session.copied_config();
        if let Some(bytes) = budget.memory {
            // Every sort sets this much aside before its first row; of a small pool little would be left.
            let execution = &mut config.options_mut().execution;
            execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(bytes / 64);
        }
        Ok(Self { config, runtime: runtime.build_arc()?, pool })
    }

    /// The context of one execution, in which plans find what the tables hold.
    pub(crate) fn execution(&self, scene: Scene) -> Arc<TaskContext> {
        let config = self.config.clone().with_extension(Arc::new(scene));
        Arc::new(TaskContext::default().with_session_config(config).with_runtime(Arc::clone(&self.runtime)))
    }

    /// Greatest number of bytes reserved since the last call.
    pub(crate) fn take_peak(&self) -> u64 {
        let Some(meter) = PeakRecordingPool::from_pool(self.pool.as_ref()) else { return 0 };
        let peak = meter.peak_reserved();
        meter.reset_peak();
        u64::try_from(peak).unwrap_or(u64::MAX)
    }
}

/// Opens a session with one partition. Plans are made with it; they are executed at a [`Workplace`].
pub(crate) fn open() -> SessionContext {
    let state = SessionStateBuilder::new_with_default_features().with_config(config()).build();
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
    // It tells `first_value` and `last_value` that their rows come in order and need not be compared. That holds only as
    // long as nobody puts another operator below; and what is gained is a comparison per row.
    let physical = state.physical_optimizers().iter();
    let physical = physical.filter(|r| r.name() != "OptimizeAggregateOrder").cloned().collect();
    let state = SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(physical)
        .with_scalar_functions(scalars)
        .with_table_functions(HashMap::new())
        .build();
    #[expect(clippy::disallowed_methods, reason = "the one place that opens sessions")]
    SessionContext::new_with_state(state)
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
