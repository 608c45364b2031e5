//! The JSON of a body. A member that is there twice is refused, as protobuf's JSON mapping has it: who has read the body on its way
//! here may have taken the other one.

use std::cell::Cell;
use std::fmt;

use grimoire_proto::Reason;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::problem::Problem;

pub(super) fn parse(body: &[u8]) -> Result<Value, Box<Problem>> {
    let repeated = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Reader(&repeated).deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| match repeated.take() {
        Some(member) => Problem::field(Reason::InvalidField, member, "is there more than once"),
        None => Problem::new(
            Reason::MalformedJson,
            format!("the body is not JSON: {error}"),
        ),
    })
}

/// Reads a value; leaves the path of a member that was there before in the cell, and fails.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a Cell<Option<String>>);

impl Reader<'_> {
    /// Puts what holds the repeated member, if there is one, before its path.
    fn within(self, holder: impl fmt::Display) {
        self.0.set(self.0.take().map(|path| {
            let dot = if path.starts_with('[') { "" } else { "." };
            format!("{holder}{dot}{path}")
        }));
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = from
            .next_element_seed(self)
            .inspect_err(|_| self.within(format_args!("[{}]", values.len())))?
        {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            match members.entry(name) {
                Entry::Vacant(member) => {
                    let value = from
                        .next_value_seed(self)
                        .inspect_err(|_| self.within(member.key()))?;
                    member.insert(value);
                }
                Entry::Occupied(member) => {
                    self.0.set(Some(member.key().clone()));
                    return Err(A::Error::custom("a member is there more than once"));
                }
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let value = json!({"a": [1, -1, 1.5, true, null, "x\n", {}, []], "b": {"c": u64::MAX}});
        assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
        assert_eq!(parse(b" 7 ").unwrap(), json!(7));
    }

    #[test]
    fn a_member_that_is_there_twice_is_named_by_its_path() {
        for (body, path) in [
            (r#"{"a": 1, "a": 1}"#, "a"),
            (r#"{"a": {"b": null, "b": null}}"#, "a.b"),
            (
                r#"{"a": [0, {"b": [[{"c": 1, "\u0063": 2}]]}]}"#,
                "a[1].b[0][0].c",
            ),
        ] {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!(problem.reason, "INVALID_FIELD", "{body}");
            assert_eq!(problem.violations[0].field, path);
        }
        assert!(parse(br#"{"a": {"b": 1}, "b": {"a": 1}}"#).is_ok());
    }

    #[test]
    fn what_is_not_json_is_not_blamed_on_a_member() {
        for body in [r#"{"a": {"b": 1, }}"#, r#"{"a": [1, 2"#, "{} {}", ""] {
            assert_eq!(
                parse(body.as_bytes()).unwrap_err().reason,
                "MALFORMED_JSON",
                "{body}"
            );
        }
    }
}
