//! When a process that died is started again.

use std::time::Duration;

/// A death this soon after the start counts towards giving up.
const EARLY: Duration = Duration::from_secs(10);
/// So many early deaths in a row end it all.
const LIMIT: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The deaths of one process.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    /// How often it was started again.
    pub(crate) total: u32,
    early_in_a_row: u32,
}

/// What follows a death.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start it again after a pause.
    Restart(Duration),
    /// It dies again and again.
    GiveUp,
}

/// Why it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// By itself.
    Fault,
    /// Somebody sent a signal to see what happens: no sign that it cannot live.
    Killed,
    /// Somebody asked for a restart.
    Restarted,
}

impl Restarts {
    /// Notes a death after `lived`.
    pub(crate) fn died(&mut self, lived: Duration, cause: Cause) -> Next {
        self.total += 1;
        match cause {
            Cause::Restarted => return Next::Restart(Duration::ZERO),
            Cause::Killed => return Next::Restart(FIRST_PAUSE),
            Cause::Fault => {}
        }
        self.early_in_a_row = if lived < EARLY {
            self.early_in_a_row + 1
        } else {
            0
        };
        if self.early_in_a_row >= LIMIT {
            return Next::GiveUp;
        }
        Next::Restart(FIRST_PAUSE * 2_u32.pow(self.early_in_a_row.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    #[test]
    fn five_early_deaths_in_a_row_end_it_after_growing_pauses() {
        let mut restarts = Restarts::default();
        let pauses: Vec<Next> = (0..5).map(|_| restarts.died(SOON, Cause::Fault)).collect();
        let after = |millis| Next::Restart(Duration::from_millis(millis));
        assert_eq!(
            pauses,
            [after(100), after(200), after(400), after(800), Next::GiveUp]
        );
    }

    #[test]
    fn a_long_life_between_starts_the_count_anew() {
        let mut restarts = Restarts::default();
        for _ in 0..10 {
            for _ in 0..4 {
                assert_ne!(restarts.died(SOON, Cause::Fault), Next::GiveUp);
            }
            assert_eq!(
                restarts.died(EARLY, Cause::Fault),
                Next::Restart(FIRST_PAUSE)
            );
        }
        assert_eq!(restarts.total, 50);
    }

    #[test]
    fn deaths_that_somebody_asked_for_never_end_it() {
        let mut restarts = Restarts::default();
        for _ in 0..20 {
            assert_eq!(
                restarts.died(SOON, Cause::Killed),
                Next::Restart(FIRST_PAUSE)
            );
            assert_eq!(
                restarts.died(SOON, Cause::Restarted),
                Next::Restart(Duration::ZERO)
            );
        }
    }
}
