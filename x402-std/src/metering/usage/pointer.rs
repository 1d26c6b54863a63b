use core::fmt;

/// A JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)): `/usage/input_tokens`.
///
/// Of an element of an array it has the index, from 0.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pointer(Vec<Box<str>>);

impl Pointer {
    /// How many names a pointer may have.
    pub const MAX_STEPS: usize = 16;
    /// The longest name, in bytes, as it stands in the answer between its quotes.
    pub const MAX_STEP_LEN: usize = 128;

    /// Reads a pointer.
    ///
    /// # Errors
    ///
    /// [`PointerError`], the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let steps = text.strip_prefix('/').ok_or(PointerError::Slash)?;
        let steps: Vec<_> = steps.split('/').map(unescape).collect::<Result<_, _>>()?;
        let is_long = steps.iter().any(|step| step.len() > Self::MAX_STEP_LEN);
        if steps.len() > Self::MAX_STEPS || is_long {
            return Err(PointerError::Length);
        }
        Ok(Self(steps))
    }

    /// Its names, from the outermost.
    pub(super) fn steps(&self) -> &[Box<str>] {
        &self.0
    }
}

/// A name in which `~1` is `/` and `~0` is `~`.
fn unescape(step: &str) -> Result<Box<str>, PointerError> {
    let mut parts = step.split('~');
    let mut out = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', part.strip_prefix('0')),
            Some(b'1') => ('/', part.strip_prefix('1')),
            _ => return Err(PointerError::Escape),
        };
        out.push(escaped);
        out.push_str(rest.unwrap_or_default());
    }
    Ok(out.into())
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

/// Why a text is no pointer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PointerError {
    /// A `~` that is not one of `~0` and `~1`.
    #[error("in a JSON pointer ~ is written ~0 and / in a name is written ~1")]
    Escape,
    /// More names than [`Pointer::MAX_STEPS`], or one longer than [`Pointer::MAX_STEP_LEN`].
    #[error("the JSON pointer is too long")]
    Length,
    /// Something before the first slash.
    #[error("a JSON pointer begins with a slash: /usage/input_tokens")]
    Slash,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<String> {
        Pointer::parse(text).unwrap().steps().iter().map(ToString::to_string).collect()
    }

    // The examples of RFC 6901, section 5.
    #[test]
    fn reads_the_examples_of_the_specification() {
        for (text, expected) in [
            ("", vec![]),
            ("/foo", vec!["foo"]),
            ("/foo/0", vec!["foo", "0"]),
            ("/", vec![""]),
            ("/a~1b", vec!["a/b"]),
            ("/c%d", vec!["c%d"]),
            ("/i\\j", vec!["i\\j"]),
            ("/k\"l", vec!["k\"l"]),
            ("/ ", vec![" "]),
            ("/m~0n", vec!["m~n"]),
            ("/~01", vec!["~1"]),
        ] {
            assert_eq!(steps(text), expected, "{text}");
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        let long = format!("/{}", "x".repeat(Pointer::MAX_STEP_LEN + 1));
        let deep = "/x".repeat(Pointer::MAX_STEPS + 1);
        for (text, expected) in [
            ("usage/tokens", PointerError::Slash),
            ("#/usage", PointerError::Slash),
            ("/a~", PointerError::Escape),
            ("/a~2", PointerError::Escape),
            ("/~é", PointerError::Escape),
            (&long, PointerError::Length),
            (&deep, PointerError::Length),
        ] {
            assert_eq!(Pointer::parse(text), Err(expected), "{text}");
        }
    }
}
