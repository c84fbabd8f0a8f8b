//! Waits for many futures at once, but not for more than so many.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// How many are waited for at once: an instance may have 1,024 questions to the host, and calls overlap.
const AT_ONCE: usize = 128;

/// The outputs, in the order in which they came.
pub(crate) async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut outputs = Vec::new();
    poll_fn(|context| {
        loop {
            let free = AT_ONCE - running.len();
            running.extend(waiting.by_ref().take(free).map(Box::pin));
            if running.is_empty() {
                return Poll::Ready(());
            }
            let before = running.len();
            running.retain_mut(|future| match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    outputs.push(output);
                    false
                }
                Poll::Pending => true,
            });
            // Those that have taken the place of others have to be polled, too.
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    outputs
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn all_outputs_come_and_no_more_than_so_many_wait_at_once() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let rounds = Cell::new(0);
        let (running, most, rounds) = (&running, &most, &rounds);
        // Each begins, waits for the next round, and ends.
        let one = |number: usize| async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            let begun = rounds.get();
            poll_fn(|_| {
                if rounds.get() > begun {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            running.set(running.get() - 1);
            number
        };
        let mut joined = pin!(join((0..1_000).map(one)));
        let mut context = Context::from_waker(Waker::noop());
        let mut outputs = loop {
            if let Poll::Ready(outputs) = joined.as_mut().poll(&mut context) {
                break outputs;
            }
            rounds.set(rounds.get() + 1);
            assert!(rounds.get() < 1_000, "it does not end");
        };
        outputs.sort_unstable();
        assert_eq!(outputs, (0..1_000).collect::<Vec<_>>());
        assert_eq!((most.get(), running.get()), (AT_ONCE, 0));
        assert_eq!(rounds.get(), 1_000_usize.div_ceil(AT_ONCE));
    }

    #[test]
    fn what_is_ready_needs_no_second_poll() {
        let mut joined = pin!(join((0..1_000).map(ready)));
        let mut context = Context::from_waker(Waker::noop());
        let polled = joined.as_mut().poll(&mut context);
        assert!(matches!(polled, Poll::Ready(outputs) if outputs.len() == 1_000));
        let mut joined = pin!(join(std::iter::empty::<std::future::Ready<()>>()));
        assert!(joined.as_mut().poll(&mut context).is_ready());
    }
}
