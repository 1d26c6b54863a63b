use core::fmt;

use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use super::snippet::{cut, quote, snippet};
use crate::secret_file::SecretPath;

/// Why a configuration was refused.
///
/// [`Display`](fmt::Display) writes what a program prints: what is wrong, where, the line with a
/// mark, and what to do. It never holds a key or the URL of a node or a database.
#[derive(Debug)]
pub struct ConfigError {
    message: String,
    place: String,
    line: Option<u64>,
    snippet: Option<String>,
    help: String,
}

impl ConfigError {
    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// In which line of the file, counted from 1; `None` where it is not in a line of the file.
    #[must_use]
    pub const fn line(&self) -> Option<u64> {
        self.line
    }

    pub(super) fn new(problem: Problem, file_name: &str, text: &str) -> Self {
        let Problem { origin, message, help } = problem;
        let (line, column) = origin.position().unzip();
        let file_name = SecretPath::from(file_name);
        let place = match origin {
            Origin::File { line, column } => format!("{file_name}:{line}:{column}"),
            Origin::Whole => file_name.to_string(),
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::Flag(name) => format!("flag {name}"),
        };
        let snippet = line.zip(column).and_then(|(line, column)| snippet(text, line, column));
        Self { message, place, line, snippet, help }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}\n  at: {}", self.message, self.place)?;
        if let Some(snippet) = &self.snippet {
            writeln!(f, "{snippet}")?;
        }
        write!(f, "help: {}", self.help)
    }
}

impl core::error::Error for ConfigError {}

/// Where a value came from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    File { line: u64, column: u64 },
    Whole,
    Variable(&'static str),
    Flag(&'static str),
}

impl Origin {
    pub(super) fn of<T>(spanned: &Spanned<T>) -> Self {
        Self::from(spanned.referenced)
    }

    /// So many letters into a text that stands in quotation marks.
    pub(super) const fn shifted(self, letters: u64) -> Self {
        match self {
            Self::File { line, column } => {
                Self::File { line, column: column.saturating_add(letters).saturating_add(1) }
            }
            other => other,
        }
    }

    const fn position(self) -> Option<(u64, u64)> {
        match self {
            Self::File { line, column } => Some((line, column)),
            Self::Whole | Self::Variable(_) | Self::Flag(_) => None,
        }
    }
}

impl From<Location> for Origin {
    fn from(location: Location) -> Self {
        match (location.line(), location.column()) {
            (0, _) => Self::Whole,
            (line, column) => Self::File { line, column },
        }
    }
}

/// What is wrong with a value, before it is known how its place is called.
pub(super) struct Problem {
    origin: Origin,
    message: String,
    help: String,
}

impl Problem {
    pub(super) fn new(origin: Origin, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { origin, message: message.into(), help: help.into() }
    }

    /// `name` is none of `known`, which are the `kind`s there are.
    pub(super) fn unknown(origin: Origin, kind: &str, name: &str, known: &[&str]) -> Self {
        let list = known.join(", ");
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`? There are: {list}"),
            None => format!("there are: {list}"),
        };
        Self::new(origin, format!("unknown {kind} {}", quote(name)), help)
    }
}

/// The name that was probably meant.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // What is long is no slip of the pen, and the distance takes the product of the lengths.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase();
    // A word cut short is farther from the whole than a slip is.
    let mut longer = known.iter().filter(|known| name.len() > 2 && known.starts_with(&*name));
    if let Some(longer) = longer.next() {
        return Some(longer);
    }
    let distance = |known: &&str| strsim::osa_distance(&name, &known.to_lowercase());
    let near = known.iter().copied().min_by_key(distance)?;
    (distance(&near) <= 2.max(near.len() / 3)).then_some(near)
}

impl From<&serde_saphyr::Error> for Problem {
    fn from(error: &serde_saphyr::Error) -> Self {
        use serde_saphyr::Error as Yaml;
        let origin = error.location().map_or(Origin::Whole, Origin::from);
        let (message, help) = match error.without_snippet() {
            Yaml::AliasError { error, .. } => return Self { origin, ..Self::from(&**error) },
            Yaml::SerdeUnknownField { field, expected, .. } => {
                return Self::unknown(origin, "key", &key_like(field), expected);
            }
            Yaml::SerdeMissingField { field, .. } => {
                (format!("`{field}` is missing"), format!("add the key `{field}` here"))
            }
            Yaml::DuplicateMappingKey { key, .. } => {
                let key = key.as_deref().map_or("a key".into(), |key| quote(&key_like(key)));
                (format!("{key} is given twice"), "keep one of them".into())
            }
            Yaml::SerdeInvalidType { unexpected, expected, .. } => {
                // The kind only: what follows it is the value.
                let found = unexpected.split(' ').next().unwrap_or_default();
                (format!("expected {expected}, found a {found}"), "see the example file".into())
            }
            Yaml::NullIntoString { .. } => {
                ("a value is missing".into(), "write it behind the colon".into())
            }
            Yaml::MultipleDocuments { .. } => {
                ("there is more than one document".into(), "remove what follows `---`".into())
            }
            Yaml::Eof { .. } => ("the file is empty".into(), "see the example file".into()),
            other => (cut(&UserMessageFormatter.format_message(other), 200), SYNTAX.into()),
        };
        Self { origin, message, help }
    }
}

const SYNTAX: &str = "see that the indentation, the quotes and the brackets around here are right";

/// A key's name, or nothing where it looks like anything else: a URL, a secret.
fn key_like(name: &str) -> String {
    let is_key = name.len() < 24 && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
    if is_key { name.to_owned() } else { "…".to_owned() }
}
