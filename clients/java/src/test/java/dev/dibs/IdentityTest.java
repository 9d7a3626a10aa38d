package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.ReleaseRequest;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How a client shows who it is, and to whom. */
final class IdentityTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  @TempDir Path folder;

  private final FakeService fake = new FakeService();

  @AfterEach
  void close() {
    fake.close();
  }

  private String shown(DibsClient client) throws Exception {
    fake.will(GetOrLockRequest.class, FakeService.hit("v"));
    client.getOrRebuild("k", TEXT.onUnavailable(OnUnavailable.FAIL), () -> "never");
    return fake.headers.get(fake.headers.size() - 1).get(AUTHORIZATION);
  }

  private DibsClientBuilder unary() {
    return fake.client().session(false);
  }

  private static DibsClientBuilder byEnvironment(Map<String, String> environment) {
    return new DibsClientBuilder(environment).session(false).connectTimeout(Until.PATIENCE);
  }

  @Test
  void aTokenTravelsInClearOnlyToThisMachine() throws Exception {
    DibsClientBuilder far = DibsClient.builder().target("dibs.example.com:50051").token("secret");
    String message = assertThrows(IllegalArgumentException.class, far::build).getMessage();
    assertTrue(message.contains("tlsCa") && message.contains("allowInsecureToken"), message);
    assertFalse(message.contains("secret"), message);
    DibsClientBuilder byEnvironment =
        new DibsClientBuilder(Map.of("DIBS_TARGET", "dibs.example.com:50051", "DIBS_TOKEN", "secret"));
    assertThrows(IllegalArgumentException.class, byEnvironment::build);
    far.allowInsecureToken(true).build().close();
    try (DibsClient near = unary().token("secret").build()) {
      assertEquals("Bearer secret", shown(near));
    }
  }

  @Test
  void aTokenOfAFileIsReadAgainWhenThatChanges() throws Exception {
    Path file = Files.writeString(folder.resolve("token"), "first\n");
    try (DibsClient client = unary().tokenFile(file).build()) {
      assertEquals("Bearer first", shown(client));
      Files.writeString(file, "other\n");
      Files.setLastModifiedTime(file, FileTime.from(Instant.now().plusSeconds(5)));
      assertEquals("Bearer other", shown(client));
      // While it is written it may be empty.
      Files.writeString(file, "");
      assertEquals("Bearer other", shown(client));
      // While it is replaced it may be away.
      Files.delete(file);
      assertEquals("Bearer other", shown(client));
    }
    DibsClientBuilder missing = unary().tokenFile(file);
    assertThrows(UncheckedIOException.class, missing::build);
  }

  @Test
  void aTokenOfAFileMayBeNamedByTheEnvironment() throws Exception {
    Path file = Files.writeString(folder.resolve("token"), "of-the-file\n");
    Map<String, String> environment = Map.of("DIBS_TARGET", fake.target(), "DIBS_TOKEN_FILE", file.toString());
    try (DibsClient client = byEnvironment(environment).build()) {
      assertEquals("Bearer of-the-file", shown(client));
    }
    try (DibsClient client = byEnvironment(environment).token("said").build()) {
      assertEquals("Bearer said", shown(client));
    }
    Map<String, String> both = new HashMap<>(environment);
    both.put("DIBS_TOKEN", "known");
    try (DibsClient client = byEnvironment(both).build()) {
      assertEquals("Bearer known", shown(client));
    }
    both = Map.of("DIBS_TARGET", "192.0.2.1:50051", "DIBS_TOKEN_FILE", file.toString());
    assertThrows(IllegalArgumentException.class, new DibsClientBuilder(both)::build);
  }

  @Test
  void aTokenOfAFunctionIsAskedForWithEachCall() throws Exception {
    AtomicReference<String> token = new AtomicReference<>("first");
    try (DibsClient client = unary().token(token::get).build()) {
      assertEquals("Bearer first", shown(client));
      token.set("second");
      assertEquals("Bearer second", shown(client));
      token.set("two\nlines");
      assertThrows(DibsStatusException.class, () -> shown(client));
    }
    try (DibsClient client = unary().token(() -> { throw new IllegalStateException("secret"); }).build()) {
      DibsStatusException error = assertThrows(DibsStatusException.class, () -> shown(client));
      assertFalse(error.getMessage().contains("secret"), error.getMessage());
    }
  }

  @Test
  void aTokenThatCannotBeHadForAMomentDoesNotMakeAValueUnstorable() throws Exception {
    AtomicBoolean isBroken = new AtomicBoolean();
    Recorded hooks = new Recorded();
    Supplier<String> token = () -> {
      if (isBroken.getAndSet(false)) throw new IllegalStateException("secret");
      return "token";
    };
    try (DibsClient client = unary().token(token).hooks(hooks).build()) {
      fake.will(GetOrLockRequest.class, FakeService.lease("t", 10_000));
      assertEquals("mine", client.getOrRebuild("k", TEXT, () -> {
        isBroken.set(true);
        return "mine";
      }));
      Until.isTrue(() -> hooks.events.equals(List.of("publish STORED")));
      assertTrue(fake.requests(ReleaseRequest.class).isEmpty());
    }
  }

  @Test
  void aTokenIsNotPrinted() {
    assertFalse(Token.of("secret").toString().contains("secret"));
    String message = assertThrows(IllegalArgumentException.class, () -> Token.of("sec ret")).getMessage();
    assertFalse(message.contains("sec"), message);
  }

  @Test
  void aCertificateAndItsKeyBelongTogether() {
    DibsClientBuilder half = new DibsClientBuilder(Map.of("DIBS_TLS_CERT", "cert.pem"));
    String message = assertThrows(IllegalArgumentException.class, half::build).getMessage();
    assertTrue(message.contains("DIBS_TLS_KEY"), message);
    DibsClientBuilder missing = DibsClient.builder().tlsCertificate(folder.resolve("c.pem"), folder.resolve("k.pem"));
    message = assertThrows(UncheckedIOException.class, missing::build).getMessage();
    assertTrue(message.contains("DIBS_TLS_CERT") && message.contains("c.pem"), message);
  }
}
