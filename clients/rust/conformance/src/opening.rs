//! A client with the scenario's options.
use std::fs;

use dibs::{Client, ClientBuilder};

use crate::{
    command::{Open, ms},
    output::Output,
    told::hook,
};

const NEAR_BYTES: u64 = 1 << 20;

pub fn opening(open: Open, output: Output) -> ClientBuilder {
    let mut builder = Client::builder()
        .target(open.target)
        .session(open.session.unwrap_or(true))
        .namespace(open.namespace.unwrap_or_default())
        .allow_insecure_token(open.allow_insecure_token)
        .key_affinity(open.key_affinity)
        .serve_near_when_unavailable(open.serve_near_when_unavailable)
        .hook(move |event| output.line(&hook(event)));
    if open.near_cache {
        builder = builder.near_cache(NEAR_BYTES);
    }
    if let Some(holder) = open.holder {
        builder = builder.holder(holder);
    }
    if let Some(token) = open.token {
        builder = builder.token(token);
    }
    if let Some(path) = open.token_file {
        builder = builder.token_file(path);
    }
    if let Some(path) = open.token_function {
        builder = builder.token_fn(move || fs::read_to_string(&path).unwrap_or_default());
    }
    if let Some(path) = open.tls_ca {
        builder = builder.tls_ca(path);
    }
    if let Some(path) = open.tls_cert {
        builder = builder.tls_cert(path);
    }
    if let Some(path) = open.tls_key {
        builder = builder.tls_key(path);
    }
    if let Some(on_unavailable) = open.on_unavailable {
        builder = builder.on_unavailable(on_unavailable.into());
    }
    if let Some(connect_ms) = open.connect_ms {
        builder = builder.connect_timeout(ms(connect_ms));
    }
    if let Some(lease_hold_max_ms) = open.lease_hold_max_ms {
        builder = builder.lease_hold_max(lease_hold_max_ms.0);
    }
    builder
}
