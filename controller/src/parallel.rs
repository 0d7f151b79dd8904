//! Work on many items at once, over the cores there are. For what takes seconds on one: ten thousand manifests.

use std::num::NonZero;
use std::thread;

/// Below this many items a thread costs more than it saves.
const WORTHWHILE: usize = 16;

/// What becomes of each item, in their order. A panic goes on in the caller.
pub(crate) fn map<T: Sync, U: Send>(items: &[T], with: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    if items.len() < WORTHWHILE || threads == 1 {
        return items.iter().map(with).collect();
    }
    let with = &with;
    thread::scope(|scope| {
        let work = |chunk| scope.spawn(move || <[T]>::iter(chunk).map(with).collect::<Vec<U>>());
        let workers: Vec<_> = items.chunks(items.len().div_ceil(threads)).map(work).collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_however_many_there_are() {
        for many in [0, 1, 15, 16, 17, 1000] {
            let items: Vec<usize> = (0..many).collect();
            assert_eq!(map(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "the seventh")]
    fn a_panic_goes_on_in_the_caller() {
        map(&(0..100).collect::<Vec<usize>>(), |item| assert_ne!(*item, 7, "the seventh"));
    }
}
