//! Which rows belong together: rows of equal keys, one of which is the person. The rows of a person are few, so
//! that they are told apart inside their person, without a table over all keys. Knows arrays only.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{DataFusionError, Result};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Compares two rows of one array.
pub(super) type Compare = Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>;

/// Fixed, so that no run differs from another.
const SEED: u64 = 0x6d69_6e67;
/// Up to so many rows of one person, groups are looked for one after another.
const FEW: usize = 24;
/// How much wider than the rows the range of persons may be, to be sorted by counting.
const WIDE: usize = 8;

/// Rows brought together by equal keys; NULL equals NULL, as in GROUP BY and PARTITION BY.
#[derive(Debug)]
pub(super) struct Groups {
    /// Row numbers, group after group; inside a group in the order of the input.
    pub order: Vec<u32>,
    /// Where each group begins in `order`, and the end of the last.
    pub starts: Vec<u32>,
}

impl Groups {
    /// Groups the rows of `keys`, at least one and all of one length; quickest where one of them is a person (a
    /// 32-bit integer).
    pub(super) fn of(keys: &[ArrayRef]) -> Result<Self> {
        let Some(at) = keys.iter().position(|k| *k.data_type() == DataType::Int32) else {
            return Self::by_hash(keys);
        };
        let persons = keys[at].as_primitive::<Int32Type>();
        let order = by_person(persons);
        let others: Vec<ArrayRef> =
            keys.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, k)| ArrayRef::clone(k)).collect();
        let same_person = |a: u32, b: u32| {
            let (a, b) = (a as usize, b as usize);
            match (persons.is_null(a), persons.is_null(b)) {
                (false, false) => persons.value(a) == persons.value(b),
                (a, b) => a == b,
            }
        };
        let mut groups = Self { order, starts: vec![0] };
        if others.is_empty() {
            for i in 1..groups.order.len() {
                if !same_person(groups.order[i - 1], groups.order[i]) {
                    groups.starts.push(index(i)?);
                }
            }
            if !groups.order.is_empty() {
                groups.starts.push(index(groups.order.len())?);
            }
            return Ok(groups);
        }
        let mut split = Split::new(&others, persons.len())?;
        let mut from = 0;
        while from < groups.order.len() {
            let mut to = from + 1;
            while to < groups.order.len() && same_person(groups.order[from], groups.order[to]) {
                to += 1;
            }
            split.person(&mut groups.order[from..to], from, &mut groups.starts)?;
            from = to;
        }
        Ok(groups)
    }

    /// Groups without a person: rows of one hash lie together, and are told apart as the rows of a person are.
    fn by_hash(keys: &[ArrayRef]) -> Result<Self> {
        let Some(first) = keys.first() else {
            return Err(DataFusionError::Internal("groups without a key".to_owned()));
        };
        let mut split = Split::new(keys, first.len())?;
        index(first.len())?;
        // Half of the hash above the row: sorted as one number, rows of one half stay in the order of the input.
        let half = |hash: u64| hash >> 32 << 32;
        let mut order: Vec<u64> = (0..).zip(&split.hashes).map(|(row, hash)| half(*hash) | row).collect();
        order.sort_unstable();
        let mut groups =
            Self { order: order.iter().map(|o| (o & u64::from(u32::MAX)) as u32).collect(), starts: vec![0] };
        let mut from = 0;
        while from < order.len() {
            let mut to = from + 1;
            while to < order.len() && half(order[from]) == half(order[to]) {
                to += 1;
            }
            split.person(&mut groups.order[from..to], from, &mut groups.starts)?;
            from = to;
        }
        Ok(groups)
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rows of one group.
    pub(super) fn rows(&self, group: usize) -> &[u32] {
        &self.order[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    /// The group of each row.
    pub(super) fn of_rows(&self) -> Vec<usize> {
        let mut out = vec![0; self.order.len()];
        for group in 0..self.len() {
            for row in self.rows(group) {
                out[*row as usize] = group;
            }
        }
        out
    }

    /// Orders the rows of each group; equal ones stay in the order of the input.
    pub(super) fn sort_by(&mut self, keys: &[impl Fn(usize, usize) -> Ordering]) {
        let compare = |a: &u32, b: &u32| {
            keys.iter()
                .map(|key| key(*a as usize, *b as usize))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        for group in 0..self.len() {
            let (from, to) = (self.starts[group] as usize, self.starts[group + 1] as usize);
            if to - from > 1 {
                self.order[from..to].sort_by(compare);
            }
        }
    }
}

/// A comparison of the rows of one array.
pub(super) fn comparator(array: &ArrayRef, options: SortOptions) -> Result<Compare> {
    Ok(make_comparator(array.as_ref(), array.as_ref(), options)?)
}

/// A row number as it is kept.
pub(super) fn index(row: usize) -> Result<u32> {
    u32::try_from(row).map_err(|_| DataFusionError::Internal("more rows than a shard may have".to_owned()))
}

/// Tells the rows of one person apart by the other keys.
struct Split {
    hashes: Vec<u64>,
    equal: Vec<Compare>,
    /// First row of each group of the person at hand.
    firsts: Vec<u32>,
    /// Group of each row of the person at hand.
    found: Vec<u32>,
    /// By hash the groups, for persons with many rows.
    table: HashMap<u64, Vec<u32>>,
}

impl Split {
    fn new(keys: &[ArrayRef], n_rows: usize) -> Result<Self> {
        let mut hashes = vec![0; n_rows];
        create_hashes(keys, &RandomState::with_seed(SEED), &mut hashes)?;
        let equal = keys.iter().map(|k| comparator(k, SortOptions::default())).collect::<Result<Vec<_>>>()?;
        Ok(Self { hashes, equal, firsts: Vec::new(), found: Vec::new(), table: HashMap::new() })
    }

    fn person(&mut self, rows: &mut [u32], from: usize, starts: &mut Vec<u32>) -> Result<()> {
        if let [_] = rows {
            starts.push(index(from + 1)?);
            return Ok(());
        }
        self.firsts.clear();
        self.found.clear();
        self.table.clear();
        let few = rows.len() <= FEW;
        for row in rows.iter() {
            let hash = self.hashes[*row as usize];
            let same = |first: u32| {
                self.hashes[first as usize] == hash
                    && self.equal.iter().all(|e| e(first as usize, *row as usize).is_eq())
            };
            let known = if few {
                self.firsts.iter().position(|first| same(*first)).map(|g| g as u32)
            } else {
                let with_hash = self.table.get(&hash).map(Vec::as_slice).unwrap_or_default();
                with_hash.iter().copied().find(|g| same(self.firsts[*g as usize]))
            };
            let group = match known {
                Some(group) => group,
                None => {
                    let group = index(self.firsts.len())?;
                    self.firsts.push(*row);
                    if !few {
                        self.table.entry(hash).or_default().push(group);
                    }
                    group
                }
            };
            self.found.push(group);
        }
        if self.firsts.len() == 1 {
            starts.push(index(from + rows.len())?);
            return Ok(());
        }
        let mut next = vec![0_usize; self.firsts.len() + 1];
        for group in &self.found {
            next[*group as usize + 1] += 1;
        }
        for g in 1..next.len() {
            next[g] += next[g - 1];
            starts.push(index(from + next[g])?);
        }
        let unordered = rows.to_vec();
        for (row, group) in unordered.into_iter().zip(&self.found) {
            let place = &mut next[*group as usize];
            rows[*place] = row;
            *place += 1;
        }
        Ok(())
    }
}

/// The rows in order of person, NULL last; rows of one person stay in their order.
fn by_person(persons: &Int32Array) -> Vec<u32> {
    let n = persons.len() as u32;
    let values = persons.values();
    if persons.null_count() == 0 && values.windows(2).all(|w| w[0] <= w[1]) {
        return (0..n).collect();
    }
    let known = persons.iter().flatten();
    let (low, high) = known.fold((i32::MAX, i32::MIN), |(l, h), p| (l.min(p), h.max(p)));
    let span = (i64::from(high) - i64::from(low) + 2).max(1) as usize;
    let slot = |row: u32| {
        let row = row as usize;
        if persons.is_null(row) { span - 1 } else { (i64::from(values[row]) - i64::from(low)) as usize }
    };
    let mut order: Vec<u32> = (0..n).collect();
    if span > persons.len().saturating_mul(WIDE) + 1024 {
        order.sort_by_key(|row| slot(*row));
        return order;
    }
    let mut next = vec![0_u32; span + 1];
    for row in 0..n {
        next[slot(row) + 1] += 1;
    }
    for s in 1..next.len() {
        next[s] += next[s - 1];
    }
    for row in 0..n {
        let place = &mut next[slot(row)];
        order[*place as usize] = row;
        *place += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, StringViewArray};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn groups_are_those_of_a_map(
            rows in prop::collection::vec((prop::option::of(-3_i32..40), prop::option::of("[ab]{0,2}")), 0..200),
            wide in any::<bool>(),
        ) {
            let persons: Int32Array = rows.iter().map(|r| r.0.map(|p| if wide { p * 9_999_991 } else { p })).collect();
            let texts: StringViewArray = rows.iter().map(|r| r.1.clone()).collect();
            let days: Date32Array = rows.iter().map(|r| r.0).collect();
            let mut wanted: BTreeMap<_, Vec<u32>> = BTreeMap::new();
            for (i, row) in rows.iter().enumerate() {
                wanted.entry(row).or_default().push(i as u32);
            }
            let mut wanted: Vec<Vec<u32>> = wanted.into_values().collect();
            wanted.sort();
            let texts: ArrayRef = Arc::new(texts);
            // With a person, and with a day in its place: by hash.
            for other in [Arc::new(persons) as ArrayRef, Arc::new(days)] {
                let groups = Groups::of(&[Arc::clone(&texts), other]).unwrap();
                let mut got: Vec<Vec<u32>> = (0..groups.len()).map(|g| groups.rows(g).to_vec()).collect();
                got.sort();
                prop_assert_eq!(got, wanted.clone());
            }
        }
    }
}
