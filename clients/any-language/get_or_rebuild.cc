#include "get_or_rebuild.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace loop {
namespace {

using Clock = std::chrono::steady_clock;
namespace v1 = dibs::v1;

// An answer may take this long, in addition to the wait itself.
constexpr Ms kAnswer(2'000);
// A hanging attempt must not cost the next ones.
constexpr Ms kExtend(2'000);
// A caller already has its value, so it waits no longer than this.
constexpr Ms kPublish(2'000);
constexpr int kPublishTries = 4;
constexpr Ms kRelease(5'000);
constexpr Ms kPauseMin(10);
constexpr size_t kMessageBytesMax = 4'096;

Ms Since(Clock::time_point then) { return std::chrono::duration_cast<Ms>(Clock::now() - then); }
Ms Until(Clock::time_point then) { return std::max(Ms(0), -Since(then)); }

// 128 random bits: no other call in the fleet may have the same.
std::string NewRequestId() {
  std::random_device random;
  std::string id;
  for (int at = 0; at < 4; at += 1) id += std::to_string(random()) + "-";
  return id;
}

// Ends early when the caller leaves.
void Pause(Ms pause, std::stop_token left) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, left, pause, [] { return false; });
  if (left.stop_requested()) throw Cancelled();
}

// One attempt of one call. When the caller leaves, it is cancelled at the service too.
template <class Request, class Response>
Response Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, Ms within, std::stop_token left) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + within);
  const std::stop_callback leave(left, [&context] { context.TryCancel(); });
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  // A lease that crossed the cancellation has arrived. The caller of this function gives it back.
  if (status.ok()) return response;
  if (left.stop_requested()) throw Cancelled();
  std::optional<Ms> pushback;
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto found = trailers.find("grpc-retry-pushback-ms"); found != trailers.end())
    pushback = Ms(std::atoll(std::string(found->second.data(), found->second.size()).c_str()));
  throw CallError(status, pushback);
}

template <class Request>
Request About(const Question& question, const v1::Lease& lease) {
  Request request;
  request.set_namespace_(question.name_space);
  request.set_key(question.key);
  request.set_token(lease.token());
  return request;
}

// Extends a lease every third of the remaining time, so two attempts in a row may fail. When the lease is lost, it asks
// `over` to stop. A lease counts from its request, because this process may have stood still before it read the answer.
// But the service may also have granted it after a wait. So if less than a third is left, it is extended at once.
class Keeper {
 public:
  Keeper(Stub& stub, const Question& question, const v1::Lease& lease, Clock::time_point asked_at,
         std::stop_source& over)
      : stub_(stub), question_(question), request_(About<v1::ExtendRequest>(question, lease)), over_(over) {
    if (question.lease) request_.set_lease_ms(question.lease->count());
    const Ms expires_in(lease.expires_in_ms());
    ends_ = asked_at + expires_in;
    is_late_ = Until(ends_) < expires_in / 3;
    if (is_late_) ends_ = std::max(ends_, Clock::now() + std::min(expires_in, kExtend));
    thread_ = std::jthread([this](std::stop_token done) { Run(done); });
  }

  // Stops extending. Returns whether the lease was lost.
  bool End() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return lost_;
  }

 private:
  void Run(std::stop_token done) try {
    while (Until(ends_) > Ms(0)) {
      if (!std::exchange(is_late_, false)) Pause(std::max(Until(ends_) / 3, kPauseMin), done);
      const auto asked_at = Clock::now();
      const Ms within = std::min(kExtend, Until(ends_));
      if (within == Ms(0)) break;
      try {
        const auto extended = Call(stub_, &Stub::Extend, request_, within, done);
        if (extended.outcome() == v1::EXTEND_OUTCOME_LOST) break;
        // Counted from the request, because the answer took time.
        if (extended.outcome() == v1::EXTEND_OUTCOME_EXTENDED) ends_ = asked_at + Ms(extended.expires_in_ms());
      } catch (const CallError& error) {
        if (error.code == grpc::StatusCode::INVALID_ARGUMENT) break;
        // No answer is not a loss: the lease keeps its end, and the next third brings another attempt.
      }
    }
    lost_ = true;
    question_.lease_lost();
    over_.request_stop();
  } catch (const Cancelled&) {
    // `End` was called.
  }

  Stub& stub_;
  const Question& question_;
  v1::ExtendRequest request_;
  std::stop_source& over_;
  Clock::time_point ends_;
  bool is_late_ = false;
  bool lost_ = false;
  // The last member, so that it ends before the others are destroyed.
  std::jthread thread_;
};

// Publishes the result. It is safe to repeat: if the value is stored already, the outcome is DUPLICATE. Every outcome is
// acceptable: if the value is not stored, there is something newer, and the caller has its own value.
void Publish(Stub& stub, const Question& question, const v1::Lease& lease, const Value& value) {
  auto request = About<v1::PublishRequest>(question, lease);
  request.set_ttl_ms(question.ttl.count());
  if (value) request.set_value(*value);
  else request.set_absent(true);
  for (int tries = 1; tries <= kPublishTries; tries += 1) {
    try {
      question.published(Call(stub, &Stub::Publish, request, kPublish, {}).outcome());
      return;
    } catch (const CallError& error) {
      // The service refuses the value itself, so the lease is given back.
      if (!error.IsUnreachable() && !error.retry_after) throw;
      if (tries < kPublishTries) Pause(error.retry_after.value_or(Ms(100) * tries), {});
    }
  }
}

// What the waiters are told: at most 4096 bytes, and no secret.
v1::Failure FailureOf(const std::exception& error) {
  v1::Failure failure;
  // With messages in UTF-8, cut between two characters.
  failure.set_message(std::string(error.what()).substr(0, kMessageBytesMax));
  if (const auto* named = dynamic_cast<const Failure*>(&error)) failure.set_retry_after_ms(named->retry_after.count());
  return failure;
}

// Gives the lease back. With a failure, the waiters get its message, and the key's back-off begins. Without one, the
// next caller gets the lease at once.
void Release(Stub& stub, const Question& question, const v1::Lease& lease, std::optional<v1::Failure> failure) {
  auto request = About<v1::ReleaseRequest>(question, lease);
  if (failure) *request.mutable_failure() = std::move(*failure);
  try {
    Call(stub, &Stub::Release, request, kRelease, {});
  } catch (const CallError&) {
    // The lease expires.
  }
}

struct LeaseLost {};

// Runs the rebuild under its lease and publishes the result.
Value RebuildUnder(Stub& stub, const Question& question, const v1::Lease& lease, const Rebuild& rebuild,
                   Clock::time_point asked_at, std::stop_token left) {
  std::stop_source over;
  const std::stop_callback leave(left, [&over] { over.request_stop(); });
  Keeper keeper(stub, question, lease, asked_at, over);
  Value value;
  try {
    value = rebuild(lease, over.get_token());
  } catch (const std::exception& error) {
    if (keeper.End() && !left.stop_requested()) throw LeaseLost();
    Release(stub, question, lease, left.stop_requested() ? std::nullopt : std::optional(FailureOf(error)));
    if (left.stop_requested()) throw Cancelled();
    throw;
  }
  // A result after the loss would not be stored.
  if (keeper.End()) throw LeaseLost();
  if (left.stop_requested()) {
    Release(stub, question, lease, std::nullopt);
    throw Cancelled();
  }
  try {
    Publish(stub, question, lease, value);
  } catch (const CallError& error) {
    Release(stub, question, lease, FailureOf(error));
  }
  return value;
}

// Waits until the time to ask again. Throws `error` if asking again is useless, or if there is no time left.
template <class Error>
void PauseOrThrow(std::optional<Ms> after, Clock::time_point ends, std::stop_token left, const Error& error) {
  if (!after || std::max(*after, kPauseMin) >= Until(ends)) throw error;
  Pause(std::max(*after, kPauseMin), left);
}

// Returns nothing if the lease was lost. Ask again then.
std::optional<Value> Ask(Stub& stub, const Question& question, const Rebuild& rebuild, Clock::time_point ends,
                         std::stop_token left) {
  v1::GetOrLockRequest request;
  request.set_namespace_(question.name_space);
  request.set_key(question.key);
  request.set_holder(question.holder);
  // The same for each attempt, so that a lease whose answer was lost is returned again.
  request.set_request_id(NewRequestId());
  // This program returns no stale values. One that does returns `lease.previous()` and rebuilds in the background.
  request.set_stale(v1::STALE_FORBID);
  if (question.lease) request.set_lease_ms(question.lease->count());
  bool broken_off = false;
  for (;;) {
    request.set_wait_ms(Until(ends).count());
    const auto asked_at = Clock::now();
    v1::GetOrLockResponse response;
    try {
      response = Call(stub, &Stub::GetOrLock, request, Until(ends) + kAnswer, left);
    } catch (const CallError& error) {
      const bool is_broken_off = error.code == grpc::StatusCode::UNAVAILABLE && !error.retry_after;
      // A killed replica ends its calls like this. The next attempt reaches another replica.
      if (is_broken_off && !std::exchange(broken_off, true)) continue;
      // Without the service, each process rebuilds for itself, without a lease, and publishes nothing.
      if (error.IsUnreachable()) return rebuild({}, left);
      PauseOrThrow(error.retry_after, ends, left, error);
      continue;
    }
    switch (response.outcome_case()) {
      case v1::GetOrLockResponse::kHit:
        return response.hit().has_value() ? Value(response.hit().value()) : Value();
      case v1::GetOrLockResponse::kLease:
        try {
          return RebuildUnder(stub, question, response.lease(), rebuild, asked_at, left);
        } catch (const LeaseLost&) {
          return std::nullopt;
        }
      case v1::GetOrLockResponse::kFailed:
        throw RebuildFailed(response.failed());
      // Outcomes that a newer service adds are treated as `busy`.
      default: {
        const auto& busy = response.busy();
        const bool ends_here = busy.reason() == v1::BUSY_REASON_DEADLINE_TOO_SHORT;
        PauseOrThrow(ends_here ? std::nullopt : std::optional(Ms(busy.retry_after_ms())), ends, left, Busy(busy));
      }
    }
  }
}

}  // namespace

Value GetOrRebuild(Stub& stub, const Question& question, const Rebuild& rebuild, std::stop_token left) {
  const auto ends = Clock::now() + question.wait;
  for (;;) {
    if (const auto value = Ask(stub, question, rebuild, ends, left)) return *value;
    // A key may be invalidated again and again during its rebuilds. The caller's wait is bounded all the same.
    if (Until(ends) == Ms(0)) throw Busy({});
  }
}

}  // namespace loop
