//! The lines of a stream of events, piece by piece.

/// Something of a stream of events
/// ([HTML, section 9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part<'a> {
    /// More of the data of an event.
    Data(&'a [u8]),
    /// The end of a line of data.
    DataEnd,
    /// The blank line behind an event.
    End,
}

/// Takes a stream of events apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lines {
    state: State,
    /// Whether a line feed would belong to the carriage return before it.
    is_behind_return: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// In what may be a byte-order mark, of which so many bytes are behind.
    Mark(usize),
    /// In what may be the name `data`, of which so many bytes are behind.
    Name(usize),
    /// Behind the colon, where one blank does not count.
    Colon,
    Data,
    /// In a line that holds no data.
    Other,
}

const MARK: &[u8] = "\u{feff}".as_bytes();
const NAME: &[u8] = b"data";

impl Lines {
    pub(super) const fn new() -> Self {
        Self { state: State::Mark(0), is_behind_return: false }
    }

    /// Reads on, and hands over what it finds.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Part<'_>)) {
        while let Some((byte, rest)) = bytes.split_first() {
            let is_second = core::mem::take(&mut self.is_behind_return) && *byte == b'\n';
            bytes = match (self.state, byte) {
                _ if is_second => rest,
                (_, b'\n' | b'\r') => {
                    self.is_behind_return = *byte == b'\r';
                    self.end_line(&mut found);
                    rest
                }
                (State::Data | State::Other, _) => self.run(bytes, &mut found),
                (State::Colon, b' ') => {
                    self.state = State::Data;
                    rest
                }
                (State::Colon, _) => {
                    self.state = State::Data;
                    bytes
                }
                (State::Mark(count), _) => self.mark(count, bytes),
                (State::Name(count), _) => {
                    self.state = name(count, *byte);
                    rest
                }
            };
        }
    }

    fn end_line(&mut self, found: &mut impl FnMut(Part<'_>)) {
        match self.state {
            State::Mark(0) | State::Name(0) => found(Part::End),
            State::Mark(count) if count == MARK.len() => found(Part::End),
            // The name alone is data too, without a byte.
            State::Name(count) if count == NAME.len() => found(Part::DataEnd),
            State::Colon | State::Data => found(Part::DataEnd),
            State::Mark(_) | State::Name(_) | State::Other => {}
        }
        self.state = State::Name(0);
    }

    /// The rest of the line, as far as it is there.
    fn run<'b>(&self, bytes: &'b [u8], found: &mut impl FnMut(Part<'_>)) -> &'b [u8] {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let length = bytes.iter().position(is_end).unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        if self.state == State::Data {
            found(Part::Data(line));
        }
        rest
    }

    fn mark<'b>(&mut self, count: usize, bytes: &'b [u8]) -> &'b [u8] {
        match (MARK.get(count), bytes.split_first()) {
            (Some(expected), Some((byte, rest))) if expected == byte => {
                self.state = State::Mark(count + 1);
                rest
            }
            // Behind a whole mark, or without one, the line begins.
            (None, _) => self.begin(State::Name(0), bytes),
            (Some(_), _) if count == 0 => self.begin(State::Name(0), bytes),
            (Some(_), _) => self.begin(State::Other, bytes),
        }
    }

    fn begin<'b>(&mut self, state: State, bytes: &'b [u8]) -> &'b [u8] {
        self.state = state;
        bytes
    }
}

/// What a line is whose first bytes were so many of the name, and then that.
fn name(count: usize, byte: u8) -> State {
    match NAME.get(count) {
        Some(expected) if *expected == byte => State::Name(count + 1),
        None if byte == b':' => State::Colon,
        _ => State::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of the events, each ended by a blank line, and what was behind.
    fn events(chunks: &[&[u8]]) -> (Vec<String>, String) {
        let (mut lines, mut events, mut data) = (Lines::new(), Vec::new(), Vec::new());
        for chunk in chunks {
            lines.feed(chunk, |part| match part {
                Part::Data(bytes) => data.extend_from_slice(bytes),
                Part::DataEnd => data.push(b'\n'),
                Part::End => events.push(String::from_utf8(core::mem::take(&mut data)).unwrap()),
            });
        }
        (events, String::from_utf8(data).unwrap())
    }

    #[test]
    fn reads_every_spelling_of_a_line() {
        for (stream, expected) in [
            ("data: a\n\n", vec!["a\n"]),
            ("data:a\r\n\r\n", vec!["a\n"]),
            ("data: a\r\r", vec!["a\n"]),
            ("data:  a \ndata:b\n\n", vec![" a \nb\n"]),
            ("data\n\n", vec!["\n"]),
            ("data:\n\n", vec!["\n"]),
            ("data: \n\n", vec!["\n"]),
            (": comment\nevent: x\nid: 1\ndata: a\nretry: 5\n\n", vec!["a\n"]),
            ("dat: a\ndatas: b\n data: c\nDATA: d\n\n", vec![""]),
            ("\u{feff}data: a\n\n", vec!["a\n"]),
            ("\u{feff}\ndata: a\n\n", vec!["", "a\n"]),
            ("data: a:b\n\ndata: c\n\n", vec!["a:b\n", "c\n"]),
            ("\n\r\n\r", vec!["", "", ""]),
        ] {
            assert_eq!(
                events(&[stream.as_bytes()]),
                (strings(&expected), String::new()),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn what_has_no_blank_line_behind_it_is_no_event_yet() {
        let rest = |stream: &str| events(&[stream.as_bytes()]);
        assert_eq!(rest("data: a\n\ndata: b"), (strings(&["a\n"]), "b".into()));
        assert_eq!(rest("data: a\n"), (vec![], "a\n".into()));
    }

    #[test]
    fn are_the_same_wherever_the_stream_is_cut() {
        let stream = "\u{feff}data: a\r\n\r\n: c\r\ndata\r\ndata:b\n\rdata: é\n\n".as_bytes();
        let whole = events(&[stream]);
        assert_eq!(whole.0, ["a\n", "\nb\n", "é\n"]);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(events(&chunks), whole, "{first} {second}");
            }
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }
}
