package dev.dibs;

import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import dev.dibs.v1.SessionHello;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.SessionRequest;
import dev.dibs.v1.SessionResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;

/**
 * One stream, with its open calls. One thread sends at a time. Calls that arrive meanwhile leave together, in the next
 * message.
 */
final class SessionStream extends ClientCall.Listener<SessionResponse> {
  /** No message of the contract is larger. */
  private static final int MESSAGE_BYTES_MAX = 1 << 20;

  /** The size of a call without its request and its traceparent: tags, lengths, ID and deadline. */
  private static final int CALL_BYTES = 256;

  /** The largest request that fits into one message. */
  static final int REQUEST_BYTES_MAX = MESSAGE_BYTES_MAX - CALL_BYTES - Bounds.TRACEPARENT_BYTES_MAX;

  /** The work after an answer is short and needs no thread of its own. */
  private static final CallOptions OPTIONS = CallOptions.DEFAULT.withExecutor(Runnable::run);

  private final ClientCall<SessionRequest, SessionResponse> stream;
  private final Link link;
  private final Duration connectTimeout;
  private final SessionHello hello;

  /** Null if there is nothing to watch. */
  private final Watch watch;

  private final SessionOwner owner;
  private final AtomicBoolean started = new AtomicBoolean();

  /** {@code more} gets each reply except the last. */
  private record Open(SessionCall call, CompletableFuture<SessionReply> last, Consumer<SessionReply> more) {}

  private final Map<Long, Open> open = new HashMap<>();
  private final LeftCalls left = new LeftCalls();
  private final Map<Long, SessionCall> calling = new LinkedHashMap<>();
  private List<Long> cancelled = new ArrayList<>();
  private long lastId;

  /** No other message is sent before the hello. */
  private boolean sending = true;

  /** The service and everything in between support sessions. */
  private volatile boolean confirmed;

  /** The stream ends with its last call. */
  private boolean leaving;

  /** Nothing is sent any more. */
  private volatile boolean over;

  /** Stops the timer that fires unless the session is confirmed in time; null before there is one. */
  private Runnable late;

  /** Listeners of the calls that have not been sent yet. */
  private final Map<Long, Transport.Sending> sendings = new HashMap<>();

  /** Fails if the session cannot be opened. */
  private final CompletableFuture<Void> confirmation = new CompletableFuture<>();

  /** The address of the stream; null before that is known. */
  private volatile SocketAddress address;

  /** {@code addressing} sets the address; {@code watch} is null if there is nothing to watch. */
  SessionStream(
      Link link,
      Duration connectTimeout,
      UnaryOperator<CallOptions> addressing,
      SessionHello hello,
      Watch watch,
      SessionOwner owner) {
    CallOptions options = addressing.apply(OPTIONS).withOption(AddressBalancer.PICKED, picked -> address = picked);
    this.stream = link.channel().newCall(CoordinatorServiceGrpc.getSessionMethod(), options);
    this.link = link;
    this.connectTimeout = connectTimeout;
    this.hello = hello;
    this.watch = watch;
    this.owner = owner;
  }

  /** The address of the stream; null before that is known. */
  SocketAddress address() {
    return address;
  }

  /** Null if there is nothing to watch. */
  Watch watch() {
    return watch;
  }

  /** Whether the session is open. */
  boolean isConfirmed() {
    return confirmed && !over;
  }

  /** Opens the stream, the first time. */
  void start() {
    if (!started.compareAndSet(false, true)) return;
    stream.start(this, new Metadata());
    stream.sendMessage(SessionRequest.newBuilder().setHello(hello).build());
    stream.request(1);
    synchronized (this) {
      sending = false;
      if (!confirmed && !over) late = RunningTime.after(connectTimeout, this::isLate);
    }
    link.connection().ifLate(this::giveUp);
  }

  /**
   * One call; null if new calls go elsewhere. It leaves with the next {@link #flush()}. Completes with its last reply;
   * {@code more} gets those before it.
   */
  CompletableFuture<SessionReply> ask(SessionCall.Builder call, Transport.Terms terms, Consumer<SessionReply> more) {
    CompletableFuture<SessionReply> reply = new CompletableFuture<>();
    long id;
    synchronized (this) {
      if (leaving || over) return null;
      lastId += 1;
      id = lastId;
      SessionCall its = call.setId(id).build();
      open.put(id, new Open(its, reply, more));
      calling.put(id, its);
      sendings.put(id, terms.sending());
    }
    Future<?> timer = Threads.after(terms.deadline(), () -> leave(id, noAnswer(terms.deadline())));
    Runnable forget = terms.left().onRaise(() -> leave(id, DibsStatusException.cancelled("the caller has gone")));
    reply.whenComplete(
        (response, error) -> {
          timer.cancel(false);
          forget.run();
        });
    return reply;
  }

  /** Sends what is waiting, unless another thread already does or the stream is full: then it leaves later. */
  void flush() {
    for (; ; ) {
      SessionRequest message;
      List<Transport.Sending> sent = new ArrayList<>();
      Watch told;
      synchronized (this) {
        if (sending || over) return;
        if (calling.isEmpty() && cancelled.isEmpty()) {
          endIfLeft();
          return;
        }
        if (!stream.isReady()) return;
        message = gathered(sent);
        // While the stream is being left, its beats are not counted.
        told = leaving ? null : watch;
        sending = true;
      }
      sent.forEach(one -> one.leaves(told));
      try {
        stream.sendMessage(message);
      } catch (IllegalStateException error) {
        // The stream was given up meanwhile, and its calls have ended.
        return;
      }
      synchronized (this) {
        sending = false;
      }
    }
  }

  /** Accepts no new calls; open ones are still answered. */
  void leave() {
    synchronized (this) {
      leaving = true;
    }
    flush();
  }

  @Override
  public void onReady() {
    flush();
  }

  @Override
  public void onMessage(SessionResponse message) {
    stream.request(1);
    if (message.hasWelcome()) {
      confirm();
      owner.welcomed(this, message.getWelcome().getResumeToken());
    }
    message.getRepliesList().forEach(this::replied);
    message.getEventsList().forEach(this::happened);
    flush();
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    String description = status.getDescription() == null ? "" : ": " + status.getDescription();
    boolean isRefused = status.getCode() == Status.Code.UNIMPLEMENTED;
    broken(
        new DibsStatusException(
            isRefused ? status.getCode() : Status.Code.UNAVAILABLE,
            "the session has ended, %s%s".formatted(status.getCode(), description)));
  }

  private synchronized void confirm() {
    confirmed = true;
    if (late != null) late.run();
    confirmation.complete(null);
  }

  /** Fails if the session cannot be opened. */
  CompletableFuture<Void> confirmation() {
    return confirmation;
  }

  private void replied(SessionReply reply) {
    Open call;
    synchronized (this) {
      call = reply.getMore() ? open.get(reply.getId()) : open.remove(reply.getId());
    }
    if (call == null) {
      ReleaseRequest lease = left.releaseFor(reply);
      if (lease != null) owner.unwanted(lease);
      return;
    }
    if (!reply.hasError()) {
      if (reply.getMore()) call.more().accept(reply);
      else call.last().complete(reply);
      return;
    }
    DibsStatusException error = DibsStatusException.of(reply.getError());
    boolean isUnknown = error.code() == Status.Code.UNAUTHENTICATED;
    // Its credentials are no longer known: the next session uses the current ones, and this call is made separately.
    if (isUnknown) owner.draining(this);
    call.last().completeExceptionally(isUnknown ? new NoSessionException(error) : error);
  }

  private void happened(SessionEvent event) {
    if (event.hasLeaseLost()) owner.leaseLost(event.getLeaseLost().getToken());
    else if (event.hasDraining()) owner.draining(this);
    else if (event.hasInvalidated()) owner.changed(event.getInvalidated());
    else if (event.hasBeat()) owner.beat(this);
  }

  /** The caller of one call has gone. */
  private void leave(long id, DibsStatusException error) {
    Open call;
    synchronized (this) {
      call = open.remove(id);
      if (call == null) return;
      // What has not been sent need not be cancelled.
      sendings.remove(id);
      if (calling.remove(id) == null) {
        cancelled.add(id);
        left.add(call.call());
      }
    }
    call.last().completeExceptionally(error);
    flush();
  }

  /** As many calls as fit into one message, and at least one. */
  private SessionRequest gathered(List<Transport.Sending> sent) {
    SessionRequest.Builder message = SessionRequest.newBuilder().addAllCancelledIds(cancelled);
    cancelled = new ArrayList<>();
    int bytes = message.build().getSerializedSize();
    for (Iterator<SessionCall> calls = calling.values().iterator(); calls.hasNext(); calls.remove()) {
      SessionCall call = calls.next();
      bytes += call.getSerializedSize() + CALL_BYTES;
      if (message.getCallsCount() > 0 && bytes > MESSAGE_BYTES_MAX) break;
      message.addCalls(call);
      sent.add(sendings.remove(call.getId()));
    }
    return message.build();
  }

  private void endIfLeft() {
    if (!leaving || !open.isEmpty()) return;
    over = true;
    stream.halfClose();
  }

  private void isLate() {
    giveUp(DibsStatusException.unavailable("no session within %d ms".formatted(connectTimeout.toMillis())));
  }

  private void giveUp(DibsStatusException error) {
    synchronized (this) {
      if (confirmed) return;
    }
    broken(error);
    stream.cancel(error.getMessage(), null);
  }

  private void broken(DibsStatusException error) {
    List<Open> calls;
    boolean hadNoSession;
    synchronized (this) {
      over = true;
      hadNoSession = !confirmed;
      if (late != null) late.run();
      calls = new ArrayList<>(open.values());
      open.clear();
      calling.clear();
      sendings.clear();
    }
    link.connection().brokeOff();
    owner.broken(this);
    DibsStatusException outcome = hadNoSession ? new NoSessionException(error) : error;
    confirmation.completeExceptionally(outcome);
    calls.forEach(call -> call.last().completeExceptionally(outcome));
  }

  private static DibsStatusException noAnswer(Duration deadline) {
    return new DibsStatusException(
        Status.Code.DEADLINE_EXCEEDED, "no answer within %d ms".formatted(deadline.toMillis()));
  }
}
