// A minimal Dibs client, for languages without one: generated stubs, unary calls, and the standard library of C++20.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>

#include "dibs/v1/coordinator.grpc.pb.h"

namespace loop {

using Ms = std::chrono::milliseconds;
using Stub = dibs::v1::CoordinatorService::StubInterface;

// The bytes of a value. Empty optional: the source has nothing for this key.
using Value = std::optional<std::string>;

// Rebuilds the value. Stop when `over` asks for it: the lease is lost, or the caller has left.
using Rebuild = std::function<Value(const dibs::v1::Lease& lease, std::stop_token over)>;

// Thrown by a rebuild to set how long no caller in the fleet rebuilds this key: 0 to 300 s. After any other exception,
// that time grows with the number of failures in a row.
struct Failure : std::runtime_error {
  Failure(const std::string& message, Ms back_off) : runtime_error(message), retry_after(back_off) {}
  Ms retry_after;
};

struct Question {
  // If empty, `default`.
  std::string name_space;
  // 1 to 1024 bytes of UTF-8.
  std::string key;
  // A name for this process, for humans: at most 256 bytes.
  std::string holder;
  // How long the value is fresh: 1 ms to a year.
  Ms ttl;
  // If unset, the service learns it from the rebuilds of the key.
  std::optional<Ms> lease;
  // How long to wait for another caller's rebuild.
  Ms wait = Ms(30'000);
  // Called for your own metrics.
  std::function<void(dibs::v1::PublishOutcome)> published = [](auto) {};
  std::function<void()> lease_lost = [] {};
};

// The wait ended without an answer. Retry after `answer.retry_after_ms()`.
struct Busy : std::runtime_error {
  explicit Busy(dibs::v1::Busy busy) : runtime_error("no answer within the wait"), answer(std::move(busy)) {}
  dibs::v1::Busy answer;
};

// Another caller's rebuild failed, and the key's back-off is running.
struct RebuildFailed : std::runtime_error {
  explicit RebuildFailed(dibs::v1::Failed failed) : runtime_error(failed.message()), answer(std::move(failed)) {}
  dibs::v1::Failed answer;
};

// The service refused a call, or did not answer it.
struct CallError : std::runtime_error {
  CallError(const grpc::Status& status, std::optional<Ms> pushback)
      : runtime_error(status.error_message()), code(status.error_code()), retry_after(pushback) {}
  // There was no answer, so it is unknown whether the call had an effect.
  bool IsUnreachable() const {
    return !retry_after && (code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  grpc::StatusCode code;
  // When to retry. Unset if a retry is useless, or if there was no answer.
  std::optional<Ms> retry_after;
};

// The caller has left.
struct Cancelled : std::exception {};

// Returns the value: from the cache, from another caller's rebuild, or from `rebuild`, which only one caller in the fleet
// runs at a time. Ends soon after `left` asks for it, and gives its lease back then. Throws the errors above, and what
// `rebuild` throws.
Value GetOrRebuild(Stub& stub, const Question& question, const Rebuild& rebuild, std::stop_token left);

}  // namespace loop
