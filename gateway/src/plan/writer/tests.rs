use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions, Value as Reflected};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// What `prost-reflect` makes of it.
fn reflected(message: &MessageDescriptor, encoded: &[u8]) -> Option<String> {
    let message = DynamicMessage::decode(message.clone(), encoded).ok()?;
    let mut json = Vec::new();
    message
        .serialize_with_options(
            &mut serde_json::Serializer::new(&mut json),
            &SerializeOptions::new().skip_default_fields(false),
        )
        .ok()?;
    Some(String::from_utf8(json).unwrap())
}

fn known() -> Vec<(MessageDescriptor, Writer)> {
    let messages = grimoire_proto::descriptors().all_messages();
    messages
        .filter_map(|message| Some((message.clone(), Writer::compile(&message)?)))
        .collect()
}

/// A message with some of its fields.
fn any(message: &MessageDescriptor, random: &mut StdRng) -> DynamicMessage {
    let mut any = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if random.random_bool(0.3) {
            continue;
        }
        let value = if field.is_list() {
            let values = (0..random.random_range(0..4)).map(|_| any_value(&field, random));
            Reflected::List(values.collect())
        } else {
            any_value(&field, random)
        };
        any.set_field(&field, value);
    }
    any
}

fn any_value(field: &FieldDescriptor, random: &mut StdRng) -> Reflected {
    let number = [0, 1, -1, 7, i64::MIN, i64::MAX, random.random()][random.random_range(0..7)];
    let text = ["", "Ada", "\"\\\u{7f}\n\u{1}</é\u{1f600}"][random.random_range(0..3)];
    match field.kind() {
        Kind::Bool => Reflected::Bool(random.random()),
        Kind::Int32 => Reflected::I32(number as i32),
        Kind::Int64 => Reflected::I64(number),
        Kind::Uint32 => Reflected::U32(number as u32),
        Kind::Uint64 => Reflected::U64(number as u64),
        Kind::Enum(_) => Reflected::EnumNumber(random.random_range(-1..9)),
        Kind::String => Reflected::String(text.to_owned()),
        Kind::Bytes => Reflected::Bytes(text.as_bytes().to_vec().into()),
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            let seconds = [FIRST, LAST, 0, -1, 1_790_000_000, LAST + 1, FIRST - 1];
            let nanos = [0, 1, 999_999_999, 123_000_000, 123_456_000, -1, i32::MAX];
            let mut timestamp = DynamicMessage::new(message);
            let seconds = seconds[random.random_range(0..seconds.len())];
            let nanos = nanos[random.random_range(0..nanos.len())];
            timestamp.set_field_by_number(1, Reflected::I64(seconds));
            timestamp.set_field_by_number(2, Reflected::I32(nanos));
            Reflected::Message(timestamp)
        }
        Kind::Message(message) => Reflected::Message(any(&message, random)),
        kind => panic!("{kind:?} is not written"),
    }
}

#[test]
fn what_is_written_is_what_prost_reflect_writes_and_what_it_refuses_is_not_written() {
    let known = known();
    let (mut written, mut left) = (0, 0);
    for seed in 0..3_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let (message, writer) = &known[random.random_range(0..known.len())];
        let mut encoded = any(message, &mut random).encode_to_vec();
        // Half of them as no encoder would write them.
        for _ in 0..random.random_range(0..4) {
            match random.random_range(0..8) {
                0 => encoded.truncate(random.random_range(0..=encoded.len())),
                1 => encoded.extend(any(message, &mut random).encode_to_vec()),
                2 if !encoded.is_empty() => {
                    let at = random.random_range(0..encoded.len());
                    encoded[at] = random.random();
                }
                3 => {
                    let at = random.random_range(0..=encoded.len());
                    encoded.insert(at, random.random());
                }
                // A field that nobody knows.
                4 => encoded.extend([0xfa, 0x7f, 2, b'x', b'y']),
                _ => {}
            }
        }
        let by_reflection = reflected(message, &encoded);
        match writer.write(&encoded) {
            Some(json) => {
                let json = String::from_utf8(json).unwrap();
                let name = message.full_name();
                assert_eq!(Some(json), by_reflection, "{name}, seed {seed}");
                written += 1;
            }
            None => left += usize::from(by_reflection.is_some()),
        }
    }
    assert!(written > 1_500, "{written}");
    assert!(left < 600, "{left}");
}

#[test]
fn answers_that_are_asked_for_often_are_known_and_an_empty_message_has_its_fields() {
    let known = known();
    for name in [
        "grimoire.auth.v1.GetAccountResponse",
        "grimoire.auth.v1.LoginResponse",
        "grimoire.auth.v1.RefreshTokensResponse",
        "grimoire.user.v1.GetProfileResponse",
        "grimoire.user.v1.ListActivitiesResponse",
        "grimoire.user.v1.SearchProfilesResponse",
    ] {
        let mut names = known.iter().map(|(message, _)| message.full_name());
        assert!(names.any(|known| known == name), "{name}");
    }
    for (message, writer) in known {
        let json = String::from_utf8(writer.write(&[]).unwrap()).unwrap();
        assert_eq!(Some(json), reflected(&message, &[]));
    }
}

#[test]
fn what_has_maps_alternatives_or_types_of_their_own_json_is_not_known() {
    let unusual = |name| {
        let message = grimoire_proto::descriptors().get_message_by_name(name);
        Writer::compile(&message.unwrap()).is_none()
    };
    for name in [
        "google.protobuf.Timestamp",
        "google.protobuf.FieldMask",
        "google.protobuf.FileDescriptorProto",
        "google.api.HttpRule",
        "grimoire.user.v1.UpdateProfileRequest",
    ] {
        assert!(unusual(name), "{name}");
    }
}

/// A message of a file that has this in it.
fn message_of(contract: &str, name: &str) -> MessageDescriptor {
    let text = format!("syntax = \"proto3\"; {contract}");
    let file = protox::file::File::from_source("test.proto", &text).unwrap();
    let set = prost_types::FileDescriptorSet {
        file: vec![file.file_descriptor_proto().clone()],
    };
    let pool = prost_reflect::DescriptorPool::from_file_descriptor_set(set).unwrap();
    pool.get_message_by_name(name).unwrap()
}

#[test]
fn of_a_field_only_one_message_is_written_and_no_list() {
    let orders = message_of(
        "message Order { string id = 1; }
         message Orders { repeated Order orders = 1; Order newest = 2; string page = 3; }",
        "Orders",
    );
    let writer = Writer::compile(&orders).unwrap();
    let order = |number: u8| [number << 3 | 2, 3, 10, 1, b'7'];
    let json = writer.write_field(2, &order(2)).unwrap();
    assert_eq!(json, br#"{"id":"7"}"#);
    for (number, encoded) in [
        (1, order(1).to_vec()),
        (1, vec![]),
        (2, vec![]),
        (2, [order(2), order(2)].concat()),
        (3, vec![26, 1, b'x']),
        (4, order(2).to_vec()),
    ] {
        assert!(writer.write_field(number, &encoded).is_none(), "{number}");
    }
}

#[test]
fn neither_a_type_nor_a_message_makes_it_grow_without_bound() {
    let levels: String = (0..30)
        .map(|level| format!("message M{level} {{ M{0} a = 1; M{0} b = 2; }}", level + 1))
        .collect();
    let wide = message_of(&format!("{levels} message M30 {{ bool a = 1; }}"), "M0");
    assert!(Writer::compile(&wide).is_none());
    let own = message_of("message M { M m = 1; }", "M");
    assert!(Writer::compile(&own).is_none());
    let list = message_of("message M { repeated bool all = 1; }", "M");
    let writer = Writer::compile(&list).unwrap();
    let packed = |length: usize| {
        let mut message = vec![10];
        prost::encoding::encode_varint(length as u64, &mut message);
        message.resize(message.len() + length, 1);
        message
    };
    assert!(writer.write(&packed(MOST_VALUES)).is_some());
    assert!(writer.write(&packed(MOST_VALUES + 1)).is_none());
}
