//! What the operators of this folder have in common: they take in all rows of a shard, work, and hand the
//! result on in batches of the usual size.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use crate::tables::slices;

/// All rows of `input` as one batch, on the books of the memory pool.
pub(super) async fn whole(
    mut input: SendableRecordBatchStream,
    reservation: &mut MemoryReservation,
) -> Result<RecordBatch> {
    let schema = input.schema();
    let mut batches = Vec::new();
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            // Slices of one batch share its memory; only what the rows themselves take is counted.
            reservation.try_grow(own_size(&batch))?;
            batches.push(batch);
        }
    }
    match batches.len() {
        1 => Ok(batches.swap_remove(0)),
        _ => Ok(concat_batches(&schema, &batches)?),
    }
}

/// Bytes of the rows themselves: slices of one batch share its buffers.
pub(super) fn own_size(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|c| c.data_type().primitive_width().unwrap_or(16) * c.len()).sum()
}

/// Runs `work` over all rows of `input`, and streams what it gives in batches of the usual size.
pub(super) fn run<W>(
    name: &'static str,
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    context: &TaskContext,
    work: W,
) -> SendableRecordBatchStream
where
    W: FnOnce(RecordBatch) -> Result<RecordBatch> + Send + 'static,
{
    let mut reservation = MemoryConsumer::new(name).register(context.memory_pool());
    let done = async move {
        let batch = work(whole(input, &mut reservation).await?)?;
        // The reservation lives as long as the batches that are handed on.
        let pieces = slices(batch).map(move |piece| {
            let _held = &reservation;
            Ok(piece)
        });
        Ok::<_, DataFusionError>(stream::iter(pieces))
    };
    Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(done).try_flatten()))
}

/// Properties of an operator that gives its rows at the end; `keeps_order_of`: the input, where its rows come
/// out in its own order and its columns come first.
pub(super) fn properties(
    schema: &SchemaRef,
    keeps_order_of: Option<&Arc<dyn ExecutionPlan>>,
    input: &Arc<dyn ExecutionPlan>,
) -> Arc<PlanProperties> {
    let ordering = keeps_order_of.and_then(|i| i.properties().output_ordering().cloned());
    let equivalence = EquivalenceProperties::new_with_orderings(Arc::clone(schema), ordering);
    Arc::new(PlanProperties::new(
        equivalence,
        input.properties().output_partitioning().clone(),
        EmissionType::Final,
        input.properties().boundedness,
    ))
}
