//! What a preparation is asked to do. Plain data; where it comes from (flags, `mingcha.toml`) is not known here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::NaiveDate;
use mingcha_rules::Contract;

/// Memory that a preparation may use for rows, unless told otherwise: 1 GiB.
const DEFAULT_MEMORY: u64 = 1 << 30;

/// One preparation.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// The folder with the extracts.
    pub data: PathBuf,
    /// The folder of the store; replaced as a whole when it is a store already.
    pub store: PathBuf,
    /// The contracts of all datasets that may be delivered.
    pub contracts: Vec<Contract>,
    /// What the folder and file names do not say.
    pub mappings: Vec<FileMapping>,
    /// Encoding of text files for which neither a byte-order mark nor a mapping says it; `None`: detected.
    pub encoding: Option<String>,
    /// Extract date of the datasets that do not carry one.
    pub as_of: Option<NaiveDate>,
    /// Number of shards; `None`: one for each million rows.
    pub shards: Option<usize>,
    /// Bytes of rows held at once. The person index comes on top: 8 bytes a person, and up to 36 while a store is
    /// built upon.
    pub memory_bytes: u64,
    /// Worker threads; `None`: one for each core.
    pub threads: Option<usize>,
    /// Read everything, even where the store that is there already has it.
    pub full: bool,
    /// Take files whose identity numbers look destroyed; their bad numbers, and all that end in `000` in a
    /// file with suspiciously many of them, are rejected row by row.
    pub accept_damaged_ids: bool,
    /// Datasets whose files are left alone, as if they had not been delivered.
    pub without: BTreeSet<String>,
}

impl PrepareOptions {
    /// A preparation with every choice left at its default.
    pub fn new(data: impl Into<PathBuf>, store: impl Into<PathBuf>, contracts: Vec<Contract>) -> Self {
        Self {
            data: data.into(),
            store: store.into(),
            contracts,
            mappings: Vec::new(),
            encoding: None,
            as_of: None,
            shards: None,
            memory_bytes: DEFAULT_MEMORY,
            threads: None,
            full: false,
            accept_damaged_ids: false,
            without: BTreeSet::new(),
        }
    }
}

/// What is known about the files that a pattern means. The first mapping that fits a file counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileMapping {
    /// Path relative to the extracts folder, with `/`; `*` and `?` stay inside one name, `**` does not.
    pub pattern: String,
    /// The dataset; `None`: as the names say.
    pub dataset: Option<String>,
    /// Sheet of a workbook; `None`: the first.
    pub sheet: Option<String>,
    /// Encoding of a text file (`utf-8`, `gb18030`, ...); `None`: detected.
    pub encoding: Option<String>,
    /// Line or spreadsheet row of the headings, from 1; `None`: the first.
    pub header_row: Option<u32>,
    /// Delimiter of a text file; `None`: detected.
    pub delimiter: Option<char>,
    /// Extract date.
    pub as_of: Option<NaiveDate>,
    /// Rows that stand in another file of the dataset as well are records of their own: they are remarked on and count
    /// in both. Otherwise many of them refuse the file.
    pub accept_overlap: bool,
}
