//! The requests that the inspector shows: the newest, in bounded memory, each as the JSON that is sent.
//!
//! A reader says what it has seen and takes what came since, so that a slow one holds nothing back: what was dropped
//! meanwhile it never gets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use super::span::Told;

/// Requests at most.
pub(super) const MOST: usize = 5_000;

/// Bytes of all of them at most, as JSON.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Rows that are handed out at a time.
const BATCH: usize = 500;

/// What a request takes besides its JSON.
const OVERHEAD: usize = 128;

pub(super) struct Store {
    kept: Mutex<Kept>,
    changed: watch::Sender<()>,
    most_bytes: usize,
}

impl Default for Store {
    fn default() -> Store {
        Store { kept: Mutex::default(), changed: watch::Sender::default(), most_bytes: MOST_BYTES }
    }
}

#[derive(Default)]
struct Kept {
    requests: VecDeque<Request>,
    bytes: usize,
    /// The number of the request that came last; the first is 1.
    last: u64,
    /// Requests that made room for others.
    dropped: u64,
    /// Spans that could not be read.
    unreadable: u64,
}

struct Request {
    row: Arc<str>,
    whole: Arc<str>,
}

/// What came since a reader asked last.
pub(super) struct News {
    pub(super) rows: Vec<Arc<str>>,
    /// The number of the last of them.
    pub(super) last: u64,
    pub(super) counts: Counts,
}

/// What became of all requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// The number of the oldest that is there.
    pub(super) first: u64,
    pub(super) dropped: u64,
    pub(super) unreadable: u64,
}

#[derive(Serialize)]
struct Numbered<'a, T: Serialize> {
    id: u64,
    #[serde(flatten)]
    rest: &'a T,
}

impl Store {
    /// Takes requests in. The oldest make room.
    pub(super) fn add(&self, told: Vec<Told>, unreadable: u64) {
        {
            let mut kept = self.lock();
            kept.unreadable += unreadable;
            told.iter().for_each(|told| kept.add(told, self.most_bytes));
        }
        self.changed.send_replace(());
    }

    /// What came after the request with this number.
    pub(super) fn after(&self, seen: u64) -> News {
        let kept = self.lock();
        let first = kept.first();
        let from = (seen.min(kept.last) + 1).max(first);
        let skipped = usize::try_from(from - first).unwrap_or(usize::MAX);
        let rows: Vec<_> =
            kept.requests.iter().skip(skipped).take(BATCH).map(|it| Arc::clone(&it.row)).collect();
        let counts = Counts { first, dropped: kept.dropped, unreadable: kept.unreadable };
        News { last: from - 1 + rows.len() as u64, rows, counts }
    }

    /// All of one request.
    pub(super) fn whole(&self, id: u64) -> Option<Arc<str>> {
        let kept = self.lock();
        let index = usize::try_from(id.checked_sub(kept.first())?).ok()?;
        kept.requests.get(index).map(|request| Arc::clone(&request.whole))
    }

    /// Tells of changes from here on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn first(&self) -> u64 {
        self.last + 1 - self.requests.len() as u64
    }

    fn add(&mut self, told: &Told, most_bytes: usize) {
        let id = self.last + 1;
        let row = serde_json::to_string(&Numbered { id, rest: &told.row });
        let whole = serde_json::to_string(&Numbered { id, rest: told });
        // Texts, numbers and lists always serialize.
        let (Ok(row), Ok(whole)) = (row, whole) else {
            self.unreadable += 1;
            return;
        };
        let request = Request { row: row.into(), whole: whole.into() };
        self.last = id;
        self.bytes += request.size();
        self.requests.push_back(request);
        while self.requests.len() > MOST || self.bytes > most_bytes {
            let Some(oldest) = self.requests.pop_front() else { return };
            self.bytes -= oldest.size();
            self.dropped += 1;
        }
    }
}

impl Request {
    fn size(&self) -> usize {
        self.row.len() + self.whole.len() + OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Told {
        let mut told = Told::default();
        told.row.path = path.to_owned();
        told
    }

    fn paths(news: &News) -> Vec<String> {
        let path = |row: &Arc<str>| {
            let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
            row["path"].as_str().expect("a path").to_owned()
        };
        news.rows.iter().map(path).collect()
    }

    #[test]
    fn a_reader_gets_what_came_since() {
        let store = Store::default();
        assert_eq!(store.after(0).last, 0);
        store.add(vec![request("/1"), request("/2")], 0);
        let news = store.after(0);
        assert_eq!((paths(&news), news.last), (vec!["/1".to_owned(), "/2".to_owned()], 2));
        store.add(vec![request("/3")], 1);
        let news = store.after(2);
        assert_eq!((paths(&news), news.last), (vec!["/3".to_owned()], 3));
        assert_eq!(news.counts, Counts { first: 1, dropped: 0, unreadable: 1 });
        let news = store.after(3);
        assert!(news.rows.is_empty() && news.last == 3);
        // Of an inspector before this one.
        assert_eq!(store.after(u64::MAX).last, 3);
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let store = Store::default();
        store.add((1..=MOST + 3).map(|number| request(&format!("/{number}"))).collect(), 0);
        let news = store.after(0);
        assert_eq!(news.counts, Counts { first: 4, dropped: 3, unreadable: 0 });
        assert_eq!((paths(&news)[0].as_str(), news.rows.len(), news.last), ("/4", BATCH, 503));
        assert!(store.whole(3).is_none() && store.whole(0).is_none() && store.whole(6_000).is_none());
        assert!(store.whole(4).is_some_and(|whole| whole.contains("\"/4\"")));
        let (mut seen, mut read) = (0, 0);
        loop {
            let news = store.after(seen);
            if news.rows.is_empty() {
                break;
            }
            (seen, read) = (news.last, read + news.rows.len());
        }
        assert_eq!((seen, read), (MOST as u64 + 3, MOST));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let store = Store { most_bytes: 100_000, ..Store::default() };
        let long = "x".repeat(10_000);
        store.add((0..20).map(|_| request(&long)).collect(), 0);
        let kept = store.lock();
        assert!(
            kept.bytes <= 100_000 && kept.requests.len() == 4,
            "{} in {}",
            kept.requests.len(),
            kept.bytes
        );
        assert_eq!(kept.dropped, 16);
    }
}
