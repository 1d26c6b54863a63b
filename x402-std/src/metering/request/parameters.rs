use x402_core::condition::Value;

use super::spelling::{Found, find, near};
use crate::percent;

/// How many parameters of a query, or of a form, are read.
pub const MAX_PARAMETERS: usize = 128;

/// The parameters of a query, or of a form (`application/x-www-form-urlencoded`, in the URL Standard).
///
/// `None` where there are too many to be read, or one whose name is not encoded UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Parameters(Option<Vec<Parameter>>);

#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    near: String,
    /// `None` where it is not encoded UTF-8, or could be read in two ways.
    value: Option<String>,
}

impl Parameters {
    pub(super) fn read(text: &str) -> Self {
        let mut parameters = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            // To some servers `;` parts parameters, too.
            let is_clear = !pair.contains(';');
            for piece in pair.split(';').filter(|piece| !piece.is_empty()) {
                let parameter = Parameter::read(piece, is_clear);
                let Some(parameter) = parameter.filter(|_| parameters.len() < MAX_PARAMETERS)
                else {
                    return Self(None);
                };
                parameters.push(parameter);
            }
        }
        Self(Some(parameters))
    }

    /// Whether they are known.
    pub(super) const fn is_read(&self) -> bool {
        self.0.is_some()
    }

    /// The parameter of that name.
    pub(super) fn get(&self, name: &str) -> Option<Value<'_>> {
        let Some(parameters) = &self.0 else { return Some(Value::Unknown) };
        let all = parameters.iter().map(|one| (one.name.as_str(), one.near.as_str(), &one.value));
        match find(all, name) {
            Found::Absent => None,
            Found::One(Some(value)) => Some(Value::Untyped(value)),
            Found::One(None) | Found::Unclear => Some(Value::Unknown),
        }
    }
}

impl Parameter {
    fn read(piece: &str, is_clear: bool) -> Option<Self> {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let decode = |text: &str| percent::decoded(&text.replace('+', " "));
        let name = decode(name)?;
        Some(Self { near: near(&name), name, value: decode(value).filter(|_| is_clear) })
    }
}
