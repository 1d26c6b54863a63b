//! Payers who break their own requests once they have the answer, or before: the work is done for them once.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::broken::Broken;
use crate::observer::key;
use crate::run::{Sold, Stage};
use crate::world::lock;

/// A body that comes in pieces, or whole.
pub(crate) type Said = BoxBody<Bytes, io::Error>;

/// The number of a request.
pub(crate) const ATTEMPT: &str = "x-attempt";

/// Who sends a body; it ends when this is dropped.
pub(crate) struct Sending(mpsc::Sender<io::Result<Bytes>>);

struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| Some(piece?.map(Frame::data)))
    }
}

impl Sending {
    pub(crate) fn new() -> (Self, Said) {
        let (sender, receiver) = mpsc::channel(4);
        (Self(sender), Pieces(receiver).boxed())
    }

    /// Sends a piece, if somebody still wants it.
    pub(crate) async fn piece(&self, text: String) {
        drop(self.0.send(Ok(text.into())).await);
    }

    pub(crate) async fn fails(&self, error: io::Error) {
        drop(self.0.send(Err(error)).await);
    }
}

/// A body of nothing.
pub(crate) fn nothing() -> Said {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn broken_off() -> io::Error {
    io::Error::other("broken off")
}

/// How a request ends.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Ending {
    /// Broken off before anything of the answer has come.
    AtOnce,
    /// Broken off when the first of it has come.
    InTime,
    /// As it should.
    Whole,
}

impl Stage {
    /// Sends a payment some times, and breaks most of its requests off.
    pub(crate) async fn cheat(self: Arc<Self>, index: usize, service: Sold) {
        for _ in 0..6 {
            let (pause, ending, attempt) = {
                let mut world = lock(&self.world);
                let endings = [Ending::AtOnce, Ending::InTime, Ending::InTime, Ending::Whole];
                let ending = endings[world.random.below(4) as usize];
                let attempt = world.payments[index].attempts;
                world.payments[index].attempts += 1;
                (world.random.below(20_000), ending, attempt)
            };
            sleep(Duration::from_millis(pause)).await;
            let tried = self.try_once((index, attempt), ending, service.clone());
            drop(timeout(Duration::from_secs(40), tried).await);
        }
        lock(&self.world).payments[index].has_cheated = true;
    }

    async fn try_once(
        &self,
        (index, attempt): (usize, usize),
        ending: Ending,
        service: Sold,
    ) -> Option<()> {
        let (sending, body) = Sending::new();
        let mut request = Request::post("/paid");
        for (name, value) in &self.payments[index] {
            request = request.header(*name, value);
        }
        let request = request.header("Idempotency-Key", key(index)).header(ATTEMPT, attempt);
        let request = request.body(body).unwrap();
        let mut sending = Some(sending);
        if ending != Ending::InTime {
            self.end_request((index, attempt), ending, sending.take()?).await;
        }
        let Ok(answer) = service.oneshot(request).await;
        let (status, mut body) = (answer.status(), answer.into_body());
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            text.extend(frame.ok()?.into_data().ok()?);
            if status == StatusCode::OK && text.starts_with(b"payment ") {
                lock(&self.world).hands_over(index);
            }
            if let Some(sending) = sending.take() {
                self.end_request((index, attempt), ending, sending).await;
            }
        }
        if status == StatusCode::OK {
            lock(&self.world).served(index, String::from_utf8(text).ok()?);
        }
        Some(())
    }

    /// Ends a request, or breaks it off.
    async fn end_request(
        &self,
        (index, attempt): (usize, usize),
        ending: Ending,
        sending: Sending,
    ) {
        if ending == Ending::Whole {
            return;
        }
        {
            let mut world = lock(&self.world);
            world.payments[index].broken_off.insert(attempt);
            world.counts.cheated += 1;
        }
        if self.broken != Some(Broken::Ending) {
            sending.fails(broken_off()).await;
        }
    }
}
