//! Waiting at the start for what is not there yet: a node that has too much to do, a facilitator that starts
//! later.

use core::time::Duration;

use tokio::time::sleep;
use x402_std::config::OnStart;

use crate::exit::Failure;
use crate::output;

/// The first pause; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, after which it is said again what is waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why something does not work at the start.
pub(crate) enum Trouble {
    /// It cannot be reached, which may change.
    Away(Failure),
    /// It is not what is configured, which does not change by itself.
    Wrong(Failure),
}

/// Whether a program waits for what it starts with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// It ends.
    None,
    /// It waits as long as it takes.
    Endless,
}

impl From<OnStart> for Patience {
    fn from(on_start: OnStart) -> Self {
        match on_start {
            OnStart::Exit => Self::None,
            OnStart::Wait => Self::Endless,
        }
    }
}

impl Patience {
    /// Tries until it works, with pauses, and says before each of them what is waited for.
    pub(crate) async fn wait<T>(
        self,
        what: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match attempt().await {
                Ok(found) => return Ok(found),
                Err(Trouble::Wrong(failure)) => return Err(failure),
                Err(Trouble::Away(failure)) => failure,
            };
            if self == Self::None {
                return Err(failure);
            }
            output::note(format_args!(
                "waiting for {what}, not ready: {}; again in {} s",
                failure.error(),
                pause.as_secs()
            ));
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}
