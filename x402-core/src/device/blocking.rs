//! The loops over [`embedded_io`].

use core::fmt::{self, Write as _};
use core::marker::PhantomData;

use embedded_io::{ErrorType, Read, Write};

use super::buyer::{Buyer, BuyerError, FreshNonce, Head, Next, Request};
use super::connection::{Connection, DeviceError};
use super::dialects::Dialects;
use super::scan::{BodyLength, Intake};
use super::seller::{Received, Refused, Sale, Seller, SellerError};
use crate::{Offer, Recover, Refusal, Signer, plain};

impl<T: ErrorType> ErrorType for Connection<T> {
    type Error = T::Error;
}

impl<T: Read> Read for Connection<T> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, T::Error> {
        match self.drain(out) {
            0 => self.stream.read(out),
            count => Ok(count),
        }
    }
}

impl<T: Write> Write for Connection<T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> Result<(), T::Error> {
        self.stream.flush()
    }
}

impl<T: Read> Connection<T> {
    /// Waits for bytes, where none are waiting; whether there are some, or the stream is at its end.
    fn fill(&mut self) -> Result<bool, T::Error> {
        if self.waiting().is_empty() {
            let (stream, chunk) = self.chunk();
            let count = stream.read(chunk)?;
            self.filled(count);
        }
        Ok(!self.waiting().is_empty())
    }

    /// Reads a head to its end.
    fn read_head<I: Intake>(
        &mut self,
        intake: &mut I,
    ) -> Result<(), DeviceError<I::Error, T::Error>> {
        loop {
            if !self.fill().map_err(DeviceError::Io)? {
                return Err(DeviceError::Closed);
            }
            let taken = intake.push_all(self.waiting());
            let (count, is_whole) = taken.map_err(DeviceError::Protocol)?;
            self.consume(count);
            if is_whole {
                return Ok(());
            }
        }
    }

    /// Reads a body of known length, a byte at a time.
    fn read_body<P>(
        &mut self,
        length: u32,
        mut push: impl FnMut(u8),
    ) -> Result<(), DeviceError<P, T::Error>> {
        for _ in 0..length {
            self.fill().map_err(DeviceError::Io)?;
            push(self.take().ok_or(DeviceError::Closed)?);
        }
        Ok(())
    }
}

/// Text on its way, in pieces that are worth a packet.
struct Pieces<'c, T: Write> {
    stream: &'c mut T,
    piece: [u8; 128],
    length: usize,
    result: Result<(), T::Error>,
}

impl<T: Write> Pieces<'_, T> {
    fn flush(&mut self) -> fmt::Result {
        let piece = self.piece.get(..self.length).unwrap_or_default();
        self.result = self.stream.write_all(piece);
        self.length = 0;
        self.result.as_ref().map_err(|_| fmt::Error).copied()
    }
}

impl<T: Write> fmt::Write for Pieces<'_, T> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length == self.piece.len() {
                self.flush()?;
            }
            if let Some(slot) = self.piece.get_mut(self.length) {
                *slot = byte;
                self.length += 1;
            }
        }
        Ok(())
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        plain::write_char(self, c)
    }
}

/// Sends a head and a body.
// Not inlined: what it needs of the stack is not its callers'.
#[inline(never)]
fn send<T: Write>(stream: &mut T, head: &impl fmt::Display, body: &[u8]) -> Result<(), T::Error> {
    let mut pieces = Pieces { stream, piece: [0; 128], length: 0, result: Ok(()) };
    // The text itself does not fail: where it does, the stream has.
    let _ = write!(pieces, "{head}").and_then(|()| pieces.flush());
    pieces.result?;
    stream.write_all(body)?;
    stream.flush()
}

impl<S: Signer, D: Dialects> Buyer<'_, S, D> {
    /// Sends a request, and where the answer is a 402 that the limits admit, pays and sends it again.
    ///
    /// A payment that is kept from before goes with the request at once. Behind the head of the answer
    /// the connection has its body.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]. What was signed is kept: to send the same request on a new connection is
    /// never to pay twice.
    pub fn pay<T: Read + Write>(
        &mut self,
        connection: &mut Connection<T>,
        request: &Request<'_>,
        fresh: &FreshNonce,
    ) -> Result<Next, DeviceError<BuyerError, T::Error>> {
        loop {
            let read = self.exchange(connection, request)?;
            let body = read.answer.body;
            if let Some(next) = self.next(read, fresh).map_err(DeviceError::Protocol)? {
                return Ok(next);
            }
            if let BodyLength::Known(length) = body {
                connection.read_body(length, drop)?;
            }
        }
    }

    /// Sends the request and reads the head of the answer.
    // Not inlined: the stack is needed for the signature afterwards.
    #[inline(never)]
    fn exchange<T: Read + Write>(
        &mut self,
        connection: &mut Connection<T>,
        request: &Request<'_>,
    ) -> Result<Head, DeviceError<BuyerError, T::Error>> {
        {
            let message = self.message(request).map_err(DeviceError::Protocol)?;
            send(connection, &message, request.body).map_err(DeviceError::Io)?;
        }
        let mut reader = self.reader();
        connection.read_head(&mut reader)?;
        let mut head = reader.finish().map_err(DeviceError::Protocol)?;
        if let Some((length, mut body)) = self.body_reader(&head) {
            connection.read_body(length, |byte| body.push(byte))?;
            head.with_body(body);
        }
        Ok(head)
    }
}

impl<R: Recover, const N: usize, D: Dialects> Seller<R, N, D> {
    /// Reads the head of a request into the buffer; `None` where the connection was closed before one
    /// began. The body, if there is one, is behind it on the connection.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; the connection is of no use behind it.
    pub fn receive<'b, T: Read>(
        &self,
        connection: &mut Connection<T>,
        buffer: &'b mut [u8; super::SELLER_BUFFER_LEN],
    ) -> Result<Option<Received<'b>>, DeviceError<SellerError, T::Error>> {
        let mut reader = Received::reader::<D>(buffer);
        match connection.read_head(&mut reader) {
            Err(DeviceError::Closed) if reader.is_empty() => Ok(None),
            read => {
                read?;
                reader.finish().map(Some).map_err(DeviceError::Protocol)
            }
        }
    }

    /// Sends the answer that was paid for.
    ///
    /// # Errors
    ///
    /// The stream's. The payment stays in the window: it was taken.
    pub fn answer<T: Write>(
        &self,
        connection: &mut Connection<T>,
        sale: &Sale,
        media_type: &str,
        body: &[u8],
    ) -> Result<(), T::Error> {
        send(connection, &sale.head::<D>(media_type, body.len()), body)
    }

    /// Sends the answer to what was not paid for, or not rightly: the offer, and what is wrong.
    ///
    /// `url` is what is sold, as the buyer asked for it.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub fn refuse<T: Write>(
        &self,
        connection: &mut Connection<T>,
        offer: &Offer<'_>,
        url: &str,
        refusal: Refusal,
    ) -> Result<(), T::Error> {
        send(connection, &Refused::<D> { offer, url, refusal, dialects: PhantomData }, &[])
    }
}
