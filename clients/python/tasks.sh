#!/usr/bin/env bash
# generate | build | test | adapter | example NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bin=.venv/bin

# Installs everything that runs here, at the versions of requirements.txt, if these have changed.
install() {
  local wanted
  wanted=$(cat requirements.txt pyproject.toml | sha256sum)
  if [[ $(cat .venv/installed 2>/dev/null) == "$wanted" ]]; then return; fi
  rm -rf .venv
  python3 -m venv .venv
  $bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
  $bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  echo "$wanted" >.venv/installed
}

# The contract's package has the same name as the library, so that the stubs' own imports work unchanged.
generate() {
  rm -rf src/dibs/v1
  PATH="$PWD/$bin:$PATH" $bin/python -m grpc_tools.protoc --proto_path ../../proto \
    --python_out src --grpc_python_out src --mypy_out quiet:src --mypy_grpc_out quiet:src \
    dibs/v1/coordinator.proto
  touch src/dibs/v1/__init__.py
}

lint() {
  $bin/ruff format --quiet --check . && $bin/ruff check --quiet . && $bin/mypy --no-error-summary
}

run_tests() {
  local status=0 passed failed skipped
  # Lint and types count as one test.
  if lint; then passed=1 failed=0; else passed=0 failed=1; fi
  $bin/python -m pytest "$@" >.venv/tests.log 2>&1 || status=$?
  if ((status != 0)); then cat .venv/tests.log; fi
  count() { grep -oE "[0-9]+ $1" <(tail -n 1 .venv/tests.log) | cut -d ' ' -f 1 || echo 0; }
  passed=$((passed + $(count passed)))
  failed=$((failed + $(count failed) + $(count error)))
  skipped=$(count skipped)
  # A run that broke off before it could count is a failure too.
  if ((status != 0 && failed == 0)); then failed=1; fi
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0))
}

case "${1:-}" in
  # Not joined by &&, which would hide failures inside.
  generate) install; generate ;;
  build) install ;;
  test) install; run_tests "${@:2}" ;;
  adapter) exec $bin/python conformance/adapter.py ;;
  example) exec $bin/python "examples/${2//-/_}.py" ;;
  *) echo "usage: tasks.sh generate | build | test | adapter | example NAME" >&2 && exit 2 ;;
esac
