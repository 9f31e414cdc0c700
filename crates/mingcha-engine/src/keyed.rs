//! What is local to another key than the person, made bucket by bucket before everything else: the datasets are dealt
//! by the key, each bucket is walked as a shard is, and the rows become tables. What does not fit into memory is tried
//! once more in smaller buckets; what cannot be made says why to whatever reads it. The dealing itself is `rekey.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mingcha_intake::Tables;
use mingcha_rules::{Diagnostic, Text};

use crate::program::{Place, Program};
use crate::rekey::{Deal, Dealt, expected_bytes};
use crate::run::{Books, Stage};
use crate::stop::Stop;
use crate::tables::{Content, Rows, Slots};
use crate::weights::{UNIT_BYTES, Weights};
use crate::worker::{Kept, Walk, Walked, unreadable};

/// What was made, by name.
type Made = BTreeMap<String, Content>;

impl Stage<'_> {
    /// Makes what is local to another key than the person and puts it among the tables.
    pub(crate) fn by_key(
        &self,
        everything: &Arc<Slots>,
        workers: usize,
        books: &mut Books,
    ) -> Result<Made, Vec<Diagnostic>> {
        let mut made = Made::new();
        let mut waiting: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for view in &self.program.views {
            if let Place::ByKey(key) = &view.place {
                if everything.has(&view.name) {
                    made.insert(view.name.clone(), everything.get(&view.name));
                } else {
                    waiting.entry(key).or_default().insert(view.name.clone());
                }
            }
        }
        for (key, names) in waiting {
            for (name, content) in self.by_one_key(key, names, everything, workers, books)? {
                everything.put(&name, content.clone());
                made.insert(name, content);
            }
        }
        Ok(made)
    }

    /// Makes the views called `names`, which are local to `key`.
    fn by_one_key(
        &self,
        key: &str,
        names: BTreeSet<String>,
        everything: &Arc<Slots>,
        workers: usize,
        books: &mut Books,
    ) -> Result<Made, Vec<Diagnostic>> {
        let mut made = Made::new();
        let (mut open, mut bucket, mut first) = (names, self.part_bytes, true);
        loop {
            let program = self.program.by_key(key, &open);
            let walked = match self.walk_by_key(key, &program, bucket, everything, workers, first) {
                Ok(walked) => walked,
                Err(faults) => {
                    // Other rules do not need these buckets.
                    let why = faults.into_iter().next().map_or_else(unknown, |fault| fault.message);
                    made.extend(
                        open.into_iter().map(|name| (name, Content::Unmade(Stop::Failed(why.clone())))),
                    );
                    break;
                }
            };
            if walked.left {
                books.leave();
                made.extend(open.into_iter().map(|name| (name, Content::Unmade(Stop::Cancelled))));
                break;
            }
            // What does not fit is tried once more in buckets of an eighth, and what reads it: it saw no rows.
            let again = match bucket {
                Some(_) if first => &self.program.with_readers_by_key(held(&walked)) & &open,
                _ => BTreeSet::new(),
            };
            made.extend(entered(walked, open.difference(&again))?);
            if again.is_empty() {
                break;
            }
            (open, bucket, first) = (again, bucket.map(|b| b / 8), false);
        }
        for (name, content) in &made {
            if let Content::Unmade(stop) = content {
                books.fail_readers(self.program, name, stop);
            }
        }
        Ok(made)
    }

    /// Deals the datasets that the views of `program` read into buckets of `key`, and walks the buckets.
    fn walk_by_key(
        &self,
        key: &str,
        program: &Program,
        bucket: Option<u64>,
        everything: &Arc<Slots>,
        workers: usize,
        counted: bool,
    ) -> Result<Walked, Vec<Diagnostic>> {
        let columns = self.dealt_columns(program);
        let read = AtomicU64::new(0);
        let deal = Deal {
            key,
            columns: &columns,
            // Beside the rows, a bucket and what is made of it are in memory.
            room: self.part_bytes.map(|bytes| bytes.saturating_mul(2 * workers as u64)),
            bucket,
            spill_dir: self.budget.spill_dir.as_deref(),
            workers,
            cancelled: &|| self.progress.cancelled(),
            read: &|bytes| {
                let before = read.fetch_add(bytes, Ordering::Relaxed);
                let units = (before + bytes) / UNIT_BYTES - before / UNIT_BYTES;
                self.progress.advance(if counted { units } else { 0 });
            },
        };
        let Some(dealt) = Dealt::new(self.tables, &deal).map_err(|fault| vec![fault])? else {
            return Ok(Walked { left: true, ..Walked::default() });
        };
        let tables: Arc<dyn Tables> = Arc::new(dealt);
        let kept = program.views.iter().map(|v| v.name.clone()).collect();
        let stage = Stage { tables: &tables, program, part_bytes: None, ..*self };
        let before = BTreeMap::new();
        let weights = Weights::default();
        let beside = Vec::new();
        Walk {
            stage: &stage,
            before: &before,
            kept: &kept,
            beside,
            everything,
            stash: None,
            weights: &weights,
        }
        .run(workers, Vec::new())
    }

    /// The columns of the datasets of persons that the views of `program` read.
    fn dealt_columns(&self, program: &Program) -> BTreeMap<String, BTreeSet<String>> {
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (table, names) in program.views.iter().flat_map(|v| &v.compiled.columns) {
            if self.library.contract(table).is_some_and(|c| c.person.is_some()) {
                columns.entry(table.clone()).or_default().extend(names.iter().cloned());
            }
        }
        columns
    }

    /// Units that dealing by keys counts for.
    pub(crate) fn weight_by_key(&self) -> u64 {
        let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for view in &self.program.views {
            if let Place::ByKey(key) = &view.place {
                names.entry(key).or_default().insert(view.name.clone());
            }
        }
        let bytes = |(key, names): (&str, BTreeSet<String>)| {
            let columns = self.dealt_columns(&self.program.by_key(key, &names));
            expected_bytes(self.tables.as_ref(), &columns) / UNIT_BYTES
        };
        names.into_iter().map(bytes).sum()
    }
}

/// The views that found no memory.
fn held(walked: &Walked) -> BTreeSet<String> {
    let held = walked.broken_views.iter().filter(|(_, stop)| matches!(stop, Stop::Held(_)));
    held.map(|(name, _)| name.clone()).collect()
}

/// What a walk gave of the views called `names`: their rows, or why there are none to go by.
pub(crate) fn entered<'n>(
    walked: Walked,
    names: impl Iterator<Item = &'n String>,
) -> Result<Made, Vec<Diagnostic>> {
    let mut broken: BTreeMap<String, Stop> = BTreeMap::new();
    for (name, stop) in walked.broken_views {
        broken.entry(name).or_insert(stop);
    }
    let mut views = walked.views;
    let mut made = Made::new();
    for name in names {
        let content = match (broken.remove(name), views.remove(name)) {
            (Some(stop), _) => Content::Unmade(stop),
            (None, Some(parts)) => rows(name, parts)?,
            (None, None) => Content::Unmade(Stop::never_made(name)),
        };
        made.insert(name.clone(), content);
    }
    Ok(made)
}

fn rows(name: &str, parts: Vec<Kept>) -> Result<Content, Vec<Diagnostic>> {
    let mut batches = Vec::new();
    for part in parts {
        batches.extend(part.take().map_err(|fault| vec![fault])?);
    }
    Rows::content(batches).map_err(|e| vec![unreadable(name, &e)])
}

fn unknown() -> Text {
    Text { zh: "程序内部错误".to_owned(), en: "an internal error".to_owned() }
}
