//! A request that is held back until its body has arrived: to be signed over it, or to read its model.
//!
//! Envoy holds the body; here it is counted, and hashed as it comes where it is signed. How much one request may hold is
//! the configuration's, how much all of a worker's may is [`MOST`].

use std::cell::Cell;

use policy::aws::BodyHash;
use policy::denial::Reason;

use crate::host::{self, Refused};

/// Bytes that the requests of one worker may hold together.
const MOST: usize = 64 << 20;

/// How much of a body is looked at at once.
const PIECE: usize = 64 << 10;

thread_local! {
    /// Bytes that all requests of this VM hold.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// What arrived so far. Dropped, it no longer counts.
#[derive(Default)]
pub(crate) struct Body {
    arrived: usize,
    hashed: usize,
    hash: BodyHash,
}

impl Body {
    /// Takes what arrived since: `size` is that of all that is held.
    ///
    /// # Errors
    /// [`Reason`]: it is more than one request, or all of them, may hold.
    pub(crate) fn arrive(&mut self, size: usize, most: usize) -> Result<(), Reason> {
        let more = size.saturating_sub(self.arrived);
        if size > most {
            return Err(Reason::BodyTooLarge);
        }
        let all = HELD.get().saturating_add(more);
        if all > MOST {
            return Err(Reason::Overloaded);
        }
        HELD.set(all);
        self.arrived = self.arrived.max(size);
        Ok(())
    }

    /// Hashes what arrived since.
    pub(crate) fn hash_arrived(&mut self) -> Result<(), Refused> {
        while self.hashed < self.arrived {
            let piece = host::request_body(self.hashed, PIECE.min(self.arrived - self.hashed))?;
            if piece.is_empty() {
                return Err(Refused);
            }
            self.hash.update(&piece);
            self.hashed += piece.len();
        }
        Ok(())
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Refused> {
        match self.arrived {
            0 => Ok(Vec::new()),
            size => host::request_body(0, size)
                .and_then(|bytes| if bytes.len() == size { Ok(bytes) } else { Err(Refused) }),
        }
    }

    /// The hash of what [`Body::hash_arrived`] took.
    pub(crate) fn into_hash(mut self) -> BodyHash {
        std::mem::take(&mut self.hash)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.arrived));
    }
}
