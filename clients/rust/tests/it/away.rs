//! What was rebuilt without the service, while sessions with it stand or begin.
use std::sync::Arc;

use bytes::Bytes;
use dibs::{
    Client, Code, Error,
    v1::{self, session_event::Event, session_reply::Response},
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::support::{
    Frozen, TTL,
    fake::{Fake, Session},
    soon, text, value,
};

/// A client whose sessions stand, and whose calls fail as if the service could not be reached. Its time stands still:
/// what is rebuilt is kept for 5 s only.
struct Away {
    _frozen: Frozen,
    _fake: Fake,
    sessions: mpsc::UnboundedReceiver<Session>,
    session: Session,
    client: Client,
}

async fn welcomed(sessions: &mut mpsc::UnboundedReceiver<Session>) -> Session {
    let mut session = soon(sessions.recv()).await.unwrap();
    session.heard().await.hello.expect("a hello");
    session.welcome("r");
    session
}

impl Away {
    async fn begin() -> Self {
        let frozen = Frozen::begin();
        let fake = Fake::start().await;
        let mut sessions = fake.sessions();
        let client = Client::builder().target(fake.target()).near_cache(1 << 20).build().unwrap();
        let ready = tokio::spawn({
            let client = client.clone();
            async move { client.ready(TTL).await }
        });
        let session = welcomed(&mut sessions).await;
        assert!(soon(ready).await.unwrap());
        Self { _frozen: frozen, _fake: fake, sessions, session, client }
    }

    fn ask(&self, key: &str, rebuilt: &'static str) -> JoinHandle<Result<Option<Bytes>, Error>> {
        tokio::spawn(self.client.get_or_rebuild(key).ttl(TTL).with(move || async move { value(rebuilt) }))
    }

    /// A call is made again once before the service counts as out of reach.
    async fn fail(&mut self, times: usize) {
        for _ in 0..times {
            let away = v1::CallError { code: Code::Unavailable.into(), message: "away".into(), ..Default::default() };
            self.session.answer(Response::Error(away)).await;
        }
    }

    /// What a caller reads that would rebuild this.
    async fn read(&mut self, rebuilt: &'static str) -> String {
        let call = self.ask("k", rebuilt);
        self.fail(2).await;
        text(soon(call).await.unwrap().unwrap())
    }

    /// Ends when the client has heard of it: what is said later is heard later.
    async fn told(&mut self, changed: v1::Invalidated) {
        let call = self.ask("of no test", "-");
        self.session.event(Event::Invalidated(changed));
        self.fail(2).await;
        soon(call).await.unwrap().unwrap();
    }

    /// One session breaks, and the next one begins.
    async fn welcomed_again(&mut self) {
        let call = self.ask("of no test", "-");
        self.session.call().await;
        self.session.fail();
        self.session = welcomed(&mut self.sessions).await;
        self.fail(1).await;
        soon(call).await.unwrap().unwrap();
    }
}

fn changes(namespace: &str, keys: &[&str], tags: &[&str], all: bool) -> v1::Invalidated {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    v1::Invalidated { namespace: namespace.into(), keys: owned(keys), tags: owned(tags), all }
}

#[tokio::test]
async fn it_is_dropped_by_what_a_session_tells_of() {
    for (change, drops) in [
        (changes("default", &["other", "k"], &[], false), true),
        (changes("", &["k"], &[], false), true),
        (changes("default", &["other"], &[], false), false),
        (changes("default", &[], &["t"], false), true),
        (changes("default", &[], &[], true), true),
        (changes("other", &["k"], &[], true), false),
    ] {
        let mut away = Away::begin().await;
        assert_eq!((away.read("1").await, away.read("2").await), ("1".into(), "1".into()));
        let said = format!("{change:?}");
        away.told(change).await;
        assert_eq!(away.read("3").await, if drops { "3" } else { "1" }, "{said}");
    }
}

#[tokio::test]
async fn it_is_dropped_when_a_session_begins() {
    let mut away = Away::begin().await;
    assert_eq!((away.read("1").await, away.read("2").await), ("1".into(), "1".into()));
    away.welcomed_again().await;
    assert_eq!((away.read("3").await, away.read("4").await), ("3".into(), "3".into()));
}

#[tokio::test]
async fn while_it_is_rebuilt_neither_is_it_joined_nor_kept() {
    for begins in [true, false] {
        let mut away = Away::begin().await;
        let (gate, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (opens, begun) = (gate.clone(), began.clone());
        let old = tokio::spawn(away.client.get_or_rebuild("k").ttl(TTL).with(move || {
            let (opens, begun) = (opens.clone(), begun.clone());
            async move {
                begun.notify_one();
                opens.notified().await;
                value("old")
            }
        }));
        away.fail(2).await;
        soon(began.notified()).await;
        if begins {
            away.welcomed_again().await;
        } else {
            away.told(changes("default", &["k"], &[], false)).await;
        }
        assert_eq!(away.read("new").await, "new");
        gate.notify_one();
        assert_eq!(text(soon(old).await.unwrap().unwrap()), "old");
        assert_eq!(away.read("newer").await, "new");
    }
}
