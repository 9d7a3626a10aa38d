package dev.dibs;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The examples run unchanged, in processes of their own, and again where the machine was too busy. */
@Timeout(300)
final class ExamplesTest {
  private static Service service;

  @BeforeAll
  static void start() {
    service = Service.start();
  }

  @AfterAll
  static void stop() {
    service.close();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "start | Ada",
        "rebuild-once | Ada and Ada after 1 query",
        "stale-while-revalidate | page 1, then page 1 at once, then page 2",
        "invalidate-on-write | 10, then 12"
      })
  void doesWhatItSays(String name, String expected) throws Exception {
    String out = run(name);
    // On a busy machine, a new process may take more than two seconds to connect. Then it is not coordinated. Half a
    // second may pass between two of its lines, too, and that looks like a wait.
    for (int again = 0; again < 10 && (out.contains("cannot be reached") || out.contains("after a wait")); again++) {
      stop();
      start(); // It must not find what the run before has published.
      out = run(name);
    }
    assertTrue(("\n" + out).endsWith("\n" + expected + "\n"), out);
  }

  /** Returns what the example prints, with its warnings. */
  private static String run(String name) throws Exception {
    ProcessBuilder builder = new ProcessBuilder("./tasks.sh", "example", name);
    builder.environment().put("DIBS_TARGET", service.target());
    Process process = builder.redirectErrorStream(true).start();
    String out = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertEquals(0, process.waitFor(), out);
    return out;
  }

  @Test
  void theStartInTheReadmeIsOneOfThem() throws Exception {
    String readme = Files.readString(Path.of("README.md"));
    Matcher block = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(readme);
    assertTrue(block.find());
    String example = Files.readString(Path.of("examples/Start.java"));
    for (String line : block.group(1).lines().toList()) assertTrue(example.contains(line.strip()), line);
    assertTrue(block.group(1).lines().count() <= 10);
  }
}
