//! Calls of the client, by the scenario and by its rebuilds.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use dibs::{Client, Error};
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    adapter::Adapter,
    command::{self, Asked},
    rebuild,
};

/// The options of a call, for one key and for many.
macro_rules! with_options {
    ($asking:expr, $asked:expr) => {{
        let (mut asking, asked) = ($asking, $asked);
        asking = asking.tags(asked.tags.clone()).stale_if_error(asked.stale_if_error);
        if let Some(namespace) = &asked.namespace {
            asking = asking.namespace(namespace);
        }
        if let Some(stale_ms) = asked.stale_ms {
            asking = asking.stale_ttl(stale_ms.0);
        }
        if let Some(absent_ttl_ms) = asked.absent_ttl_ms {
            asking = asking.absent_ttl(absent_ttl_ms.0);
        }
        if let Some(wait_ms) = asked.wait_ms {
            asking = asking.wait(wait_ms.0);
        }
        if let Some(lease_ms) = asked.lease_ms {
            asking = asking.lease_for(lease_ms.0);
        }
        if let Some(stale) = asked.stale {
            asking = asking.stale(stale.into());
        }
        if let Some(read) = asked.read {
            asking = asking.read(read.into());
        }
        if let Some(refresh) = asked.refresh {
            asking = asking.refresh(refresh);
        }
        if let Some(revalidate) = asked.revalidate {
            asking = asking.revalidate(revalidate.into());
        }
        if let Some(on_unavailable) = asked.on_unavailable {
            asking = asking.on_unavailable(on_unavailable.into());
        }
        if let Some(traceparent) = &asked.traceparent {
            asking = asking.traceparent(traceparent);
        }
        asking
    }};
}

pub(crate) use with_options;

/// One call. Its name appears in what its rebuilds report.
pub fn ask(
    adapter: Adapter,
    client: Client,
    name: String,
    asked: Asked,
) -> BoxFuture<'static, Result<Option<Bytes>, Error>> {
    async move {
        let asking = with_options!(client.get_or_rebuild(asked.key.clone()).ttl(asked.ttl_ms.0), &asked);
        let runs = AtomicUsize::new(0);
        let script = Arc::new(asked.rebuild);
        let next =
            move || (adapter.clone(), client.clone(), name.clone(), script.of_run(runs.fetch_add(1, Ordering::SeqCst)));
        match asked.codec {
            None => {
                asking
                    .with_lease(move |lease| {
                        let (adapter, client, name, what) = next();
                        rebuild::run(adapter, client, name, what, lease)
                    })
                    .await
            }
            Some(command::Codec::Json) => {
                let text = asking.json::<String>().with_lease(move |lease| {
                    let (adapter, client, name, what) = next();
                    async move {
                        let bytes = rebuild::run(adapter, client, name, what, lease).await?;
                        Ok(bytes.map(|bytes| String::from_utf8(bytes.to_vec())).transpose()?)
                    }
                });
                Ok(text.await?.map(Bytes::from))
            }
        }
    }
    .boxed()
}
