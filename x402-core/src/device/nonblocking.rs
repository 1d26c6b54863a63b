//! The loops over [`embedded_io_async`].

use core::fmt::{self, Write as _};
use core::marker::PhantomData;

use embedded_io_async::{Read, Write};

use super::buyer::{Buyer, BuyerError, FreshNonce, Next, Request};
use super::connection::{Connection, DeviceError};
use super::dialects::Dialects;
use super::scan::{BodyLength, Intake};
use super::seller::{Received, Refused, Sale, Seller, SellerError};
use crate::{Offer, Recover, Refusal, Signer};

impl<T: Read> Connection<T> {
    /// Reads some bytes of a body to the front of `out`; 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn read_some(&mut self, out: &mut [u8]) -> Result<usize, T::Error> {
        match self.drain(out) {
            0 => self.stream.read(out).await,
            count => Ok(count),
        }
    }

    async fn fill_async(&mut self) -> Result<bool, T::Error> {
        if self.waiting().is_empty() {
            let (stream, chunk) = self.chunk();
            let count = stream.read(chunk).await?;
            self.filled(count);
        }
        Ok(!self.waiting().is_empty())
    }

    async fn read_head_async<I: Intake>(
        &mut self,
        intake: &mut I,
    ) -> Result<(), DeviceError<I::Error, T::Error>> {
        loop {
            if !self.fill_async().await.map_err(DeviceError::Io)? {
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

    async fn read_body_async<P>(
        &mut self,
        length: u32,
        mut push: impl FnMut(u8),
    ) -> Result<(), DeviceError<P, T::Error>> {
        for _ in 0..length {
            self.fill_async().await.map_err(DeviceError::Io)?;
            push(self.take().ok_or(DeviceError::Closed)?);
        }
        Ok(())
    }
}

/// The part of a text that begins at some byte of it.
struct Part {
    skip: usize,
    piece: [u8; 256],
    length: usize,
}

impl fmt::Write for Part {
    /// Fails where the piece is full, so that the rest is not written for nothing.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            *self.piece.get_mut(self.length).ok_or(fmt::Error)? = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Sends a head and a body. The head is written anew for each of its pieces: nothing waits while it
/// is being written, and no buffer has room for all of it.
async fn send<T: Write>(
    stream: &mut T,
    head: &impl fmt::Display,
    body: &[u8],
) -> Result<(), T::Error> {
    let mut sent = 0;
    loop {
        let mut part = Part { skip: sent, piece: [0; 256], length: 0 };
        let is_whole = write!(part, "{head}").is_ok();
        let piece = part.piece.get(..part.length).unwrap_or_default();
        stream.write_all(piece).await?;
        sent += part.length;
        if is_whole || part.length == 0 {
            break;
        }
    }
    stream.write_all(body).await?;
    stream.flush().await
}

impl<S: Signer, D: Dialects> Buyer<'_, S, D> {
    /// As [`Self::pay`], where the stream is asynchronous.
    ///
    /// # Errors
    ///
    /// As [`Self::pay`].
    pub async fn pay_async<T: Read + Write>(
        &mut self,
        connection: &mut Connection<T>,
        request: &Request<'_>,
        fresh: &FreshNonce,
    ) -> Result<Next, DeviceError<BuyerError, T::Error>> {
        loop {
            {
                let message = self.message(request).map_err(DeviceError::Protocol)?;
                let stream = &mut connection.stream;
                send(stream, &message, request.body).await.map_err(DeviceError::Io)?;
            }
            let read = {
                let mut reader = self.reader();
                connection.read_head_async(&mut reader).await?;
                let mut head = reader.finish().map_err(DeviceError::Protocol)?;
                if let Some((length, mut body)) = self.body_reader(&head) {
                    connection.read_body_async(length, |byte| body.push(byte)).await?;
                    head.with_body(body);
                }
                head
            };
            let body = read.answer.body;
            if let Some(next) = self.next(read, fresh).map_err(DeviceError::Protocol)? {
                return Ok(next);
            }
            if let BodyLength::Known(length) = body {
                connection.read_body_async(length, drop).await?;
            }
        }
    }
}

impl<R: Recover, const N: usize, D: Dialects> Seller<R, N, D> {
    /// As [`Self::receive`], where the stream is asynchronous.
    ///
    /// # Errors
    ///
    /// As [`Self::receive`].
    pub async fn receive_async<'b, T: Read>(
        &self,
        connection: &mut Connection<T>,
        buffer: &'b mut [u8; super::SELLER_BUFFER_LEN],
    ) -> Result<Option<Received<'b>>, DeviceError<SellerError, T::Error>> {
        let mut reader = Received::reader::<D>(buffer);
        match connection.read_head_async(&mut reader).await {
            Err(DeviceError::Closed) if reader.is_empty() => Ok(None),
            read => {
                read?;
                reader.finish().map(Some).map_err(DeviceError::Protocol)
            }
        }
    }

    /// As [`Self::answer`], where the stream is asynchronous.
    ///
    /// # Errors
    ///
    /// As [`Self::answer`].
    pub async fn answer_async<T: Write>(
        &self,
        connection: &mut Connection<T>,
        sale: &Sale,
        media_type: &str,
        body: &[u8],
    ) -> Result<(), T::Error> {
        send(&mut connection.stream, &sale.head::<D>(media_type, body.len()), body).await
    }

    /// As [`Self::refuse`], where the stream is asynchronous.
    ///
    /// # Errors
    ///
    /// As [`Self::refuse`].
    pub async fn refuse_async<T: Write>(
        &self,
        connection: &mut Connection<T>,
        offer: &Offer<'_>,
        url: &str,
        refusal: Refusal,
    ) -> Result<(), T::Error> {
        send(
            &mut connection.stream,
            &Refused::<D> { offer, url, refusal, dialects: PhantomData },
            &[],
        )
        .await
    }
}
