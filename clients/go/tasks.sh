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

# Where the race detector cannot be had, the tests run without it.
race() {
  if [[ "$(go env CGO_ENABLED)" == 1 ]] && command -v "$(go env CC)" >/dev/null; then echo -race; fi
}

# Counts what `go test -v` says of each test; one that has subtests is none itself. What failed beside them is one more.
count() {
  awk -v failed="$2" '
    /^ *--- (PASS|FAIL|SKIP): / { ended[$3] = $2; names[++n] = $3 }
    END {
      for (i = 1; i <= n; i++) { parent = names[i]; while (sub("/[^/]*$", "", parent)) parents[parent] = 1 }
      for (i = 1; i <= n; i++) if (!(names[i] in parents)) number[ended[names[i]]]++
      if (failed && !number["FAIL:"]) number["FAIL:"] = 1
      printf "%d passed, %d failed, %d skipped\n", number["PASS:"], number["FAIL:"], number["SKIP:"]
    }' "$1"
}

test() {
  local log status=0 unformatted
  unformatted="$(gofmt -l . 2>&1)" || status=1
  if [[ -n "$unformatted" ]]; then
    echo "gofmt would change: $unformatted" >&2
    status=1
  fi
  go vet ./... || status=1
  log="$(mktemp)"
  trap 'rm -f "$log"' RETURN
  # shellcheck disable=SC2046
  go test -v -count=1 $(race) ./... >"$log" 2>&1 || status=1
  if [[ $status -ne 0 ]]; then grep -vE '^ *(=== |--- (PASS|SKIP)|\?)' "$log" >&2; fi
  count "$log" "$status"
  return $status
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
