#!/usr/bin/env bash
# tasks.sh build | adapter
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

proto=../../proto/dibs/v1/coordinator.proto

stubs() {
  mkdir -p build
  protoc -I ../../proto --cpp_out=build --grpc_out=generate_mock_code=false:build \
    --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" "$proto"
}

compile() { g++ -std=c++20 -O0 -Wall -Wextra -pthread -I. -Ibuild -c "$1" -o "build/$(basename "$1").o"; }

# Two at a time. Most of the time goes to gRPC's headers.
build() {
  local sources=(get_or_rebuild.cc worker.cc build/dibs/v1/coordinator.pb.cc build/dibs/v1/coordinator.grpc.pb.cc)
  local sum
  sum="$(cat "$proto" ./*.h ./*.cc tasks.sh | sha256sum)"
  if [[ -x build/worker && "$(cat build/built-from 2>/dev/null)" == "$sum" ]]; then return; fi
  stubs
  local source running=()
  for source in "${sources[@]}"; do
    compile "$source" &
    running+=("$!")
    if (( ${#running[@]} == 2 )); then wait "${running[0]}"; running=("${running[1]}"); fi
  done
  for source in "${running[@]}"; do wait "$source"; done
  # shellcheck disable=SC2046
  g++ -pthread build/*.o -o build/worker $(pkg-config --libs grpc++ protobuf)
  printf '%s' "$sum" >build/built-from
}

case "${1:-}" in
  build) build ;;
  adapter) exec build/worker ;;
  *) echo "usage: tasks.sh build | adapter" >&2; exit 2 ;;
esac
