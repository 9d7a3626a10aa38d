#!/usr/bin/env bash
# tasks.sh generate | build | test | adapter | example NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-2}" CARGO_TERM_QUIET="${CARGO_TERM_QUIET:-true}"
export CARGO_TARGET_DIR="$PWD/target"

generate() {
  descriptors="$(mktemp)"
  trap 'rm -f "$descriptors"' EXIT
  ../../node_modules/.bin/buf build ../../proto --as-file-descriptor-set -o "$descriptors#format=binpb"
  mkdir -p src/generated tests/it/generated
  cargo run --locked -p generate -- "$descriptors"
}

build() {
  cargo build --locked --workspace --exclude generate --examples --bins --lib
}

# All packages, also where only one is tested: what they depend on is built once then.
run_tests() {
  CARGO_TERM_QUIET=false cargo test --locked --workspace --exclude generate --no-fail-fast --color never "$@"
}

check() {
  cargo fmt --all --check
  cargo clippy --locked --workspace --all-targets -- -D warnings
  cargo clippy --locked --workspace --all-targets --features dibs-client/opentelemetry -- -D warnings
  build
  local log status=0
  log="$(run_tests 2>&1)" || status=$?
  log+=$'\n'"$(run_tests --features dibs-client/opentelemetry --lib --test metrics --test tracing 2>&1)" || status=$?
  if [[ $status -ne 0 ]]; then printf '%s\n' "$log"; fi
  awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
    END { print passed + 0 " passed, " failed + 0 " failed, " skipped + 0 " skipped" }' <<<"$log"
  return "$status"
}

case "${1:-}" in
  generate) generate ;;
  build) build ;;
  test) check ;;
  adapter) exec target/debug/conformance ;;
  example) exec "target/debug/examples/${2:?the name of an example}" ;;
  *) echo "usage: tasks.sh generate | build | test | adapter | example NAME" >&2; exit 2 ;;
esac
