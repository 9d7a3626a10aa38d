package dev.dibs.conformance;

import com.google.gson.JsonObject;
import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.Options;
import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.GetOrLockRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;

/** The cost of a hit by getOrRebuild compared with GetOrLock by the plain stub, in microseconds of wall time. */
final class Bench {
  private interface Ask {
    void once(String key) throws Exception;
  }

  private static final int ROUNDS = 3;
  private static final Options<byte[]> OPTIONS = Options.of(Codec.BYTES, Duration.ofHours(1));

  private final DibsClient client;
  private final String key;
  private final int calls;
  private final int inFlight;
  private final boolean overSession;
  private final String namespace;

  Bench(DibsClient client, boolean overSession, String namespace, JsonObject fields) {
    this.client = client;
    this.overSession = overSession;
    this.namespace = namespace;
    this.key = fields.get("key").getAsString();
    this.calls = fields.get("calls").getAsInt();
    this.inFlight = fields.get("in_flight").getAsInt();
  }

  JsonObject run() throws Exception {
    byte[] value = new byte[100];
    Ask byClient = one -> client.getOrRebuild(one, OPTIONS, () -> value);
    for (int at = 0; at < inFlight; at += 1) byClient.once(keyOf(at));
    double[] clientMicros = new double[ROUNDS];
    double[] stubMicros = new double[ROUNDS];
    BareSession session = overSession ? new BareSession(client.channel()) : null;
    var stub = CoordinatorServiceGrpc.newBlockingStub(client.channel());
    Ask byStub = one -> {
      if (session == null) stub.getOrLock(request(one));
      else session.ask(request(one)).get();
    };
    for (int round = 0; round < ROUNDS; round += 1) {
      stubMicros[round] = microsOf(byStub);
      clientMicros[round] = microsOf(byClient);
    }
    if (session != null) session.end();
    JsonObject result = new JsonObject();
    result.addProperty("client_us", middle(clientMicros));
    result.addProperty("stub_us", middle(stubMicros));
    result.addProperty("stub", overSession ? "session" : "unary");
    return result;
  }

  private String keyOf(int at) {
    return key + " " + at;
  }

  private GetOrLockRequest request(String key) {
    return GetOrLockRequest.newBuilder().setNamespace(namespace).setKey(key).build();
  }

  /** Per call, with as many threads as concurrent calls. */
  private double microsOf(Ask ask) throws Exception {
    AtomicInteger left = new AtomicInteger(calls);
    ExecutorService threads = Executors.newFixedThreadPool(inFlight);
    long startNanos = System.nanoTime();
    List<Future<?>> workers = new ArrayList<>();
    for (int at = 0; at < inFlight; at += 1) {
      String mine = keyOf(at);
      Callable<Void> worker = () -> {
        while (left.getAndDecrement() > 0) ask.once(mine);
        return null;
      };
      workers.add(threads.submit(worker));
    }
    for (Future<?> worker : workers) worker.get();
    threads.shutdown();
    return (System.nanoTime() - startNanos) / 1_000.0 / calls;
  }

  private static double middle(double[] all) {
    Arrays.sort(all);
    return all[all.length / 2];
  }
}
