//! All calls on one stream.
use std::time::{Duration, Instant};

use bytes::Bytes;
use dibs::{
    Client, Code, Error, Lease, OnUnavailable,
    v1::{self, session_call::Request, session_event::Event, session_reply::Response},
};
use tokio::{sync::mpsc, time::advance};

use crate::support::{
    Frozen, SOON, TTL,
    answers::{hit, hit_reply, lease_reply, published_reply},
    call_error,
    fake::{Fake, Session},
    moment, ms, patient, soon, text, value,
};

pub async fn with_sessions() -> (Fake, mpsc::UnboundedReceiver<Session>, Client) {
    let fake = Fake::start().await;
    let sessions = fake.sessions();
    let options = patient().target(fake.target()).holder("me").on_unavailable(OnUnavailable::Fail);
    (fake, sessions, options.build().unwrap())
}

pub type Call = tokio::task::JoinHandle<Result<Option<Bytes>, Error>>;

pub fn ask(client: &Client, key: &str) -> Call {
    tokio::spawn(client.get_or_rebuild(key).ttl(TTL).with(|| async { value("mine") }))
}

pub async fn next(sessions: &mut mpsc::UnboundedReceiver<Session>, token: &str) -> (Session, v1::SessionHello) {
    let mut session = soon(sessions.recv()).await.unwrap();
    let hello = session.heard().await.hello.expect("a hello");
    session.welcome(token);
    (session, hello)
}

#[tokio::test]
async fn says_hello_first_and_answers_come_in_any_order() {
    let _frozen = Frozen::begin();
    let (fake, mut sessions, client) = with_sessions().await;
    let (one, two) = (ask(&client, "one"), ask(&client, "two"));
    let (mut session, hello) = next(&mut sessions, "r").await;
    assert_eq!((hello.resume_token.as_str(), hello.holder.as_str()), ("", "me"));
    let mut calls = Vec::new();
    while calls.len() < 2 {
        calls.extend(session.heard().await.calls);
    }
    for call in calls.iter().rev() {
        assert!(call.id > 0 && call.deadline_ms == Some(32_000));
        let Some(Request::GetOrLock(request)) = &call.request else { panic!("{call:?}") };
        session.reply(call.id, hit_reply(if request.key == "one" { "1" } else { "2" }));
    }
    assert_eq!((text(one.await.unwrap().unwrap()), text(two.await.unwrap().unwrap())), ("1".into(), "2".into()));
    assert!(fake.heard().is_empty());
}

#[tokio::test]
async fn what_gathers_leaves_together_in_messages_of_a_mebibyte() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let key = "k".repeat(1_000);
    let calls: Vec<_> = (0..1_500).map(|n| ask(&client, &format!("{key}{n}"))).collect();
    let (mut session, _) = next(&mut sessions, "r").await;
    let (mut messages, mut heard) = (0, 0);
    while heard < calls.len() {
        let message = session.heard().await;
        assert!(prost::Message::encoded_len(&message) <= 1_048_576);
        (messages, heard) = (messages + 1, heard + message.calls.len());
        for call in message.calls {
            session.reply(call.id, hit_reply("v"));
        }
    }
    assert!((2..500).contains(&messages), "{messages} messages");
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_of_once() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut session, _) = next(&mut sessions, "r").await;
    let id = session.call().await.id;
    call.abort();
    assert_eq!(session.heard().await.cancelled_ids, [id]);
}

#[tokio::test]
async fn a_lease_that_crosses_its_callers_leaving_is_given_back() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut session, _) = next(&mut sessions, "r").await;
    let id = session.call().await.id;
    call.abort();
    assert_eq!(session.heard().await.cancelled_ids, [id]);
    session.reply(id, lease_reply("t", 60_000, None));
    let Some(Request::Release(release)) = session.call().await.request else { panic!("no release") };
    assert_eq!((release.key.as_str(), release.token.as_str(), release.failure), ("k", "t", None));
}

#[tokio::test]
async fn an_error_of_a_call_is_as_the_unary_one() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut session, _) = next(&mut sessions, "r").await;
    let error = |retry_after_ms| v1::CallError { code: 8, message: "full".into(), retry_after_ms };
    session.answer(Response::Error(error(Some(1)))).await;
    session.answer(Response::Error(error(Some(60_000)))).await;
    let error = call_error(call.await.unwrap().unwrap_err());
    assert_eq!((error.code, error.retry_after), (Code::ResourceExhausted, Some(Duration::from_secs(60))));
}

#[tokio::test]
async fn a_lease_that_is_lost_is_told_at_once() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let rebuild = |lease: Lease| async move {
        lease.lost().await;
        value("late")
    };
    let call = tokio::spawn(client.get_or_rebuild("k").ttl(TTL).with_lease(rebuild));
    let (mut session, _) = next(&mut sessions, "r").await;
    session.answer(lease_reply("t", 60_000, None)).await;
    let lost = v1::LeaseLost { token: "t".into(), ..Default::default() };
    session.event(Event::LeaseLost(lost));
    // What it still returns is thrown away, and the service is asked again.
    session.answer(hit_reply("theirs")).await;
    assert_eq!(text(call.await.unwrap().unwrap()), "theirs");
}

#[tokio::test]
async fn one_that_drains_is_left_for_new_calls_and_still_answers_the_open_ones() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let one = ask(&client, "one");
    let (mut old, _) = next(&mut sessions, "r").await;
    let id = old.call().await.id;
    let before = ask(&client, "before");
    let before_id = old.call().await.id;
    old.event(Event::Draining(v1::Draining { closes_in_ms: 1_000 }));
    old.reply(before_id, hit_reply("0"));
    before.await.unwrap().unwrap();
    let two = ask(&client, "two");
    let (mut new, hello) = next(&mut sessions, "s").await;
    assert_eq!(hello.resume_token, "");
    new.answer(hit_reply("2")).await;
    assert_eq!(text(two.await.unwrap().unwrap()), "2");
    old.reply(id, hit_reply("1"));
    assert_eq!(text(one.await.unwrap().unwrap()), "1");
    assert!(soon(old.requests.message()).await.unwrap().is_none(), "the old stream ends with its last call");
}

#[tokio::test]
async fn a_call_that_is_refused_for_the_token_of_its_session_goes_by_itself_and_the_next_over_a_new_one() {
    let (fake, mut sessions, client) = with_sessions().await;
    fake.will("get_or_lock", [hit("v")]);
    let (call, open) = (ask(&client, "k"), ask(&client, "open"));
    let (mut old, _) = next(&mut sessions, "r").await;
    let mut ids = std::collections::HashMap::new();
    while ids.len() < 2 {
        for call in old.heard().await.calls {
            let Some(Request::GetOrLock(request)) = call.request else { panic!("{call:?}") };
            ids.insert(request.key, call.id);
        }
    }
    let refusal = v1::CallError { code: Code::Unauthenticated.into(), ..Default::default() };
    old.reply(ids["k"], Response::Error(refusal));
    assert_eq!(text(soon(call).await.unwrap().unwrap()), "v");
    let other = ask(&client, "other");
    let (mut new, _) = next(&mut sessions, "s").await;
    new.answer(hit_reply("w")).await;
    assert_eq!(text(other.await.unwrap().unwrap()), "w");
    old.reply(ids["open"], hit_reply("x"));
    assert_eq!(text(open.await.unwrap().unwrap()), "x");
}

#[tokio::test]
async fn one_that_breaks_ends_its_calls_and_is_resumed_by_the_next() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut session, _) = next(&mut sessions, "secret").await;
    let first = session.call().await;
    drop(session);
    // The same call is asked once more.
    let (mut session, hello) = next(&mut sessions, "secret").await;
    assert_eq!(hello.resume_token, "secret");
    let again = session.call().await;
    let request_id = |call: &v1::SessionCall| match &call.request {
        Some(Request::GetOrLock(request)) => request.request_id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(request_id(&again), request_id(&first));
    drop(session);
    let error = call_error(soon(call).await.unwrap().unwrap_err());
    assert_eq!((error.code, error.retry_after), (Code::Unavailable, None));
}

#[tokio::test]
async fn an_answer_of_an_unknown_kind_ends_its_call() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut session, _) = next(&mut sessions, "r").await;
    let id = session.call().await.id;
    let unknown = v1::SessionReply { id, more: false, response: None };
    let events = vec![v1::SessionEvent { event: None }];
    session.send(v1::SessionResponse { replies: vec![unknown], events, welcome: None });
    assert_eq!(call_error(soon(call).await.unwrap().unwrap_err()).code, Code::Internal);
}

#[tokio::test]
async fn ends_with_its_client() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut session, _) = next(&mut sessions, "r").await;
    session.answer(hit_reply("v")).await;
    call.await.unwrap().unwrap();
    drop(client);
    assert!(soon(session.requests.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn where_there_is_none_calls_go_one_by_one() {
    let _frozen = Frozen::begin();
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let client = patient().target(fake.target()).build().unwrap();
    for _ in 0..2 {
        assert_eq!(text(ask(&client, "k").await.unwrap().unwrap()), "v");
    }
    assert_eq!(fake.asked().len(), 2);
    // For the next seconds no session is tried.
    let mut sessions = fake.sessions();
    assert_eq!(text(ask(&client, "k").await.unwrap().unwrap()), "v");
    assert!(sessions.try_recv().is_err());
}

#[tokio::test]
async fn where_it_is_not_welcomed_in_time_calls_go_one_by_one() {
    let _frozen = Frozen::begin();
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let mut sessions = fake.sessions();
    let client = Client::builder().target(fake.target()).connect_timeout(Duration::from_secs(10)).build().unwrap();
    let call = ask(&client, "k");
    let mut unwelcomed = soon(sessions.recv()).await.unwrap();
    let is_left = async { while unwelcomed.requests.message().await.is_ok_and(|message| message.is_some()) {} };
    // At most 50 ms of a pause of this process count.
    let time_passes = async {
        loop {
            advance(ms(50)).await;
            moment().await;
        }
    };
    tokio::select! { () = soon(is_left) => {}, () = time_passes => {} }
    assert_eq!(text(soon(call).await.unwrap().unwrap()), "v");
}

/// A rebuild of `k` that runs until its gate opens, under the lease `t` of this session.
async fn held(client: &Client, session: &mut Session) -> (Call, std::sync::Arc<tokio::sync::Notify>) {
    let (gate, began) = <(std::sync::Arc<tokio::sync::Notify>, std::sync::Arc<tokio::sync::Notify>)>::default();
    let (opens, begins) = (gate.clone(), began.clone());
    let rebuild = move || {
        let (opens, begins) = (opens.clone(), begins.clone());
        async move {
            begins.notify_one();
            opens.notified().await;
            value("v")
        }
    };
    let call = tokio::spawn(client.get_or_rebuild("k").ttl(TTL).with(rebuild));
    session.answer(lease_reply("t", 60_000, None)).await;
    soon(began.notified()).await;
    (call, gate)
}

async fn welcomed(sessions: &mut mpsc::UnboundedReceiver<Session>, client: &Client) -> Session {
    let warm = ask(client, "warm");
    let (mut session, _) = next(sessions, "r").await;
    session.answer(hit_reply("v")).await;
    warm.await.unwrap().unwrap();
    session
}

#[tokio::test]
async fn a_lease_that_is_lost_ends_the_wait_of_all_who_joined_its_rebuild() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let mut session = welcomed(&mut sessions, &client).await;
    let (holder, _hangs) = held(&client, &mut session).await;
    let late = ask(&client, "k");
    tokio::task::yield_now().await;
    session.event(Event::LeaseLost(v1::LeaseLost { token: "t".into(), ..Default::default() }));
    // Both ask again, as one call.
    session.answer(hit_reply("theirs")).await;
    for call in [holder, late] {
        assert_eq!(text(soon(call).await.unwrap().unwrap()), "theirs");
    }
}

#[tokio::test]
async fn one_that_breaks_closes_what_runs_to_newcomers() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let mut session = welcomed(&mut sessions, &client).await;
    let (holder, gate) = held(&client, &mut session).await;
    let other = ask(&client, "other");
    session.call().await;
    drop(session);
    let (mut session, _) = next(&mut sessions, "r").await;
    session.answer(hit_reply("v")).await;
    other.await.unwrap().unwrap();
    let late = ask(&client, "k");
    session.answer(hit_reply("theirs")).await;
    assert_eq!(text(soon(late).await.unwrap().unwrap()), "theirs");
    gate.notify_one();
    session.answer(published_reply(v1::PublishOutcome::Stored)).await;
    assert_eq!(text(soon(holder).await.unwrap().unwrap()), "v");
}

#[tokio::test]
async fn one_that_could_not_be_had_is_tried_again_behind() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let client = patient().target(fake.target()).build().unwrap();
    ask(&client, "k").await.unwrap().unwrap();
    let mut sessions = fake.sessions();
    let (mut session, _) = next(&mut sessions, "r").await;
    let late = Instant::now() + SOON;
    let answer = async {
        loop {
            let id = session.call().await.id;
            session.reply(id, hit_reply("by session"));
        }
    };
    let asked = async {
        while text(ask(&client, "k").await.unwrap().unwrap()) != "by session" {
            assert!(Instant::now() < late, "calls go one by one for ever");
        }
    };
    tokio::select! { () = answer => {}, () = asked => {} }
}
