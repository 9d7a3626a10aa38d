//! A target with several addresses: one session for each, and what becomes of them.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dibs::{
    Client, ClientBuilder, OnUnavailable,
    v1::{self, session_call, session_reply::Response as Reply},
};
use tokio::sync::mpsc;

use crate::support::{
    SOON, TTL,
    answers::{hit, hit_reply, invalidated},
    fake::{Fake, Session},
    ms, patient, soon, text, until, value,
};

const KEYS: usize = 40;

type Responses = mpsc::UnboundedSender<Result<v1::SessionResponse, tonic::Status>>;

/// A service whose sessions answer each question with its name.
struct Replica {
    fake: Fake,
    opened: Arc<AtomicUsize>,
    /// Sessions that their client has ended.
    ended: Arc<AtomicUsize>,
    /// Where the sessions answer from; the test may end or tell them.
    open: Arc<Mutex<Vec<Responses>>>,
}

impl Replica {
    async fn start(name: &'static str) -> Self {
        Self::of(Fake::start().await, name)
    }

    fn of(fake: Fake, name: &'static str) -> Self {
        fake.will("get_or_lock", [hit(name)]);
        let replica = Self { fake, opened: Arc::default(), ended: Arc::default(), open: Arc::default() };
        replica.takes_sessions(name);
        replica
    }

    fn takes_sessions(&self, name: &'static str) {
        let (mut sessions, opened, open) = (self.fake.sessions(), self.opened.clone(), self.open.clone());
        let ended = self.ended.clone();
        tokio::spawn(async move {
            while let Some(session) = sessions.recv().await {
                opened.fetch_add(1, Ordering::SeqCst);
                open.lock().unwrap().push(session.responses.clone());
                let ended = ended.clone();
                tokio::spawn(async move {
                    answer(session, name).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
    }

    /// Ends all sessions, and takes no more of them.
    fn breaks(&self) {
        drop(self.fake.sessions());
        for session in self.open.lock().unwrap().drain(..) {
            let _ = session.send(Err(tonic::Status::unavailable("gone")));
        }
    }

    /// Asks its clients to leave, and takes no more sessions.
    fn drains(&self) {
        drop(self.fake.sessions());
        let event = Some(v1::session_event::Event::Draining(v1::Draining { closes_in_ms: 60_000 }));
        for session in self.open.lock().unwrap().iter() {
            let events = vec![v1::SessionEvent { event: event.clone() }];
            let _ = session.send(Ok(v1::SessionResponse { events, ..Default::default() }));
        }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

async fn answer(mut session: Session, name: &'static str) {
    session.welcome("r");
    while let Ok(Some(message)) = session.requests.message().await {
        for call in message.calls {
            let replies = match call.request {
                Some(session_call::Request::GetOrLockMany(request)) => hits(call.id, &request.keys, name),
                _ => vec![v1::SessionReply { id: call.id, more: false, response: Some(hit_reply(name)) }],
            };
            let _ = session.responses.send(Ok(v1::SessionResponse { replies, ..Default::default() }));
        }
    }
}

fn hits(id: i64, keys: &[String], name: &'static str) -> Vec<v1::SessionReply> {
    let Reply::GetOrLock(hit) = hit_reply(name) else { panic!("a reply to GetOrLock") };
    let reply = |(at, key): (usize, &String)| {
        let result = Some(v1::get_or_lock_many_response::Result::Response(hit.clone()));
        let response = Reply::GetOrLockMany(v1::GetOrLockManyResponse { key: key.clone(), result });
        v1::SessionReply { id, more: at + 1 < keys.len(), response: Some(response) }
    };
    keys.iter().enumerate().map(reply).collect()
}

fn client(targets: &[&str]) -> Client {
    options(targets).build().unwrap()
}

fn options(targets: &[&str]) -> ClientBuilder {
    patient().target(targets.join(",")).on_unavailable(OnUnavailable::Fail)
}

/// Who answers, by key.
async fn answers(client: &Client) -> BTreeMap<usize, String> {
    let mut by_key = BTreeMap::new();
    for at in 0..KEYS {
        let call = client.get_or_rebuild(format!("key {at}")).ttl(TTL).with(|| async { value("mine") });
        by_key.insert(at, text(soon(call).await.unwrap()));
    }
    by_key
}

/// Who answers, by key, where one call asks for all of them.
async fn answers_to_many(client: &Client) -> BTreeMap<usize, String> {
    let keys = (0..KEYS).map(|at| format!("key {at}"));
    let call = client.get_or_rebuild_many(keys).ttl(TTL).with(|_| async { Ok(BTreeMap::new()) });
    let mut by_key = soon(call).await.unwrap();
    (0..KEYS).map(|at| (at, text(by_key.remove(&format!("key {at}")).unwrap()))).collect()
}

/// Until each of them answers its share, no other does, and keys stay where they are.
async fn until_answer(client: &Client, names: &[&str]) -> BTreeMap<usize, String> {
    let late = Instant::now() + SOON;
    let mut before = BTreeMap::new();
    loop {
        let by_key = answers(client).await;
        let share = |name: &&str| by_key.values().filter(|who| who == name).count() * names.len() * 5 >= KEYS;
        let who: BTreeSet<_> = by_key.values().map(String::as_str).collect();
        if who == names.iter().copied().collect() && names.iter().all(share) && by_key == before {
            return by_key;
        }
        assert!(Instant::now() < late, "{by_key:?}");
        before = by_key;
        tokio::time::sleep(ms(50)).await;
    }
}

#[tokio::test]
async fn the_calls_of_a_process_are_shared_by_a_list() {
    let (one, two, three) = (Replica::start("one").await, Replica::start("two").await, Replica::start("three").await);
    let client = client(&[&one.fake.target(), &two.fake.target(), &three.fake.target()]);
    until_answer(&client, &["one", "two", "three"]).await;
    assert_eq!([one.opened(), two.opened(), three.opened()], [1, 1, 1]);
}

#[tokio::test]
async fn with_key_affinity_a_key_has_the_same_replica_in_every_process() {
    let (one, two) = (Replica::start("one").await, Replica::start("two").await);
    let shares = async |key_affinity| {
        let client = options(&[&one.fake.target(), &two.fake.target()]).key_affinity(key_affinity).build().unwrap();
        until_answer(&client, &["one", "two"]).await
    };
    assert_eq!(shares(true).await, shares(true).await);
    assert_ne!(shares(false).await, shares(false).await);
}

#[tokio::test]
async fn each_of_many_keys_goes_where_it_would_go_alone() {
    let (one, two, three) = (Replica::start("one").await, Replica::start("two").await, Replica::start("three").await);
    let client = client(&[&one.fake.target(), &two.fake.target(), &three.fake.target()]);
    let alone = until_answer(&client, &["one", "two", "three"]).await;
    assert_eq!(answers_to_many(&client).await, alone);
    two.breaks();
    until_answer(&client, &["one", "three"]).await;
    let after = answers_to_many(&client).await;
    for (key, who) in &alone {
        assert!(
            if who == "two" { after[key] != "two" } else { after[key] == *who },
            "only keys of the broken one move"
        );
    }
}

#[tokio::test]
async fn the_first_call_of_a_process_sends_each_of_many_keys_to_its_own_replica() {
    let (one, two) = (Replica::start("one").await, Replica::start("two").await);
    let client = client(&[&one.fake.target(), &two.fake.target()]);
    let together = answers_to_many(&client).await;
    assert_eq!(together.values().collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(until_answer(&client, &["one", "two"]).await, together);
}

#[tokio::test]
async fn one_that_breaks_is_left_and_found_again() {
    let (one, two, three) = (Replica::start("one").await, Replica::start("two").await, Replica::start("three").await);
    let client = client(&[&one.fake.target(), &two.fake.target(), &three.fake.target()]);
    let before = until_answer(&client, &["one", "two", "three"]).await;
    two.breaks();
    let after = until_answer(&client, &["one", "three"]).await;
    for (key, who) in &before {
        assert!(who == "two" || after[key] == *who, "only the keys of the one that has gone move");
    }
    two.takes_sessions("two");
    assert_eq!(until_answer(&client, &["one", "two", "three"]).await, before);
}

#[tokio::test]
async fn one_that_drains_is_left() {
    let (one, two) = (Replica::start("one").await, Replica::start("two").await);
    let client = client(&[&one.fake.target(), &two.fake.target()]);
    until_answer(&client, &["one", "two"]).await;
    two.drains();
    until_answer(&client, &["one"]).await;
}

#[tokio::test]
async fn where_one_is_down_the_others_have_all_calls_from_the_first_on() {
    let one = Replica::start("one").await;
    let client = client(&["127.0.0.1:1", "127.0.0.1:2", &one.fake.target()]);
    let who: BTreeSet<_> = answers(&client).await.into_values().collect();
    assert_eq!(who, BTreeSet::from(["one".to_owned()]));
    assert!(one.fake.heard().is_empty(), "over its session");
}

#[tokio::test]
async fn one_that_takes_connections_and_says_nothing_holds_up_only_the_first_call() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = Replica::start("one").await;
    let silent_target = silent.local_addr().unwrap().to_string();
    let client =
        options(&[&silent_target, &one.fake.target()]).connect_timeout(Duration::from_secs(2)).build().unwrap();
    assert!(soon(client.ready(SOON)).await);
    answers(&client).await;
    let began = Instant::now();
    for _ in 0..10 {
        answers(&client).await;
    }
    // Half of the 400 keys would wait 2 s each.
    assert!(began.elapsed() < Duration::from_secs(60), "it is tried behind the calls");
}

#[tokio::test]
async fn without_sessions_calls_go_one_by_one_to_one_that_answers() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    for session in [true, false] {
        let client = options(&["127.0.0.1:1", &fake.target()]).session(session).build().unwrap();
        let who: BTreeSet<_> = answers(&client).await.into_values().collect();
        assert_eq!(who, BTreeSet::from(["v".to_owned()]));
    }
}

#[tokio::test]
async fn each_shows_the_certificate_of_its_own_name() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["example.org".into()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let path = std::env::temp_dir().join(format!("dibs-addresses-{}.pem", std::process::id()));
    std::fs::write(&path, format!("{pem}{}", other.cert.pem())).unwrap();
    let one = Replica::of(Fake::start_tls(&pem, &key).await, "one");
    let of_another = Fake::start_tls(&other.cert.pem(), &other.signing_key.serialize_pem()).await;
    let impostor = Replica::of(of_another, "impostor");
    let targets = [one.fake.target(), impostor.fake.target()];
    let client = options(&[&targets[0], &targets[1]]).tls_ca(path.to_str().unwrap()).build().unwrap();
    let who: BTreeSet<_> = answers(&client).await.into_values().collect();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(who, BTreeSet::from(["one".to_owned()]));
}

#[tokio::test]
async fn ends_with_its_client() {
    let (one, two) = (Replica::start("one").await, Replica::start("two").await);
    let client = client(&[&one.fake.target(), &two.fake.target()]);
    until_answer(&client, &["one", "two"]).await;
    drop(client);
    for replica in [one, two] {
        until(|| replica.ended.load(Ordering::SeqCst) == 1).await;
    }
}

/// A connection may close before a call has left on it. Such a call is for the next replica.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_when_a_replica_drains() {
    for _ in 0..10 {
        let replicas = [Fake::start().await, Fake::start().await];
        for replica in &replicas {
            replica.will("invalidate", [invalidated(1)]);
        }
        let target = format!("{},{}", replicas[0].target(), replicas[1].target());
        let client = patient().target(target).session(false).build().unwrap();
        client.invalidate().keys(["k"]).now().await.unwrap();
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        client.invalidate().keys(["k"]).now().await.unwrap();
                    }
                })
            })
            .collect();
        let connected = replicas.iter().find(|replica| !replica.heard().is_empty()).unwrap();
        tokio::time::sleep(ms(5)).await;
        connected.drain();
        for call in calls {
            call.await.unwrap();
        }
    }
}
