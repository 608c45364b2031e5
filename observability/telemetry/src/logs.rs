use std::fmt;
use std::io::Write as _;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context as LayerContext;

/// Writes each event as one JSON object on one line, in one write, so that lines of several threads never mix. An output that
/// is gone (a closed pipe) is ignored: losing its reader must not end a service.
pub(crate) struct JsonLines<W> {
    service: &'static str,
    output: W,
}

impl<W> JsonLines<W> {
    pub(crate) fn new(service: &'static str, output: W) -> Self {
        Self { service, output }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);

        let mut line = Vec::with_capacity(256);
        line.extend_from_slice(b"{\"time\":\"");
        // Writing into a vector does not fail.
        let _ = OffsetDateTime::now_utc().format_into(&mut line, TIME);
        line.push(b'"');
        pair(&mut line, "level", event.metadata().level().as_str());
        pair(
            &mut line,
            "target",
            fields
                .target
                .as_deref()
                .unwrap_or(event.metadata().target()),
        );
        pair(&mut line, "service", self.service);
        pair(&mut line, "message", &fields.message);
        line.extend_from_slice(&fields.rest);
        Context::map_current(|context| {
            let span = context.span();
            let span = span.span_context();
            if span.is_valid() {
                let _ = write!(
                    line,
                    ",\"trace_id\":\"{}\",\"span_id\":\"{}\"",
                    span.trace_id(),
                    span.span_id()
                );
            }
        });
        line.extend_from_slice(b"}\n");

        let _ = self
            .output
            .make_writer_for(event.metadata())
            .write_all(&line);
    }
}

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Keys of every line: a field with one of these names gets an underscore, because a key may appear only once.
const OURS: [&str; 7] = [
    "time", "level", "target", "service", "message", "trace_id", "span_id",
];

#[derive(Default)]
struct Fields {
    message: String,
    /// The target of a record that came through the `log` crate.
    target: Option<String>,
    /// The other fields, each with a comma before it.
    rest: Vec<u8>,
}

impl Fields {
    /// A value whose text is JSON already.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        // The log crate's file, line and module say less than the target.
        if !field.name().starts_with("log.") {
            key(&mut self.rest, field.name());
            let _ = write!(self.rest, "{value}");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "log.target" => self.target = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            name => {
                key(&mut self.rest, name);
                text(&mut self.rest, value);
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut chain = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        self.record_str(field, &chain);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.plain(field, value);
        } else {
            self.record_str(field, &value.to_string());
        }
    }
}

fn pair(line: &mut Vec<u8>, name: &str, value: &str) {
    line.push(b',');
    text(line, name);
    line.push(b':');
    text(line, value);
}

fn key(line: &mut Vec<u8>, name: &str) {
    line.push(b',');
    if OURS.contains(&name) {
        text(line, &format!("{name}_"));
    } else {
        text(line, name);
    }
    line.push(b':');
}

fn text(line: &mut Vec<u8>, value: &str) {
    // Neither a string nor a vector gives serde_json a reason to fail.
    let _ = serde_json::to_writer(line, value);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Output {
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
        broken: bool,
    }

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.writes.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(output: Output, act: impl FnOnce()) -> Vec<Value> {
        let writes = output.writes.clone();
        let lines = JsonLines::new("auth", move || output.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), act);
        let writes = writes.lock().unwrap();
        writes
            .iter()
            .map(|line| {
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert!(line.ends_with(b"\n"));
                serde_json::from_slice(line).unwrap()
            })
            .collect()
    }

    #[test]
    fn an_event_is_one_line_with_its_fields_beside_the_message() {
        let lines = logged(Output::default(), || {
            tracing::warn!(target: "outbox", attempt = 3_u64, ratio = 0.5, late = true, "no answer from \"kafka\"\nyet");
        });
        let mut line = lines[0].clone();
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        let time = time.as_str().unwrap();
        assert_eq!(
            (time.len(), &time[10..11], &time[19..20], &time[23..]),
            (24, "T", ".", "Z")
        );
        assert_eq!(
            line,
            json!({"level": "WARN", "target": "outbox", "service": "auth", "message": "no answer from \"kafka\"\nyet",
                   "attempt": 3, "ratio": 0.5, "late": true})
        );
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[source] io::Error);

        let lines = logged(Output::default(), || {
            let error = Outer(io::Error::other("refused"));
            tracing::error!(
                error = &error as &(dyn std::error::Error + 'static),
                "failed"
            );
        });
        assert_eq!(lines[0]["error"], "no connection: refused");
    }

    #[test]
    fn a_field_does_not_replace_a_key_that_every_line_has() {
        let lines = logged(Output::default(), || {
            tracing::info!(level = 7, service = "smtp", "sent")
        });
        assert_eq!(
            (&lines[0]["level"], &lines[0]["level_"]),
            (&json!("INFO"), &json!(7))
        );
        assert_eq!(
            (&lines[0]["service"], &lines[0]["service_"]),
            (&json!("auth"), &json!("smtp"))
        );
    }

    #[test]
    fn a_number_that_json_does_not_have_is_written_as_text() {
        let lines = logged(Output::default(), || {
            tracing::info!(age = f64::INFINITY, "stale")
        });
        assert_eq!(lines[0]["age"], "inf");
    }

    #[test]
    fn a_broken_output_does_not_end_the_process() {
        let lines = logged(
            Output {
                broken: true,
                ..Output::default()
            },
            || tracing::info!("nobody reads this"),
        );
        assert!(lines.is_empty());
    }
}
