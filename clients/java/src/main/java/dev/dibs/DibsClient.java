package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.Transport.Terms;
import dev.dibs.v1.InvalidateMode;
import dev.dibs.v1.InvalidateRequest;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * A client of Dibs. One for each process is enough: it holds one channel, over which any number of calls go at once,
 * from any threads.
 */
public final class DibsClient implements Dibs {
  private final Channel channel;
  private final Parts parts;
  private final Flights<ByteString> flights = new Flights<>();

  DibsClient(Link link, Parts parts) {
    this.channel = ClientInterceptors.intercept(link.channel(), new CurrentTrace());
    this.parts = parts;
  }

  /**
   * A client with its defaults.
   *
   * @return takes what is to be otherwise
   */
  public static DibsClientBuilder builder() {
    return new DibsClientBuilder();
  }

  @Override
  public <V> V getOrRebuild(String key, Options<V> options, RebuildFunction<V> rebuild) throws Exception {
    CompletableFuture<ByteString> seat = join(key, options, rebuild);
    try {
      return decoded(options, seat.get());
    } catch (InterruptedException error) {
      seat.cancel(false);
      Thread.currentThread().interrupt();
      throw DibsStatusException.cancelled("the caller was interrupted");
    } catch (ExecutionException error) {
      if (error.getCause() instanceof Exception cause) throw cause;
      if (error.getCause() instanceof Error cause) throw cause;
      throw error;
    }
  }

  @Override
  public <V> CompletableFuture<V> getOrRebuildAsync(String key, Options<V> options, RebuildFunction<V> rebuild) {
    CompletableFuture<ByteString> seat = join(key, options, rebuild);
    CompletableFuture<V> result = new CompletableFuture<>();
    // Elsewhere than on the network's thread, for what follows is the user's and may take its time.
    seat.thenApplyAsync(bytes -> decoded(options, bytes), parts.executor())
        .whenComplete((value, error) -> Futures.settle(result, value, error));
    result.whenComplete((value, error) -> seat.cancel(false));
    return result;
  }

  @Override
  public InvalidateResult invalidate(Invalidation what) {
    InvalidateRequest request =
        InvalidateRequest.newBuilder()
            .setNamespace(what.namespace().isEmpty() ? parts.namespace() : what.namespace())
            .addAllKeys(what.keys())
            .addAllTags(what.tags())
            .setAll(what.all())
            .setMode(
                what.markStale()
                    ? InvalidateMode.INVALIDATE_MODE_MARK_STALE
                    : InvalidateMode.INVALIDATE_MODE_DELETE)
            .build();
    var call = parts.transport().call(Method.INVALIDATE, request, Terms.within(Transport.DEADLINE, parts.tracing().ofCaller("").traceparent()));
    try {
      var response = call.get();
      return new InvalidateResult(response.getKeysInvalidated(), response.getLeasesVoided());
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw DibsStatusException.cancelled("the caller was interrupted");
    } catch (ExecutionException error) {
      throw DibsStatusException.of(error.getCause());
    }
  }

  /**
   * For what this class has no method of: {@code CoordinatorServiceGrpc.newBlockingStub(client.channel())}. The token
   * is attached, and the traceparent of the current span; deadlines are the caller's.
   *
   * @return ends with this client
   */
  public Channel channel() {
    return channel;
  }

  @Override
  public void close() {
    parts.transport().close();
  }

  private <V> CompletableFuture<ByteString> join(String key, Options<V> options, RebuildFunction<V> rebuild) {
    refuseBroken(key);
    String namespace = options.namespace() == null ? parts.namespace() : options.namespace();
    OnUnavailable onUnavailable =
        options.onUnavailable() == null ? parts.onUnavailable() : options.onUnavailable();
    Run.Body body = run -> encoded(options, rebuild.rebuild(new RunOf<>(run, options.codec())));
    Flights<ByteString> among = options.mayJoin() ? flights : new Flights<>();
    Duration wait = options.maxWait();
    // Calls with the same of these get the same answer, so that one of them asks for all.
    var id = Arrays.asList(namespace, key, options.stale(), options.revalidate(), wait, onUnavailable);
    return among.join(
        id,
        left -> {
          CallTrace trace = parts.tracing().ofCaller(options.traceparent());
          return new FetchLoop(parts, new Question(namespace, key, options, onUnavailable, body, left, trace)).start();
        });
  }

  /** On its way half of a surrogate pair becomes a question mark: two broken keys must never become one. */
  private static void refuseBroken(String key) {
    if (key.chars().anyMatch(unit -> Character.isSurrogate((char) unit))
        && !StandardCharsets.UTF_8.newEncoder().canEncode(key)) {
      throw new DibsStatusException(Status.Code.INVALID_ARGUMENT, "key: has half of a surrogate pair");
    }
  }

  private static <V> ByteString encoded(Options<V> options, V value) {
    return value == null ? null : ByteString.copyFrom(options.codec().encode(value));
  }

  private static <V> V decoded(Options<V> options, ByteString bytes) {
    return bytes == null ? null : options.codec().decode(bytes.toByteArray());
  }
}
