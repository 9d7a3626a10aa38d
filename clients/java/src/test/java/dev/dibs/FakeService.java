package dev.dibs;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.dibs.v1.Busy;
import dev.dibs.v1.CoordinatorServiceGrpc.CoordinatorServiceImplBase;
import dev.dibs.v1.ExtendOutcome;
import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.ExtendResponse;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.InvalidateRequest;
import dev.dibs.v1.InvalidateResponse;
import dev.dibs.v1.Lease;
import dev.dibs.v1.LeaseReason;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.PublishResponse;
import dev.dibs.v1.ReleaseOutcome;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.ReleaseResponse;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** A service over real gRPC that says what a test tells it to, one answer a call. It takes no sessions. */
final class FakeService extends CoordinatorServiceImplBase implements AutoCloseable {
  /** What becomes of one call. */
  interface Answer {
    void to(Message request, StreamObserver<Message> reply);
  }

  /** Says nothing, until the test is over. */
  static final Answer NEVER = (request, reply) -> {};

  static final Message RELEASED =
      ReleaseResponse.newBuilder().setOutcome(ReleaseOutcome.RELEASE_OUTCOME_RELEASED).build();
  static final Message LOST = ExtendResponse.newBuilder().setOutcome(ExtendOutcome.EXTEND_OUTCOME_LOST).build();

  /** All requests, in the order of their arrival. */
  final List<Message> heard = new CopyOnWriteArrayList<>();

  /** The requests whose callers went before the answer. */
  final List<Message> cancelled = new CopyOnWriteArrayList<>();

  final List<Metadata> headers = new CopyOnWriteArrayList<>();

  /** By the names of the methods; empty where a call had none. */
  final Map<String, List<String>> traceparents = new ConcurrentHashMap<>();

  private final Map<Class<?>, Deque<Answer>> answers = new ConcurrentHashMap<>();
  private final Server server;

  FakeService() {
    this(InsecureServerCredentials.create());
  }

  FakeService(ServerCredentials credentials) {
    try {
      server =
          Grpc.newServerBuilderForPort(0, credentials)
              .addService(this)
              .intercept(new Headers())
              .build()
              .start();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    will(PublishRequest.class, published(dev.dibs.v1.PublishOutcome.PUBLISH_OUTCOME_STORED));
    will(ReleaseRequest.class, says(RELEASED));
  }

  private final class Headers implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata metadata, ServerCallHandler<Q, R> next) {
      headers.add(metadata);
      traceparents
          .computeIfAbsent(call.getMethodDescriptor().getBareMethodName(), name -> new CopyOnWriteArrayList<>())
          .add(Objects.requireNonNullElse(metadata.get(Tracing.TRACEPARENT), ""));
      return next.startCall(call, metadata);
    }
  }

  /** The next answers to a kind of request, in their order; the last one stays. */
  void will(Class<? extends Message> request, Answer... next) {
    answers.put(request, new ArrayDeque<>(List.of(next)));
  }

  String target() {
    return "127.0.0.1:" + server.getPort();
  }

  DibsClientBuilder client() {
    return DibsClient.builder().target(target()).connectTimeout(Until.PATIENCE);
  }

  <Q extends Message> List<Q> requests(Class<Q> kind) {
    return heard.stream().filter(kind::isInstance).map(kind::cast).toList();
  }

  static Answer says(Message message) {
    return (request, reply) -> {
      reply.onNext(message);
      reply.onCompleted();
    };
  }

  static Answer refuses(Status status) {
    return (request, reply) -> reply.onError(status.asRuntimeException());
  }

  static Answer refuses(Status status, long pushbackMs) {
    Metadata trailers = new Metadata();
    trailers.put(
        Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER), String.valueOf(pushbackMs));
    return (request, reply) -> reply.onError(status.asRuntimeException(trailers));
  }

  static Answer unavailable() {
    return refuses(Status.UNAVAILABLE.withDescription("gone"));
  }

  static Hit hitOf(String text) {
    return Hit.newBuilder().setValue(ByteString.copyFromUtf8(text)).setFence(3).build();
  }

  static Answer hit(String text) {
    return says(GetOrLockResponse.newBuilder().setHit(hitOf(text)).build());
  }

  static Lease.Builder leaseOf(String token, long expiresInMs) {
    return Lease.newBuilder()
        .setToken(token)
        .setFence(4)
        .setExpiresInMs(expiresInMs)
        .setReason(LeaseReason.LEASE_REASON_MISS);
  }

  static Answer lease(String token, long expiresInMs) {
    return says(GetOrLockResponse.newBuilder().setLease(leaseOf(token, expiresInMs)).build());
  }

  static Answer leaseWithPrevious(String previous) {
    Lease lease = leaseOf("t", 10_000).setPrevious(hitOf(previous)).build();
    return says(GetOrLockResponse.newBuilder().setLease(lease).build());
  }

  static Answer busy(long retryAfterMs, int reason) {
    Busy busy = Busy.newBuilder().setRetryAfterMs(retryAfterMs).setHolderAgeMs(7).setReasonValue(reason).build();
    return says(GetOrLockResponse.newBuilder().setBusy(busy).build());
  }

  static Answer published(dev.dibs.v1.PublishOutcome outcome) {
    return says(PublishResponse.newBuilder().setOutcome(outcome).setFence(4).build());
  }

  @Override
  public void getOrLock(GetOrLockRequest request, StreamObserver<GetOrLockResponse> reply) {
    answer(request, reply);
  }

  @Override
  public void getOrLockMany(GetOrLockManyRequest request, StreamObserver<GetOrLockManyResponse> reply) {
    answer(request, reply);
  }

  @Override
  public void publish(PublishRequest request, StreamObserver<PublishResponse> reply) {
    answer(request, reply);
  }

  @Override
  public void release(ReleaseRequest request, StreamObserver<ReleaseResponse> reply) {
    answer(request, reply);
  }

  @Override
  public void extend(ExtendRequest request, StreamObserver<ExtendResponse> reply) {
    answer(request, reply);
  }

  @Override
  public void invalidate(InvalidateRequest request, StreamObserver<InvalidateResponse> reply) {
    answer(request, reply);
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  @SuppressWarnings("unchecked")
  private void answer(Message request, StreamObserver<? extends Message> reply) {
    ((ServerCallStreamObserver<? extends Message>) reply).setOnCancelHandler(() -> cancelled.add(request));
    Answer answer;
    synchronized (this) {
      Deque<Answer> next = answers.getOrDefault(request.getClass(), new ArrayDeque<>(List.of(NEVER)));
      answer = next.size() > 1 ? next.remove() : next.peek();
      // Last: a test that has seen it may say what comes next.
      heard.add(request);
    }
    answer.to(request, (StreamObserver<Message>) reply);
  }
}
