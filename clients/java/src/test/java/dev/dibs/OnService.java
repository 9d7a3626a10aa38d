package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.ExplainRequest;
import dev.dibs.v1.ExplainResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;

/** A real service for the tests of a class, and their clients. */
abstract class OnService {
  static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  static Service service;

  final String key = Service.freshKey();
  private final List<DibsClient> clients = new ArrayList<>();

  @BeforeAll
  static void start() {
    service = Service.start();
  }

  @AfterAll
  static void stop() {
    service.close();
  }

  @AfterEach
  void close() {
    clients.forEach(DibsClient::close);
  }

  /** Connected, so that no time that a test counts goes by with that. */
  final DibsClient client(boolean session, Hooks hooks) {
    DibsClient client = service.client().session(session).hooks(hooks).holder("me").build();
    clients.add(client);
    connect(client);
    return client;
  }

  private static void connect(DibsClient client) {
    for (int time = 1; ; time += 1) {
      try {
        client.explain("a key of no test");
        return;
      } catch (DibsStatusException late) {
        if (time == 10) throw late;
      }
    }
  }

  final DibsClient client(boolean session) {
    return client(session, Hooks.NONE);
  }

  /** On a busy machine, a publish may have no answer in time. Then it is repeated after the call. */
  final void store(DibsClient client, Options<String> options, String value) throws Exception {
    assertEquals(value, client.getOrRebuild(key, options, () -> value));
    assertTrue(client.flush(Until.PATIENCE));
  }

  final ExplainResponse explain(DibsClient client) {
    return CoordinatorServiceGrpc.newBlockingStub(client.channel())
        .explain(ExplainRequest.newBuilder().setKey(key).build());
  }
}
