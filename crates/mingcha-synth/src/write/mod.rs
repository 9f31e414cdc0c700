//! Puts rows into files: which dataset goes into which format, and into how many files. Knows formats;
//! knows nothing of what the rows mean.

mod csv;
mod parquet;
mod text;
mod xlsx;

use std::path::{Path, PathBuf};

use crate::records::{Record, Rows, Visitor};
use crate::{CityFormat, SynthError};

use self::csv::{CsvFile, Encoding};
use self::parquet::{ParquetFile, Style};
use self::xlsx::XlsxFile;

/// The format of one dataset.
#[derive(Debug, Clone, Copy)]
enum FileFormat {
    Parquet(Style),
    Csv(Encoding),
    Xlsx,
}

impl FileFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Parquet(_) => "parquet",
            Self::Csv(_) => "csv",
            Self::Xlsx => "xlsx",
        }
    }
}

/// The format of a dataset in a city, and the number of its files.
fn shape(city: CityFormat, index: usize, dataset: &str) -> (FileFormat, usize) {
    match city {
        CityFormat::Mixed => match dataset {
            "cremations" => (FileFormat::Csv(Encoding::Gb18030), 1),
            "pension_refunds" => (FileFormat::Csv(Encoding::Utf8Bom), 1),
            "prison_custody" => (FileFormat::Xlsx, 1),
            "pension_payments" => (FileFormat::Parquet(Style::PLAIN), 3),
            _ => (FileFormat::Parquet(Style::PLAIN), 1),
        },
        CityFormat::Parquet => (FileFormat::Parquet(Style::PLAIN), 1),
        CityFormat::ParquetVariant => (FileFormat::Parquet(Style::variant(index)), 2 + index % 2),
        CityFormat::CsvUtf8 if index.is_multiple_of(2) => (FileFormat::Csv(Encoding::Utf8), 1),
        CityFormat::CsvUtf8 => (FileFormat::Csv(Encoding::Utf8Bom), 1),
        CityFormat::CsvGb18030 => (FileFormat::Csv(Encoding::Gb18030), 1),
        CityFormat::Xlsx => (FileFormat::Xlsx, 1),
    }
}

/// One file being written.
enum Part {
    Parquet(Box<ParquetFile>),
    Csv(CsvFile),
    Xlsx(Box<XlsxFile>),
}

/// The files of one dataset.
pub(crate) struct TableWriter {
    index: usize,
    format: FileFormat,
    paths: Vec<PathBuf>,
    /// Opened when the first row comes.
    parts: Vec<Option<Part>>,
    dirt: bool,
    rows: u64,
}

impl TableWriter {
    pub(crate) fn new(
        city: CityFormat,
        index: usize,
        dataset: &str,
        out: &Path,
        dirt: bool,
    ) -> Result<Self, SynthError> {
        let (format, count) = shape(city, index, dataset);
        let extension = format.extension();
        let paths = if count == 1 {
            vec![out.join(format!("{dataset}.{extension}"))]
        } else {
            let folder = out.join(dataset);
            std::fs::create_dir_all(&folder).map_err(|e| SynthError::io(&folder, e))?;
            (1..=count).map(|n| folder.join(format!("part-{n}.{extension}"))).collect()
        };
        let parts = paths.iter().map(|_| None).collect();
        Ok(Self { index, format, paths, parts, dirt, rows: 0 })
    }

    /// Adds the rows of this dataset out of a chunk, divided among the files.
    pub(crate) fn append(&mut self, rows: &Rows) -> Result<(), SynthError> {
        let index = self.index;
        rows.visit(index, &mut Append { table: self }).unwrap_or(Ok(()))
    }

    fn append_rows<R: Record>(&mut self, rows: &[R]) -> Result<(), SynthError> {
        self.rows += rows.len() as u64;
        let files = self.paths.len();
        for file in 0..files {
            let share = &rows[rows.len() * file / files..rows.len() * (file + 1) / files];
            // A dataset without rows is still one file with its headings; more empty files would be equal.
            if share.is_empty() && self.parts.iter().any(Option::is_some) {
                continue;
            }
            if self.parts[file].is_none() {
                self.parts[file] = Some(self.open::<R>(&self.paths[file])?);
            }
            match &mut self.parts[file] {
                Some(Part::Parquet(part)) => part.append(share)?,
                Some(Part::Csv(part)) => part.append(share)?,
                Some(Part::Xlsx(part)) => part.append(share)?,
                None => {}
            }
        }
        Ok(())
    }

    fn open<R: Record>(&self, path: &Path) -> Result<Part, SynthError> {
        Ok(match self.format {
            FileFormat::Parquet(style) => Part::Parquet(Box::new(ParquetFile::create::<R>(path, style)?)),
            FileFormat::Csv(encoding) => Part::Csv(CsvFile::create::<R>(path, encoding, self.dirt)?),
            FileFormat::Xlsx => Part::Xlsx(Box::new(XlsxFile::create::<R>(path, self.dirt)?)),
        })
    }

    /// Closes the files and tells how many rows they hold.
    pub(crate) fn finish(self) -> Result<u64, SynthError> {
        for part in self.parts.into_iter().flatten() {
            match part {
                Part::Parquet(file) => file.finish()?,
                Part::Csv(file) => file.finish()?,
                Part::Xlsx(file) => file.finish()?,
            }
        }
        Ok(self.rows)
    }
}

struct Append<'a> {
    table: &'a mut TableWriter,
}

impl Visitor for Append<'_> {
    type Output = Result<(), SynthError>;

    fn visit<R: Record>(&mut self, rows: &[R]) -> Self::Output {
        self.table.append_rows(rows)
    }
}
