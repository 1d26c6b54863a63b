//! Names as the most lenient of servers would compare them.

/// The name that some server may take this one for.
///
/// Readers of JSON that ignore case fold by Unicode (Go's `encoding/json` takes `ſ` for `s`, and the sign of
/// Kelvin for `k`); PHP cuts the name of a parameter at `[` and at a NUL, drops blanks before it, and makes `_` of
/// blanks and points in it.
pub(super) fn near(name: &str) -> String {
    let name = name.trim_start().split(['[', '\0']).next().unwrap_or_default();
    let written = name.chars().map(|c| if matches!(c, ' ' | '.') { '_' } else { c });
    written.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// What there is of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found<T> {
    Absent,
    /// It is there once, spelled so.
    One(T),
    /// It is there twice, or in another spelling.
    Unclear,
}

/// Looks for a name among those that are there, each with its [`near`] one.
pub(super) fn find<'a, T>(
    all: impl Iterator<Item = (&'a str, &'a str, T)>,
    name: &str,
) -> Found<T> {
    let wanted = near(name);
    let mut same = all.filter(|(_, near, _)| *near == wanted);
    match (same.next(), same.next()) {
        (None, _) => Found::Absent,
        (Some((written, _, found)), None) if written == name => Found::One(found),
        _ => Found::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_to_what_a_server_may_take_it_for() {
        for name in [
            "max_tokens",
            "Max_Tokens",
            "MAX_TOKENS",
            "max_to\u{212a}ens",
            "max_token\u{17f}",
            "max.tokens",
            " max tokens",
            "max_tokens[]",
            "max_tokens[a][b",
            "max_tokens\0[x",
        ] {
            assert_eq!(near(name), "max_tokens", "{name}");
        }
        for name in ["max-tokens", "maxtokens", "max_tokens_", "xmax_tokens", "", "[max_tokens]"] {
            assert_ne!(near(name), "max_tokens", "{name}");
        }
    }

    #[test]
    fn a_name_is_there_once_or_not_or_it_is_unclear() {
        for (names, expected) in [
            (&["b"][..], Found::Absent),
            (&["a", "b"], Found::One(0)),
            (&["A"], Found::Unclear),
            (&["b", "A", "a"], Found::Unclear),
            (&["a", "a"], Found::Unclear),
        ] {
            let nears: Vec<_> = names.iter().map(|name| near(name)).collect();
            let all = names.iter().zip(&nears).enumerate();
            let all = all.map(|(index, (name, near))| (*name, near.as_str(), index));
            assert_eq!(find(all, "a"), expected, "{names:?}");
        }
    }
}
