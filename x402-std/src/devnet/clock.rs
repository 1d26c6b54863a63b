//! The chain's time: the machine's, moved by as much as asked for.
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as the machine's clock says plus `ahead`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    ahead: i64,
}

impl Clock {
    /// A clock that now says `seconds` and runs on from there.
    pub(super) fn starting_at(seconds: u64) -> Self {
        Self { ahead: i64::try_from(i128::from(seconds) - i128::from(wall())).unwrap_or(i64::MAX) }
    }

    /// The time, in seconds.
    pub(super) fn now(self) -> u64 {
        wall().saturating_add_signed(self.ahead)
    }

    /// Moves the clock forward and says by how many seconds it has been moved in all.
    pub(super) fn advance(&mut self, seconds: u64) -> i64 {
        self.ahead = self.ahead.saturating_add_unsigned(seconds);
        self.ahead
    }
}

/// The machine's time, in seconds; 0 on a machine that believes in the sixties.
fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_where_told_and_moves() {
        let mut clock = Clock::starting_at(1_000);
        assert!((1_000..1_005).contains(&clock.now()));
        clock.advance(50);
        assert!((1_050..1_055).contains(&clock.now()));
        clock.advance(u64::MAX);
        assert!(clock.now() > u64::from(u32::MAX));
    }
}
