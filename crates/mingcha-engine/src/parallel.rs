//! Work on several threads whose results come back in the order of the items, whoever did which. Knows nothing of
//! what the work is.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, PoisonError};

/// Stack of a worker: planning recurses as deep as a rule's expressions.
const WORKER_STACK: usize = 64 << 20;

/// `work` on every item, on up to `workers` threads; the results in the order of the items.
pub(crate) fn in_parallel<T: Send, R: Send>(
    workers: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let workers = workers.min(items.len());
    if workers < 2 {
        return items.into_iter().map(work).collect();
    }
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let one = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            // Where no thread can be had, this one does the work.
            let _ = std::thread::Builder::new().stack_size(WORKER_STACK).spawn_scoped(scope, one);
        }
        one();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// `work` on every item, on up to `workers` threads, and `hand_over` of each result in the order of the items. A
/// thread whose result is not the next one waits: no more results are in memory than there are threads.
pub(crate) fn in_turn<T: Send, R>(
    workers: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
    hand_over: impl FnMut(R) + Send,
) {
    let workers = workers.min(items.len());
    let waiting = Mutex::new(items.into_iter().enumerate());
    let turn = Mutex::new((0, hand_over));
    let moved = Condvar::new();
    let one = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { return };
            // The turn goes on whatever happens: the others wait for it.
            let result = catch_unwind(AssertUnwindSafe(|| work(item)));
            let mut now = turn.lock().unwrap_or_else(PoisonError::into_inner);
            while now.0 != place {
                now = moved.wait(now).unwrap_or_else(PoisonError::into_inner);
            }
            let handed = result.and_then(|result| catch_unwind(AssertUnwindSafe(|| (now.1)(result))));
            now.0 += 1;
            drop(now);
            moved.notify_all();
            if let Err(panic) = handed {
                resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            // Where no thread can be had, this one does the work.
            let _ = std::thread::Builder::new().stack_size(WORKER_STACK).spawn_scoped(scope, one);
        }
        one();
    });
}
