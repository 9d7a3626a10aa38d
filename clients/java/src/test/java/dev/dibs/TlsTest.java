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
import java.nio.file.StandardCopyOption;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A certificate is made by a process of its own, which takes long on a busy machine. */
@Timeout(300)
final class TlsTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final char[] PASSWORD = "password".toCharArray();

  @TempDir Path folder;

  private static DibsClient patient(DibsClientBuilder builder) {
    return builder.onUnavailable(OnUnavailable.FAIL).connectTimeout(Until.PATIENCE).build();
  }

  @Test
  void isTurnedOnByTheAuthoritiesOfTheEnvironment() throws Exception {
    KeyStore store = selfSigned();
    Path certificate = pem("CERTIFICATE", store.getCertificate("dibs").getEncoded());
    Path key = pem("PRIVATE KEY", store.getKey("dibs", PASSWORD).getEncoded());
    try (FakeService service = new FakeService(TlsServerCredentials.create(certificate.toFile(), key.toFile()))) {
      service.will(GetOrLockRequest.class, FakeService.hit("v"));
      Map<String, String> environment = Map.of("DIBS_TARGET", service.target(), "DIBS_TLS_CA", certificate.toString());
      try (DibsClient client = patient(new DibsClientBuilder(environment))) {
        assertEquals("v", client.getOrRebuild("k", TEXT, () -> "never"));
      }
      // The service says nothing to it.
      DibsClientBuilder hasty = service.client().connectTimeout(Duration.ofSeconds(2));
      try (DibsClient plain = hasty.onUnavailable(OnUnavailable.FAIL).build()) {
        assertThrows(DibsStatusException.class, () -> plain.getOrRebuild("k", TEXT, () -> "never"));
      }
    }
  }

  @Test
  void checksEachReplicaOfAListForItsOwnName() throws Exception {
    KeyStore store = selfSigned();
    Path certificate = pem("CERTIFICATE", store.getCertificate("dibs").getEncoded());
    Path key = pem("PRIVATE KEY", store.getKey("dibs", PASSWORD).getEncoded());
    try (FakeService service = new FakeService(TlsServerCredentials.create(certificate.toFile(), key.toFile()))) {
      service.will(GetOrLockRequest.class, FakeService.hit("v"));
      String port = service.target().replaceFirst(".*:", ":");
      // The certificate is not one of 127.0.0.2.
      for (String target : new String[] {"127.0.0.2" + port + ",localhost" + port, "127.0.0.2" + port}) {
        try (DibsClient client = patient(DibsClient.builder().target(target).tlsCa(certificate))) {
          if (target.contains(",")) assertEquals("v", client.getOrRebuild("k", TEXT, () -> "never"));
          else assertThrows(DibsStatusException.class, () -> client.getOrRebuild("k", TEXT, () -> "never"));
        }
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
      try (DibsClient client = patient(new DibsClientBuilder(known))) {
        assertEquals("v", client.getOrRebuild("k", TEXT, () -> "never"));
      }
      try (DibsClient unknown = patient(new DibsClientBuilder(trusting))) {
        assertThrows(DibsStatusException.class, () -> unknown.getOrRebuild("k", TEXT, () -> "never"));
      }
    }
  }

  @Test
  void readsItsOwnCertificateAgainForEachConnectionAndOnlyAsAPair() throws Exception {
    KeyStore[] stores = {selfSigned(), selfSigned(), selfSigned()};
    Path certificate = pem("CERTIFICATE", stores[0].getCertificate("dibs").getEncoded());
    Path key = pem("PRIVATE KEY", stores[0].getKey("dibs", PASSWORD).getEncoded());
    OwnCertificate own = new OwnCertificate(certificate, key);
    String first = own.chooseEngineClientAlias(null, null, null);
    assertEquals(stores[0].getCertificate("dibs"), own.getCertificateChain(first)[0]);
    // The key comes first, and fits nothing yet.
    pem("PRIVATE KEY", stores[1].getKey("dibs", PASSWORD).getEncoded());
    assertEquals(first, own.chooseEngineClientAlias(null, null, null));
    pem("CERTIFICATE", stores[1].getCertificate("dibs").getEncoded());
    String second = own.chooseEngineClientAlias(null, null, null);
    assertEquals(stores[1].getCertificate("dibs"), own.getCertificateChain(second)[0]);
    assertEquals(stores[1].getKey("dibs", PASSWORD), own.getPrivateKey(second));
    // A handshake that had begun before.
    assertEquals(stores[0].getKey("dibs", PASSWORD), own.getPrivateKey(first));
    Files.delete(certificate);
    assertEquals(second, own.chooseEngineClientAlias(null, null, null));
    pem("CERTIFICATE", stores[2].getCertificate("dibs").getEncoded());
    assertEquals(second, own.chooseEngineClientAlias(null, null, null));
    DibsClientBuilder mixed = DibsClient.builder().tlsCertificate(certificate, key);
    String message = assertThrows(IllegalArgumentException.class, mixed::build).getMessage();
    assertTrue(message.contains("another key"), message);
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
    Path read = Files.move(file, folder.resolve("read.p12"), StandardCopyOption.REPLACE_EXISTING);
    try (InputStream in = Files.newInputStream(read)) {
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
