//! Parquet with the field names of the contracts, in one plain style and in the styles of other writers:
//! other text arrays, dates as timestamps or text, small row groups, with and without dictionaries.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, LargeStringBuilder,
    RecordBatch, StringBuilder, StringViewBuilder, TimestampMicrosecondBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;

use crate::SynthError;
use crate::records::{Cell, Kind, Record};

use super::text;

#[derive(Debug, Clone, Copy)]
enum TextAs {
    Utf8,
    LargeUtf8,
    Utf8View,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateAs {
    Date32,
    Timestamp,
    Text,
}

/// How a Parquet file is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    text: TextAs,
    date: DateAs,
    moment_as_text: bool,
    /// Spelling of months and of what is written as text; see [`text`].
    turn: u64,
    dictionary: bool,
    row_group: usize,
    compression: Compression,
}

impl Style {
    /// What most writers do.
    pub(crate) const PLAIN: Self = Self {
        text: TextAs::Utf8,
        date: DateAs::Date32,
        moment_as_text: false,
        turn: 0,
        dictionary: true,
        row_group: 131_072,
        compression: Compression::SNAPPY,
    };

    /// What some writer does: another one for each dataset.
    pub(crate) fn variant(index: usize) -> Self {
        Self {
            text: [TextAs::LargeUtf8, TextAs::Utf8View, TextAs::Utf8][index % 3],
            date: [DateAs::Text, DateAs::Timestamp, DateAs::Date32, DateAs::Timestamp][index % 4],
            moment_as_text: index % 5 == 1,
            turn: index as u64,
            dictionary: index % 2 == 1,
            row_group: [1_000, 7_777, 333][index % 3],
            compression: [Compression::UNCOMPRESSED, Compression::SNAPPY][index % 2],
        }
    }

    fn properties(self) -> WriterProperties {
        let builder = WriterProperties::builder()
            .set_created_by("mingcha-synth".to_owned())
            .set_compression(self.compression)
            .set_dictionary_enabled(self.dictionary)
            .set_max_row_group_row_count(Some(self.row_group));
        if self.dictionary { builder } else { builder.set_encoding(Encoding::PLAIN) }.build()
    }

    fn column(self, kind: Kind) -> Builder {
        let text = || match self.text {
            TextAs::Utf8 => Builder::Utf8(StringBuilder::new()),
            TextAs::LargeUtf8 => Builder::LargeUtf8(LargeStringBuilder::new()),
            TextAs::Utf8View => Builder::Utf8View(StringViewBuilder::new()),
        };
        match kind {
            Kind::Text | Kind::Month => text(),
            Kind::Date => match self.date {
                DateAs::Date32 => Builder::Date(Date32Builder::new()),
                DateAs::Timestamp => Builder::Millis(TimestampMillisecondBuilder::new()),
                DateAs::Text => text(),
            },
            Kind::Moment if self.moment_as_text => text(),
            Kind::Moment => Builder::Micros(TimestampMicrosecondBuilder::new()),
            Kind::Money => {
                Builder::Money(Decimal128Builder::new().with_data_type(DataType::Decimal128(14, 2)))
            }
            Kind::Int => Builder::Int(Int64Builder::new()),
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
        }
    }
}

enum Builder {
    Utf8(StringBuilder),
    LargeUtf8(LargeStringBuilder),
    Utf8View(StringViewBuilder),
    Date(Date32Builder),
    Millis(TimestampMillisecondBuilder),
    Micros(TimestampMicrosecondBuilder),
    Money(Decimal128Builder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
}

impl Builder {
    fn data_type(&self) -> DataType {
        match self {
            Self::Utf8(_) => DataType::Utf8,
            Self::LargeUtf8(_) => DataType::LargeUtf8,
            Self::Utf8View(_) => DataType::Utf8View,
            Self::Date(_) => DataType::Date32,
            Self::Millis(_) => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Micros(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Money(_) => DataType::Decimal128(14, 2),
            Self::Int(_) => DataType::Int64,
            Self::Bool(_) => DataType::Boolean,
        }
    }

    fn push(&mut self, cell: Cell<'_>, turn: u64, buffer: &mut String) {
        match (self, cell) {
            (Self::Date(b), Cell::Date(value)) => b.append_option(value.map(days)),
            (Self::Millis(b), Cell::Date(value)) => {
                b.append_option(value.map(|v| i64::from(days(v)) * 86_400_000))
            }
            (Self::Micros(b), Cell::Moment(value)) => b.append_option(value.map(micros)),
            (Self::Money(b), Cell::Money(value)) => b.append_option(value.map(|v| i128::from(v.0))),
            (Self::Int(b), Cell::Int(value)) => b.append_option(value),
            (Self::Bool(b), Cell::Bool(value)) => b.append_value(value),
            (text, Cell::Text(value)) => text.push_text(value),
            (text, other) => {
                buffer.clear();
                text::write(other, turn, buffer);
                text.push_text(buffer);
            }
        }
    }

    /// Empty text is absent.
    fn push_text(&mut self, value: &str) {
        let value = (!value.is_empty()).then_some(value);
        match self {
            Self::Utf8(b) => b.append_option(value),
            Self::LargeUtf8(b) => b.append_option(value),
            Self::Utf8View(b) => b.append_option(value),
            // A column that is not text is only ever handed its own kind.
            Self::Date(b) => b.append_null(),
            Self::Millis(b) => b.append_null(),
            Self::Micros(b) => b.append_null(),
            Self::Money(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Bool(b) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Utf8(b) => Arc::new(b.finish()),
            Self::LargeUtf8(b) => Arc::new(b.finish()),
            Self::Utf8View(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Millis(b) => Arc::new(b.finish()),
            Self::Micros(b) => Arc::new(b.finish()),
            Self::Money(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Bool(b) => Arc::new(b.finish()),
        }
    }
}

/// A Parquet file being written.
pub(crate) struct ParquetFile {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    columns: Vec<Builder>,
    style: Style,
}

impl ParquetFile {
    pub(crate) fn create<R: Record>(path: &Path, style: Style) -> Result<Self, SynthError> {
        let columns: Vec<Builder> = R::COLUMNS.iter().map(|c| style.column(c.kind)).collect();
        let fields = R::COLUMNS.iter().zip(&columns).map(|(c, b)| Field::new(c.name, b.data_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let file = File::create(path).map_err(|e| SynthError::io(path, e))?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(style.properties()))?;
        Ok(Self { writer, schema, columns, style })
    }

    pub(crate) fn append<R: Record>(&mut self, rows: &[R]) -> Result<(), SynthError> {
        let mut buffer = String::new();
        let (columns, turn) = (&mut self.columns, self.style.turn);
        for row in rows {
            row.cells(|column, cell| columns[column].push(cell, turn, &mut buffer));
        }
        let arrays = self.columns.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)?;
        Ok(self.writer.write(&batch)?)
    }

    pub(crate) fn finish(self) -> Result<(), SynthError> {
        self.writer.close()?;
        Ok(())
    }
}

fn days(date: NaiveDate) -> i32 {
    (date - NaiveDate::default()).num_days() as i32
}

fn micros(at: NaiveDateTime) -> i64 {
    at.and_utc().timestamp_micros()
}
