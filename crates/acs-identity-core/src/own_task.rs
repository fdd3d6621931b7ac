//! Futures that have a task of their own.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

thread_local! {
    static IS_HERE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a future of which its caller promises that it is the work of a task of its own: it is polled as soon as it can go on, whatever
/// becomes of those who wait for it. What it awaits needs no other task for that; see [`is_in_own_task`].
pub async fn in_own_task<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _before = Before(IS_HERE.replace(true));
        work.as_mut().poll(context)
    })
    .await
}

/// Whether who is polled here is a part of the work of a task of its own, as it is in a load of a cache.
///
/// A store whose call must go on when its caller does not, for instance as it holds a connection, runs it in a task. Where this is
/// true, it need not, and saves the switch. The future may still be dropped.
pub fn is_in_own_task() -> bool {
    IS_HERE.get()
}

/// What was there before, also after a panic.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        IS_HERE.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use futures::FutureExt;

    use super::*;

    #[test]
    fn it_is_so_only_while_the_work_is_polled() {
        let work = in_own_task(async {
            assert!(is_in_own_task());
            assert!(in_own_task(async { is_in_own_task() }).await);
            assert!(is_in_own_task());
        });
        assert!(!is_in_own_task());
        work.now_or_never().expect("it waits for nothing");
        assert!(!is_in_own_task());
        let panics = in_own_task(async { panic!("work") });
        assert!(catch_unwind(AssertUnwindSafe(|| panics.now_or_never())).is_err());
        assert!(!is_in_own_task());
    }
}
