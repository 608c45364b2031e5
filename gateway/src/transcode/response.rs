//! An answer as JSON. Scalars and lists are always there, also when they are empty, so that answers have one shape; messages
//! that are not set are left out.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, Kind, SerializeOptions, Value};

use crate::plan::Binding;

const OPTIONS: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// A service's answer is not the message that the contract says, which is a fault of the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer is not the message of the contract: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Turns an encoded answer into the HTTP body of its binding.
pub(crate) fn decode(binding: &Binding, encoded: Bytes) -> Result<Bytes, AnswerError> {
    let writer = binding.writer.as_ref();
    let written = writer.and_then(|writer| match &binding.response_body {
        Some(field) => writer.write_field(field.number(), &encoded),
        None => writer.write(&encoded),
    });
    if let Some(json) = written {
        return Ok(Bytes::from(json));
    }
    let estimate = 64 + encoded.len() * 2;
    let message = DynamicMessage::decode(binding.output.clone(), encoded)?;
    let Some(field) = &binding.response_body else {
        return write(&message, estimate);
    };
    match (field.kind(), message.get_field(field).as_ref()) {
        (Kind::Message(_), Value::Message(body)) => write(body, estimate),
        // A list or a scalar is not a message: it is taken out of one.
        _ => {
            let mut whole =
                message.serialize_with_options(serde_json::value::Serializer, &OPTIONS)?;
            let body = whole
                .get_mut(field.json_name())
                .map(serde_json::Value::take)
                .unwrap_or_default();
            Ok(Bytes::from(serde_json::to_vec(&body)?))
        }
    }
}

fn write(message: &DynamicMessage, estimate: usize) -> Result<Bytes, AnswerError> {
    let mut json = Vec::with_capacity(estimate);
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &OPTIONS)?;
    Ok(Bytes::from(json))
}
