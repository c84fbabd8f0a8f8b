//! When a connection sends its next update.

use std::time::Duration;

use crate::stats::{float, float_of};

/// When the updates of one connection are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Schedule {
    /// As soon as the one before is answered.
    Closed,
    /// At a fixed rate, whether the server keeps up or not.
    Paced { offset: f64, interval: f64 },
}

impl Schedule {
    /// That of connection `index` of `connections`, which have `rate` updates a second together; 0 is a closed loop. The
    /// connections' updates are spread over the interval.
    pub(crate) fn new(rate: f64, index: usize, connections: usize) -> Self {
        if rate <= 0.0 {
            return Self::Closed;
        }
        let connections = float_of(connections);
        let interval = connections / rate;
        Self::Paced {
            offset: interval * float_of(index) / connections,
            interval,
        }
    }

    /// When update `number` is due, since the start. `None`: now.
    pub(crate) fn due(self, number: u64) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Paced { offset, interval } => {
                let due = offset + interval * float(number);
                Some(Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_have_the_rate_together_and_are_spread() {
        let mut due: Vec<Duration> = (0..4)
            .map(|index| Schedule::new(100.0, index, 4))
            .flat_map(|schedule| (0..25).filter_map(move |number| schedule.due(number)))
            .collect();
        due.sort();
        assert_eq!(due.len(), 100);
        for (number, due) in (0_u32..).zip(due) {
            let wanted = Duration::from_millis(10) * number;
            assert!(
                due.abs_diff(wanted) < Duration::from_micros(1),
                "{number}: {due:?}"
            );
        }
    }

    #[test]
    fn a_closed_loop_waits_for_no_time() {
        assert_eq!(Schedule::new(0.0, 1, 4).due(7), None);
    }
}
