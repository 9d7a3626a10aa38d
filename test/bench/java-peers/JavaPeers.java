import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.DibsClientBuilder;
import dev.dibs.Options;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import org.redisson.Redisson;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.client.codec.ByteArrayCodec;
import org.redisson.config.Config;

/**
 * The Java client and Caffeine with a lock by Redisson, for the bench {@code clients}. Each line on standard input is a
 * command, and each line on standard output its result, as in {@code go-peers}. Java runs this file directly.
 */
public final class JavaPeers {
  private static final byte[] VALUE = new byte[100];
  private static final Duration TTL = Duration.ofHours(1);
  private static final long BYTES_MAX = 10_000_000;
  private static final int WARM_UP_CALLS = 20_000;
  private static final Options<byte[]> OPTIONS = Options.of(Codec.BYTES, TTL).maxWait(Duration.ofMinutes(1));

  /** One way to get a value: from the cache, or by a rebuild. */
  private interface Way {
    byte[] get(String key, Supplier<byte[]> rebuild);
  }

  private static final class Command {
    String way;
    String key;
    int calls;
    int inFlight;
    int rebuildMs;
  }

  private JavaPeers() {}

  private static Way byDibs(DibsClientBuilder builder, String targets) throws InterruptedException {
    DibsClient client = builder.target(targets).build();
    if (!client.ready(Duration.ofMinutes(1))) throw new IllegalStateException("no service at " + targets);
    return (key, rebuild) -> client.getOrRebuild(key, OPTIONS, its -> rebuild.get());
  }

  /** Threads of one process meet in Caffeine, processes at the lock. Its watchdog extends the lock for its holder. */
  private static Way byCaffeine(Way behind) {
    Cache<String, byte[]> near =
        Caffeine.newBuilder()
            .maximumWeight(BYTES_MAX)
            .weigher((String key, byte[] value) -> key.length() + value.length)
            .expireAfterWrite(TTL)
            .build();
    return (key, rebuild) -> near.get(key, its -> behind.get(its, rebuild));
  }

  /** Reads, takes the lock, reads again, rebuilds and stores. */
  private static Way byRedisson(RedissonClient redisson) {
    return (key, rebuild) -> {
      var bucket = redisson.<byte[]>getBucket("redisson:" + key, ByteArrayCodec.INSTANCE);
      byte[] found = bucket.get();
      if (found != null) return found;
      RLock lock = redisson.getLock("lock:" + key);
      lock.lock();
      try {
        found = bucket.get();
        if (found != null) return found;
        byte[] made = rebuild.get();
        bucket.set(made, TTL);
        return made;
      } finally {
        lock.unlock();
      }
    };
  }

  private static RedissonClient redisson(String store) {
    Config config = new Config();
    config.useSingleServer().setAddress("redis://" + store);
    return Redisson.create(config);
  }

  private static void inThreads(int count, Runnable run) throws InterruptedException {
    List<Thread> threads = new ArrayList<>();
    for (int at = 0; at < count; at += 1) threads.add(new Thread(run));
    for (Thread thread : threads) thread.start();
    for (Thread thread : threads) thread.join();
  }

  private static long cpuNanos() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  /** The wall time and this process's CPU time of a hit, in nanoseconds. */
  private static Object hits(Way way, Command asked) throws InterruptedException {
    Runnable once =
        () -> {
          if (!Arrays.equals(way.get(asked.key, () -> VALUE), VALUE)) throw new IllegalStateException("another value");
        };
    for (int call = 0; call < WARM_UP_CALLS; call += 1) once.run();
    int each = asked.calls / asked.inFlight;
    Runnable some =
        () -> {
          for (int call = 0; call < each; call += 1) once.run();
        };
    long began = System.nanoTime();
    long used = cpuNanos();
    if (asked.inFlight == 1) some.run();
    else inThreads(asked.inFlight, some);
    double calls = asked.calls;
    return Map.of("wallNs", (System.nanoTime() - began) / calls, "cpuNs", (cpuNanos() - used) / calls);
  }

  /** Many callers request one key at once. The time begins when all their threads run. */
  private static Object stampede(Way way, Command asked) throws InterruptedException {
    AtomicInteger rebuilds = new AtomicInteger();
    List<Double> tookMs = Collections.synchronizedList(new ArrayList<>());
    AtomicLong began = new AtomicLong();
    CyclicBarrier gate = new CyclicBarrier(asked.calls, () -> began.set(System.nanoTime()));
    Supplier<byte[]> rebuild =
        () -> {
          rebuilds.incrementAndGet();
          pause(asked.rebuildMs);
          return VALUE;
        };
    inThreads(
        asked.calls,
        () -> {
          await(gate);
          way.get(asked.key, rebuild);
          tookMs.add((System.nanoTime() - began.get()) / 1e6);
        });
    return Map.of("tookMs", tookMs, "rebuilds", rebuilds.get());
  }

  /** Holds the lease until this process is killed. */
  private static Object hold(Way way, Command asked) throws InterruptedException {
    CountDownLatch held = new CountDownLatch(1);
    Supplier<byte[]> rebuild =
        () -> {
          held.countDown();
          pause(Integer.MAX_VALUE);
          return VALUE;
        };
    new Thread(() -> way.get(asked.key, rebuild)).start();
    held.await();
    return Map.of("holds", true);
  }

  private static void pause(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void await(CyclicBarrier gate) {
    try {
      gate.await();
    } catch (InterruptedException | BrokenBarrierException e) {
      throw new IllegalStateException(e);
    }
  }

  /** The arguments: the addresses of the service, and of the value store. */
  public static void main(String[] args) throws Exception {
    // A failed call fails the bench.
    Thread.setDefaultUncaughtExceptionHandler(
        (thread, error) -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1);
        });
    Way redisson = byRedisson(redisson(args[1]));
    Map<String, Way> ways =
        Map.of(
            "near", byDibs(DibsClient.builder().nearCache(BYTES_MAX), args[0]),
            "session", byDibs(DibsClient.builder(), args[0]),
            "caffeine", byCaffeine(redisson),
            "redisson", redisson);
    Gson json = new Gson();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Command asked = json.fromJson(line, Command.class);
      Way way = ways.get(asked.way);
      Object answer =
          switch (json.fromJson(line, JsonObject.class).get("do").getAsString()) {
            case "hits" -> hits(way, asked);
            case "hold" -> hold(way, asked);
            default -> stampede(way, asked);
          };
      System.out.println(json.toJson(answer));
    }
    System.exit(0);
  }
}
