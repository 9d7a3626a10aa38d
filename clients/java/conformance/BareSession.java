package dev.dibs.conformance;

import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionHello;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.SessionRequest;
import dev.dibs.v1.SessionResponse;
import io.grpc.Channel;
import io.grpc.stub.StreamObserver;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** GetOrLock on a session with the plain stub: the base line for measuring the client's own work. */
final class BareSession implements StreamObserver<SessionResponse> {
  private final Map<Long, CompletableFuture<SessionReply>> open = new ConcurrentHashMap<>();
  private final AtomicLong lastId = new AtomicLong();
  private final StreamObserver<SessionRequest> requests;

  BareSession(Channel channel) {
    requests = CoordinatorServiceGrpc.newStub(channel).session(this);
    requests.onNext(SessionRequest.newBuilder().setHello(SessionHello.getDefaultInstance()).build());
  }

  CompletableFuture<SessionReply> ask(GetOrLockRequest request) {
    CompletableFuture<SessionReply> reply = new CompletableFuture<>();
    long id = lastId.incrementAndGet();
    open.put(id, reply);
    SessionCall call = SessionCall.newBuilder().setId(id).setGetOrLock(request).build();
    SessionRequest message = SessionRequest.newBuilder().addCalls(call).build();
    synchronized (requests) {
      requests.onNext(message);
    }
    return reply;
  }

  void end() {
    synchronized (requests) {
      requests.onCompleted();
    }
  }

  @Override
  public void onNext(SessionResponse message) {
    for (SessionReply reply : message.getRepliesList()) open.remove(reply.getId()).complete(reply);
  }

  @Override
  public void onError(Throwable error) {
    open.values().forEach(reply -> reply.completeExceptionally(error));
  }

  @Override
  public void onCompleted() {}
}
