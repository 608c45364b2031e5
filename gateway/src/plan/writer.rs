//! The JSON of an encoded message without the message in between. What a type looks like is found out once; then one pass over the bytes
//! finds the fields, and one over the fields writes them. It knows the usual types and what a usual encoder writes: for anything else
//! there is no answer here, and `prost-reflect` has to give it. What it does write is what `prost-reflect` would; but at what is beside the
//! field that is asked for it does not look.

use std::io::Write as _;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax};
use prost_types::Timestamp;

/// Messages within messages.
const DEEPEST: usize = 32;
/// Fields of a type and of all within it, each as often as it is reached.
const MOST_FIELDS: usize = 4096;
/// Values of a message and of all around it.
const MOST_VALUES: usize = 65_536;
/// Seconds of the first and the last instant that JSON has: the years 1 to 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// How messages of one type are written.
pub(crate) struct Writer {
    /// In the order of their numbers.
    fields: Vec<Field>,
}

struct Field {
    number: u32,
    /// As JSON, with its colon.
    name: Vec<u8>,
    shape: Shape,
    kind: Type,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Written also where it is not set.
    Always,
    WhereSet,
    List,
}

enum Type {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Enum(EnumDescriptor),
    String,
    Bytes,
    Timestamp,
    Message(Writer),
}

/// A value as it is encoded.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// One of a message: the place of its field among those of the type.
type Found<'a> = (usize, Value<'a>);

impl Writer {
    /// For a type that is usual, as is what is in it.
    pub(crate) fn compile(message: &MessageDescriptor) -> Option<Self> {
        let mut left = MOST_FIELDS;
        Self::within(message, 0, &mut left)
    }

    /// `depth`: messages around it; `left`: fields that there may still be.
    fn within(message: &MessageDescriptor, depth: usize, left: &mut usize) -> Option<Self> {
        let usual = message.parent_file().syntax() == Syntax::Proto3
            && message.extension_ranges().len() == 0
            && !message.full_name().starts_with("google.protobuf.")
            && depth < DEEPEST;
        if !usual {
            return None;
        }
        *left = left.checked_sub(message.fields().len())?;
        let fields = message
            .fields()
            .map(|field| Field::compile(&field, depth, left));
        Some(Self {
            fields: fields.collect::<Option<_>>()?,
        })
    }

    /// The JSON of a message; none where its encoding is not what it usually is.
    pub(crate) fn write(&self, encoded: &[u8]) -> Option<Vec<u8>> {
        let mut json = Vec::with_capacity(64 + encoded.len() * 2);
        self.put(encoded, &mut Vec::new(), &mut json)?;
        Some(json)
    }

    /// The JSON of the message that is in a field of one.
    pub(crate) fn write_field(&self, number: u32, encoded: &[u8]) -> Option<Vec<u8>> {
        let at = self.index_of(number)?;
        let (Type::Message(writer), Shape::WhereSet) =
            (&self.fields[at].kind, self.fields[at].shape)
        else {
            return None;
        };
        let mut found = Vec::new();
        self.find(encoded, &mut found)?;
        let mut values = found.iter().filter(|(field, _)| *field == at);
        match (values.next(), values.next()) {
            (Some((_, Value::Bytes(message))), None) => writer.write(message),
            _ => None,
        }
    }

    fn index_of(&self, number: u32) -> Option<usize> {
        let known = |field: &Field| field.number;
        self.fields.binary_search_by_key(&number, known).ok()
    }

    /// `found` is for what is found: after what is there already, and it is as it was then.
    fn put<'a>(
        &self,
        encoded: &'a [u8],
        found: &mut Vec<Found<'a>>,
        json: &mut Vec<u8>,
    ) -> Option<()> {
        let begin = found.len();
        self.find(encoded, found)?;
        let end = found.len();
        let mut before = b'{';
        for (at, field) in self.fields.iter().enumerate() {
            let mut values = (begin..end).filter(|&place| found[place].0 == at);
            let value = match field.shape {
                Shape::List => None,
                Shape::Always | Shape::WhereSet => {
                    let first = values.next();
                    // What is there twice is to be merged.
                    if values.next().is_some() {
                        return None;
                    }
                    first.map(|place| found[place].1)
                }
            };
            if value.is_none() && field.shape == Shape::WhereSet {
                continue;
            }
            json.push(before);
            before = b',';
            json.extend_from_slice(&field.name);
            match (field.shape, value) {
                (Shape::List, _) => {
                    let mut before = b'[';
                    for place in begin..end {
                        let (of, value) = found[place];
                        if of == at {
                            json.push(before);
                            before = b',';
                            field.kind.put(value, found, json)?;
                        }
                    }
                    if before == b'[' {
                        json.push(b'[');
                    }
                    json.push(b']');
                }
                (_, Some(value)) => field.kind.put(value, found, json)?,
                (_, None) => field.kind.put(field.kind.default(), found, json)?,
            }
        }
        if before == b'{' {
            json.push(b'{');
        }
        json.push(b'}');
        found.truncate(begin);
        Some(())
    }

    /// Every value of a known field.
    fn find<'a>(&self, mut encoded: &'a [u8], found: &mut Vec<Found<'a>>) -> Option<()> {
        while !encoded.is_empty() {
            let (number, value) = next(&mut encoded)?;
            let Some(at) = self.index_of(number) else {
                continue;
            };
            let mut keep = |value| (found.len() < MOST_VALUES).then(|| found.push((at, value)));
            match (&self.fields[at].kind, value) {
                (kind, Value::Number(_)) if kind.is_number() => keep(value)?,
                (kind, Value::Bytes(_)) if !kind.is_number() => keep(value)?,
                // Numbers of a list are packed.
                (_, Value::Bytes(mut packed)) if self.fields[at].shape == Shape::List => {
                    while !packed.is_empty() {
                        keep(Value::Number(varint(&mut packed)?))?;
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }
}

impl Field {
    fn compile(field: &FieldDescriptor, depth: usize, left: &mut usize) -> Option<Self> {
        let oneof = field.containing_oneof();
        if field.is_map() || oneof.is_some_and(|oneof| !oneof.is_synthetic()) {
            return None;
        }
        let kind = match field.kind() {
            Kind::Bool => Type::Bool,
            Kind::Int32 => Type::Int32,
            Kind::Int64 => Type::Int64,
            Kind::Uint32 => Type::Uint32,
            Kind::Uint64 => Type::Uint64,
            Kind::Enum(kind) if kind.full_name() != "google.protobuf.NullValue" => Type::Enum(kind),
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
                Type::Timestamp
            }
            Kind::Message(message) => Type::Message(Writer::within(&message, depth + 1, left)?),
            _ => return None,
        };
        let mut name = serde_json::to_vec(field.json_name()).ok()?;
        name.push(b':');
        Some(Self {
            number: field.number(),
            name,
            shape: if field.is_list() {
                Shape::List
            } else if field.supports_presence() {
                Shape::WhereSet
            } else {
                Shape::Always
            },
            kind,
        })
    }
}

impl Type {
    /// Whether one value is a number.
    fn is_number(&self) -> bool {
        !matches!(
            self,
            Self::String | Self::Bytes | Self::Timestamp | Self::Message(_)
        )
    }

    fn default(&self) -> Value<'static> {
        if self.is_number() {
            Value::Number(0)
        } else {
            Value::Bytes(b"")
        }
    }

    fn put<'a>(
        &self,
        value: Value<'a>,
        found: &mut Vec<Found<'a>>,
        json: &mut Vec<u8>,
    ) -> Option<()> {
        match (self, value) {
            (Self::Bool, Value::Number(number)) => {
                json.extend_from_slice(if number == 0 { b"false" } else { b"true" });
                Some(())
            }
            // Numbers have so many bits as their type, whatever was encoded.
            (Self::Int32, Value::Number(number)) => write!(json, "{}", number as i32).ok(),
            (Self::Uint32, Value::Number(number)) => write!(json, "{}", number as u32).ok(),
            // Those that JavaScript has not are strings.
            (Self::Int64, Value::Number(number)) => write!(json, "\"{}\"", number as i64).ok(),
            (Self::Uint64, Value::Number(number)) => write!(json, "\"{number}\"").ok(),
            (Self::Enum(kind), Value::Number(number)) => match kind.get_value(number as i32) {
                Some(value) => write!(json, "\"{}\"", value.name()),
                None => write!(json, "{}", number as i32),
            }
            .ok(),
            (Self::String, Value::Bytes(text)) => {
                serde_json::to_writer(json, str::from_utf8(text).ok()?).ok()
            }
            (Self::Bytes, Value::Bytes(bytes)) => {
                write!(json, "\"{}\"", Base64Display::new(bytes, &BASE64_STANDARD)).ok()
            }
            (Self::Timestamp, Value::Bytes(encoded)) => {
                write!(json, "\"{}\"", timestamp(encoded)?).ok()
            }
            (Self::Message(writer), Value::Bytes(encoded)) => writer.put(encoded, found, json),
            _ => None,
        }
    }
}

/// The next field of a message: its number and its value.
fn next<'a>(encoded: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    const VARINT: u32 = 0;
    const LEN: u32 = 2;
    let tag = u32::try_from(varint(encoded)?).ok()?;
    let number = Some(tag >> 3).filter(|number| *number != 0)?;
    let value = match tag & 7 {
        VARINT => Value::Number(varint(encoded)?),
        LEN => {
            let length = usize::try_from(varint(encoded)?).ok()?;
            let (bytes, rest) = encoded.split_at_checked(length)?;
            *encoded = rest;
            Value::Bytes(bytes)
        }
        _ => return None,
    };
    Some((number, value))
}

fn varint(encoded: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(encoded).ok()
}

fn timestamp(mut encoded: &[u8]) -> Option<Timestamp> {
    let mut timestamp = Timestamp::default();
    while !encoded.is_empty() {
        match next(&mut encoded)? {
            (1, Value::Number(seconds)) => timestamp.seconds = seconds as i64,
            (2, Value::Number(nanos)) => timestamp.nanos = nanos as i32,
            _ => return None,
        }
    }
    let there_is = (FIRST..=LAST).contains(&timestamp.seconds)
        && (0..1_000_000_000).contains(&timestamp.nanos);
    there_is.then_some(timestamp)
}

#[cfg(test)]
mod tests;
