use super::error::{ConditionError, Fault, Span};
use super::number::Number;
use super::text::unescape;

type Result<T> = core::result::Result<T, ConditionError>;

/// `==`, `!=`, `<`, `<=`, `>` or `>=`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    NotEqual,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    And,
    /// `!`, which binds tighter than `not`.
    Bang,
    Bool(bool),
    Close,
    Comparison(Comparison),
    End,
    Name,
    Not,
    Number,
    Open,
    Or,
    /// With its quotes.
    Text,
}

/// The words that CEL keeps for itself, in alphabetical order.
const RESERVED: [&str; 19] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "var",
    "void",
    "while",
];

/// Cuts a condition into tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    pub(super) fn text(&self, span: Span) -> &'a str {
        span.of(self.source)
    }

    /// The next token and where it stands; at the end, `End` ever after.
    pub(super) fn token(&mut self) -> Result<(Token, Span)> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let start = self.at;
        let token = match self.peek() {
            None => Token::End,
            Some(b'0'..=b'9' | b'-') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.word()?,
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            Some(sign) => self.sign(sign)?,
        };
        Ok((token, Span::new(start, self.at)))
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn sign(&mut self, sign: u8) -> Result<Token> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let start = self.at;
        self.at += 1;
        let either = |is_long, long, short| Token::Comparison(if is_long { long } else { short });
        Ok(match sign {
            b'(' => Token::Open,
            b')' => Token::Close,
            b'<' => either(self.eat(b'='), LessOrEqual, Less),
            b'>' => either(self.eat(b'='), GreaterOrEqual, Greater),
            b'!' if self.eat(b'=') => Token::Comparison(NotEqual),
            b'!' => Token::Bang,
            b'=' if self.eat(b'=') => Token::Comparison(Equal),
            b'&' if self.eat(b'&') => Token::And,
            b'|' if self.eat(b'|') => Token::Or,
            b'=' => return Err(self.error(Fault::Assignment, start)),
            _ => return Err(self.character(start)),
        })
    }

    fn word(&mut self) -> Result<Token> {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        Ok(match self.text(Span::new(start, self.at)) {
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            word if RESERVED.contains(&word) => return Err(self.error(Fault::Reserved, start)),
            _ => Token::Name,
        })
    }

    /// A number, and whatever is glued to it: `1e3`, `10KB`, `0x1F`, `1.2.3` are no numbers.
    fn number(&mut self) -> Result<Token> {
        let start = self.at;
        self.eat(b'-');
        self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        let text = self.text(Span::new(start, self.at));
        if text == "-" {
            return Err(self.character(start));
        }
        let has_exponent = text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'e'));
        if has_exponent || Number::parse(text).is_none() {
            return Err(self.error(Fault::Number, start));
        }
        Ok(Token::Number)
    }

    fn quoted(&mut self, quote: u8) -> Result<Token> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(byte) if byte == quote => break,
                Some(b'\\') => self.escape()?,
                None | Some(b'\n' | b'\r') => return Err(self.error(Fault::Unterminated, start)),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(Token::Text)
    }

    fn escape(&mut self) -> Result<()> {
        let start = self.at;
        self.at += 1;
        if self.peek().and_then(unescape).is_none() {
            self.at = self.char_end(self.at);
            return Err(self.error(Fault::Escape, start));
        }
        self.at += 1;
        Ok(())
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
    }

    /// Where the character ends that begins there.
    fn char_end(&self, start: usize) -> usize {
        let rest = self.source.get(start..).unwrap_or_default();
        start + rest.chars().next().map_or(0, char::len_utf8)
    }

    fn character(&self, start: usize) -> ConditionError {
        ConditionError::new(Fault::Character, Span::new(start, self.char_end(start)))
    }

    /// Something wrong from `start` to here.
    const fn error(&self, fault: Fault, start: usize) -> ConditionError {
        ConditionError::new(fault, Span::new(start, self.at))
    }
}
