//! The cost of a call, by the client and by the bare stub.
use std::time::{Duration, Instant};

use dibs::{Client, Error, Stub, v1};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

/// Mean microseconds for each of `calls` hits of `key`, with as many in flight.
pub async fn client_us(client: &Client, key: &str, calls: u64, in_flight: u64) -> Result<f64, Error> {
    let hit = || client.get_or_rebuild(key).ttl(Duration::from_secs(600)).with(|| async { Ok(Some("v".into())) });
    hit().await?;
    let began = Instant::now();
    let hits = stream::iter(0..calls).map(|_| Ok(hit())).try_buffer_unordered(in_flight as usize);
    hits.try_for_each(|_| async { Ok(()) }).await?;
    Ok(mean_us(began, calls))
}

/// The same by unary calls of the stub.
pub async fn unary_us(stub: &Stub, key: &str, calls: u64, in_flight: u64) -> Result<f64, tonic::Status> {
    let began = Instant::now();
    let hits = stream::iter(0..calls).map(|_| {
        let mut stub = stub.clone();
        let request = v1::GetOrLockRequest { key: key.to_owned(), ..Default::default() };
        Ok(async move { stub.get_or_lock(request).await })
    });
    hits.try_buffer_unordered(in_flight as usize).try_for_each(|_| async { Ok(()) }).await?;
    Ok(mean_us(began, calls))
}

/// The same on a session, one call a message.
pub async fn session_us(stub: &Stub, key: &str, calls: u64, in_flight: u64) -> Result<f64, tonic::Status> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let outgoing = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    let hello = Some(v1::SessionHello::default());
    let send = |message| sender.send(message).map_err(|_| tonic::Status::cancelled("the session ended"));
    send(v1::SessionRequest { hello, ..Default::default() })?;
    let mut incoming = stub.clone().session(outgoing).await?.into_inner();
    let ended = || tonic::Status::cancelled("the session ended");
    incoming.message().await?.ok_or_else(ended)?;
    let request = v1::GetOrLockRequest { key: key.to_owned(), ..Default::default() };
    let ask = |id: u64| {
        let request = Some(v1::session_call::Request::GetOrLock(request.clone()));
        let call = v1::SessionCall { id: id as i64, request, ..Default::default() };
        send(v1::SessionRequest { calls: vec![call], ..Default::default() })
    };
    let began = Instant::now();
    let mut asked = in_flight.min(calls);
    (1..=asked).try_for_each(ask)?;
    let mut answered = 0;
    while answered < calls {
        for _ in incoming.message().await?.ok_or_else(ended)?.replies {
            answered += 1;
            if asked < calls {
                asked += 1;
                ask(asked)?;
            }
        }
    }
    Ok(mean_us(began, calls))
}

fn mean_us(began: Instant, calls: u64) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / calls as f64
}
