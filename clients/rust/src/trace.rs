//! Traces with OpenTelemetry's API, which does nothing unless the application has an SDK.
use std::{error::Error as StdError, future::Future};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    context::FutureExt,
    global,
    trace::{SpanContext, Status, TraceContextExt, TraceState, Tracer},
};

use crate::{error::word, lease::LeaseReason, v1::PublishOutcome};

/// The trace that a call belongs to, also in tasks that are not the caller's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    context: Context,
    traceparent: String,
}

impl Trace {
    /// The trace that the caller names, else the current one. Text that is no traceparent is passed on unchanged, and
    /// has no effect.
    pub fn of_caller(named: &str) -> Self {
        let context = Context::current();
        if named.is_empty() {
            return Self { traceparent: traceparent_of(&context), context };
        }
        let context = read(named).map_or(context.clone(), |remote| context.with_remote_span_context(remote));
        Self { context, traceparent: named.to_owned() }
    }

    /// The traceparent to pass on for the caller; empty if there is none.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The future as a part of the trace, in any task that polls it.
    pub fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.with_context(self.context.clone())
    }

    /// Begins the span of a rebuild. It does not name the key, because keys may be personal data.
    pub fn rebuild(&self, namespace: &str, reason: LeaseReason, fence: i64) -> RebuildSpan {
        // Each time again, because an application may set the global provider later.
        let scope = InstrumentationScope::builder("dibs-client").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = global::tracer_with_scope(scope);
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        let builder = tracer.span_builder("dibs.rebuild").with_attributes([
            KeyValue::new("dibs.namespace", namespace.to_owned()),
            KeyValue::new("dibs.lease.reason", reason.to_string()),
            KeyValue::new("dibs.fence", fence),
        ]);
        let context = self.context.with_span(tracer.build_with_context(builder, &self.context));
        let own = traceparent_of(&context);
        let traceparent = if own.is_empty() { self.traceparent.clone() } else { own };
        RebuildSpan(Self { context, traceparent })
    }
}

/// The span of one rebuild. It ends when this is dropped, or before.
pub(crate) struct RebuildSpan(Trace);

impl RebuildSpan {
    /// The traceparent that the calls of the rebuild pass on; empty if there is none.
    pub fn traceparent(&self) -> &str {
        self.0.traceparent()
    }

    /// The future as a part of it.
    pub fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.0.within(future)
    }

    pub fn published(&self, outcome: PublishOutcome) {
        let outcome = word(outcome.as_str_name(), "PUBLISH_OUTCOME_");
        self.0.context.span().set_attribute(KeyValue::new("dibs.publish.outcome", outcome));
    }

    pub fn failed(&self, error: &(dyn StdError + 'static)) {
        let span = self.0.context.span();
        span.record_error(error);
        span.set_status(Status::error(error.to_string()));
    }

    pub fn end(&self) {
        self.0.context.span().end();
    }
}

impl Drop for RebuildSpan {
    /// The context may live on in what the rebuild has spawned.
    fn drop(&mut self) {
        self.end();
    }
}

/// The W3C traceparent of the span of a context; empty if there is none.
fn traceparent_of(context: &Context) -> String {
    let span = context.span();
    let its = span.span_context();
    if !its.is_valid() {
        return String::new();
    }
    format!("00-{}-{}-{:02x}", its.trace_id(), its.span_id(), its.trace_flags())
}

/// The content of a W3C traceparent, of this version or of a later one with the same beginning.
fn read(traceparent: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let [version, trace, span, flags] = [2, 32, 16, 2].map(|digits| {
        let is_hex =
            |field: &&str| field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fields.next().filter(is_hex)
    });
    let version = version?;
    if version == "ff" || version == "00" && fields.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace?).ok()?,
        SpanId::from_hex(span?).ok()?,
        TraceFlags::new(u8::from_str_radix(flags?, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = Context::new().with_remote_span_context(read(text).unwrap());
        assert_eq!(traceparent_of(&context), text);
        let later = text.replacen("00", "01", 1) + "-more";
        assert_eq!(read(&later), read(text));
    }

    #[test]
    fn takes_nothing_else_for_a_traceparent() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for text in [
            String::new(),
            "00-trace".into(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-+1"),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
