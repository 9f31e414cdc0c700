//! YAML text to typed values, with every fault of a file at once and the place of everything in it.
//!
//! The one module that names the YAML crate. It reads a file into a tree that remembers where each key and
//! value stands and how it was spelled, then lets serde build the type from the tree. Where serde stops at
//! its first complaint, the complaint is noted, a blank is put in its place and serde tries again: an author
//! sees all faults of a file in one go. It knows nothing of rules or contracts: the types decide, so that
//! `no` stays text where text is wanted and `012` never turns octal.
//!
//! Refused outright, since they serve nobody here and are the usual ways to harm a reader of YAML:
//! anchors, aliases, merge keys, tags, doubled keys, several documents, deep nesting.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error as YamlError, Spanned};

use crate::diagnostic::{Diagnostic, Place};

/// Nesting that no honest rule or contract comes near.
const MAX_DEPTH: usize = 24;
/// Faults of one file that are worth showing.
const MAX_FAULTS: usize = 50;

/// The text of a file and the place of everything in it. Paths look like `measures.months` and
/// `examples.cases[0].given`.
#[derive(Debug, Clone, Default)]
pub struct Document {
    file: String,
    text: String,
    marks: BTreeMap<String, Mark>,
}

/// Where a value stands.
#[derive(Debug, Clone)]
struct Mark {
    /// The key that names it; absent in lists and at the root.
    key: Option<Range<usize>>,
    value: Range<usize>,
    /// Lists and mappings have no caret of their own: the key stands for them.
    scalar: Option<Scalar>,
}

/// A scalar and how it was spelled.
#[derive(Debug, Clone)]
struct Scalar {
    text: String,
    /// `|` or `>`: the value starts on a line below the key, each line indented.
    block: bool,
}

impl Document {
    /// A text without structure (a `.sql` file): only lines and columns.
    pub fn plain(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), marks: BTreeMap::new() }
    }

    /// File, as the user would name it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The whole text; spans count its bytes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of what `path` names: the value, or the key where the value is a list or a mapping.
    pub fn locate(&self, path: &str) -> Option<Range<usize>> {
        let mark = self.marks.get(path)?;
        Some(match (&mark.scalar, &mark.key) {
            (None, Some(key)) => key.clone(),
            _ => mark.value.clone(),
        })
    }

    /// The place of what `path` names, or of the nearest thing around it that is there.
    pub fn place(&self, path: &str) -> Place {
        let mut at = path;
        loop {
            if let Some(span) = self.locate(at) {
                return self.place_of(span);
            }
            match at.rfind(['.', '[']) {
                Some(cut) => at = &at[..cut],
                None => break,
            }
        }
        match self.marks.get("") {
            Some(root) => self.place_of(root.value.start..self.word_end(root.value.start)),
            None => Place { file: Some(self.file.clone()), ..Place::default() },
        }
    }

    /// The place of a line and column (both from 1, columns in characters) *inside* the text that `path`
    /// names, such as the `sql: |` block. Falls back to the whole value where the spelling (escapes,
    /// folding) does not allow it.
    pub fn place_in(&self, path: &str, line: usize, column: usize) -> Place {
        match self.offset_in(path, line, column) {
            Some(at) => self.place_of(at..self.word_end(at)),
            None => self.place(path),
        }
    }

    /// The place of a line and column (both from 1, columns in characters) of the file itself.
    pub fn place_at(&self, line: usize, column: usize) -> Place {
        // the mark that some editors put before the text is no column
        let mark = usize::from(line == 1 && self.text.starts_with('\u{feff}'));
        let at = offset_of(&self.text, line, column + mark);
        self.place_of(at..self.word_end(at))
    }

    /// The place of a span of bytes.
    pub fn place_of(&self, span: Range<usize>) -> Place {
        let (line, column) = line_column(&self.text, span.start);
        Place {
            file: Some(self.file.clone()),
            line: Some(line as u64),
            column: Some(column.to_string()),
            span: Some(span),
        }
    }

    /// Byte of the file for a line and column inside the scalar at `path`.
    pub fn offset_in(&self, path: &str, line: usize, column: usize) -> Option<usize> {
        let mark = self.marks.get(path)?;
        let scalar = mark.scalar.as_ref()?;
        let wanted = scalar.text.split('\n').nth(line.checked_sub(1)?)?;
        if scalar.block {
            // the mark starts at the first line that is not blank
            let (first_line, first_column) = line_column(&self.text, mark.value.start);
            let blank = scalar.text.split('\n').take_while(|l| l.trim().is_empty()).count();
            let file_line = (first_line + line - 1).checked_sub(blank)?;
            let at = offset_of(&self.text, file_line, first_column + column - 1);
            // folded blocks join lines: then nothing is where it seems to be
            let whole = self.text.split('\n').nth(file_line - 1)?;
            return (whole.trim() == wanted.trim()).then_some(at);
        }
        let slice = self.text.get(mark.value.clone())?;
        let inner = slice.trim_matches(['"', '\'']);
        if inner != scalar.text {
            return None;
        }
        let start = mark.value.start + slice.find(inner)?;
        Some(start + offset_of(inner, line, column))
    }

    /// Where the word (or the `$parameter`) that starts at `at` ends.
    fn word_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let word =
            rest[first..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len() - first);
        let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        at + first + if goes_on { word } else { 0 }
    }

    /// Paths of all scalars with their text.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.marks
            .iter()
            .filter_map(|(path, mark)| Some((path.as_str(), mark.scalar.as_ref()?.text.as_str())))
    }
}

/// Line and column (from 1, in characters) of a byte.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (line, before[start..].trim_start_matches('\u{feff}').chars().count() + 1)
}

/// Byte of a line and column, held inside the text and the line.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for (n, content) in text.split('\n').enumerate() {
        if n + 1 == line {
            let inside =
                content.char_indices().nth(column.saturating_sub(1)).map_or(content.len(), |(i, _)| i);
            return start + inside;
        }
        start += content.len() + 1;
    }
    text.len()
}

/// Reads `text` as a `T`. With faults of error level, the value is absent and all that could be found is listed.
pub(crate) fn read<T: DeserializeOwned>(file: &str, text: &str) -> (Option<T>, Document, Vec<Diagnostic>) {
    let mut document = Document::plain(file, text);
    let mut root = match tree(text) {
        Ok(root) => root,
        Err(fault) => {
            let faults = vec![fault.into_diagnostic(&document)];
            return (None, document, faults);
        }
    };
    let mut faults = structure_faults(&root, text);
    faults.truncate(MAX_FAULTS);
    mark(&root, None, String::new(), &mut document.marks);

    let mut value = None;
    let mut notes = Vec::new();
    while faults.len() < MAX_FAULTS {
        let seen = RefCell::new(Vec::new());
        let built = T::deserialize(Reader { node: &root, depth: 0, notes: &seen });
        notes = seen.into_inner();
        match built {
            Ok(built) => {
                value = Some(built);
                break;
            }
            Err(refusal) => match repair(&mut root, refusal) {
                Some(fault) => faults.push(fault),
                None => break,
            },
        }
    }
    // a key that is only misspelled is not missing as well
    let meant: Vec<(usize, String)> =
        notes.iter().filter_map(|n| Some((n.container, n.suggestion.clone()?))).collect();
    faults.retain(|f| {
        !f.missing.as_ref().is_some_and(|m| meant.iter().any(|(at, s)| *at == f.container && s == m))
    });
    faults.extend(notes);
    faults.sort_by(|a, b| (a.span.start, &a.code, &a.en).cmp(&(b.span.start, &b.code, &b.en)));
    let broken = faults.iter().any(|f| !f.warning);
    let faults = faults.into_iter().map(|f| f.into_diagnostic(&document)).collect();
    (value.filter(|_| !broken), document, faults)
}

/// A fault before it is given a place in a file.
#[derive(Debug, Clone, Default)]
struct Fault {
    code: &'static str,
    warning: bool,
    zh: String,
    en: String,
    help: Option<(String, String)>,
    span: Range<usize>,
    /// Start of the mapping around it.
    container: usize,
    /// The key that is missing.
    missing: Option<String>,
    /// The key that was probably meant.
    suggestion: Option<String>,
}

impl Fault {
    fn into_diagnostic(self, document: &Document) -> Diagnostic {
        let mut out = if self.warning {
            Diagnostic::warning(self.code, self.zh, self.en)
        } else {
            Diagnostic::error(self.code, self.zh, self.en)
        };
        out.place = document.place_of(self.span);
        if let Some((zh, en)) = self.help {
            out = out.with_help(zh, en);
        }
        out
    }
}

// ---------------------------------------------------------------------------------------------- the tree

/// One value of the file.
#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    span: Range<usize>,
    /// Spelling of a scalar in the file.
    raw: String,
    block: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Null,
    Bool(bool),
    Int,
    Float,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Stands where something was refused, so that reading can go on: any type can be built from it.
    Blank,
}

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    key_span: Range<usize>,
    value: Node,
}

/// What the YAML crate hands over.
enum Plain {
    Null,
    Bool(bool),
    Int,
    Float,
    Text(String),
    List(Vec<Spanned<Plain>>),
    Map(Vec<(Spanned<Plain>, Spanned<Plain>)>),
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }
    fn visit_none<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Bool(value))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Plain, E> {
        Ok(Plain::Int)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Plain, E> {
        Ok(Plain::Int)
    }
    fn visit_i128<E>(self, _: i128) -> Result<Plain, E> {
        Ok(Plain::Int)
    }
    fn visit_u128<E>(self, _: u128) -> Result<Plain, E> {
        Ok(Plain::Int)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Plain, E> {
        Ok(Plain::Float)
    }
    fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
        Ok(Plain::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element()? {
            out.push(item);
        }
        Ok(Plain::List(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Plain, A::Error> {
        let mut out = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            out.push(entry);
        }
        Ok(Plain::Map(out))
    }
}

fn tree(text: &str) -> Result<Node, Box<Fault>> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        merge_keys: MergeKeyPolicy::Error,
        // all doubled keys are reported by us, not only the first
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        emit_comments: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
            max_depth: MAX_DEPTH,
            max_documents: 1,
            max_nodes: 50_000,
            max_events: 200_000,
        },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Plain>>(text, options) {
        Ok(root) if matches!(root.value, Plain::Null) => Err(Box::new(Fault {
            code: "MC013",
            zh: "文件是空的".into(),
            en: "the file is empty".into(),
            ..Fault::default()
        })),
        Ok(root) => Ok(grow(root, text)),
        Err(error) => Err(Box::new(syntax_fault(&error, text))),
    }
}

fn grow(plain: Spanned<Plain>, text: &str) -> Node {
    let at = plain.referenced.span();
    let start = to_usize(at.byte_offset()).min(text.len());
    let len = to_usize(at.byte_len()).min(text.len() - start);
    let mut span = start..start + len;
    let raw = text.get(span.clone()).unwrap_or_default().trim().to_owned();
    let kind = match plain.value {
        Plain::Null => Kind::Null,
        Plain::Bool(value) => Kind::Bool(value),
        Plain::Int => Kind::Int,
        Plain::Float => Kind::Float,
        Plain::Text(value) => Kind::Text(value),
        Plain::List(items) => Kind::List(items.into_iter().map(|item| grow(item, text)).collect()),
        Plain::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = grow(key, text);
                    let name = match &key.kind {
                        Kind::Text(name) => name.clone(),
                        _ => key.raw.clone(),
                    };
                    Entry { key: name, key_span: key.span, value: grow(value, text) }
                })
                .collect(),
        ),
    };
    let last = match &kind {
        Kind::List(items) => items.last().map(|n| n.span.end),
        Kind::Map(entries) => entries.last().map(|e| e.value.span.end),
        _ => None,
    };
    span.end = span.end.max(last.unwrap_or(0));
    let block = matches!(kind, Kind::Text(_)) && is_block(text, start);
    Node { kind, span, raw, block }
}

fn to_usize(n: Option<u64>) -> usize {
    n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// Whether the scalar at `start` follows a `|` or `>` header on a line above.
fn is_block(text: &str, start: usize) -> bool {
    let above = text.get(..start).unwrap_or_default();
    let header = above.trim_end_matches([' ', '\r', '\n', '\t']);
    if !above[header.len()..].contains('\n') {
        return false;
    }
    let header = header.rsplit('\n').next().unwrap_or_default();
    let header = header.find(" #").map_or(header, |cut| &header[..cut]).trim_end();
    let header = header.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
    header.ends_with(['|', '>'])
}

fn mark(node: &Node, key: Option<Range<usize>>, path: String, marks: &mut BTreeMap<String, Mark>) {
    let scalar = match &node.kind {
        Kind::Text(text) => Some(Scalar { text: text.clone(), block: node.block }),
        Kind::List(items) => {
            for (n, item) in items.iter().enumerate() {
                mark(item, None, format!("{path}[{n}]"), marks);
            }
            None
        }
        Kind::Map(entries) => {
            for entry in entries {
                let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                mark(&entry.value, Some(entry.key_span.clone()), below, marks);
            }
            None
        }
        _ => Some(Scalar { text: node.raw.clone(), block: false }),
    };
    marks.insert(path, Mark { key, value: node.span.clone(), scalar });
}

/// Doubled keys and tags, which the YAML crate lets through.
fn structure_faults(node: &Node, text: &str) -> Vec<Fault> {
    let mut out = Vec::new();
    match &node.kind {
        Kind::List(items) => {
            for item in items {
                let line = just_before(text, item.span.start);
                tag_fault(line.rsplit(['-', ',', '[']).next().unwrap_or_default(), item, &mut out);
                out.extend(structure_faults(item, text));
            }
        }
        Kind::Map(entries) => {
            let mut seen = BTreeSet::new();
            for entry in entries {
                if !seen.insert(entry.key.as_str()) {
                    out.push(Fault {
                        code: "MC005",
                        zh: format!("键 `{}` 重复", entry.key),
                        en: format!("key `{}` is there twice", entry.key),
                        help: Some(("只保留一个".into(), "keep one of them".into())),
                        span: entry.key_span.clone(),
                        ..Fault::default()
                    });
                }
                let between = text.get(entry.key_span.end..entry.value.span.start).unwrap_or_default();
                tag_fault(between, &entry.value, &mut out);
                out.extend(structure_faults(&entry.value, text));
            }
        }
        _ => {}
    }
    out
}

/// The little that stands before `at` on its line: a long flow list must not be read from its start for each item.
fn just_before(text: &str, at: usize) -> &str {
    let mut from = at.saturating_sub(80);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default()
}

fn tag_fault(before: &str, node: &Node, out: &mut Vec<Fault>) {
    let tagged = before
        .lines()
        .map(|line| line.find(" #").map_or(line, |cut| &line[..cut]))
        .any(|line| line.split_whitespace().any(|word| word.starts_with('!')));
    if tagged {
        out.push(refused_feature(node.span.clone()));
    }
}

fn refused_feature(span: Range<usize>) -> Fault {
    Fault {
        code: "MC006",
        zh: "这里不允许使用锚点、别名、合并键和标签".into(),
        en: "anchors, aliases, merge keys and tags are not allowed here".into(),
        help: Some(("把值直接写出来".into(), "write the value out".into())),
        span,
        ..Fault::default()
    }
}

fn syntax_fault(error: &YamlError, text: &str) -> Fault {
    let error = error.without_snippet();
    let at = error.location().map_or(0, |place| match place.span().byte_offset() {
        Some(at) => to_usize(Some(at)).min(text.len()),
        None => offset_of(text, to_usize(Some(place.line())), to_usize(Some(place.column()))),
    });
    let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
    let span = at..end.max(at);
    match error {
        YamlError::MergeKeyNotAllowed { .. }
        | YamlError::UnknownAnchor { .. }
        | YamlError::AliasError { .. }
        | YamlError::TaggedScalarCannotDeserializeIntoString { .. } => refused_feature(span),
        YamlError::MultipleDocuments { .. } => several_documents(span),
        YamlError::Budget { breach, .. } => {
            // the names of the breaches are all that the crate tells
            let breach = format!("{breach:?}");
            if ["Aliases", "Anchors", "MergeKeys"].iter().any(|word| breach.starts_with(word)) {
                refused_feature(span)
            } else if breach.starts_with("Documents") {
                several_documents(span)
            } else {
                Fault {
                    code: "MC014",
                    zh: format!("文件嵌套太深或太大（最多 {MAX_DEPTH} 层）"),
                    en: format!("the file is nested too deep or too big (at most {MAX_DEPTH} levels)"),
                    span,
                    ..Fault::default()
                }
            }
        }
        other => {
            let mut words = other.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            if words.contains("tag `") {
                return refused_feature(span);
            }
            if let Some(cut) = words.rfind(" at line ") {
                words.truncate(cut);
            }
            Fault {
                code: "MC001",
                zh: format!("不是有效的 YAML：{words}"),
                en: format!("not valid YAML: {words}"),
                help: Some((
                    "检查缩进、冒号后的空格和引号".into(),
                    "look at the indentation, the space after each colon, and the quotes".into(),
                )),
                span,
                ..Fault::default()
            }
        }
    }
}

fn several_documents(span: Range<usize>) -> Fault {
    Fault {
        code: "MC013",
        zh: "一个文件只能有一个 YAML 文档".into(),
        en: "a file holds one YAML document, this one holds more".into(),
        help: Some((
            "删去 `---` 分隔线，分成几个文件".into(),
            "drop the `---` line and use one file each".into(),
        )),
        span,
        ..Fault::default()
    }
}

// ---------------------------------------------------------------------------------- serde over the tree

/// What serde refused, and the way down to it: child numbers, innermost first.
#[derive(Debug)]
struct Refusal {
    way: Vec<usize>,
    what: Refused,
}

#[derive(Debug)]
enum Refused {
    /// Wanted, in both languages.
    Type(String, String),
    Missing(&'static str),
    Word {
        got: String,
        known: &'static [&'static str],
    },
    Other(String),
}

impl Refusal {
    fn new(what: Refused) -> Self {
        Self { way: Vec::new(), what }
    }

    fn below(mut self, child: usize) -> Self {
        self.way.push(child);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Refused::Other(message.to_string()))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new(Refused::Missing(field))
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Refused::Word { got: variant.to_owned(), known: expected })
    }
    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Refused::Other(expected.to_string()))
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Refused::Other(expected.to_string()))
    }
}

/// Turns a refusal into a fault and puts a blank in its place. `None` where nothing is left to mend.
fn repair(root: &mut Node, refusal: Refusal) -> Option<Fault> {
    let mut node = root;
    for child in refusal.way.iter().rev() {
        node = match &mut node.kind {
            Kind::List(items) => items.get_mut(*child)?,
            Kind::Map(entries) => &mut entries.get_mut(*child)?.value,
            _ => return None,
        };
    }
    let span = node.span.clone();
    if let Refused::Missing(field) = refusal.what {
        let Kind::Map(entries) = &mut node.kind else { return None };
        // the caret belongs on the first key: the mapping itself has no visible start
        let caret = entries.first().map_or(span.clone(), |e| e.key_span.clone());
        let blank = Node { kind: Kind::Blank, span: span.clone(), raw: String::new(), block: false };
        entries.push(Entry { key: field.to_owned(), key_span: span.clone(), value: blank });
        return Some(Fault {
            code: "MC003",
            zh: format!("缺少键 `{field}`"),
            en: format!("key `{field}` is missing"),
            container: span.start,
            missing: Some(field.to_owned()),
            span: caret,
            ..Fault::default()
        });
    }
    if matches!(node.kind, Kind::Blank) {
        return None;
    }
    let (got_zh, got_en) = got(node);
    node.kind = Kind::Blank;
    Some(match refusal.what {
        Refused::Word { got, known } => {
            let list = known.join("|");
            Fault {
                code: "MC004",
                zh: format!("应为 {list} 之一，实际为 `{got}`"),
                en: format!("wanted one of {list}, got `{got}`"),
                help: nearest(&got, known.iter().copied()).map(|word| did_you_mean(&word)),
                span,
                ..Fault::default()
            }
        }
        Refused::Type(zh, en) => Fault {
            code: "MC004",
            zh: format!("应为{zh}，实际为{got_zh}"),
            en: format!("wanted {en}, got {got_en}"),
            span,
            ..Fault::default()
        },
        Refused::Other(words) => {
            let (zh, en) = if words.contains("PersonKey") {
                ("字段名，或 `{dataset, on}`", "a field name, or `{dataset, on}`")
            } else {
                ("文本、整数或 true/false", "text, a whole number, or true/false")
            };
            Fault {
                code: "MC004",
                zh: format!("应为{zh}，实际为{got_zh}"),
                en: format!("wanted {en}, got {got_en}"),
                help: Some(("带小数点的数要加引号".into(), "put a number with decimals in quotes".into())),
                span,
                ..Fault::default()
            }
        }
        Refused::Missing(_) => return None,
    })
}

/// What a node is, in both languages; never its content.
fn got(node: &Node) -> (&'static str, &'static str) {
    match &node.kind {
        Kind::Null | Kind::Blank => ("空值", "nothing"),
        Kind::Bool(_) => ("布尔值", "true or false"),
        Kind::Int => ("整数", "a whole number"),
        Kind::Float => ("带小数的数", "a number with decimals"),
        Kind::Text(_) => ("文本", "text"),
        Kind::List(_) => ("列表", "a list"),
        Kind::Map(_) => ("映射", "a mapping"),
    }
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, k)| k.to_owned())
}

pub(crate) fn did_you_mean(word: &str) -> (String, String) {
    (format!("是否想写 `{word}`？"), format!("did you mean `{word}`?"))
}

/// serde's view of one node.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    depth: usize,
    notes: &'a RefCell<Vec<Fault>>,
}

impl<'a> Reader<'a> {
    fn on(self, node: &'a Node) -> Self {
        Reader { node, depth: self.depth + 1, ..self }
    }

    fn wanted<T>(zh: &str, en: &str) -> Result<T, Refusal> {
        Err(Refusal::new(Refused::Type(zh.to_owned(), en.to_owned())))
    }

    /// Notes the keys that `fields` does not know and, at the root, those out of order.
    fn look_over(self, entries: &[Entry], fields: &'static [&'static str]) {
        let mut notes = self.notes.borrow_mut();
        let mut furthest: Option<(usize, &str)> = None;
        for entry in entries {
            if notes.len() >= MAX_FAULTS {
                return;
            }
            let Some(rank) = fields.iter().position(|f| *f == entry.key) else {
                let suggestion = nearest(&entry.key, fields.iter().copied());
                notes.push(Fault {
                    code: "MC002",
                    zh: format!("未知的键 `{}`", entry.key),
                    en: format!("unknown key `{}`", entry.key),
                    help: Some(match &suggestion {
                        Some(word) => did_you_mean(word),
                        // `{en: one, two}` is the usual way to get here
                        None if matches!(entry.value.kind, Kind::Null) && entry.value.span.is_empty() => (
                            "花括号里的逗号会把文本断开：给整段文本加引号".to_owned(),
                            "a comma inside `{ }` ends the text: put the whole text in quotes".to_owned(),
                        ),
                        None => (
                            format!("可用的键：{}", fields.join("、")),
                            format!("known keys: {}", fields.join(", ")),
                        ),
                    }),
                    span: entry.key_span.clone(),
                    container: self.node.span.start,
                    suggestion,
                    ..Fault::default()
                });
                continue;
            };
            if matches!(entry.value.kind, Kind::Blank) {
                continue;
            }
            match furthest {
                Some((most, before)) if self.depth == 0 && rank < most => notes.push(Fault {
                    code: "MC007",
                    warning: true,
                    zh: format!("`{}` 应写在 `{before}` 之前", entry.key),
                    en: format!("`{}` should stand before `{before}`", entry.key),
                    help: Some((
                        format!("固定顺序：{}", fields.join("、")),
                        format!("the fixed order is {}", fields.join(", ")),
                    )),
                    span: entry.key_span.clone(),
                    ..Fault::default()
                }),
                _ => furthest = Some((rank, &entry.key)),
            }
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Blank => visitor.visit_str(""),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int => match self.node.raw.parse::<i64>() {
                Ok(value) => visitor.visit_i64(value),
                Err(_) => Self::wanted("整数", "a whole number"),
            },
            // never a float: it is refused by every type that comes this way
            Kind::Float => visitor.visit_f64(0.0),
            Kind::Text(value) => visitor.visit_str(value),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node.kind {
            Kind::Bool(value) => visitor.visit_bool(value),
            Kind::Blank => visitor.visit_bool(false),
            _ => Self::wanted("true 或 false", "true or false"),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match (&self.node.kind, self.node.raw.parse::<i64>()) {
            (Kind::Blank, _) => visitor.visit_i64(0),
            (Kind::Int, Ok(value)) => visitor.visit_i64(value),
            _ => Self::wanted("整数", "a whole number"),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match (&self.node.kind, self.node.raw.parse::<u32>()) {
            (Kind::Blank, _) => visitor.visit_u32(0),
            (Kind::Int, Ok(value)) => visitor.visit_u32(value),
            _ => Self::wanted("不小于 0 的整数", "a whole number of 0 or more"),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.node.kind {
            Kind::Text(value) => visitor.visit_str(value),
            Kind::Blank => visitor.visit_str(""),
            // text is wanted, so the spelling in the file is the text
            Kind::Bool(_) | Kind::Int | Kind::Float => visitor.visit_str(&self.node.raw),
            Kind::Null | Kind::List(_) | Kind::Map(_) => Self::wanted("文本", "text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node.kind {
            Kind::Blank => visitor.visit_none(),
            Kind::Null => Self::wanted("一个值（不需要就删去这个键）", "a value (or leave the key out)"),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Items { reader: self, items, next: 0 }),
            Kind::Blank => visitor.visit_seq(Items { reader: self, items: &[], next: 0 }),
            _ => Self::wanted("列表", "a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.node.kind {
            Kind::Map(entries) => visitor.visit_map(Entries { reader: self, entries, known: None, next: 0 }),
            Kind::Blank => visitor.visit_map(Entries { reader: self, entries: &[], known: None, next: 0 }),
            _ => Self::wanted("映射（键: 值）", "a mapping (key: value)"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match &self.node.kind {
            Kind::Map(entries) => {
                self.look_over(entries, fields);
                visitor.visit_map(Entries { reader: self, entries, known: Some(fields), next: 0 })
            }
            Kind::Blank => visitor.visit_seq(Blanks { reader: self, left: fields.len() }),
            _ => {
                let list = fields.join(", ");
                Self::wanted(&format!("含有 {list} 的映射"), &format!("a mapping with {list}"))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match &self.node.kind {
            Kind::Blank => visitor.visit_enum(Word(variants.first().copied().unwrap_or_default())),
            Kind::Text(word) if variants.contains(&word.as_str()) => visitor.visit_enum(Word(word)),
            Kind::Text(_) | Kind::Bool(_) | Kind::Int | Kind::Float => {
                Err(Refusal::new(Refused::Word { got: self.node.raw.clone(), known: variants }))
            }
            _ => {
                let list = variants.join("|");
                Self::wanted(&format!(" {list} 之一"), &format!("one of {list}"))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let child = self.next;
        self.next += 1;
        seed.deserialize(self.reader.on(item)).map(Some).map_err(|e| e.below(child))
    }
}

/// A struct made of nothing: as many blanks as it has fields.
struct Blanks<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Blanks<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.reader.on(self.reader.node)).map(Some)
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: &'a [Entry],
    /// In a struct: keys it does not know are passed over (they are noted already).
    known: Option<&'static [&'static str]>,
    next: usize,
}

impl Entries<'_> {
    /// Whether entry `n` is to be handed on: in a struct, a known key and the first of its name.
    fn wanted(&self, n: usize) -> bool {
        let key = &self.entries[n].key;
        self.known.is_none_or(|known| {
            known.contains(&key.as_str()) && !self.entries[..n].iter().any(|e| e.key == *key)
        })
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        while self.next < self.entries.len() && !self.wanted(self.next) {
            self.next += 1;
        }
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(entry.key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let child = self.next;
        self.next += 1;
        let Some(entry) = self.entries.get(child) else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(self.reader.on(&entry.value)).map_err(|e| e.below(child))
    }
}

struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Refusal;
    type Variant = Unit;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Unit), Refusal> {
        Ok((seed.deserialize(self.0.into_deserializer())?, Unit))
    }
}

struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Refusal> {
        Err(de::Error::custom("enums here have no content"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Refusal> {
        Err(de::Error::custom("enums here have no content"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Refusal> {
        Err(de::Error::custom("enums here have no content"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Scalar as Value, Severity};
    use crate::text::{Lang, Text};

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        id: String,
        count: u32,
        #[serde(default)]
        on: bool,
        #[serde(default)]
        level: Option<Severity>,
        #[serde(default)]
        title: Option<Text>,
        #[serde(default)]
        values: Vec<Value>,
        #[serde(default)]
        sql: Option<String>,
        #[serde(default)]
        map: BTreeMap<String, String>,
    }

    /// The faults of `text`, as `code line:column message`.
    fn check(text: &str, wanted: &[&str]) {
        let (value, _, faults) = read::<Thing>("t.yaml", text);
        let got: Vec<String> = faults
            .iter()
            .map(|f| {
                let (line, column) = (f.place.line.unwrap(), f.place.column.clone().unwrap());
                format!("{} {line}:{column} {}", f.code, f.message.get(Lang::En))
            })
            .collect();
        assert_eq!(got, wanted, "{text}");
        let broken = faults.iter().any(|f| f.level == crate::diagnostic::Level::Error);
        assert_eq!(value.is_none(), broken, "{text}");
    }

    fn good(text: &str) -> Thing {
        let (value, _, faults) = read::<Thing>("t.yaml", text);
        assert!(faults.is_empty(), "{faults:?}");
        value.unwrap()
    }

    #[test]
    fn text_keeps_its_spelling_whatever_yaml_makes_of_it() {
        let spelled = |value: &str| good(&format!("id: {value}\ncount: 1\n")).id;
        for value in ["no", "off", "true", "012", "1_000", "0x1F", "1e5", "3.10", "2026-01-31", "11010000"] {
            assert_eq!(spelled(value), value);
        }
        assert_eq!(spelled("'it''s'"), "it's");
    }

    #[test]
    fn plain_values_are_text_numbers_or_truth_and_nothing_else() {
        let values = good("id: a\ncount: 1\nvalues: [012, 12, -3, true, no, 2026-01-31, '7']\n").values;
        let text = |s: &str| Value::Text(s.to_owned());
        let wanted = vec![
            text("012"),
            Value::Int(12),
            Value::Int(-3),
            Value::Bool(true),
            text("no"),
            text("2026-01-31"),
            text("7"),
        ];
        assert_eq!(values, wanted);
        check(
            "id: a\ncount: 1\nvalues: [1.5]\n",
            &["MC004 3:10 wanted text, a whole number, or true/false, got a number with decimals"],
        );
    }

    #[test]
    fn all_faults_of_a_file_are_told_at_once() {
        check(
            "idd: a\ncount: many\non: yes\nlevel: hihg\ntitle: {zh: 标题, eng: title}\nvalues: {}\nextra: 1\n",
            &[
                "MC002 1:1 unknown key `idd`",
                "MC004 2:8 wanted a whole number of 0 or more, got text",
                "MC004 3:5 wanted true or false, got text",
                "MC004 4:8 wanted one of info|low|medium|high|critical, got `hihg`",
                "MC002 5:17 unknown key `eng`",
                "MC004 6:9 wanted a list, got a mapping",
                "MC002 7:1 unknown key `extra`",
            ],
        );
        check(
            "title: {zh: a}\nmap: 7\n",
            &[
                "MC003 1:1 key `count` is missing",
                "MC003 1:1 key `id` is missing",
                "MC003 1:9 key `en` is missing",
                "MC004 2:6 wanted a mapping (key: value), got a whole number",
            ],
        );
    }

    #[test]
    fn a_misspelled_key_is_guessed_and_not_missing_as_well() {
        let (_, _, faults) = read::<Thing>("t.yaml", "id: a\ncuont: 1\n");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].help.as_ref().unwrap().en, "did you mean `count`?");
        assert_eq!(faults[0].help.as_ref().unwrap().zh, "是否想写 `count`？");
        assert_eq!(faults[0].place.span, Some(6..11));
    }

    #[test]
    fn a_comma_in_a_flow_mapping_is_explained() {
        let (_, _, faults) = read::<Thing>("t.yaml", "id: a\ncount: 1\ntitle: {zh: 标题, en: one, two}\n");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].help.as_ref().unwrap().en.starts_with("a comma inside"));
    }

    #[test]
    fn keys_out_of_order_are_a_warning_at_the_top_level_only() {
        check("count: 1\nid: a\ntitle: {en: a, zh: b}\n", &["MC007 2:1 `id` should stand before `count`"]);
    }

    #[test]
    fn doubled_keys_are_refused_each() {
        check(
            "id: a\nid: b\ncount: 1\nmap: {x: '1', x: '2', x: '3'}\n",
            &[
                "MC005 2:1 key `id` is there twice",
                "MC005 4:15 key `x` is there twice",
                "MC005 4:23 key `x` is there twice",
            ],
        );
    }

    #[test]
    fn anchors_aliases_merges_and_tags_are_refused() {
        let message = "anchors, aliases, merge keys and tags are not allowed here";
        let base = "id: a\ncount: 1\n";
        for (line, at) in [
            ("map: &x {}", None),
            ("sql: *x", Some("3:6")),
            ("<<: {sql: a}", Some("3:1")),
            ("sql: !!str 12", Some("3:12")),
            ("sql: !env HOME", None),
            ("values: [!!str 12]", Some("3:16")),
            ("values:\n  - a\n  - !!str 12", Some("5:11")),
        ] {
            let (value, _, faults) = read::<Thing>("t.yaml", &format!("{base}{line}\n"));
            assert!(value.is_none(), "{line}");
            assert_eq!(faults.len(), 1, "{line}: {faults:?}");
            assert_eq!(
                (faults[0].code.as_str(), faults[0].message.en.as_str()),
                ("MC006", message),
                "{line}"
            );
            if let Some(at) = at {
                let place = &faults[0].place;
                assert_eq!(
                    format!("{}:{}", place.line.unwrap(), place.column.clone().unwrap()),
                    at,
                    "{line}"
                );
            }
        }
        // an exclamation mark alone is no tag
        good("id: a!b\ncount: 1 # see !this\nvalues: ['!x', 'a !b']\n");
    }

    #[test]
    fn broken_yaml_is_one_fault_with_its_place() {
        check("id: [a\ncount: 1\n", &["MC001 2:6 not valid YAML: illegal placement of ':' indicator"]);
        check("", &["MC013 1:1 the file is empty"]);
        check("# only a comment\n", &["MC013 1:1 the file is empty"]);
        check("id: a\n---\nid: b\n", &["MC013 2:1 a file holds one YAML document, this one holds more"]);
        check(
            "- id\n",
            &["MC004 1:1 wanted a mapping with id, count, on, level, title, values, sql, map, got a list"],
        );
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let deep = format!("id: a\ncount: 1\nmap: {}", "[".repeat(100_000));
        let wide = format!("id: a\ncount: 1\nvalues: [{}]\n", "1,".repeat(100_000));
        let keys: String = (0..40_000).map(|n| format!("k{n}: 1\n")).collect();
        let same = "k: 1\n".repeat(40_000);
        let laughs = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n".to_owned();
        for text in [deep, wide, keys, same, laughs] {
            let start = std::time::Instant::now();
            let (value, _, faults) = read::<Thing>("t.yaml", &text);
            assert!(value.is_none() && !faults.is_empty() && faults.len() <= 2 * MAX_FAULTS);
            // quadratic reading would take minutes; the bound leaves room for a busy machine
            assert!(start.elapsed().as_secs() < 20, "{}", &text[..20]);
        }
    }

    #[test]
    fn everything_has_a_place() {
        let text = "id: a\ncount: 1\nvalues: [x, 'y']\nmap:\n  k: v\n";
        let (_, document, _) = read::<Thing>("t.yaml", text);
        let under = |path: &str| document.locate(path).map(|span| &text[span]);
        assert_eq!(under("count"), Some("1"));
        assert_eq!(under("values[1]"), Some("'y'"));
        assert_eq!(under("values"), Some("values"));
        assert_eq!(under("map.k"), Some("v"));
        assert_eq!(under("map.z"), None);
        assert_eq!(document.place("map.z[3].y").line, Some(4));
        assert_eq!(document.place("nothing").line, Some(1));
    }

    /// Line and column inside `sql` lead to `^` in the file.
    fn lands(sql: &str, line: usize, column: usize) {
        let text = format!("id: 甲\ncount: 1\nsql: {sql}");
        let at = text.find('^').unwrap();
        let (value, document, faults) = read::<Thing>("t.yaml", &text);
        assert!(faults.is_empty(), "{faults:?}");
        assert!(value.unwrap().sql.unwrap().contains('^'));
        assert_eq!(document.offset_in("sql", line, column), Some(at), "{sql}");
        assert_eq!(document.place_in("sql", line, column).span, Some(at..at + 1), "{sql}");
    }

    #[test]
    fn places_inside_an_sql_text_lead_back_to_the_file() {
        lands("|\n  select 1\n    , ^\n", 2, 5);
        lands("|\n\n\n  select 1\n\n  , 甲, ^\nmap: {}\n", 5, 6);
        lands("|- # words\n    ^\n    b", 1, 1);
        lands("|\r\n  select 1\r\n  ^\r\n", 2, 1);
        lands("a > ^", 1, 5);
        lands("'a > ^'", 1, 5);
        lands("\"甲 > ^\"", 1, 5);
    }

    #[test]
    fn where_the_spelling_hides_the_place_the_whole_value_stands_for_it() {
        for sql in [">\n  a\n  b", "'it''s'", "\"a\\tb\"", "a\n  b"] {
            let text = format!("id: a\ncount: 1\nsql: {sql}\n");
            let (_, document, _) = read::<Thing>("t.yaml", &text);
            assert_eq!(document.place_in("sql", 1, 3).span, document.locate("sql"), "{sql}");
        }
    }
}
