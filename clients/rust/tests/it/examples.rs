//! The examples run unchanged, and the start in the README is one of them.
use std::{env, fs, process::Command};

use crate::support::service::SERVICE;

fn says(name: &str, expected: &str) {
    let deps = env::current_exe().expect("a path");
    let example = deps.parent().and_then(|deps| deps.parent()).expect("target").join("examples").join(name);
    let output = Command::new(example).env("DIBS_TARGET", &SERVICE.target).output().expect("the example runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
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
