use std::any::Any;
use std::panic::PanicHookInfo;

/// Makes a panic a line of the log like any other, with the trace it happened in.
pub(crate) fn log() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture().to_string();
        tracing::error!(location, backtrace, "panic: {}", message(panic.payload()));
    }));
}

fn message(payload: &dyn Any) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "of an unknown kind"
    }
}
