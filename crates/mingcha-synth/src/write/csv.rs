//! CSV with Chinese headings, in UTF-8 with or without a mark, or in GB18030.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::SynthError;
use crate::records::Record;

use super::text;

/// How the text of a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf8Bom,
    Gb18030,
}

/// A CSV file being written.
pub(crate) struct CsvFile {
    path: PathBuf,
    file: BufWriter<File>,
    encoding: Encoding,
    dirt: bool,
    rows: u64,
}

impl CsvFile {
    pub(crate) fn create<R: Record>(path: &Path, encoding: Encoding, dirt: bool) -> Result<Self, SynthError> {
        let file = File::create(path).map_err(|e| SynthError::io(path, e))?;
        let mut file = Self { path: path.to_owned(), file: BufWriter::new(file), encoding, dirt, rows: 0 };
        if encoding == Encoding::Utf8Bom {
            file.bytes(b"\xEF\xBB\xBF")?;
        }
        let mut lines = csv::Writer::from_writer(Vec::new());
        lines.write_record(R::COLUMNS.iter().map(|c| c.heading))?;
        file.lines(lines)?;
        Ok(file)
    }

    pub(crate) fn append<R: Record>(&mut self, rows: &[R]) -> Result<(), SynthError> {
        let mut lines = csv::Writer::from_writer(Vec::new());
        let mut fields = vec![String::new(); R::COLUMNS.len()];
        for row in rows {
            let turn = if self.dirt { self.rows } else { 0 };
            row.cells(|column, cell| {
                fields[column].clear();
                text::write(cell, turn, &mut fields[column]);
            });
            lines.write_record(&fields)?;
            self.rows += 1;
        }
        self.lines(lines)
    }

    fn lines(&mut self, lines: csv::Writer<Vec<u8>>) -> Result<(), SynthError> {
        let bytes = lines.into_inner().map_err(|e| SynthError::io(&self.path, e.into_error()))?;
        if self.encoding != Encoding::Gb18030 {
            return self.bytes(&bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let (encoded, _, unmappable) = encoding_rs::GB18030.encode(&text);
        if unmappable {
            return Err(SynthError::Encoding { path: self.path.clone() });
        }
        self.bytes(&encoded)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), SynthError> {
        self.file.write_all(bytes).map_err(|e| SynthError::io(&self.path, e))
    }

    pub(crate) fn finish(mut self) -> Result<(), SynthError> {
        self.file.flush().map_err(|e| SynthError::io(&self.path, e))
    }
}
