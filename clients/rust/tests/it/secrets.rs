//! A secret that is set where a path or an address belongs is repeated by no error.
use std::{error::Error as StdError, fs, process::Command};

use dibs::{Client, ClientBuilder, Error};

const PASSWORD: &str = "pa55word-of-mine";
const TOKENS: [&str; 7] = [
    "my-secret-token",
    "dibs.my-secret-token",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWJzIn0.c2lnbmF0dXJlLW9mLW1pbmU",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "q1W2e3R4t5Y6u7I8/o9P0aSdFgHjKlZxCvBnMqWeRtY=",
    "/q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZx",
    "/q1W2e3R4+t5Y6u7I8o9P0aSdFgHj=",
];
/// A file that is there.
const HERE: &str = "Cargo.toml";

type Set = fn(ClientBuilder, &str) -> ClientBuilder;

/// Each option that takes a path, with what else it needs.
const OPTIONS: [(&str, &str, Set); 4] = [
    ("tls_ca", "DIBS_TLS_CA", |to, path| to.tls_ca(path)),
    ("tls_cert", "DIBS_TLS_CERT", |to, path| to.tls_ca(HERE).tls_cert(path).tls_key(HERE)),
    ("tls_key", "DIBS_TLS_KEY", |to, path| to.tls_ca(HERE).tls_cert(HERE).tls_key(path)),
    ("token_file", "DIBS_TOKEN_FILE", |to, path| to.token_file(path)),
];

/// Private keys in each form that a variable may have.
fn keys() -> Vec<String> {
    let mut all = Vec::new();
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256] {
        let pem = rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
        all.extend([pem.replace('\n', " "), pem.replace('\n', "\\n"), pem.replace(['\n', '\r'], ""), pem]);
        all.extend([format!(" {der}"), der.replace('+', "-").replace('/', "_").replace('=', ""), der]);
    }
    // The PEM itself in base64.
    all.push("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3QlFZREsyVndCQ0lFSURXejA5SW1zcmpONEhQeXo=".to_owned());
    all
}

/// What a logger may print of the error: its text and its causes.
fn printed(builder: &ClientBuilder) -> String {
    let error = builder.clone().build().expect_err("it must be refused");
    let mut text = String::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(one) = next {
        text += &format!("{one} {one:?} {one:#?}\n");
        next = one.source();
    }
    text
}

fn is_silent_about(secret: &str, printed: &str) -> bool {
    // An error may escape or cut what it repeats.
    secret.as_bytes().windows(12).all(|piece| !printed.contains(std::str::from_utf8(piece).unwrap()))
}

#[test]
fn a_secret_in_place_of_its_path_is_not_repeated() {
    for (option, variable, set) in OPTIONS {
        let tokens = if option == "token_file" { &TOKENS[..] } else { &[] };
        for secret in keys().iter().map(String::as_str).chain(tokens.iter().copied()) {
            let printed = printed(&set(Client::builder().target("localhost:1"), secret));
            let place = format!("{option} ({variable}): cannot be read, and ");
            assert!(printed.contains(&place) && printed.contains("set the path of the file"), "{printed}");
            assert!(is_silent_about(secret, &printed), "{printed}");
        }
    }
}

/// The variables of a process of its own, because a test must not change those of the others.
#[test]
fn a_secret_of_the_environment_is_not_repeated() {
    if std::env::var_os("DIBS_SECRETS_HERE").is_some() {
        println!("{}", printed(&Client::builder().target("localhost:1")));
        return;
    }
    for (_, variable, _) in OPTIONS {
        for secret in keys() {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "secrets::a_secret_of_the_environment_is_not_repeated", "--nocapture"]);
            child.env("DIBS_SECRETS_HERE", "1").env_remove("DIBS_TOKEN");
            if variable.starts_with("DIBS_TLS") {
                child.envs(OPTIONS[..3].iter().map(|(_, name, _)| (name, HERE)));
            }
            let output = child.env(variable, &secret).output().unwrap();
            let said = format!("{output:?}");
            assert!(output.status.success() && said.contains("set the path of the file"), "{said}");
            assert!(is_silent_about(&secret, &String::from_utf8_lossy(&output.stdout)), "{said}");
        }
    }
}

#[test]
fn a_path_is_repeated() {
    for (option, variable, set) in OPTIONS {
        let deep = "/nowhere/kubernetes.io/serviceaccount/9f86d081-884c-4d65-9a2f-eaa0c55ad015";
        let paths = match option {
            "token_file" => {
                &["/nowhere/dibs/token", "./no-such", "../no/token", "~/token", "C:\\dibs\\token", deep][..]
            }
            _ => &["/nowhere/tls.pem", "no-such.pem", "MyKeys/of this service/tls.pem"],
        };
        for path in paths {
            let said = set(Client::builder().target("localhost:1"), path).build().unwrap_err().to_string();
            let named = [format!("{option} {path}: "), format!("{option} ({variable}) {path}: ")];
            assert!(named.iter().any(|start| said.starts_with(start)), "{said}");
        }
    }
}

/// The parser's error may repeat a line.
#[test]
fn a_key_in_the_file_of_a_certificate_is_not_repeated() {
    let pem = keys().remove(3);
    let joined = pem.replacen('\n', " ", 1);
    let path = std::env::temp_dir().join(format!("dibs-rust-joined-{}.pem", std::process::id()));
    for text in [joined, pem.replace("CAQ", "C?Q"), pem.replace("-----END", "----END")] {
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        match Client::builder().target("localhost:1").tls_ca(path).build() {
            Err(Error::Options(said)) => {
                assert_eq!(said, format!("tls_ca {path}: it has no certificate in PEM that can be read"))
            }
            other => panic!("{other:?}"),
        }
    }
    let _ = fs::remove_file(path);
}

#[test]
fn a_password_in_the_target_is_not_repeated() {
    let user = format!("user:{PASSWORD}");
    for target in [
        format!("{user}@host:1"),
        format!("{PASSWORD}@host:1"),
        format!("https://{user}@host:1"),
        format!("a:1,{user}@b:2"),
        format!("dns:///{user}@host:1"),
        format!("{user}/with@slash@host:1"),
        format!("user@host:{PASSWORD}"),
    ] {
        let printed = printed(&Client::builder().target(target));
        assert!(printed.contains("target: has a user or a password"), "{printed}");
        assert!(is_silent_about(PASSWORD, &printed), "{printed}");
    }
    Client::builder().target("unix:///run/dibs@1.sock").build().unwrap();
}
