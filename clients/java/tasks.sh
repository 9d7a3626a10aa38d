#!/usr/bin/env bash
# What there is to do with the Java client: generate, build, test, package, adapter, example NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
SELF=./tasks.sh

CLASSES=target/test-classes:target/classes
# What a build is made of; where its sum is the same, there is nothing to build.
SOURCES=(pom.xml reactor.xml src conformance examples spring/pom.xml spring/src)
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
    rm -rf {.,spring}/target/classes {.,spring}/target/test-classes {.,spring}/target/maven-status "$STAMP"
    maven --file reactor.xml test-compile dependency:build-classpath
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
  cat {.,spring}/target/surefire-reports/TEST-*.xml 2>/dev/null |
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
  rm -rf {.,spring}/target/surefire-reports
  # By a process of its own, for within a condition nothing here would stop at a failure.
  "$SELF" build && maven --file reactor.xml --fail-at-end test || status=1
  "$SELF" package || status=1
  count "$status"
  exit "$status"
}

# Builds what is released, installs it into a project outside of this repository, and uses it there.
package() {
  local outside
  outside=$(mktemp -d)
  # shellcheck disable=SC2064 # By its name now: at the end it is out of scope.
  trap "kill \$(jobs -p) 2>/dev/null; rm -rf '$outside'" EXIT
  DIBS_LISTEN="127.0.0.1:0,unix://$outside/dibs.sock" DIBS_HTTP_LISTEN=127.0.0.1:0 DIBS_LOG_LEVEL=error \
    node ../../dist/main.js >"$outside/service.log" 2>&1 &
  # A repository of its own, with what is on this machine already: nothing of ours stays behind.
  cp -r "${MAVEN_REPOSITORY:-$HOME/.m2/repository}" "$outside/repository"
  rm -rf "$outside/repository/dev/dibs"
  maven --file reactor.xml -Prelease -DskipTests -Dmaven.repo.local="$outside/repository" install
  cp -r consumer "$outside/project"
  local name kind netty
  # With the Netty inside gRPC, and with one of the application's own.
  for netty in shaded unshaded; do
    rm -rf "$outside/project/target"
    maven --file "$outside/project/pom.xml" -Dmaven.repo.local="$outside/repository" "-P$netty" \
      -Dnative="$(machine | sed s/^osx/linux/)" compile dependency:build-classpath
    # Of the application's own there is no native part but for Linux in this project.
    if [[ $netty == unshaded && "$(uname -s)" != Linux ]]; then continue; fi
    java -cp "$outside/project/target/classes:$(cat "$outside/project/target/classpath")" Consumer \
      "unix://$outside/dibs.sock" $netty
  done
  for name in client spring; do
    for kind in '' -sources -javadoc; do
      [[ -f $(echo "$outside/repository/dev/dibs/dibs-$name/"*"/dibs-$name-"[0-9.]*[0-9]"$kind.jar") ]]
    done
    unzip -p "$outside/repository/dev/dibs/dibs-$name/"*"/dibs-$name-"[0-9.]*[0-9].jar META-INF/MANIFEST.MF |
      grep -q "Automatic-Module-Name: dev.dibs.$name"
  done
}

case "${1:-}" in
  generate) generate ;;
  build) build ;;
  test) test ;;
  package) package ;;
  adapter) run dev.dibs.conformance.Adapter ;;
  example) run "dev.dibs.examples.$(class_of "${2:?a name, such as start}")" ;;
  *) echo "usage: $0 generate | build | test | package | adapter | example NAME" >&2 && exit 2 ;;
esac
