#!/usr/bin/env bash
# What there is to do with the Go client: generate | build | test | adapter | example NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

generate() {
  ../../node_modules/.bin/buf generate ../../proto --template tools/buf.gen.yaml
}

build() {
  mkdir -p bin
  go build -o bin/ ./conformance ./examples/...
}

# If the race detector is not available, the tests run without it.
race() {
  if [[ "$(go env CGO_ENABLED)" == 1 ]] && command -v "$(go env CC)" >/dev/null; then echo -race; fi
}

test() {
  # shellcheck disable=SC2046
  exec node ../../.ci/go-tests.mjs . $(race)
}

case "${1:-}" in
  generate) generate ;;
  build) build ;;
  test) test ;;
  adapter) exec bin/conformance ;;
  example) exec "bin/${2:?the name of an example}" ;;
  *)
    echo "usage: $0 generate | build | test | adapter | example NAME" >&2
    exit 2
    ;;
esac
