//! Pieces of a body, at a rate that ends some day.

use std::time::{Duration, Instant};

use crate::policy::policy;
use crate::wait::{Stalled, Wait};

/// So many bytes within the limit are progress. A peer that drips a byte now and then makes none.
const LEAST: u64 = 4096;

/// A body that comes in pieces. Only the time in which a piece is waited for counts.
#[derive(Debug)]
pub struct Flow {
    wait: Wait,
    /// Waited, and received, since the last progress.
    waited: Duration,
    got: u64,
}

impl Flow {
    /// A body that `peer` sends.
    pub fn from(peer: impl Into<String>) -> Self {
        let wait = Wait::on(peer);
        wait.count(false, Duration::ZERO);
        Self {
            wait,
            waited: Duration::ZERO,
            got: 0,
        }
    }

    /// Waits for a piece, whose size in bytes `size` tells; 0 at the end.
    ///
    /// # Errors
    /// [`Stalled`], where too little came for too long.
    pub async fn next<T>(
        &mut self,
        piece: impl Future<Output = T>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<T, Stalled> {
        let began = Instant::now();
        self.wait.count(true, self.waited);
        let piece = self.wait.within(piece).await;
        self.waited += began.elapsed();
        self.wait.count(false, self.waited);
        let piece = piece?;
        self.got += size(&piece) as u64;
        if self.got >= LEAST || policy().stall.is_none() {
            self.got = 0;
            self.waited = Duration::ZERO;
            self.wait.progress();
        }
        Ok(piece)
    }
}
