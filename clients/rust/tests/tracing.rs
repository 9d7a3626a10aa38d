//! What becomes of OpenTelemetry's traces, with the feature `opentelemetry`.
#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "the other tests need the rest")]
mod support;

use std::{collections::BTreeMap, future::Future, sync::Arc};

use dibs::{
    Client, Leased,
    v1::{ExtendOutcome, InvalidateResponse, PublishOutcome, session_call::Request, session_reply::Response},
};
use opentelemetry::{
    Context,
    context::FutureExt,
    global,
    trace::{SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider, noop::NoopTracerProvider},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer, SdkTracerProvider, SpanData};
use tokio::sync::{Mutex, MutexGuard, Notify};

use support::{
    TTL,
    answers::{extended, hit, lease, lease_reply, published, published_reply, released, unavailable},
    fake::{Answer, Fake},
    patient, soon, text, until, value,
};

const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn traceparent(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags())
}

/// An application with the SDK, and a service that gives it leases. One at a time: the provider is the process's.
struct Shop {
    fake: Fake,
    exporter: InMemorySpanExporter,
    tracer: SdkTracer,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::const_new(());

impl Shop {
    async fn open() -> Self {
        let alone = ALONE.lock().await;
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let tracer = provider.tracer("shop");
        global::set_tracer_provider(provider);
        let fake = Fake::start().await;
        fake.will("get_or_lock", [lease()]);
        fake.will("publish", [published(PublishOutcome::Stored)]);
        fake.will("release", [released()]);
        fake.will("extend", [extended(ExtendOutcome::Extended, 10_000)]);
        Self { fake, exporter, tracer, _alone: alone }
    }

    /// Within a span of the application's, which comes with the result.
    async fn within<T>(&self, work: impl Future<Output = T>) -> (SpanContext, T) {
        let context = Context::new().with_span(self.tracer.start("GET /users/42"));
        let result = work.with_context(context.clone()).await;
        (context.span().span_context().clone(), result)
    }

    fn ended(&self, name: &str) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap().into_iter().filter(|span| span.name == name).collect()
    }

    /// The one span of a rebuild.
    fn rebuilt(&self) -> SpanData {
        let mut rebuilds = self.ended("dibs.rebuild");
        assert_eq!(rebuilds.len(), 1);
        rebuilds.remove(0)
    }

    /// The traceparents with which a method was called; empty where there was none.
    fn sent(&self, of: fn(&Request) -> bool) -> Vec<String> {
        let heard = self.fake.heard().into_iter().filter(|heard| of(&heard.request));
        heard
            .map(|heard| {
                heard.metadata.get("traceparent").map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
            })
            .collect()
    }
}

fn asked(request: &Request) -> bool {
    matches!(request, Request::GetOrLock(_))
}

fn publishes(request: &Request) -> bool {
    matches!(request, Request::Publish(_))
}

fn releases(request: &Request) -> bool {
    matches!(request, Request::Release(_))
}

fn attributes(span: &SpanData) -> BTreeMap<&str, String> {
    span.attributes.iter().map(|it| (it.key.as_str(), it.value.to_string())).collect()
}

#[tokio::test]
async fn a_rebuild_is_a_span_of_its_caller() {
    let shop = Shop::open().await;
    let tracer = shop.tracer.clone();
    let rebuild = move || {
        let tracer = tracer.clone();
        async move {
            tokio::task::yield_now().await;
            drop(tracer.start("SELECT"));
            value("v")
        }
    };
    let (caller, got) = shop.within(shop.fake.client().get_or_rebuild("k").ttl(TTL).with(rebuild)).await;
    assert_eq!(text(got.unwrap()), "v");
    let span = shop.rebuilt();
    assert_eq!((span.parent_span_id, span.span_context.trace_id()), (caller.span_id(), caller.trace_id()));
    assert_eq!((&span.span_kind, &span.status), (&SpanKind::Internal, &Status::Unset));
    assert_eq!(span.instrumentation_scope.name(), "dibs-client");
    let expected = [
        ("dibs.fence", "4"),
        ("dibs.lease.reason", "miss"),
        ("dibs.namespace", "default"),
        ("dibs.publish.outcome", "stored"),
    ];
    assert_eq!(attributes(&span), expected.map(|(key, value)| (key, value.to_owned())).into());
    assert_eq!(shop.ended("SELECT")[0].parent_span_id, span.span_context.span_id());
    assert_eq!(shop.sent(asked), [traceparent(&caller)]);
    assert_eq!(shop.sent(publishes), [traceparent(&span.span_context)]);
}

#[tokio::test]
async fn the_lease_is_extended_in_the_rebuilds_span() {
    let shop = Shop::open().await;
    // Extended after a third of it. On a busy machine that may come late, and must not come too late.
    shop.fake.will("get_or_lock", [Answer::Reply(lease_reply("t", 6_000, None))]);
    let fake = shop.fake.clone();
    let rebuild = move || {
        let fake = fake.clone();
        async move {
            until(|| fake.heard().len() > 1).await;
            value("v")
        }
    };
    shop.fake.client().get_or_rebuild("k").ttl(TTL).namespace("mine").with(rebuild).await.unwrap();
    let span = shop.rebuilt();
    assert_eq!(attributes(&span)["dibs.namespace"], "mine");
    assert_eq!(shop.sent(|request| matches!(request, Request::Extend(_))), [traceparent(&span.span_context)]);
}

#[tokio::test]
async fn a_rebuild_behind_a_stale_value_is_a_span_too() {
    let shop = Shop::open().await;
    shop.fake.will("get_or_lock", [Answer::Reply(lease_reply("t", 10_000, Some("old")))]);
    let gate = Arc::new(Notify::new());
    let opens = gate.clone();
    let rebuild = move || {
        let opens = opens.clone();
        async move {
            opens.notified().await;
            value("new")
        }
    };
    let (caller, got) = shop.within(shop.fake.client().get_or_rebuild("k").ttl(TTL).with(rebuild)).await;
    assert_eq!(text(got.unwrap()), "old");
    gate.notify_one();
    until(|| !shop.ended("dibs.rebuild").is_empty()).await;
    assert_eq!(shop.rebuilt().parent_span_id, caller.span_id());
}

#[tokio::test]
async fn a_rebuild_that_fails_says_so_in_its_span() {
    let shop = Shop::open().await;
    let asking = shop.fake.client().get_or_rebuild("k").ttl(TTL);
    asking.with(|| async { Err("the database is down".into()) }).await.unwrap_err();
    let span = shop.rebuilt();
    assert_eq!(span.status, Status::error("the database is down"));
    let events: Vec<_> = span.events.iter().map(|event| event.name.as_ref()).collect();
    assert_eq!(events, ["exception"]);
    assert_eq!(shop.sent(releases), [traceparent(&span.span_context)]);
}

#[tokio::test]
async fn that_there_is_nothing_is_no_error_in_the_span() {
    let shop = Shop::open().await;
    let got = shop.fake.client().get_or_rebuild("k").ttl(TTL).with(|| async { Ok(None) }).await;
    assert_eq!(got.unwrap(), None);
    assert_eq!(shop.rebuilt().status, Status::Unset);
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_span() {
    let shop = Shop::open().await;
    let began = Arc::new(Notify::new());
    let tell = began.clone();
    let rebuild = move || {
        tell.notify_one();
        std::future::pending()
    };
    let call = tokio::spawn(shop.fake.client().get_or_rebuild("k").ttl(TTL).with(rebuild));
    soon(began.notified()).await;
    call.abort();
    until(|| !shop.sent(releases).is_empty()).await;
    assert_eq!(shop.sent(releases), [traceparent(&shop.rebuilt().span_context)]);
}

#[tokio::test]
async fn a_publish_is_repeated_within_the_span() {
    let shop = Shop::open().await;
    shop.fake.will("publish", [unavailable(), published(PublishOutcome::Stored)]);
    shop.fake.client().get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await.unwrap();
    until(|| shop.sent(publishes).len() == 2).await;
    let its = traceparent(&shop.rebuilt().span_context);
    assert_eq!(shop.sent(publishes), [its.clone(), its]);
}

#[tokio::test]
async fn a_traceparent_of_the_callers_own_comes_first() {
    let shop = Shop::open().await;
    let asking = shop.fake.client().get_or_rebuild("k").ttl(TTL).traceparent(REMOTE);
    shop.within(asking.with(|| async { value("v") })).await.1.unwrap();
    let span = shop.rebuilt();
    assert_eq!(span.span_context.trace_id().to_string(), REMOTE[3..35]);
    assert_eq!(span.parent_span_id.to_string(), REMOTE[36..52]);
    assert_eq!(shop.sent(asked), [REMOTE]);
    assert_eq!(shop.sent(publishes), [traceparent(&span.span_context)]);
}

#[tokio::test]
async fn without_an_sdk_only_what_the_caller_names_is_sent() {
    for named in ["", REMOTE, "00-trace"] {
        let shop = Shop::open().await;
        global::set_tracer_provider(NoopTracerProvider::new());
        let asking = || shop.fake.client().get_or_rebuild("k").ttl(TTL).traceparent(named);
        asking().with(|| async { value("v") }).await.unwrap();
        asking().with(|| async { Err("down".into()) }).await.unwrap_err();
        assert_eq!(shop.sent(asked), [named, named]);
        assert_eq!(shop.sent(publishes), [named]);
        assert_eq!(shop.sent(releases), [named]);
    }
}

#[tokio::test]
async fn a_rebuild_without_the_service_runs_in_its_callers_span() {
    let shop = Shop::open().await;
    shop.fake.will("get_or_lock", [unavailable()]);
    let tracer = shop.tracer.clone();
    let rebuild = move || {
        drop(tracer.start("SELECT"));
        async { value("v") }
    };
    let (caller, got) = shop.within(shop.fake.client().get_or_rebuild("k").ttl(TTL).with(rebuild)).await;
    got.unwrap();
    assert_eq!(shop.ended("SELECT")[0].parent_span_id, caller.span_id());
    assert!(shop.ended("dibs.rebuild").is_empty());
}

#[tokio::test]
async fn a_guards_publish_is_part_of_the_span_that_is_current_then() {
    let shop = Shop::open().await;
    let client = shop.fake.client();
    let (asking, leased) = shop.within(client.lease("k", TTL)).await;
    let Leased::Lease(guard) = leased.unwrap() else { panic!("a value") };
    let (publishing, published) = shop.within(guard.publish(Some("v".into()))).await;
    published.unwrap();
    assert_eq!(shop.sent(asked), [traceparent(&asking)]);
    assert_eq!(shop.sent(publishes), [traceparent(&publishing)]);
    let Leased::Lease(guard) = shop.within(client.lease("k", TTL)).await.1.unwrap() else { panic!("a value") };
    drop(guard);
    until(|| !shop.sent(releases).is_empty()).await;
    assert_eq!(shop.sent(releases), shop.sent(asked)[1..]);
}

#[tokio::test]
async fn what_the_caller_asks_for_beside_is_in_its_span() {
    let shop = Shop::open().await;
    shop.fake.will("invalidate", [Answer::Reply(Response::Invalidate(InvalidateResponse::default()))]);
    shop.fake.will("explain", [Answer::Reply(Response::Explain(dibs::v1::ExplainResponse::default()))]);
    shop.fake.will("get_or_lock", [hit("v")]);
    let client = shop.fake.client_with(Client::builder().token("secret"));
    let mut own = tonic::Request::new(dibs::v1::GetOrLockRequest::default());
    own.metadata_mut().insert("traceparent", REMOTE.parse().unwrap());
    let mut stub = client.stub().unwrap();
    let work = async {
        client.invalidate().all().now().await.unwrap();
        stub.explain(dibs::v1::ExplainRequest::default()).await.unwrap();
        stub.get_or_lock(own).await.unwrap();
    };
    let (caller, ()) = shop.within(work).await;
    assert_eq!(shop.sent(|request| matches!(request, Request::Invalidate(_))), [traceparent(&caller)]);
    assert_eq!(shop.sent(|request| matches!(request, Request::Explain(_))), [traceparent(&caller)]);
    assert_eq!(shop.sent(asked), [REMOTE]);
    assert!(shop.fake.heard().iter().all(|heard| heard.metadata.get("authorization").unwrap() == "Bearer secret"));
}

#[tokio::test]
async fn a_call_of_a_session_is_in_the_span_of_its_caller() {
    let shop = Shop::open().await;
    let mut sessions = shop.fake.sessions();
    let client = patient().target(shop.fake.target()).build().unwrap();
    let service = async {
        let mut session = soon(sessions.recv()).await.unwrap();
        session.heard().await.hello.expect("a hello");
        session.welcome("r");
        let asking = session.call().await;
        session.reply(asking.id, lease_reply("t", 10_000, None));
        let publishing = session.call().await;
        session.reply(publishing.id, published_reply(PublishOutcome::Stored));
        (asking.traceparent, publishing.traceparent)
    };
    let call = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") });
    let ((caller, got), (asking, publishing)) = tokio::join!(shop.within(call), service);
    got.unwrap();
    assert_eq!(asking, traceparent(&caller));
    assert_eq!(publishing, traceparent(&shop.rebuilt().span_context));
}
