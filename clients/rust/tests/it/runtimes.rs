//! One client, several runtimes.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use dibs::{Client, OnUnavailable};
use tokio::runtime::Runtime;

use crate::support::{SOON, TTL, fresh_key, service::SERVICE, text, value};

/// A call without an answer ends after 32 s. On a busy machine any takes seconds.
const HELD_UP: Duration = Duration::from_secs(25);

fn ask(client: &Client) -> impl Future<Output = String> + use<> {
    let asking = client.get_or_rebuild(fresh_key()).ttl(TTL).on_unavailable(OnUnavailable::Fail);
    async move { text(asking.with(|| async { value("v") }).await.unwrap()) }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_client_is_made_outside_of_them_and_outlives_them() {
    for session in [true, false] {
        let client = SERVICE.client_with(Client::builder().session(session));
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(runtime().block_on(ask(&client)), "v");
            assert!(began.elapsed() < HELD_UP, "{:?}", began.elapsed());
        }
    }
}

#[test]
fn one_that_does_not_run_holds_up_no_other() {
    for session in [true, false] {
        let client = SERVICE.client_with(Client::builder().session(session));
        let stopped = runtime();
        assert_eq!(stopped.block_on(ask(&client)), "v");
        let began = Instant::now();
        assert_eq!(runtime().block_on(ask(&client)), "v");
        assert!(began.elapsed() < HELD_UP, "{:?}", began.elapsed());
        assert_eq!(stopped.block_on(ask(&client)), "v");
    }
}

#[test]
fn one_that_has_ended_holds_up_no_other() {
    for session in [true, false] {
        let client = SERVICE.client_with(Client::builder().session(session));
        let ended = runtime();
        let (handle, late) = (ended.handle().clone(), client.clone());
        drop(ended);
        let (tell, told) = mpsc::channel();
        // As a thread that outlives the runtime of its handle.
        thread::spawn(move || {
            let _inside = handle.enter();
            let _ = catch_unwind(AssertUnwindSafe(|| late.stub()));
            tell.send(()).unwrap();
        });
        told.recv_timeout(SOON).expect("the call on the ended runtime does not return");
        assert_eq!(runtime().block_on(ask(&client)), "v");
    }
}
