//! When the user wants the program to end.

/// Watches for SIGINT and SIGTERM from now on, and is ready at the first of them.
///
/// They are watched before the future is polled: a signal that comes when the program has
/// just said that it listens must end it as gently as any later one.
pub(crate) fn stop() -> impl Future<Output = ()> + Send {
    #[cfg(unix)]
    let (interrupt, terminate) = {
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    async move {
        #[cfg(unix)]
        match (interrupt, terminate) {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Where one cannot be watched, the other still works.
            (Ok(mut signal), Err(_)) | (Err(_), Ok(mut signal)) => drop(signal.recv().await),
            (Err(_), Err(_)) => core::future::pending().await,
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    }
}

/// Watches for SIGHUP.
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    pub(crate) fn watch() -> Self {
        #[cfg(unix)]
        return Self {
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        };
        #[cfg(not(unix))]
        return Self {};
    }

    /// Waits for the next one; for ever where there are none.
    pub(crate) async fn wait(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        core::future::pending().await
    }
}
