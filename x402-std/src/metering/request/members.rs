use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use x402_core::condition::{Number, Value};

use super::spelling::{Found, find, near};

/// How many members of a body are read.
pub const MAX_MEMBERS: usize = 128;

/// The members of an object, in their order. Without one, there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Members<'a>(Vec<Member<'a>>);

#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    name: String,
    near: String,
    /// As it stands in the body.
    pub(super) raw: &'a str,
    /// What it says, if it is a text that can be read.
    pub(super) text: Option<Cow<'a, str>>,
}

impl<'a> Members<'a> {
    /// The member of that very name that is not `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.0.iter().find(|member| member.name == name && member.raw != "null")
    }

    /// The member of that name, where no reader may take another for it. One that is `null` is not there.
    pub(super) fn find(&self, name: &str) -> Found<&Member<'a>> {
        let all = self.0.iter().map(|one| (one.name.as_str(), one.near.as_str(), one));
        match find(all, name) {
            Found::One(member) if member.raw == "null" => Found::Absent,
            found => found,
        }
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.get(name).map(|member| member.raw)
    }

    pub(super) fn has_duplicates(&self) -> bool {
        let mut names: Vec<_> = self.0.iter().map(|member| &member.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }

    /// The object as JSON, in which that member has that value.
    pub(super) fn write_with(&self, name: &str, raw: &str) -> String {
        let others = self.0.iter().filter(|member| member.name != name);
        let others = others.map(|member| (member.name.as_str(), member.raw));
        let mut out = String::from("{");
        for (name, raw) in others.chain([(name, raw)]) {
            let comma = if out.len() > 1 { "," } else { "" };
            out.push_str(comma);
            out.push_str(&x402_core::wire::json::Quoted(name).to_string());
            out.push(':');
            out.push_str(raw);
        }
        out.push('}');
        out
    }
}

impl<'a> Member<'a> {
    fn new(name: String, raw: &'a str) -> Self {
        let content = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = content.and_then(|content| match content.contains('\\') {
            true => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
            false => Some(Cow::Borrowed(content)),
        });
        Self { near: near(&name), name, raw, text }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match (self.raw, &self.text) {
            (_, Some(text)) => Value::Text(text),
            ("true", None) => Value::Bool(true),
            ("false", None) => Value::Bool(false),
            (raw, None) => Number::parse(raw).map_or(Value::Other, Value::Number),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
            if members.len() >= MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            members.push(Member::new(name, raw.get()));
        }
        Ok(Members(members))
    }
}
