//! Asks Kafka for the id of a topic, which tells a topic from another one of the same name.

use std::ffi::{CString, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode};

/// The id of `topic`, in hexadecimal; `None` where the broker gives none (before Kafka 2.8).
pub(crate) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let name = CString::new(topic).map_err(KafkaError::Nul)?;
    let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    match describe_native(client.native_ptr(), &name, timeout) {
        Ok((0, 0)) | Err(RDKafkaErrorCode::UnsupportedFeature) => Ok(None),
        Ok((high, low)) => Ok(Some(format!("{high:016x}{low:016x}"))),
        Err(code) => Err(KafkaError::AdminOp(code)),
    }
}

// SAFETY: rdkafka wraps every administrative call but this one. `client` is alive for the whole call. Each object that is
// made here is destroyed here, once and in the reverse order; what is read belongs to `event`, and is read before that is
// destroyed. `names` outlives the call that copies it. librdkafka takes null for an event that did not come and for an
// error that there was not.
#[allow(unsafe_code)]
fn describe_native(
    client: *mut rd_kafka_t,
    name: &CString,
    timeout: c_int,
) -> Result<(u64, u64), RDKafkaErrorCode> {
    unsafe {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let options = rd_kafka_AdminOptions_new(
            client,
            rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut refused: [c_char; 128] = [0; 128];
        rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout,
            refused.as_mut_ptr(),
            refused.len(),
        );
        let queue = rd_kafka_queue_new(client);
        rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = rd_kafka_queue_poll(queue, timeout.saturating_add(1000));
        let id = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            read(event)
        };
        if !event.is_null() {
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

// SAFETY: the caller gives an event that is not null; the rest belongs to it.
#[allow(unsafe_code)]
unsafe fn read(event: *mut rd_kafka_event_t) -> Result<(u64, u64), RDKafkaErrorCode> {
    unsafe {
        let failed = rd_kafka_event_error(event);
        if failed.is_error() {
            return Err(failed.into());
        }
        let result = rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopic);
        }
        let topic = *topics;
        let failed = rd_kafka_error_code(rd_kafka_TopicDescription_error(topic));
        if failed.is_error() {
            return Err(failed.into());
        }
        let id = rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return Ok((0, 0));
        }
        let high = rd_kafka_Uuid_most_significant_bits(id);
        let low = rd_kafka_Uuid_least_significant_bits(id);
        Ok((high.cast_unsigned(), low.cast_unsigned()))
    }
}
