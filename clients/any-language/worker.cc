// An adapter for the conformance suite: reads commands as lines of JSON, makes each call with `GetOrRebuild`, and answers.
#include <unistd.h>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "get_or_rebuild.h"

namespace {

using google::protobuf::Message;
using google::protobuf::Struct;
namespace v1 = dibs::v1;

// Uses protobuf's own JSON, so the program needs no other library.
template <class T>
T FromJson(const std::string& json) {
  T message;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  if (!status.ok()) throw std::invalid_argument(status.ToString());
  return message;
}

std::string ToJson(const Message& message) {
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json);
  if (!status.ok()) throw std::invalid_argument(status.ToString());
  return json;
}

std::string Quoted(const std::string& text) {
  google::protobuf::StringValue value;
  value.set_value(text);
  return ToJson(value);
}

// JSON has the bytes of a value in base64, and `null` for none.
std::string Quoted(const loop::Value& bytes) {
  if (!bytes) return "null";
  google::protobuf::BytesValue value;
  value.set_value(*bytes);
  return ToJson(value);
}

const google::protobuf::Value* Find(const Struct& fields, const std::string& name) {
  const auto found = fields.fields().find(name);
  return found == fields.fields().end() ? nullptr : &found->second;
}

std::string Text(const Struct& fields, const std::string& name) {
  const auto* value = Find(fields, name);
  return value ? value->string_value() : "";
}

std::optional<loop::Ms> Time(const Struct& fields, const std::string& name) {
  const auto* value = Find(fields, name);
  return value ? std::optional(loop::Ms(static_cast<int64_t>(value->number_value()))) : std::nullopt;
}

bool Is(const Struct& fields, const std::string& name) {
  const auto* value = Find(fields, name);
  return value && value->bool_value();
}

// The name of an enum's value in small letters and without its prefix: `holder_lost`.
std::string Word(const std::string& name, const std::string& prefix) {
  std::string word = name.substr(prefix.size());
  std::transform(word.begin(), word.end(), word.begin(), [](char letter) { return std::tolower(letter); });
  return word;
}

// gRPC's names of its codes, from 0 on.
constexpr const char* kCodes[] = {
    "OK",          "CANCELLED",          "UNKNOWN",           "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",     "OUT_OF_RANGE",
    "UNIMPLEMENTED",  "INTERNAL",          "UNAVAILABLE",        "DATA_LOSS",           "UNAUTHENTICATED"};

std::string RetryAfter(int64_t ms) { return ",\"retry_after_ms\":" + std::to_string(ms); }

struct Client {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::CoordinatorService::StubInterface> stub;
  std::string name_space;
  std::string holder;
};

// A door that opens once.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

  // Returns whether it was opened before `over` asked to stop, and within the time if one is given.
  bool Wait(std::stop_token over, std::optional<loop::Ms> within = std::nullopt) {
    std::unique_lock lock(mutex_);
    const auto is_open = [this] { return open_; };
    return within ? opened_.wait_for(lock, over, *within, is_open) : opened_.wait(lock, over, is_open);
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any opened_;
  bool open_ = false;
};

class Worker {
 public:
  void Run() {
    Print("{\"event\":\"ready\"}");
    for (std::string line; std::getline(std::cin, line);) {
      std::thread([this, line] { Answer(line); }).detach();
    }
    // Calls may still be running. Their leases expire.
    _exit(0);
  }

 private:
  void Answer(const std::string& line) {
    const auto command = FromJson<Struct>(line);
    const std::string head = "{\"id\":" + ToJson(*Find(command, "id"));
    try {
      Print(head + ",\"result\":" + Do(command) + "}");
    } catch (const loop::Cancelled&) {
      Print(head + ",\"error\":{\"kind\":\"cancelled\"}}");
    } catch (const loop::Busy& error) {
      const auto reason = Word(v1::BusyReason_Name(error.answer.reason()), "BUSY_REASON_");
      Fail(head, "busy", error, ",\"reason\":\"" + reason + "\"" + RetryAfter(error.answer.retry_after_ms()));
    } catch (const loop::RebuildFailed& error) {
      Fail(head, "rebuild_failed", error, RetryAfter(error.answer.retry_after_ms()));
    } catch (const loop::CallError& error) {
      const std::string code = std::string(",\"code\":\"") + kCodes[error.code] + "\"";
      Fail(head, "dibs", error, code + (error.retry_after ? RetryAfter(error.retry_after->count()) : ""));
    } catch (const std::exception& error) {
      Fail(head, "rebuild", error, "");
    }
  }

  void Fail(const std::string& head, const std::string& kind, const std::exception& error, const std::string& more) {
    const auto message = Quoted(std::string(error.what()));
    Print(head + ",\"error\":{\"kind\":\"" + kind + "\",\"message\":" + message + more + "}}");
  }

  std::string Do(const Struct& command) {
    const auto what = Text(command, "do");
    if (what == "open") Open(command);
    else if (what == "close") Close(command);
    else if (what == "let") GateOf(Text(command, "gate"))->Open();
    else if (what == "cancel") CallOf(Text(command, "call")).request_stop();
    else if (what == "ready") return Ready(command);
    else if (what == "get_or_rebuild") return GetOrRebuild(command);
    else if (what == "call") return PlainCall(command);
    else throw std::invalid_argument("this worker knows no " + what);
    return "{}";
  }

  void Open(const Struct& command) {
    auto client = std::make_shared<Client>();
    client->channel = grpc::CreateChannel(Text(command, "target"), grpc::InsecureChannelCredentials());
    client->stub = v1::CoordinatorService::NewStub(client->channel);
    client->name_space = Text(command, "namespace");
    client->holder = Text(command, "holder");
    const std::lock_guard lock(mutex_);
    clients_[Text(command, "client")] = std::move(client);
  }

  void Close(const Struct& command) {
    const std::lock_guard lock(mutex_);
    clients_.erase(Text(command, "client"));
  }

  std::string Ready(const Struct& command) {
    const auto ends = std::chrono::system_clock::now() + Time(command, "timeout_ms").value_or(loop::Ms(0));
    return std::string("{\"ready\":") + (ClientOf(command)->channel->WaitForConnected(ends) ? "true" : "false") + "}";
  }

  std::string GetOrRebuild(const Struct& command) {
    const auto client = ClientOf(command);
    const auto call = Text(command, "call");
    const auto left = CallOf(call);
    loop::Question question;
    question.name_space = client->name_space;
    question.key = Text(command, "key");
    question.holder = client->holder;
    question.ttl = Time(command, "ttl_ms").value_or(loop::Ms(0));
    question.lease = Time(command, "lease_ms");
    if (const auto wait = Time(command, "wait_ms")) question.wait = *wait;
    const auto hook = "{\"event\":\"hook\",\"key\":" + Quoted(question.key) + ",\"name\":";
    question.published = [&](v1::PublishOutcome outcome) {
      const auto word = Word(v1::PublishOutcome_Name(outcome), "PUBLISH_OUTCOME_");
      Print(hook + "\"publish\",\"outcome\":\"" + word + "\"}");
    };
    question.lease_lost = [&] { Print(hook + "\"lease_lost\"}"); };
    const auto* script = Find(command, "rebuild");
    const auto rebuild = [&](const v1::Lease& lease, std::stop_token over) {
      return Rebuild(call, script ? script->struct_value() : Struct(), lease, over);
    };
    const auto value = loop::GetOrRebuild(*client->stub, question, rebuild, left.get_token());
    return "{\"value\":" + Quoted(value) + "}";
  }

  // Follows the script of the scenario.
  loop::Value Rebuild(const std::string& call, const Struct& script, const v1::Lease& lease, std::stop_token over) {
    const auto reason = Word(v1::LeaseReason_Name(lease.reason()), "LEASE_REASON_");
    const auto event = ",\"call\":" + Quoted(call);
    Print("{\"event\":\"rebuild\"" + event + ",\"reason\":\"" + reason + "\"}");
    const auto gate = Text(script, "gate");
    if (!gate.empty()) GateOf(gate)->Wait(over);
    Gate().Wait(over, Time(script, "after_ms").value_or(loop::Ms(0)));
    if (over.stop_requested()) {
      Print("{\"event\":\"lost\"" + event + "}");
      throw std::runtime_error("the rebuild was stopped");
    }
    if (const auto back_off = Time(script, "retry_after_ms")) throw loop::Failure(Text(script, "fail"), *back_off);
    if (Find(script, "fail")) throw std::runtime_error(Text(script, "fail"));
    if (Is(script, "absent")) return std::nullopt;
    if (!Find(script, "value")) return "";
    return FromJson<google::protobuf::BytesValue>(Quoted(Text(script, "value"))).value();
  }

  // One call of the contract, as JSON.
  std::string PlainCall(const Struct& command) {
    using Stub = v1::CoordinatorService::StubInterface;
    const auto client = ClientOf(command);
    const auto method = Text(command, "method");
    const auto json = ToJson(*Find(command, "request"));
    const auto call = [&]<class Request, class Response>(
                          grpc::Status (Stub::*unary)(grpc::ClientContext*, const Request&, Response*)) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
      Response response;
      const auto status = (client->stub.get()->*unary)(&context, FromJson<Request>(json), &response);
      if (!status.ok()) throw loop::CallError(status, std::nullopt);
      return ToJson(response);
    };
    if (method == "GetOrLock") return call(&Stub::GetOrLock);
    if (method == "Publish") return call(&Stub::Publish);
    if (method == "Release") return call(&Stub::Release);
    if (method == "Extend") return call(&Stub::Extend);
    if (method == "Invalidate") return call(&Stub::Invalidate);
    if (method == "Explain") return call(&Stub::Explain);
    throw std::invalid_argument("this worker calls no " + method);
  }

  void Print(const std::string& line) {
    const std::lock_guard lock(mutex_);
    std::cout << line << std::endl;
  }

  std::shared_ptr<Client> ClientOf(const Struct& command) {
    const std::lock_guard lock(mutex_);
    const auto found = clients_.find(Text(command, "client"));
    if (found == clients_.end()) throw std::invalid_argument("no client " + Text(command, "client"));
    return found->second;
  }

  std::stop_source CallOf(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return calls_[name];
  }

  std::shared_ptr<Gate> GateOf(const std::string& name) {
    const std::lock_guard lock(mutex_);
    auto& gate = gates_[name];
    if (!gate) gate = std::make_shared<Gate>();
    return gate;
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Client>> clients_;
  // They stop a call whose caller leaves.
  std::map<std::string, std::stop_source> calls_;
  std::map<std::string, std::shared_ptr<Gate>> gates_;
};

}  // namespace

int main() { Worker().Run(); }
