package dev.dibs;

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

  final DibsClient client(boolean session, Hooks hooks) {
    DibsClient client = service.client().session(session).hooks(hooks).holder("me").build();
    clients.add(client);
    return client;
  }

  final DibsClient client(boolean session) {
    return client(session, Hooks.NONE);
  }

  final ExplainResponse explain(DibsClient client) {
    return CoordinatorServiceGrpc.newBlockingStub(client.channel())
        .explain(ExplainRequest.newBuilder().setKey(key).build());
  }
}
