//! What the client is told when it is made.
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use dibs::{Client, Code, Error, OnUnavailable};

use crate::support::{TTL, answers::hit, call_error, fake::Fake, patient, service::Service, text, value};

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
    let shown = format!("{client:?} {:?}", client.stub());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn what_cannot_be_is_named() {
    let of = |builder: dibs::ClientBuilder| match builder.build() {
        Err(Error::Options(message)) => message,
        other => panic!("{other:?}"),
    };
    for target in ["nowhere", "http://a:1", "a:port", "a:70000", "a:0", "a b:1", ":1", "::1:1", "unix:", "[a]:1"] {
        assert!(of(Client::builder().target(target)).starts_with(&format!("target {target}: ")), "{target}");
    }
    assert!(
        of(Client::builder().target("localhost:1").token_file("/nowhere"))
            .starts_with("token_file (DIBS_TOKEN_FILE) /nowhere: ")
    );
    assert!(of(Client::builder().target("a:1").tls_cert("c")).starts_with("tls_cert: needs tls_key"));
    assert!(of(Client::builder().target("a:1").tls_key("k")).starts_with("tls_key: needs tls_cert"));
    assert!(of(Client::builder().target("a:1").tls_cert("c").tls_key("k")).starts_with("tls_cert: needs tls_ca"));
    assert!(of(Client::builder().target("[::1]:1").token("\n")).starts_with("token: "));
    for time in [Duration::ZERO, Duration::from_micros(999)] {
        let hold = of(Client::builder().target("a:1").lease_hold_max(time));
        assert_eq!(hold, format!("lease_hold_max: {time:?} is less than 1ms: every lease would be lost at once"));
        let connect = of(Client::builder().target("a:1").connect_timeout(time));
        assert_eq!(connect, format!("connect_timeout: {time:?} is less than 1ms: no connection would be made"));
    }
    let file = Temporary::new("half", "secret\nof two lines");
    let half = of(Client::builder().target("localhost:1").token_file(file.path()));
    assert!(half.contains("has no token") && !half.contains("secret"), "{half}");
    let key = Temporary::new("wrong.pem", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n");
    let made = rcgen::generate_simple_self_signed(["client".into()]).unwrap();
    let cert = Temporary::new("right.pem", &made.cert.pem());
    let with_key = |ca: &Temporary, cert: &Temporary, key: &Temporary| {
        of(Client::builder().target("a:1").tls_ca(ca.path()).tls_cert(cert.path()).tls_key(key.path()))
    };
    let unfit = with_key(&cert, &cert, &key);
    assert!(unfit.starts_with("tls_cert ") && unfit.contains(" with tls_key ") && !unfit.contains("secret"), "{unfit}");
    let none = with_key(&cert, &cert, &file);
    assert!(none.starts_with("tls_key ") && !none.contains("secret"), "{none}");
    assert!(with_key(&cert, &key, &key).starts_with("tls_cert "));
    assert!(with_key(&key, &cert, &key).starts_with("tls_ca "));
    assert!(of(Client::builder().target("a:1").tls_ca("/nowhere.pem")).starts_with("tls_ca /nowhere.pem: "));
}

#[test]
fn a_token_travels_in_clear_only_within_this_machine() {
    let with_token = |target: &str| Client::builder().target(target).token("secret");
    for target in ["example.org:1", "192.0.2.1:1", "[2001:db8::1]:1", "dns:///example.org:1"] {
        match with_token(target).build() {
            Err(Error::Options(message)) => {
                assert!(
                    message.starts_with("token: would be sent unencrypted") && !message.contains("secret"),
                    "{message}"
                );
            }
            other => panic!("{other:?}"),
        }
        with_token(target).allow_insecure_token(true).build().unwrap();
        Client::builder().target(target).token("").build().unwrap();
    }
    for target in ["localhost:1", "127.0.0.2:1", "[::1]:1", "unix:///tmp/dibs.sock"] {
        let client = with_token(target).build().unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_token_comes_from_a_file_that_is_read_again_or_from_a_function() {
    let fake = Fake::start().await;
    fake.will("get_or_lock", [hit("v")]);
    let file = Temporary::new("token", "first\n");
    let by_file = fake.client_with(Client::builder().token_file(file.path()));
    let counter = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counting = counter.clone();
    let next = move || format!("n{}", counting.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let by_function = fake.client_with(Client::builder().token_fn(next));
    let shown = async |client: &Client| {
        client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") }).await.unwrap();
        fake.heard().last().unwrap().metadata.get("authorization").unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(shown(&by_file).await, "Bearer first");
    assert_eq!((shown(&by_function).await, shown(&by_function).await), ("Bearer n0".into(), "Bearer n1".into()));
    // Of the same size and times.
    let before = fs::metadata(file.path()).unwrap().modified().unwrap();
    fs::write(file.path(), "other\n").unwrap();
    fs::File::options().write(true).open(file.path()).unwrap().set_modified(before).unwrap();
    let late = Instant::now() + Duration::from_secs(10);
    while shown(&by_file).await != "Bearer other" {
        assert!(Instant::now() < late, "it is not read again");
        tokio::time::sleep(crate::support::ms(50)).await;
    }
    for half_written in ["", "two\nlines"] {
        fs::write(file.path(), half_written).unwrap();
        tokio::time::sleep(crate::support::ms(600)).await;
        assert_eq!(shown(&by_file).await, "Bearer other");
    }
    fs::remove_file(file.path()).unwrap();
    tokio::time::sleep(crate::support::ms(600)).await;
    assert_eq!(shown(&by_file).await, "Bearer other");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let own = rcgen::generate_simple_self_signed(["client".into()]).unwrap();
    let trusted = Temporary::new("server.pem", &made.cert.pem());
    let (cert, key) =
        (Temporary::new("own.pem", &own.cert.pem()), Temporary::new("own.key", &own.signing_key.serialize_pem()));
    let fake = Fake::start_mutual_tls(&made.cert.pem(), &made.signing_key.serialize_pem(), &own.cert.pem()).await;
    fake.will("get_or_lock", [hit("v")]);
    let options = || Client::builder().tls_ca(trusted.path()).on_unavailable(OnUnavailable::Fail);
    let ask = |client: Client| client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") });
    let shown = ask(fake.client_with(options().tls_cert(cert.path()).tls_key(key.path()))).await;
    assert_eq!(text(shown.unwrap()), "v");
    assert!(ask(fake.client_with(options())).await.is_err());
}

/// The client first has the files of another authority, so that neither side takes the other.
#[tokio::test]
async fn the_files_of_tls_are_read_again() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let own = rcgen::generate_simple_self_signed(["client".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let ca = Temporary::new("rotated-ca.pem", &other.cert.pem());
    let cert = Temporary::new("rotated.pem", &other.cert.pem());
    let key = Temporary::new("rotated.key", &other.signing_key.serialize_pem());
    let fake = Fake::start_mutual_tls(&made.cert.pem(), &made.signing_key.serialize_pem(), &own.cert.pem()).await;
    fake.will("get_or_lock", [hit("v")]);
    let options = Client::builder().tls_ca(ca.path()).tls_cert(cert.path()).tls_key(key.path());
    let client = fake.client_with(options.on_unavailable(OnUnavailable::Fail));
    let ask = async || client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") }).await;
    let refused = async || {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            assert_eq!(call_error(ask().await.unwrap_err()).code, Code::Unavailable);
            tokio::time::sleep(crate::support::ms(100)).await;
        }
    };
    refused().await;
    fs::write(ca.path(), made.cert.pem()).unwrap();
    fs::write(cert.path(), own.cert.pem()).unwrap();
    // The certificate does not fit its key yet.
    refused().await;
    fs::write(key.path(), own.signing_key.serialize_pem()).unwrap();
    let late = Instant::now() + Duration::from_secs(30);
    while ask().await.is_err() {
        assert!(Instant::now() < late, "they are not read again");
        tokio::time::sleep(crate::support::ms(50)).await;
    }
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
            let options = patient().target(fake.target()).tls_ca(ca.path()).session(session);
            let client = options.on_unavailable(OnUnavailable::Fail).build().unwrap();
            client.get_or_rebuild("k").ttl(TTL).with(|| async { value("") })
        };
        assert_eq!(text(ask(&trusted).await.unwrap()), "v");
        let error = call_error(ask(&stranger).await.unwrap_err());
        assert!(error.code == Code::Unavailable && error.message.contains("certificate"), "{error}");
    }
}
