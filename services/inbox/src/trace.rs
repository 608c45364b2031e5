//! Ties a span to the traces that made the changes it handles.

use tracing::Span;

/// More links than this say nothing more.
const MAX_LINKS: usize = 16;

/// One trace becomes the parent of `span`; several become links.
pub(crate) fn join<'a>(span: &Span, traceparents: impl ExactSizeIterator<Item = Option<&'a str>>) {
    let alone = traceparents.len() == 1;
    for traceparent in traceparents.flatten().take(MAX_LINKS) {
        if alone {
            telemetry::propagation::set_parent(span, traceparent);
        } else {
            telemetry::propagation::add_link(span, traceparent);
        }
    }
}
