package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.StringWriter;
import java.net.URI;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Each piece of Java in the README and its pages compiles, in surroundings that a reader would guess. */
final class ReadmeTest {
  private static final String SURROUNDINGS =
      """
      import com.fasterxml.jackson.core.type.TypeReference;
      import com.fasterxml.jackson.databind.ObjectMapper;
      import dev.dibs.*;
      import dev.dibs.testing.MemoryDibs;
      import io.opentelemetry.api.GlobalOpenTelemetry;
      import io.opentelemetry.api.trace.Span;
      import io.opentelemetry.context.Scope;
      import java.time.Duration;
      import java.util.List;
      import java.util.Map;

      abstract class Block%d {
        interface Page {
          Duration maxAge();
          String author();
          boolean isPrivate();
          String text();
        }

        record User(long id, String name) {}

        interface Database {
          String name(int id);
          Page page(int id);
          Map<String, User> users(List<String> keys);
        }

        record Users(Dibs dibs, Database database) {
          String name(int id) {
            return database.name(id);
          }
        }

        DibsClient dibs;
        Database database;
        Options<String> names;
        Options<User> users;

        void run() throws Exception {
          %s
        }
      }
      """;

  @TempDir Path out;

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(int at, String text) {
      super(URI.create("string:///Block" + at + ".java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }

  @Test
  void hasOnlyJavaThatCompiles() throws Exception {
    StringBuilder pages = new StringBuilder();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of("."), "*.md")) {
      for (Path file : files) pages.append(Files.readString(file));
    }
    Matcher block = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(pages);
    List<JavaFileObject> sources = new ArrayList<>();
    while (block.find()) {
      sources.add(new Source(sources.size(), SURROUNDINGS.formatted(sources.size(), block.group(1))));
    }
    assertTrue(sources.size() >= 5, sources.size() + " blocks");
    String classpath = "target/classes:" + Files.readString(Path.of("target/classpath")).strip();
    StringWriter said = new StringWriter();
    var options = List.of("-proc:none", "-d", out.toString(), "-cp", classpath);
    boolean isSound = ToolProvider.getSystemJavaCompiler().getTask(said, null, null, options, null, sources).call();
    assertEquals("", said.toString());
    assertTrue(isSound);
  }
}
