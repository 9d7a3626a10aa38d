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

// An answer may take so long on its way, beyond the wait itself.
constexpr Ms kWay(2'000);
// A try that hangs must not cost the next ones.
constexpr Ms kExtend(2'000);
// A caller waits no longer than this for what it has already.
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

// One call in one attempt. It ends at the service, too, when the caller leaves.
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

// Extends a lease every third of what is left of it, so that two tries in a row may fail. Once the lease is lost, it
// asks `over` to stop.
class Keeper {
 public:
  Keeper(Stub& stub, const Question& question, const v1::Lease& lease, std::stop_source& over)
      : stub_(stub), question_(question), request_(About<v1::ExtendRequest>(question, lease)), over_(over),
        ends_(Clock::now() + Ms(lease.expires_in_ms())) {
    if (question.lease) request_.set_lease_ms(question.lease->count());
    thread_ = std::jthread([this](std::stop_token done) { Run(done); });
  }

  // Whether the lease was lost. From now on it is extended no more.
  bool End() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return lost_;
  }

 private:
  void Run(std::stop_token done) try {
    while (Until(ends_) > Ms(0)) {
      Pause(std::max(Until(ends_) / 3, kPauseMin), done);
      const auto asked_at = Clock::now();
      const Ms within = std::min(kExtend, Until(ends_));
      if (within == Ms(0)) break;
      try {
        const auto extended = Call(stub_, &Stub::Extend, request_, within, done);
        if (extended.outcome() == v1::EXTEND_OUTCOME_LOST) break;
        // From when it was asked: the answer has taken its time.
        if (extended.outcome() == v1::EXTEND_OUTCOME_EXTENDED) ends_ = asked_at + Ms(extended.expires_in_ms());
      } catch (const CallError& error) {
        if (error.code == grpc::StatusCode::INVALID_ARGUMENT) break;
        // No answer is no loss: the lease still has its end, and the next third brings the next try.
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
  bool lost_ = false;
  // The last member, so that it ends before the others go.
  std::jthread thread_;
};

// Hands the result over. Safe to repeat: what was stored already is answered with DUPLICATE. Every outcome is good:
// where the value is not stored, something newer counts, and the caller still has its own.
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
      // The service refuses the value itself: the lease need not run to its end.
      if (!error.IsUnreachable() && !error.retry_after) throw;
      if (tries < kPublishTries) Pause(error.retry_after.value_or(Ms(100) * tries), {});
    }
  }
}

// What the waiters are told: at most 4096 bytes, and nothing secret.
v1::Failure Told(const std::exception& error) {
  v1::Failure failure;
  // In UTF-8 you cut between two characters.
  failure.set_message(std::string(error.what()).substr(0, kMessageBytesMax));
  if (const auto* named = dynamic_cast<const Failure*>(&error)) failure.set_retry_after_ms(named->retry_after.count());
  return failure;
}

// Gives the lease back. With a failure, the waiters get its message, and the key's back-off begins. Without one, the
// next in line may try at once.
void Release(Stub& stub, const Question& question, const v1::Lease& lease, std::optional<v1::Failure> failure) {
  auto request = About<v1::ReleaseRequest>(question, lease);
  if (failure) *request.mutable_failure() = std::move(*failure);
  try {
    Call(stub, &Stub::Release, request, kRelease, {});
  } catch (const CallError&) {
    // The lease ends with its time.
  }
}

struct LeaseLost {};

// The result of the rebuild, which has the lease as long as it runs.
Value RebuildUnder(Stub& stub, const Question& question, const v1::Lease& lease, const Rebuild& rebuild,
                   std::stop_token left) {
  std::stop_source over;
  const std::stop_callback leave(left, [&over] { over.request_stop(); });
  Keeper keeper(stub, question, lease, over);
  Value value;
  try {
    value = rebuild(lease, over.get_token());
  } catch (const std::exception& error) {
    if (keeper.End() && !left.stop_requested()) throw LeaseLost();
    Release(stub, question, lease, left.stop_requested() ? std::nullopt : std::optional(Told(error)));
    if (left.stop_requested()) throw Cancelled();
    throw;
  }
  // A result from after the loss would not be stored.
  if (keeper.End()) throw LeaseLost();
  if (left.stop_requested()) {
    Release(stub, question, lease, std::nullopt);
    throw Cancelled();
  }
  try {
    Publish(stub, question, lease, value);
  } catch (const CallError& error) {
    Release(stub, question, lease, Told(error));
  }
  return value;
}

// When to ask again; throws `error` if there is no sense in that, or no time.
template <class Error>
void ComeBack(std::optional<Ms> after, Clock::time_point ends, std::stop_token left, const Error& error) {
  if (!after || std::max(*after, kPauseMin) >= Until(ends)) throw error;
  Pause(std::max(*after, kPauseMin), left);
}

// Nothing when the lease was lost, for then the service has to be asked again.
std::optional<Value> Ask(Stub& stub, const Question& question, const Rebuild& rebuild, Clock::time_point ends,
                         std::stop_token left) {
  v1::GetOrLockRequest request;
  request.set_namespace_(question.name_space);
  request.set_key(question.key);
  request.set_holder(question.holder);
  // The same for each attempt, so that a lease whose answer was lost on its way comes again.
  request.set_request_id(NewRequestId());
  // This program returns no stale value. One that does serves `lease.previous()` and rebuilds behind it.
  request.set_stale(v1::STALE_FORBID);
  if (question.lease) request.set_lease_ms(question.lease->count());
  bool broken_off = false;
  for (;;) {
    request.set_wait_ms(Until(ends).count());
    v1::GetOrLockResponse response;
    try {
      response = Call(stub, &Stub::GetOrLock, request, Until(ends) + kWay, left);
    } catch (const CallError& error) {
      const bool is_broken_off = error.code == grpc::StatusCode::UNAVAILABLE && !error.retry_after;
      // A replica that was killed ends its calls so, and the next attempt reaches another.
      if (is_broken_off && !std::exchange(broken_off, true)) continue;
      // Without the service each process rebuilds for itself, without a lease, and publishes nothing.
      if (error.IsUnreachable()) return rebuild({}, left);
      ComeBack(error.retry_after, ends, left, error);
      continue;
    }
    switch (response.outcome_case()) {
      case v1::GetOrLockResponse::kHit:
        return response.hit().has_value() ? Value(response.hit().value()) : Value();
      case v1::GetOrLockResponse::kLease:
        try {
          return RebuildUnder(stub, question, response.lease(), rebuild, left);
        } catch (const LeaseLost&) {
          return std::nullopt;
        }
      case v1::GetOrLockResponse::kFailed:
        throw RebuildFailed(response.failed());
      // What a newer service may add is treated as `busy`, too.
      default: {
        const auto& busy = response.busy();
        const bool ends_here = busy.reason() == v1::BUSY_REASON_DEADLINE_TOO_SHORT;
        ComeBack(ends_here ? std::nullopt : std::optional(Ms(busy.retry_after_ms())), ends, left, Busy(busy));
      }
    }
  }
}

}  // namespace

Value GetOrRebuild(Stub& stub, const Question& question, const Rebuild& rebuild, std::stop_token left) {
  const auto ends = Clock::now() + question.wait;
  for (;;) {
    if (const auto value = Ask(stub, question, rebuild, ends, left)) return *value;
    // A key that is invalidated faster than it is rebuilt must not hold its caller forever.
    if (Until(ends) == Ms(0)) throw Busy({});
  }
}

}  // namespace loop
