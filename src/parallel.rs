//! Loops over pieces of long arrays, on the threads that candle and the kernels use.

use std::sync::Mutex;

use rnn_zoo_models::kernels;

/// Numbers of a piece: many pieces for the threads to share, each long enough to be worth it.
pub(crate) const PIECE: usize = 1 << 15;

/// Return the results of `work` for each of `pieces`, in their order.
pub(crate) fn map<P: Send, R: Send>(pieces: Vec<P>, work: impl Fn(P) -> R + Sync) -> Vec<R> {
    if pieces.len() <= 1 || kernels::threads() == 1 {
        return pieces.into_iter().map(work).collect();
    }
    enum JobSlot<P, R> {
        Piece(P),
        Taken,
        Result(R),
    }
    let slots: Vec<_> = pieces.into_iter().map(|piece| Mutex::new(JobSlot::Piece(piece))).collect();
    kernels::run_chunked(slots.len(), |range| {
        for slot in &slots[range] {
            let mut slot = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let JobSlot::Piece(piece) = std::mem::replace(&mut *slot, JobSlot::Taken) {
                *slot = JobSlot::Result(work(piece));
            }
        }
    });
    let results =
        slots.into_iter().map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    results
        .map(|slot| match slot {
            JobSlot::Result(result) => result,
            _ => unreachable!("invariant: the pool has visited every slot"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_may_run_kernels_and_maps_of_its_own() {
        let inner = |x: usize| map((0..4).collect(), move |y: usize| x + y).into_iter().sum::<usize>();
        assert_eq!(map((0..100).collect(), inner), (0..100).map(|x| 4 * x + 6).collect::<Vec<_>>());
    }

    #[test]
    fn results_keep_the_order_of_their_pieces() {
        for count in [0, 1, 2, 1000] {
            let squares = map((0..count).collect(), |x: usize| x * x);
            assert_eq!(squares, (0..count).map(|x| x * x).collect::<Vec<_>>());
        }
    }
}
