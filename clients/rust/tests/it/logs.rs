//! What the client logs.
use std::{
    error::Error as StdError,
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dibs::{Client, Revalidate, testing};
use tokio::time::advance;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

use crate::support::{TTL, fresh_key, service::SERVICE, text, value};

/// Writes the client's events of this thread down.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    fn begin() -> (Self, DefaultGuard) {
        let logs = Self::default();
        (logs.clone(), tracing::subscriber::set_default(logs))
    }

    fn of(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

impl Subscriber for Logs {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("dibs")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {value:?}").unwrap();
    }
}

/// An error whose text panics.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("as a test has it")
    }
}

impl StdError for Unspeakable {}

#[tokio::test(start_paused = true)]
async fn an_error_whose_text_panics_does_not_fail_the_call_that_logs_it() {
    let (_logs, _guard) = Logs::begin();
    let client = testing::client();
    client.set("k").ttl(TTL).stale_ttl(TTL).publish(Some("old".into())).await.unwrap();
    advance(TTL).await;
    let asking = client.get_or_rebuild("k").ttl(TTL).revalidate(Revalidate::Await).stale_if_error(true);
    let got = asking.with(|| async { Err::<Option<Bytes>, _>(Unspeakable.into()) }).await;
    assert_eq!(text(got.unwrap()), "old");
}

#[tokio::test]
async fn a_session_that_the_service_refuses_is_logged_once() {
    let (logs, _guard) = Logs::begin();
    let client = SERVICE.client_with(Client::builder().near_cache(1 << 20).near_namespaces(["no namespace"]));
    for _ in 0..2 {
        let asking = client.get_or_rebuild(fresh_key()).ttl(TTL);
        assert_eq!(text(asking.with(|| async { value("v") }).await.unwrap()), "v");
    }
    let told = logs.of("refuses the session");
    assert!(
        told.len() == 1 && told[0].starts_with("WARN") && told[0].contains("InvalidArgument: namespace: "),
        "{told:?}"
    );
}
