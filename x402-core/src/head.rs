/*!
Message heads over a byte slice, for those who have no HTTP library.

[`httparse`] does the parsing; this adds a bound on the number of fields and a view that the rest of
the crate reads from. Bodies are the caller's business.
*/

use core::fmt;

/// The head of a request: the request line and the header fields.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b, const N: usize> {
    /// The method, as sent: `POST`.
    pub method: &'b str,
    /// The request target, as sent: `/api/analyze?lang=en`.
    pub target: &'b str,
    /// The length of the head in bytes, its empty line included: the body begins here.
    pub len: usize,
    fields: Fields<'b, N>,
}

/// The head of an answer: the status line and the header fields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b, const N: usize> {
    /// The status: 402.
    pub status: u16,
    /// The length of the head in bytes, its empty line included: the body begins here.
    pub len: usize,
    fields: Fields<'b, N>,
}

#[derive(Clone, Copy, Debug)]
struct Fields<'b, const N: usize> {
    slots: [httparse::Header<'b>; N],
    count: usize,
}

impl<'b, const N: usize> Fields<'b, N> {
    fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.slots.iter().take(self.count).map(|field| (field.name, field.value))
    }
}

impl<'b, const N: usize> RequestHead<'b, N> {
    /// Reads a head of HTTP/1.x with at most `N` fields; `None` where its end is not there yet.
    ///
    /// # Errors
    ///
    /// [`HeadError`]; nothing after one can be trusted to be a head.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<Self>, HeadError> {
        let mut slots = [httparse::EMPTY_HEADER; N];
        let mut request = httparse::Request::new(&mut slots);
        let httparse::Status::Complete(len) = request.parse(bytes)? else { return Ok(None) };
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(HeadError::Malformed);
        };
        let count = request.headers.len();
        Ok(Some(Self { method, target, len, fields: Fields { slots, count } }))
    }

    /// The header fields, names and values, in the order sent.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.fields.iter()
    }
}

impl<'b, const N: usize> ResponseHead<'b, N> {
    /// Reads a head of HTTP/1.x with at most `N` fields; `None` where its end is not there yet.
    ///
    /// # Errors
    ///
    /// [`HeadError`]; nothing after one can be trusted to be a head.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<Self>, HeadError> {
        let mut slots = [httparse::EMPTY_HEADER; N];
        let mut response = httparse::Response::new(&mut slots);
        let httparse::Status::Complete(len) = response.parse(bytes)? else { return Ok(None) };
        let status = response.code.ok_or(HeadError::Malformed)?;
        let count = response.headers.len();
        Ok(Some(Self { status, len, fields: Fields { slots, count } }))
    }

    /// The header fields, names and values, in the order sent.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.fields.iter()
    }
}

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HeadError {
    /// Not a head of HTTP/1.x.
    Malformed,
    /// Longer than there is room for, or than is read.
    TooLong,
    /// More header fields than there is room for.
    TooManyFields,
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version => Self::Malformed,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a message head of HTTP/1.x",
            Self::TooLong => "the message head is too long",
            Self::TooManyFields => "the message head has too many fields",
        })
    }
}

impl core::error::Error for HeadError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::PaymentHeaders;

    #[test]
    fn reads_a_request() {
        let bytes = b"POST /api/analyze HTTP/1.1\r\nHost: a\r\nX-Payment-Network: base\r\n\r\nbody";
        let head = RequestHead::<4>::parse(bytes).unwrap().unwrap();
        assert_eq!((head.method, head.target), ("POST", "/api/analyze"));
        assert_eq!(&bytes[head.len..], b"body");
        assert_eq!(head.fields().count(), 2);
        assert!(PaymentHeaders::collect(head.fields()).unwrap().is_none());
    }

    #[test]
    fn waits_for_the_end_and_bounds_the_fields() {
        assert!(RequestHead::<4>::parse(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap().is_none());
        let two = b"GET / HTTP/1.1\r\na: b\r\nc: d\r\n\r\n";
        assert_eq!(RequestHead::<1>::parse(two).unwrap_err(), HeadError::TooManyFields);
        assert_eq!(RequestHead::<1>::parse(b"GET\0").unwrap_err(), HeadError::Malformed);
    }

    #[test]
    fn reads_an_answer() {
        let bytes = b"HTTP/1.1 402 Payment Required\r\nX-Payment-Required: true\r\n\r\n";
        let head = ResponseHead::<4>::parse(bytes).unwrap().unwrap();
        assert_eq!((head.status, head.len), (402, bytes.len()));
        assert_eq!(head.fields().next(), Some(("X-Payment-Required", &b"true"[..])));
    }
}
