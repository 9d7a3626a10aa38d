//! The near cache.
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dibs::{
    Client, Code, Error, Event, Read, Stale,
    v1::{self, PublishOutcome, session_call::Request, session_event, session_reply::Response},
};
use futures_util::FutureExt;
use tokio::{sync::mpsc, task::JoinHandle, time::advance};

use crate::support::{
    Frozen, TTL,
    answers::{hit, lease_reply, published_reply, unavailable},
    fake::{Fake, Session},
    ms, patient, soon, text, value,
};

/// Its time stands still: entries are served only for 3 s after a beat.
struct Near {
    _frozen: Frozen,
    fake: Fake,
    sessions: mpsc::UnboundedReceiver<Session>,
    session: Session,
    client: Client,
    hits: Arc<Mutex<Vec<bool>>>,
}

type Call = JoinHandle<Result<Option<Bytes>, Error>>;

fn fresh(value: &'static str, fresh_for_ms: i64, tags: Option<&[&str]>) -> Response {
    let names = tags.map(|tags| v1::Tags { names: tags.iter().map(ToString::to_string).collect() });
    let hit = v1::Hit {
        payload: Some(v1::hit::Payload::Value(value.into())),
        freshness: v1::Freshness::Fresh.into(),
        fresh_for_ms,
        fence: 3,
        tags: names,
        ..Default::default()
    };
    let outcome = Some(v1::get_or_lock_response::Outcome::Hit(hit));
    Response::GetOrLock(v1::GetOrLockResponse { outcome, ..Default::default() })
}

impl Near {
    async fn begin(options: impl FnOnce(dibs::ClientBuilder) -> dibs::ClientBuilder) -> Self {
        let frozen = Frozen::begin();
        let fake = Fake::start().await;
        let mut sessions = fake.sessions();
        let hits = Arc::new(Mutex::new(Vec::new()));
        let listener = hits.clone();
        let builder = Client::builder().target(fake.target()).near_cache(1 << 20).hook(move |event| {
            if let Event::Hit { stale, .. } = event {
                listener.lock().unwrap().push(*stale);
            }
        });
        let client = options(builder).build().unwrap();
        let ready = tokio::spawn({
            let client = client.clone();
            async move { client.ready(TTL).await }
        });
        let session = welcomed(&mut sessions).await;
        assert!(ready.await.unwrap());
        Self { _frozen: frozen, fake, sessions, session, client, hits }
    }

    fn asking(&self) -> dibs::GetOrRebuild {
        self.client.get_or_rebuild("k").ttl(TTL)
    }

    fn ask(&self) -> Call {
        tokio::spawn(self.asking().with(|| async { value("own") }))
    }

    /// What it reads from the service, which answers so.
    async fn filled(&mut self, reply: Response) -> String {
        let call = self.ask();
        self.session.answer(reply).await;
        text(soon(call).await.unwrap().unwrap())
    }

    /// What it reads without the service.
    async fn near(&self) -> String {
        text(soon(self.ask()).await.unwrap().unwrap())
    }

    /// Ends when the client has heard of it: what is said later is heard later.
    async fn told(&mut self, event: session_event::Event) {
        let open = tokio::spawn(self.client.get_or_rebuild("open").ttl(TTL).with(|| async { value("own") }));
        let id = self.session.call().await.id;
        self.session.event(event);
        self.session.reply(id, fresh("-", 0, None));
        soon(open).await.unwrap().unwrap();
    }

    /// Neither the session nor a call reaches it from now on. An open call ends without it.
    async fn loses_its_service(&mut self) {
        self.fake.will("get_or_lock", [unavailable()]);
        let open = tokio::spawn(self.client.get_or_rebuild("open").ttl(TTL).with(|| async { value("own") }));
        self.session.call().await;
        self.sessions.close();
        self.session.fail();
        soon(open).await.unwrap().unwrap();
    }

    async fn changed(&mut self, changed: v1::Invalidated) {
        let namespace = "default".to_owned();
        self.told(session_event::Event::Invalidated(v1::Invalidated { namespace, ..changed })).await;
    }
}

async fn welcomed(sessions: &mut mpsc::UnboundedReceiver<Session>) -> Session {
    let mut session = soon(sessions.recv()).await.unwrap();
    let hello = session.heard().await.hello.expect("a hello");
    assert_eq!(hello.watched_namespaces, ["default"]);
    session.welcome("r");
    session
}

fn keys(keys: &[&str]) -> v1::Invalidated {
    v1::Invalidated { keys: keys.iter().map(ToString::to_string).collect(), ..Default::default() }
}

fn tags(tags: &[&str]) -> v1::Invalidated {
    v1::Invalidated { tags: tags.iter().map(ToString::to_string).collect(), ..Default::default() }
}

#[tokio::test]
async fn a_hit_costs_no_call_and_the_hook_hears_of_it() {
    let mut near = Near::begin(|builder| builder).await;
    assert_eq!(near.filled(fresh("1", 60_000, None)).await, "1");
    assert_eq!((near.near().await, near.near().await), ("1".into(), "1".into()));
    assert_eq!(*near.hits.lock().unwrap(), [false, false, false]);
    // Callers that want what is newer ask, and so do those of other namespaces.
    for asking in [near.asking().read(Read::Store), near.asking().refresh(true), near.asking().namespace("n")] {
        let call = tokio::spawn(asking.with(|| async { value("own") }));
        near.session.answer(fresh("2", 0, None)).await;
        assert_eq!(text(soon(call).await.unwrap().unwrap()), "2");
    }
}

#[tokio::test]
async fn what_changes_is_dropped_by_key_tag_and_namespace() {
    let mut near = Near::begin(|builder| builder).await;
    let all = v1::Invalidated { all: true, ..Default::default() };
    for changed in [keys(&["k"]), tags(&["t"]), all] {
        assert_eq!(near.filled(fresh("1", 60_000, Some(&["s", "t"]))).await, "1");
        assert_eq!(near.near().await, "1");
        near.changed(changed).await;
        assert_eq!(near.filled(fresh("2", 0, None)).await, "2");
    }
}

#[tokio::test]
async fn a_change_of_something_else_drops_nothing_unless_the_tags_are_not_known() {
    let mut near = Near::begin(|builder| builder).await;
    assert_eq!(near.filled(fresh("1", 60_000, Some(&["s"]))).await, "1");
    near.changed(keys(&["other"])).await;
    near.changed(tags(&["t"])).await;
    let elsewhere = v1::Invalidated { namespace: "elsewhere".into(), all: true, ..Default::default() };
    near.told(session_event::Event::Invalidated(elsewhere)).await;
    assert_eq!(near.near().await, "1");
    near.client.invalidate().keys(["k"]).now().now_or_never();
    assert_eq!(near.filled(fresh("2", 60_000, None)).await, "2");
    near.changed(tags(&["t"])).await;
    assert_eq!(near.filled(fresh("3", 0, None)).await, "3");
}

#[tokio::test]
async fn an_answer_that_a_change_has_overtaken_is_not_kept() {
    let mut near = Near::begin(|builder| builder).await;
    for changed in [keys(&["k"]), tags(&["t"])] {
        let call = near.ask();
        let id = near.session.call().await.id;
        near.session
            .event(session_event::Event::Invalidated(v1::Invalidated { namespace: "default".into(), ..changed }));
        near.session.reply(id, fresh("old", 60_000, Some(&[])));
        assert_eq!(text(soon(call).await.unwrap().unwrap()), "old");
        assert_eq!(near.filled(fresh("new", 0, None)).await, "new");
    }
}

#[tokio::test]
async fn nothing_is_served_past_its_time() {
    let mut near = Near::begin(|builder| builder).await;
    assert_eq!(near.filled(fresh("1", 40, None)).await, "1");
    advance(ms(40)).await;
    assert_eq!(near.filled(fresh("2", 0, None)).await, "2");
    assert_eq!(near.filled(fresh("3", 0, None)).await, "3", "what is born without time is not kept");
}

#[tokio::test]
async fn the_own_publish_and_the_own_invalidation_are_read() {
    let mut near = Near::begin(|builder| builder).await;
    assert_eq!(near.filled(fresh("old", 60_000, None)).await, "old");
    let refresh = tokio::spawn(near.asking().refresh(true).with(|| async { value("own") }));
    near.session.answer(lease_reply("t", 60_000, None)).await;
    near.session.answer(published_reply(PublishOutcome::Stored)).await;
    assert_eq!(text(soon(refresh).await.unwrap().unwrap()), "own");
    assert_eq!(near.filled(fresh("own", 60_000, None)).await, "own");
    for by_key in [true, false] {
        let invalidate = near.client.invalidate();
        let invalidate = if by_key { invalidate.keys(["k"]) } else { invalidate.tags(["any"]) };
        let invalidating = tokio::spawn(invalidate.now());
        near.session.answer(Response::Invalidate(v1::InvalidateResponse::default())).await;
        soon(invalidating).await.unwrap().unwrap();
        assert_eq!(near.filled(fresh("new", 60_000, None)).await, "new");
        assert_eq!(near.near().await, "new");
    }
}

#[tokio::test]
async fn a_session_that_breaks_or_drains_takes_all_along() {
    let mut near = Near::begin(|builder| builder).await;
    for drains in [true, false] {
        assert_eq!(near.filled(fresh("1", 60_000, None)).await, "1");
        if drains {
            near.told(session_event::Event::Draining(v1::Draining { closes_in_ms: 1_000 })).await;
            near.session.event(session_event::Event::Beat(v1::Beat {}));
        } else {
            // A call that is open then is asked again on the next session.
            let open = tokio::spawn(near.client.get_or_rebuild("open").ttl(TTL).with(|| async { value("own") }));
            near.session.call().await;
            near.session.fail();
            near.session = welcomed(&mut near.sessions).await;
            near.session.answer(fresh("-", 0, None)).await;
            soon(open).await.unwrap().unwrap();
        }
        let call = near.ask();
        if drains {
            near.session = welcomed(&mut near.sessions).await;
        }
        near.session.answer(fresh("2", 60_000, None)).await;
        assert_eq!(text(soon(call).await.unwrap().unwrap()), "2");
        near.client.invalidate().keys(["k"]).now().now_or_never();
    }
}

#[tokio::test]
async fn without_the_service_it_serves_where_it_may_and_as_stale() {
    for serves in [true, false] {
        let mut near = Near::begin(|builder| builder.serve_near_when_unavailable(serves)).await;
        assert_eq!(near.filled(fresh("near", 60_000, None)).await, "near");
        near.loses_its_service().await;
        assert_eq!(near.near().await, if serves { "near" } else { "own" });
        assert_eq!(near.hits.lock().unwrap().as_slice(), if serves { &[false, true][..] } else { &[false][..] });
        let strict = near.asking().stale(Stale::Forbid).with(|| async { value("strict") });
        assert_eq!(text(soon(strict).await.unwrap()), if serves { "strict" } else { "own" });
        // When it answers again, what was kept for its absence is gone.
        near.fake.will("get_or_lock", [hit("theirs")]);
        assert_eq!(near.near().await, "theirs");
        near.fake.will("get_or_lock", [unavailable()]);
        assert_eq!(near.near().await, "own");
    }
}

#[tokio::test]
async fn without_the_service_what_this_process_has_made_since_comes_first() {
    let mut near = Near::begin(|builder| builder.serve_near_when_unavailable(true)).await;
    assert_eq!(near.filled(fresh("near", 60_000, None)).await, "near");
    near.loses_its_service().await;
    assert_eq!(near.near().await, "near");
    let refreshed = near.asking().refresh(true).with(|| async { value("new") });
    assert_eq!(text(soon(refreshed).await.unwrap()), "new");
    assert_eq!(near.near().await, "new");
}

#[tokio::test]
async fn what_is_kept_without_the_service_is_dropped_when_a_session_begins() {
    let mut near = Near::begin(|builder| builder.serve_near_when_unavailable(true)).await;
    assert_eq!(near.filled(fresh("near", 60_000, None)).await, "near");
    let open = tokio::spawn(near.client.get_or_rebuild("open").ttl(TTL).with(|| async { value("own") }));
    near.session.call().await;
    near.session.fail();
    near.session = welcomed(&mut near.sessions).await;
    near.session.answer(fresh("-", 0, None)).await;
    soon(open).await.unwrap().unwrap();
    let call = near.ask();
    for _ in 0..2 {
        let gone = v1::CallError { code: Code::Unavailable.into(), message: "gone".into(), ..Default::default() };
        near.session.answer(Response::Error(gone)).await;
    }
    assert_eq!(text(soon(call).await.unwrap().unwrap()), "own");
}

#[tokio::test]
async fn without_the_service_nothing_is_served_that_is_older_than_the_answer_of_a_single_call() {
    for many in [false, true] {
        let mut near = Near::begin(|builder| builder.serve_near_when_unavailable(true)).await;
        assert_eq!(near.filled(fresh("old", 60_000, None)).await, "old");
        let open = tokio::spawn(near.client.get_or_rebuild("open").ttl(TTL).with(|| async { value("own") }));
        near.session.call().await;
        // Streams break, and calls work.
        near.fake.will("get_or_lock", [hit("-"), hit("new")]);
        near.fake.will("get_or_lock_many", [hit("new")]);
        near.sessions.close();
        near.session.fail();
        soon(open).await.unwrap().unwrap();
        if many {
            let of_keys = near.client.get_or_rebuild_many(["k"]).ttl(TTL);
            let values =
                soon(of_keys.with(|_| async { Ok([("k".to_owned(), Some(Bytes::from("own")))]) })).await.unwrap();
            assert_eq!(text(values["k"].clone()), "new");
        } else {
            assert_eq!(near.near().await, "new");
        }
        near.fake.will("get_or_lock", [unavailable()]);
        assert_eq!(near.near().await, "own", "many: {many}");
    }
}

#[tokio::test]
async fn answers_of_single_calls_are_not_kept() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [crate::support::fake::Answer::Reply(fresh("1", 60_000, None))]);
    let client = patient().target(fake.target()).near_cache(1 << 20).build().unwrap();
    for _ in 0..2 {
        client.get_or_rebuild("k").ttl(TTL).with(|| async { value("own") }).await.unwrap();
    }
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_watched_request_is_joined_until_a_change_arrives() {
    let mut near = Near::begin(|builder| builder).await;
    let one = near.ask();
    let first = near.session.call().await.id;
    let two = near.ask();
    // It is in its place before the change comes, and nothing is asked for it.
    near.changed(keys(&["k"])).await;
    let three = near.ask();
    let second = near.session.call().await;
    assert!(matches!(second.request, Some(Request::GetOrLock(_))));
    near.session.reply(first, fresh("old", 0, None));
    near.session.reply(second.id, fresh("new", 0, None));
    for (call, is) in [(one, "old"), (two, "old"), (three, "new")] {
        assert_eq!(text(soon(call).await.unwrap().unwrap()), is);
    }
}

#[test]
fn bounds_are_told_when_the_client_is_made() {
    let of = |builder: dibs::ClientBuilder| builder.target("a:1").build().unwrap_err().to_string();
    assert!(of(Client::builder().near_cache(0)).starts_with("near_cache: "));
    let names = (0..65).map(|n| n.to_string());
    assert!(of(Client::builder().near_cache(1).near_namespaces(names)).starts_with("near_namespaces: 65"));
}

#[tokio::test]
async fn a_call_after_the_own_publish_joins_no_request_from_before_it() {
    let mut near = Near::begin(|options| options).await;
    let before = near.ask();
    let id = near.session.call().await.id;
    let own = tokio::spawn(near.asking().refresh(true).with(|| async { value("new") }));
    near.session.answer(lease_reply("t", 10_000, None)).await;
    near.session.answer(published_reply(PublishOutcome::Stored)).await;
    assert_eq!(text(soon(own).await.unwrap().unwrap()), "new");
    assert_eq!(near.filled(fresh("newer", 0, None)).await, "newer");
    near.session.reply(id, fresh("old", 0, None));
    assert_eq!(text(soon(before).await.unwrap().unwrap()), "old");
}
