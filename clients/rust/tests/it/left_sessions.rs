//! What becomes of calls on a session that is left.
use bytes::Bytes;
use dibs::v1::{
    self, get_or_lock_many_response::Result as Answered, session_call::Request, session_event::Event,
    session_reply::Response,
};

use crate::{
    session::{ask, next, with_sessions},
    support::{
        TTL,
        answers::{hit_reply, lease_reply},
        fake::Session,
        soon, text,
    },
};

/// The stream that was left has already ended its side, which ends no lease.
#[tokio::test]
async fn a_lease_that_comes_late_is_given_back_over_the_next() {
    let (_fake, mut sessions, client) = with_sessions().await;
    let call = ask(&client, "k");
    let (mut old, _) = next(&mut sessions, "r").await;
    let id = old.call().await.id;
    old.event(Event::Draining(v1::Draining { closes_in_ms: 1_000 }));
    call.abort();
    assert_eq!(old.heard().await.cancelled_ids, [id]);
    assert!(soon(old.requests.message()).await.unwrap().is_none());
    old.reply(id, lease_reply("t", 60_000, None));
    let (mut new, _) = next(&mut sessions, "s").await;
    let Some(Request::Release(release)) = new.call().await.request else { panic!("no release") };
    assert_eq!((release.key.as_str(), release.token.as_str()), ("k", "t"));
}

/// Answers for one of many keys.
fn reply_of(session: &Session, id: i64, key: &str, reply: Response, more: bool) {
    let Response::GetOrLock(response) = reply else { panic!("a reply to GetOrLock") };
    let result = Some(Answered::Response(response));
    let response = Some(Response::GetOrLockMany(v1::GetOrLockManyResponse { key: key.into(), result }));
    let replies = vec![v1::SessionReply { id, more, response }];
    session.send(v1::SessionResponse { replies, ..Default::default() });
}

/// Otherwise an answered key could get a lease that no caller waits for.
#[tokio::test]
async fn a_call_for_many_keys_that_is_refused_halfway_is_repeated_for_the_others() {
    let (fake, mut sessions, client) = with_sessions().await;
    let many = client.get_or_rebuild_many(["a", "b"]).ttl(TTL);
    let call = tokio::spawn(many.with(|_| async { Ok([("b".to_owned(), Some(Bytes::from("mine")))]) }));
    let (mut old, _) = next(&mut sessions, "r").await;
    let id = old.call().await.id;
    reply_of(&old, id, "a", hit_reply("v"), true);
    let refusal = v1::CallError { code: 16, message: "the token is known no more".into(), retry_after_ms: None };
    old.reply(id, Response::Error(refusal));
    let (mut new, _) = next(&mut sessions, "s").await;
    let asked = new.call().await;
    let Some(Request::GetOrLockMany(request)) = asked.request else { panic!("{asked:?}") };
    assert_eq!(request.keys, ["b"]);
    reply_of(&new, asked.id, "b", hit_reply("w"), false);
    let values = call.await.unwrap().unwrap();
    assert_eq!((text(values["a"].clone()), text(values["b"].clone())), ("v".into(), "w".into()));
    assert!(fake.heard().is_empty(), "it goes over sessions");
}
