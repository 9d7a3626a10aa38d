package dev.dibs;

import dev.dibs.v1.CoordinatorServiceGrpc.CoordinatorServiceImplBase;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionHello;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.SessionRequest;
import dev.dibs.v1.SessionResponse;
import dev.dibs.v1.SessionWelcome;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A service whose sessions a test plays by hand. */
final class FakeSessions extends CoordinatorServiceImplBase implements AutoCloseable {
  /** Far longer than anything takes here. */
  private static final long WAIT_S = 20;

  /** One stream, from the service's side. */
  static final class Stream implements StreamObserver<SessionRequest> {
    final BlockingQueue<SessionRequest> heard = new LinkedBlockingQueue<>();
    private final Deque<SessionCall> calls = new ArrayDeque<>();
    private final FakeSessions of;
    private volatile boolean ended;
    private final StreamObserver<SessionResponse> out;

    Stream(FakeSessions of, StreamObserver<SessionResponse> out) {
      this.of = of;
      this.out = out;
    }

    SessionRequest next() throws InterruptedException {
      SessionRequest request = heard.poll(WAIT_S, TimeUnit.SECONDS);
      if (request == null) throw new AssertionError("nothing came");
      return request;
    }

    boolean hasCall() throws InterruptedException {
      while (calls.isEmpty() && !heard.isEmpty()) calls.addAll(next().getCallsList());
      return !calls.isEmpty();
    }

    /** By its client. */
    boolean hasEnded() {
      return ended;
    }

    boolean isOf(FakeSessions service) {
      return service == of;
    }

    /** The next call, in any message. */
    SessionCall call() throws InterruptedException {
      while (calls.isEmpty()) calls.addAll(next().getCallsList());
      return calls.remove();
    }

    /** Welcomes, after the hello. */
    SessionHello welcome(String resumeToken) throws InterruptedException {
      SessionHello hello = next().getHello();
      welcomeLater(resumeToken);
      return hello;
    }

    /** Welcomes, where the hello has been read. */
    void welcomeLater(String resumeToken) {
      SessionWelcome welcome = SessionWelcome.newBuilder().setResumeToken(resumeToken).build();
      out.onNext(SessionResponse.newBuilder().setWelcome(welcome).build());
    }

    void reply(SessionReply.Builder reply) {
      out.onNext(SessionResponse.newBuilder().addReplies(reply).build());
    }

    void hit(SessionCall call, String text) {
      reply(
          SessionReply.newBuilder()
              .setId(call.getId())
              .setGetOrLock(GetOrLockResponse.newBuilder().setHit(FakeService.hitOf(text))));
    }

    /** The same for each of many keys. */
    void hits(SessionCall call, String text) {
      List<String> keys = call.getGetOrLockMany().getKeysList();
      for (int at = 0; at < keys.size(); at += 1) {
        reply(
            SessionReply.newBuilder()
                .setId(call.getId())
                .setMore(at + 1 < keys.size())
                .setGetOrLockMany(
                    GetOrLockManyResponse.newBuilder()
                        .setKey(keys.get(at))
                        .setResponse(GetOrLockResponse.newBuilder().setHit(FakeService.hitOf(text)))));
      }
    }

    void tell(SessionEvent.Builder event) {
      out.onNext(SessionResponse.newBuilder().addEvents(event).build());
    }

    void breakOff() {
      out.onError(Status.INTERNAL.withDescription("the line is cut").asRuntimeException());
    }

    @Override
    public void onNext(SessionRequest request) {
      heard.add(request);
    }

    @Override
    public void onError(Throwable error) {
      ended = true;
    }

    @Override
    public void onCompleted() {
      ended = true;
      out.onCompleted();
    }
  }

  /** What {@link #getOrLock} says, for it is called only where there is no session. */
  static final String UNARY = "one by one";

  /** The keys of each call for many that came without a session. */
  final BlockingQueue<List<String>> keysOneByOne = new LinkedBlockingQueue<>();

  private final BlockingQueue<Stream> streams = new LinkedBlockingQueue<>();
  private final Server server;

  FakeSessions() {
    this(0);
  }

  /** {@code port} is one that was given before; 0 for any. */
  FakeSessions(int port) {
    try {
      server = Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create()).addService(this).build().start();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  int port() {
    return server.getPort();
  }

  String target() {
    return "127.0.0.1:" + port();
  }

  DibsClientBuilder client() {
    return DibsClient.builder().target(target()).connectTimeout(Until.PATIENCE);
  }

  /** The next stream that a client opens. */
  Stream stream() throws InterruptedException {
    Stream stream = streams.poll(WAIT_S, TimeUnit.SECONDS);
    if (stream == null) throw new AssertionError("no stream was opened");
    return stream;
  }

  boolean hasStream() {
    return !streams.isEmpty();
  }

  @Override
  public StreamObserver<SessionRequest> session(StreamObserver<SessionResponse> out) {
    Stream stream = new Stream(this, out);
    streams.add(stream);
    return stream;
  }

  @Override
  public void getOrLock(GetOrLockRequest request, StreamObserver<GetOrLockResponse> reply) {
    reply.onNext(GetOrLockResponse.newBuilder().setHit(FakeService.hitOf(UNARY)).build());
    reply.onCompleted();
  }

  @Override
  public void getOrLockMany(GetOrLockManyRequest request, StreamObserver<GetOrLockManyResponse> reply) {
    keysOneByOne.add(request.getKeysList());
    GetOrLockResponse hit = GetOrLockResponse.newBuilder().setHit(FakeService.hitOf(UNARY)).build();
    for (String key : request.getKeysList()) {
      reply.onNext(GetOrLockManyResponse.newBuilder().setKey(key).setResponse(hit).build());
    }
    reply.onCompleted();
  }

  /** Afterwards, nothing listens at its port. */
  @Override
  public void close() {
    server.shutdownNow();
    try {
      if (!server.awaitTermination(WAIT_S, TimeUnit.SECONDS)) throw new AssertionError("it does not end");
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}
