package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import io.grpc.ServerCredentials;
import io.grpc.TlsServerCredentials;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TlsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final char[] PASSWORD = "password".toCharArray();

  @TempDir Path folder;

  @Test
  void isTurnedOnByTheAuthoritiesOfTheEnvironment() throws Exception {
    KeyStore store = selfSigned();
    Path certificate = pem("CERTIFICATE", store.getCertificate("dibs").getEncoded());
    Path key = pem("PRIVATE KEY", store.getKey("dibs", PASSWORD).getEncoded());
    try (FakeService service = new FakeService(TlsServerCredentials.create(certificate.toFile(), key.toFile()))) {
      service.will(GetOrLockRequest.class, FakeService.hit("v"));
      Map<String, String> environment = Map.of("DIBS_TARGET", service.target(), "DIBS_TLS_CA", certificate.toString());
      try (DibsClient client = new DibsClientBuilder(environment).onUnavailable(OnUnavailable.FAIL).build()) {
        assertEquals("v", client.getOrRebuild("k", TEXT, () -> "never"));
      }
      try (DibsClient plain = service.client().onUnavailable(OnUnavailable.FAIL).build()) {
        assertThrows(DibsStatusException.class, () -> plain.getOrRebuild("k", TEXT, () -> "never"));
      }
    }
  }

  @Test
  void showsItsOwnCertificateWhereOneIsAskedFor() throws Exception {
    KeyStore store = selfSigned();
    Path certificate = pem("CERTIFICATE", store.getCertificate("dibs").getEncoded());
    Path key = pem("PRIVATE KEY", store.getKey("dibs", PASSWORD).getEncoded());
    ServerCredentials asking =
        TlsServerCredentials.newBuilder()
            .keyManager(certificate.toFile(), key.toFile())
            .trustManager(certificate.toFile())
            .clientAuth(TlsServerCredentials.ClientAuth.REQUIRE)
            .build();
    try (FakeService service = new FakeService(asking)) {
      service.will(GetOrLockRequest.class, FakeService.hit("v"));
      Map<String, String> trusting = Map.of("DIBS_TARGET", service.target(), "DIBS_TLS_CA", certificate.toString());
      Map<String, String> known = new HashMap<>(trusting);
      known.putAll(Map.of("DIBS_TLS_CERT", certificate.toString(), "DIBS_TLS_KEY", key.toString()));
      try (DibsClient client = new DibsClientBuilder(known).onUnavailable(OnUnavailable.FAIL).build()) {
        assertEquals("v", client.getOrRebuild("k", TEXT, () -> "never"));
      }
      try (DibsClient unknown = new DibsClientBuilder(trusting).onUnavailable(OnUnavailable.FAIL).build()) {
        assertThrows(DibsStatusException.class, () -> unknown.getOrRebuild("k", TEXT, () -> "never"));
      }
    }
  }

  @Test
  void saysWhichFileIsNotThere() {
    DibsClientBuilder builder = DibsClient.builder().tlsCa(folder.resolve("missing.pem"));
    String message = assertThrows(UncheckedIOException.class, builder::build).getMessage();
    assertTrue(message.contains("DIBS_TLS_CA") && message.contains("missing.pem"), message);
  }

  private KeyStore selfSigned() throws Exception {
    Path file = folder.resolve("keys.p12");
    String tool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
    Process process =
        new ProcessBuilder(
                tool, "-genkeypair", "-alias", "dibs", "-keyalg", "EC", "-dname", "CN=localhost", "-ext",
                "san=ip:127.0.0.1,dns:localhost", "-ext", "bc=ca:true", "-storetype", "PKCS12", "-keystore",
                file.toString(), "-storepass", new String(PASSWORD))
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start();
    assertEquals(0, process.waitFor());
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(file)) {
      store.load(in, PASSWORD);
    }
    return store;
  }

  private Path pem(String kind, byte[] bytes) throws Exception {
    String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(bytes);
    Path file = folder.resolve(kind + ".pem");
    return Files.writeString(file, "-----BEGIN %s-----\n%s\n-----END %s-----\n".formatted(kind, body, kind));
  }
}
