/*!
Takes connections, and carries each to its end: what every service here listens by.

Each connection has a seat. There are as many as file descriptors allow, two for each and some besides, and
never more than [`ListenerOptions::connections`]. Where none is free, the connection that has waited longest
gives way to who comes: for the head of a request, or idle between two; then one whose body does not come, or
who does not read. A connection whose request is being worked on never does.

An address has half of the seats, and eight at least (of IPv6 a /64 is one). When it comes for more, its own
connections give way, and where all are busy it is turned away. Proxies that are trusted have any number, and so
has this machine, where a proxy may be.
*/

mod carry;
mod descriptors;
mod flow;
mod seats;
mod timed;

use core::fmt;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use seats::Seats;

#[cfg(feature = "gateway")]
pub(crate) use carry::LEAST_BUFFER;
pub use carry::Visitor;
pub use descriptors::raise_descriptors;
#[cfg(feature = "gateway")]
pub(crate) use seats::Seat;
pub use timed::Timed;
#[cfg(any(feature = "facilitator", feature = "gateway"))]
pub(crate) use timed::TooSlow;
#[cfg(feature = "gateway")]
pub(crate) use timed::{BrokenOff, Pace, TooLong};

/// An error of a body.
pub(crate) type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// How long to wait with the next connection when the last could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many connections wait to be taken: a burst of them, for the least of them that a queue holds waits a
/// second before it tries again.
const BACKLOG: u32 = 4096;
/// How much of an answer waits in the kernel for one who does not read; it takes twice that.
const SEND_BUFFER: u32 = 128 << 10;

/// What is put up with.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// How long a request's body may keep the server waiting for every KiB.
    pub body_time: Duration,
    /// How many connections are open at once, at most.
    pub connections: usize,
    /// How long a connection may take to send a request's head, and be idle.
    pub head_time: Duration,
    /// How long the head of a request may be, in bytes: 8 KiB at least.
    pub max_head: usize,
    /// The proxies that may have any number of connections.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a client may read nothing of what it is sent.
    pub write_time: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            body_time: Duration::from_secs(20),
            connections: 1024,
            head_time: Duration::from_secs(10),
            max_head: 32 << 10,
            trusted_proxies: Vec::new(),
            write_time: Duration::from_secs(25),
        }
    }
}

/// Takes the connections of a socket.
pub struct Listener {
    options: ListenerOptions,
    seats: Seats,
}

/// The connections that are open when no more are taken.
#[derive(Debug)]
pub struct Open {
    connections: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Binds a socket.
///
/// # Errors
///
/// Those of the system: the address is another's, or not to be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As tokio's own listeners have it: elsewhere it lets others take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// One that puts up with so much, and has as many seats as there are descriptors for now.
    #[must_use]
    pub fn new(options: ListenerOptions) -> Self {
        let seats = descriptors::seats(options.connections);
        if seats < options.connections {
            tracing::warn!(seats, "there are file descriptors for so many connections only");
        }
        Self { seats: Seats::new(seats, options.trusted_proxies.clone()), options }
    }

    /// Has the requests of all connections answered by `handler`, until the future is dropped. In their extensions
    /// is the [`Visitor`].
    pub async fn answer<H, F, B>(self, listener: TcpListener, handler: H)
    where
        H: Fn(Request<Timed<Incoming>>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.serve(listener, handler, core::future::pending()).await;
    }

    /// As [`Self::answer`], until `shutdown` is ready; gives the connections that are open still.
    pub async fn serve<H, F, B>(
        self,
        listener: TcpListener,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) -> Open
    where
        H: Fn(Request<Timed<Incoming>>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut shutdown = pin!(shutdown);
        let mut open = Open { connections: JoinSet::new(), stop: watch::Sender::new(false) };
        loop {
            let next = async {
                let (stream, address) = self.accept(&listener).await;
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                (stream, address, self.seats.take(address.ip()).await)
            };
            let (stream, address, seat) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                next = next => next,
            };
            while open.connections.try_join_next().is_some() {}
            // Turned away.
            let Some(seat) = seat else { continue };
            let visitor = Visitor { address, seat };
            let stop = open.stop.subscribe();
            let carried = carry::carry(stream, visitor, &self.options, handler.clone(), stop);
            open.connections.spawn(carried);
        }
        open
    }

    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                // The peer's own affair: the next may be taken at once.
                Err(error) if is_of_peer(&error) => {}
                // No file descriptors or no memory: until some are free, trying is idle work.
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    self.seats.shut_one();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Open {
    /// Lets what is under way come to its end, and takes no more requests.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        while self.connections.join_next().await.is_some() {}
    }
}

fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("options", &self.options).finish_non_exhaustive()
    }
}
