//! Runs: typed batches and rejects, laid down between the two passes so that a file larger than memory works.
//! They live in the unfinished store and are gone when it is finished. Knows nothing of what is in them.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use mingcha_files::private;
use mingcha_rules::Diagnostic;

use crate::fault;

const BUFFER: usize = 1 << 18;

/// A run that is being written.
pub(crate) struct RunWriter {
    path: PathBuf,
    writer: StreamWriter<BufWriter<File>>,
    rows: u64,
}

/// A run that is complete.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    path: PathBuf,
    /// Rows.
    pub(crate) rows: u64,
    /// Length on disk, which is about its length in memory.
    pub(crate) bytes: u64,
}

impl RunWriter {
    /// Begins a run.
    pub(crate) fn create(path: PathBuf, schema: &SchemaRef) -> Result<Self, Diagnostic> {
        let file = private::file(&path).map_err(|e| fault::cannot_write(&path, &e))?;
        let writer = StreamWriter::try_new(BufWriter::with_capacity(BUFFER, file), schema)
            .map_err(|e| fault::cannot_write(&path, &e))?;
        Ok(Self { path, writer, rows: 0 })
    }

    /// Adds a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Diagnostic> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|e| fault::cannot_write(&self.path, &e))
    }

    /// Ends the run.
    pub(crate) fn finish(mut self) -> Result<Run, Diagnostic> {
        let path = self.path;
        let failed = |e: &dyn std::fmt::Display| fault::cannot_write(&path, e);
        self.writer.finish().map_err(|e| failed(&e))?;
        let mut buffer = self.writer.into_inner().map_err(|e| failed(&e))?;
        buffer.flush().map_err(|e| failed(&e))?;
        let bytes = buffer.get_ref().metadata().map_err(|e| failed(&e))?.len();
        Ok(Run { rows: self.rows, bytes, path })
    }
}

impl Run {
    /// Hands out the batches in order, all columns or those at these places.
    pub(crate) fn each(
        &self,
        columns: Option<Vec<usize>>,
        mut each: impl FnMut(RecordBatch) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let failed = |e: &dyn std::fmt::Display| fault::damaged(&self.path, e);
        let file = File::open(&self.path).map_err(|e| failed(&e))?;
        let reader =
            StreamReader::try_new(BufReader::with_capacity(BUFFER, file), columns).map_err(|e| failed(&e))?;
        for batch in reader {
            each(batch.map_err(|e| failed(&e))?)?;
        }
        Ok(())
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
