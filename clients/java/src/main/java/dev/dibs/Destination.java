package dev.dibs;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.function.Supplier;

/** The address and credentials to use: from the caller, else from the environment. Null means not set. */
final class Destination {
  private static final String TARGET = "127.0.0.1:50051";

  private final Map<String, String> environment;
  String target;
  String token;
  Supplier<String> tokenSource;
  Path tokenFile;
  boolean insecureToken;
  String tlsCa;
  String tlsCert;
  String tlsKey;

  /** TCP repeats a lost first packet after one second. */
  Duration connectTimeout = Duration.ofSeconds(2);

  Destination(Map<String, String> environment) {
    this.environment = environment;
  }

  /** Throws for settings that are malformed, and for a token that would be sent unencrypted. */
  Link link() {
    Target where = Target.of(target == null ? variable("DIBS_TARGET", TARGET) : target);
    Tls tls =
        new Tls(
            tlsCa == null ? variable("DIBS_TLS_CA", "") : tlsCa,
            tlsCert == null ? variable("DIBS_TLS_CERT", "") : tlsCert,
            tlsKey == null ? variable("DIBS_TLS_KEY", "") : tlsKey);
    Token who = who();
    if (who != null && !tls.isOn() && !where.isLocal() && !insecureToken) {
      throw new IllegalArgumentException(
          "token or DIBS_TOKEN would be sent unencrypted to %s: set tlsCa (DIBS_TLS_CA), or allowInsecureToken(true) if"
                  .formatted(where.text())
              + " the network is protected");
    }
    return new Link(where, who, tls, connectTimeout);
  }

  /** The caller's token settings are never mixed with those of the environment. */
  private Token who() {
    if (tokenSource != null) return Token.of(tokenSource);
    if (tokenFile != null) return Token.in(tokenFile);
    if (token != null) return Token.of(token);
    Token known = Token.of(variable("DIBS_TOKEN", ""));
    String file = variable("DIBS_TOKEN_FILE", "");
    if (known != null || file.isEmpty()) return known;
    // Path's own error would repeat it, on systems that allow fewer characters.
    Misplaced.checkToken("tokenFile or DIBS_TOKEN_FILE", file);
    return Token.in(Path.of(file));
  }

  private String variable(String name, String otherwise) {
    String value = environment.getOrDefault(name, "");
    return value.isEmpty() ? otherwise : value;
  }
}
