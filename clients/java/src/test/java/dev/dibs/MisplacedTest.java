package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A secret that is set where a path or an address belongs is repeated by no error and no log. */
final class MisplacedTest {
  private static final String PASSWORD = "pa55word-of-mine";
  private static final List<String> TOKENS =
      List.of(
          "my-secret-token",
          "dibs.my-secret-token",
          "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWJzIn0.c2lnbmF0dXJlLW9mLW1pbmU",
          "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
          "q1W2e3R4t5Y6u7I8/o9P0aSdFgHjKlZxCvBnMqWeRtY=",
          "/q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZx",
          "/q1W2e3R4+t5Y6u7I8o9P0aSdFgHj=");

  @TempDir Path folder;

  private record Option(String variable, Function<Path, DibsClientBuilder> set) {}

  /** Each option that takes a path, with what else it needs. */
  private List<Option> options() throws Exception {
    Path other = Files.writeString(folder.resolve("other"), "other");
    return List.of(
        new Option("DIBS_TLS_CA", it -> DibsClient.builder().tlsCa(it)),
        new Option("DIBS_TLS_CERT", it -> DibsClient.builder().tlsCertificate(it, other)),
        new Option("DIBS_TLS_KEY", it -> DibsClient.builder().tlsCertificate(other, it)),
        new Option("DIBS_TOKEN_FILE", it -> DibsClient.builder().tokenFile(it)));
  }

  private static DibsClientBuilder byEnvironment(String variable, String value) {
    Map<String, String> environment = new HashMap<>();
    if (variable.matches("DIBS_TLS_(CERT|KEY)")) {
      environment.putAll(Map.of("DIBS_TLS_CERT", "other", "DIBS_TLS_KEY", "other"));
    }
    environment.put(variable, value);
    return new DibsClientBuilder(environment);
  }

  /** Private keys in each form that a variable may have. */
  private static List<String> keys() throws Exception {
    List<String> all = new ArrayList<>();
    for (String algorithm : List.of("Ed25519", "RSA")) {
      byte[] der = KeyPairGenerator.getInstance(algorithm).generateKeyPair().getPrivate().getEncoded();
      String text = Base64.getEncoder().encodeToString(der);
      String lines = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
      String pem = "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n".formatted(lines);
      String encoded = Base64.getEncoder().encodeToString(pem.getBytes(StandardCharsets.US_ASCII));
      all.addAll(List.of(pem, pem.replace("\n", " "), pem.replace("\n", "\\n"), encoded));
      all.addAll(List.of(text, " " + text, Base64.getUrlEncoder().withoutPadding().encodeToString(der)));
    }
    return all;
  }

  /** All that a logger may print of the error: its text and its causes. */
  private static String printed(DibsClientBuilder builder) {
    StringWriter text = new StringWriter();
    RuntimeException error = assertThrows(RuntimeException.class, () -> builder.build().close());
    error.printStackTrace(new PrintWriter(text, true));
    for (Throwable at = error; at != null; at = at.getCause()) text.append(at.toString());
    return text.toString();
  }

  private static void assertSilent(String printed, String secret) {
    // An error may escape or cut what it repeats.
    for (int at = 0; at + 12 <= secret.length(); at++) {
      assertFalse(printed.contains(secret.substring(at, at + 12)), printed);
    }
  }

  private static void assertContains(String printed, String... wanted) {
    for (String one : wanted) assertTrue(printed.contains(one), printed);
  }

  @Test
  void aSecretInPlaceOfItsPathIsNotRepeated() throws Exception {
    for (Option option : options()) {
      List<String> secrets = new ArrayList<>(keys());
      if (option.variable().equals("DIBS_TOKEN_FILE")) secrets.addAll(TOKENS);
      for (String secret : secrets) {
        for (DibsClientBuilder builder :
            List.of(option.set().apply(Path.of(secret)), byEnvironment(option.variable(), secret))) {
          String printed = printed(builder);
          assertContains(printed, option.variable(), "set the path of the file");
          assertSilent(printed, secret);
        }
      }
    }
    String key = keys().get(0);
    assertSilent(new Tls(key, key, key).toString(), key);
  }

  @Test
  void aPathIsRepeated() throws Exception {
    for (Option option : options()) {
      List<String> paths =
          option.variable().equals("DIBS_TOKEN_FILE")
              ? List.of("/nowhere/dibs/token", "./no-such", "../no-such/token", "~/token", "C:\\dibs\\token")
              : List.of("/nowhere/tls.pem", "no-such.pem", "MyKeys/of this service/tls.pem");
      for (String path : paths) {
        assertContains(printed(option.set().apply(Path.of(path))), option.variable(), path);
        assertContains(printed(byEnvironment(option.variable(), path)), option.variable(), path);
      }
    }
  }

  @Test
  void aKeyInTheFileOfACertificateIsNotRepeated() throws Exception {
    // The JDK repeats the first line.
    String key = keys().get(0).replaceFirst("\n", " ");
    Path file = Files.writeString(folder.resolve("joined.pem"), key);
    assertSilent(printed(DibsClient.builder().tlsCertificate(file, file)), key);
    assertSilent(printed(DibsClient.builder().tlsCa(file)), key);
  }

  @Test
  void aPasswordInTheTargetIsNotRepeated() {
    String user = "user:" + PASSWORD;
    List<String> targets =
        List.of(
            user + "@host:1",
            PASSWORD + "@host:1",
            "https://" + user + "@host:1",
            "a:1," + user + "@b:2",
            "dns:///" + user + "@host:1",
            "dns://" + user + "@8.8.8.8/host:1",
            user + "/with@slash@host:1");
    for (String target : targets) {
      for (DibsClientBuilder builder :
          List.of(DibsClient.builder().target(target), byEnvironment("DIBS_TARGET", target))) {
        String printed = printed(builder);
        assertContains(printed, "target or DIBS_TARGET: has a user or a password");
        assertSilent(printed, PASSWORD);
      }
    }
    DibsClient.builder().target("unix:///run/dibs@1.sock").build().close();
  }

  /** A resolver of the application may take a password. */
  @Test
  void aPasswordForAResolverIsNotLogged() {
    List<String> logged = new ArrayList<>();
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord said) {
            logged.add(new SimpleFormatter().formatMessage(said));
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    NameResolverProvider registry = new Registry();
    NameResolverRegistry.getDefaultRegistry().register(registry);
    Logger log = Logger.getLogger("dev.dibs");
    log.addHandler(handler);
    try {
      Target target = Target.of("registry://user:" + PASSWORD + "@host/dibs");
      new Availability(target.text(), () -> {}).lost(DibsStatusException.unavailable("lost"));
      String all = String.join("\n", logged) + target.text();
      assertContains(all, "registry://***@host/dibs");
      assertSilent(all, PASSWORD);
    } finally {
      log.removeHandler(handler);
      NameResolverRegistry.getDefaultRegistry().deregister(registry);
    }
  }

  private static final class Registry extends NameResolverProvider {
    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }

    @Override
    public String getDefaultScheme() {
      return "registry";
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args its) {
      return null;
    }
  }
}
