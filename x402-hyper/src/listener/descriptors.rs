//! How many files the process may have open.

/// Has the process open as many files as it may ask for: the limit that is in force is raised to the one above
/// it. Gives what is in force then; `None` where there is no such limit.
#[must_use]
pub fn raise_descriptors() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limits = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
        if limits.current != limits.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            tracing::warn!(%error, "the limit of file descriptors stays");
        }
    }
    in_force()
}

fn in_force() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}

/// How many connections there are descriptors for, up to `most`.
pub(super) fn seats(most: usize) -> usize {
    in_force().map_or(most, |descriptors| seats_of(descriptors, most))
}

/// Each may need a connection to a server behind. A quarter, and no more than 128, is for the rest: nodes,
/// the ledger, the other sockets of the process.
fn seats_of(descriptors: u64, most: usize) -> usize {
    let reserve = (descriptors / 4).min(128);
    let seats = usize::try_from((descriptors - reserve) / 2).unwrap_or(usize::MAX);
    seats.clamp(1, most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_takes_two_descriptors_and_some_are_for_the_rest() {
        for (descriptors, most, seats) in [
            (1024, 1024, 448),
            (256, 1024, 96),
            (20_000, 1024, 1024),
            (20_000, 65_536, 9_936),
            (u64::MAX, 1024, 1024),
            (0, 1024, 1),
            (1024, 0, 1),
        ] {
            assert_eq!(seats_of(descriptors, most), seats, "{descriptors} {most}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_to_what_may_be_asked_for() {
        let highest = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        assert_eq!(raise_descriptors(), highest);
        assert_eq!(in_force(), highest);
    }
}
