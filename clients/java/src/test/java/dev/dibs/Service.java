package dev.dibs;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A real service in a process of its own, on its embedded default. */
public final class Service implements AutoCloseable {
  private static final Pattern ADDRESS = Pattern.compile("grpc=(\\S+)");
  private static final AtomicInteger KEYS = new AtomicInteger();

  private final Process process;
  private final String target;

  private Service(Process process, String target) {
    this.process = process;
    this.target = target;
  }

  public static Service start() {
    return start("127.0.0.1:0", Map.of());
  }

  static Service start(String listen, Map<String, String> environment) {
    ProcessBuilder builder = new ProcessBuilder("node", "dist/main.js").directory(Path.of("../..").toFile());
    builder.environment().putAll(Map.of("DIBS_LISTEN", listen, "DIBS_HTTP_LISTEN", "127.0.0.1:0"));
    builder.environment().putAll(environment);
    builder.redirectError(ProcessBuilder.Redirect.DISCARD);
    try {
      Process process = builder.start();
      // With this process it goes too, also where a test does not end as it should.
      Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
      var out = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
      String line = String.valueOf(out.readLine());
      Matcher address = ADDRESS.matcher(line);
      if (!address.find()) throw new IllegalStateException("the service did not start: " + line);
      return new Service(process, address.group(1));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  public String target() {
    return target;
  }

  /** A client in a process of its own, as far as it can tell: nothing is shared with any other. */
  DibsClientBuilder client() {
    return DibsClient.builder().target(target).connectTimeout(Until.PATIENCE);
  }

  /** {@code kill -9}. */
  @Override
  public void close() {
    process.destroyForcibly();
    try {
      process.waitFor(10, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  /** A key that no other test uses. */
  static String freshKey() {
    return "key " + KEYS.incrementAndGet();
  }
}
