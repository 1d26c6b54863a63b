//! The field by which a request says that it is the same again
//! ([draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)).

/// The name of the field, in small letters.
pub(crate) const NAME: &str = "idempotency-key";

#[cfg(any(feature = "facilitator", feature = "server"))]
pub(crate) use key::read;

#[cfg(any(feature = "facilitator", feature = "server"))]
mod key {
    use http::HeaderMap;

    use super::NAME;

    const LONGEST: usize = 255;

    /// The key of a request; `None` where it has none.
    ///
    /// # Errors
    ///
    /// What is wrong with the field.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
        let mut values = headers.get_all(NAME).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err("there is more than one Idempotency-Key");
        }
        let key = value.to_str().ok().and_then(parse);
        key.map(Some).ok_or("the Idempotency-Key is not of 1 to 255 visible letters of ASCII")
    }

    /// The key in a field: a string of RFC 9651, in quotes, as the draft has it, or bare, as many send it.
    fn parse(text: &str) -> Option<String> {
        let key = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted.strip_suffix('"')?)?,
            None => text.to_owned(),
        };
        let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        ((1..=LONGEST).contains(&key.len()) && is_visible).then_some(key)
    }

    /// What stands between the quotes; a backslash stands before a quote or another backslash only.
    fn unquote(text: &str) -> Option<String> {
        let mut key = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            key.push(match letter {
                '"' => return None,
                '\\' => letters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
                other => other,
            });
        }
        Some(key)
    }

    #[cfg(test)]
    mod tests {
        use http::{HeaderName, HeaderValue};

        use super::*;

        #[test]
        fn a_key_is_taken_in_quotes_and_bare_and_refused_where_it_is_none() {
            let with = |values: &[&str]| {
                let values = values.iter().map(|value| HeaderValue::from_bytes(value.as_bytes()));
                let name = HeaderName::from_static(NAME);
                read(&HeaderMap::from_iter(values.map(|value| (name.clone(), value.unwrap()))))
            };
            assert_eq!(with(&[]), Ok(None));
            let long = "k".repeat(255);
            for (sent, key) in [
                ("a", "a"),
                ("\"a\"", "a"),
                (r#""a\"\\b""#, r#"a"\b"#),
                ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
                (&long, &long),
            ] {
                assert_eq!(with(&[sent]), Ok(Some(key.to_owned())), "{sent}");
            }
            let longer = "k".repeat(256);
            for wrong in
                ["", "\"\"", "\"", "\"a", "a b", "\"a b\"", "\"a\";q", r#""\a""#, "é", &longer]
            {
                assert!(with(&[wrong]).is_err(), "{wrong}");
            }
            assert!(with(&["a", "a"]).is_err());
        }
    }
}
