#!/usr/bin/env bash
# What there is to do with the Java client: generate, build, test, adapter, example NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
SELF=./tasks.sh

CLASSES=target/test-classes:target/classes
# What a build is made of; where its sum is the same, there is nothing to build.
SOURCES=(pom.xml src conformance examples)
STAMP=target/built

# As the artifacts of protoc are called: the system and the processor.
machine() {
  local system processor
  case "$(uname -s)" in
    Darwin) system=osx ;;
    Linux) system=linux ;;
    *) echo "no protoc for $(uname -s)" >&2 && exit 1 ;;
  esac
  case "$(uname -m)" in
    arm64 | aarch64) processor=aarch_64 ;;
    *) processor=x86_64 ;;
  esac
  echo "$system-$processor"
}

# Prints nothing unless it fails. Maven itself sends colour codes with any option.
maven() {
  local log status=0
  log=$(mvn --quiet --batch-mode "$@" 2>&1) || status=$?
  if [[ $status -ne 0 ]]; then sed $'s/\e\\[[0-9;]*m//g' <<<"$log" >&2; fi
  return "$status"
}

generate() {
  maven -Pcompilers -Dmachine="$(machine)" initialize
  local compilers=target/compilers
  chmod +x "$compilers"/*.exe
  rm -rf src/generated/java
  mkdir -p src/generated/java
  "$compilers/protoc-$(machine).exe" \
    --plugin="protoc-gen-grpc-java=$compilers/protoc-gen-grpc-java-$(machine).exe" \
    --proto_path=../../proto --java_out=src/generated/java --grpc-java_out=@generated=omit:src/generated/java \
    dibs/v1/coordinator.proto
}

sum() {
  find "${SOURCES[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum
}

is_built() {
  [[ -f $STAMP && "$(sum)" == "$(cat "$STAMP")" ]]
}

# One at a time: several adapters may be started at once, and each takes care that it is built.
build() {
  if is_built; then return; fi
  mkdir -p target
  (
    until ln -s "$$" target/lock 2>/dev/null; do
      # Of one that was killed.
      kill -0 "$(readlink target/lock)" 2>/dev/null || rm -f target/lock
      sleep 0.1
    done
    trap 'rm -f target/lock' EXIT
    if is_built; then exit; fi
    rm -rf target/classes target/test-classes target/maven-status "$STAMP"
    maven test-compile dependency:build-classpath
    sum >"$STAMP"
  )
}

run() {
  [[ -f $STAMP ]] || build
  exec java -XX:+UseSerialGC -cp "$CLASSES:$(cat target/classpath)" "$@"
}

# rebuild-once is RebuildOnce.
class_of() {
  awk -F- '{ for (at = 1; at <= NF; at += 1) printf "%s%s", toupper(substr($at, 1, 1)), substr($at, 2) }' <<<"$1"
}

# The counts of all suites, from what surefire wrote of each.
count() {
  cat target/surefire-reports/TEST-*.xml 2>/dev/null |
    awk -v failed_to_run="$1" '
      function of(name) {
        if (!match($0, " " name "=\"[0-9]+\"")) return 0
        return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
      }
      /<testsuite / { tests += of("tests"); failed += of("failures") + of("errors"); skipped += of("skipped") }
      END {
        if (failed == 0 && failed_to_run != 0) failed = 1
        passed = tests - failed - skipped
        printf "%d passed, %d failed, %d skipped\n", passed < 0 ? 0 : passed, failed, skipped
      }'
}

test() {
  local status=0
  rm -rf target/surefire-reports
  # By a process of its own, for within a condition nothing here would stop at a failure.
  "$SELF" build && maven surefire:test || status=1
  count "$status"
  exit "$status"
}

case "${1:-}" in
  generate) generate ;;
  build) build ;;
  test) test ;;
  adapter) run dev.dibs.conformance.Adapter ;;
  example) run "dev.dibs.examples.$(class_of "${2:?a name, such as start}")" ;;
  *) echo "usage: $0 generate | build | test | adapter | example NAME" >&2 && exit 2 ;;
esac
