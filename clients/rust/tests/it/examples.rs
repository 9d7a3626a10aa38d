//! The examples run unchanged, and the start in the README is one of them.
use std::{env, fs, process::Command};

use crate::support::service::{SERVICE, Service};

/// Their times are short, and a busy machine may make any of them late. Then they say so, and have left a value.
fn says(name: &str, expected: &str) {
    let mut texts = vec![said(name, &SERVICE)];
    while texts.len() < 5 && !texts.iter().any(|text| text == expected) {
        texts.push(said(name, &Service::start(&[])));
    }
    assert!(texts.iter().any(|text| text == expected), "{texts:?}");
}

fn said(name: &str, service: &Service) -> String {
    let deps = env::current_exe().expect("a path");
    let example = deps.parent().and_then(|deps| deps.parent()).expect("target").join("examples").join(name);
    let output = Command::new(example).env("DIBS_TARGET", &service.target).output().expect("the example runs");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn start() {
    says("start", "Ada\n");
}

#[test]
fn rebuild_once() {
    says("rebuild-once", "Ada and Ada after 1 query\n");
}

#[test]
fn stale_while_revalidate() {
    says("stale-while-revalidate", "page 1, then page 1 at once, then page 2\n");
}

#[test]
fn invalidate_on_write() {
    says("invalidate-on-write", "10, then 12\n");
}

#[test]
fn the_start_in_the_readme() {
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = fs::read_to_string(format!("{root}/README.md")).unwrap();
    let block = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next());
    let start = fs::read_to_string(format!("{root}/examples/start.rs")).unwrap();
    assert_eq!(block, Some(start.as_str()));
    assert!(start.lines().count() <= 11);
}
