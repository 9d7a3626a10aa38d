//! What the client is told when it is made.
use std::{fs, path::PathBuf};

use dibs::{Client, Code, Error, OnUnavailable};

use crate::support::{
    TTL, call_error,
    fake::{Fake, hit},
    service::Service,
    text, value,
};

#[tokio::test]
async fn the_token_goes_along_also_with_the_raw_stub() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let client = fake.client_with(Client::builder().token("secret"));
    client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") }).await.unwrap();
    client.stub().unwrap().get_or_lock(dibs::v1::GetOrLockRequest::default()).await.unwrap();
    for heard in fake.heard() {
        assert_eq!(heard.metadata.get("authorization").unwrap(), "Bearer secret");
    }
}

#[test]
fn what_cannot_be_is_named() {
    let of = |builder: dibs::ClientBuilder| match builder.build() {
        Err(Error::Options(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(of(Client::builder().target("nowhere")).starts_with("target nowhere: "));
    assert!(of(Client::builder().target("a:1").token("\n")).starts_with("token: "));
    assert!(of(Client::builder().target("a:1").tls_ca("/nowhere.pem")).starts_with("tls_ca /nowhere.pem: "));
}

#[tokio::test]
async fn a_unix_socket_is_a_target() {
    let path = std::env::temp_dir().join(format!("dibs-rust-{}.sock", std::process::id()));
    let listen = format!("unix://{}", path.display());
    let service = Service::start_at(&listen, &[]);
    for session in [true, false] {
        let client = Client::builder().target(&listen).session(session).build().unwrap();
        let got = client.get_or_rebuild("k").ttl(TTL).with(|| async { value("v") }).await;
        assert_eq!(text(got.unwrap()), "v");
    }
    drop(service);
    let _ = fs::remove_file(path);
}

/// A file that goes with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dibs-rust-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn tls_trusts_the_authority_that_it_is_told_and_no_other() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let (trusted, stranger) =
        (Temporary::new("trusted.pem", &made.cert.pem()), Temporary::new("stranger.pem", &other.cert.pem()));
    let fake = Fake::start_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).await;
    fake.will("get_or_lock", [hit("v")]);
    for session in [true, false] {
        let ask = |ca: &Temporary| {
            let options = Client::builder().target(fake.target()).tls_ca(ca.path()).session(session);
            let client = options.on_unavailable(OnUnavailable::Fail).build().unwrap();
            client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") })
        };
        assert_eq!(text(ask(&trusted).await.unwrap()), "v");
        let error = call_error(ask(&stranger).await.unwrap_err());
        assert!(error.code == Code::Unavailable && error.message.contains("certificate"), "{error}");
    }
}
