package dev.dibs.conformance;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/**
 * Runs this client in the conformance scenarios: commands are lines of JSON on stdin, answers and events are lines of
 * JSON on stdout. The format is in {@code test/conformance/README.md}.
 */
final class Adapter {
  /** Kept here, because a logger without a reference is dropped. */
  private static final Logger WARNINGS = Logger.getLogger("dev.dibs");

  private final PrintStream out =
      new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
  private final ExecutorService commands = Executors.newCachedThreadPool();
  private final Actor actor = new Actor(this::print);

  public static void main(String[] args) throws IOException {
    new Adapter().play();
    System.exit(0);
  }

  private void play() throws IOException {
    JsonObject ready = new JsonObject();
    ready.addProperty("event", "ready");
    // What the client logs.
    WARNINGS.addHandler(new Told());
    print(ready);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonObject command = JsonParser.parseString(line).getAsJsonObject();
      commands.execute(() -> play(command));
    }
  }

  private void play(JsonObject command) {
    CompletableFuture<JsonObject> result;
    try {
      result = actor.act(command.get("do").getAsString(), command);
    } catch (Exception error) {
      result = CompletableFuture.failedFuture(error);
    }
    result.whenComplete(
        (value, error) -> {
          JsonObject answer = new JsonObject();
          answer.add("id", command.get("id"));
          if (error == null) answer.add("result", value);
          else answer.add("error", Faults.of(error));
          print(answer);
        });
  }

  private final class Told extends Handler {
    @Override
    public void publish(LogRecord record) {
      if (record.getLevel().intValue() < Level.WARNING.intValue()) return;
      JsonObject event = new JsonObject();
      event.addProperty("event", "warning");
      event.addProperty("text", new SimpleFormatter().formatMessage(record));
      print(event);
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  }

  private synchronized void print(JsonObject line) {
    out.println(line);
  }
}
