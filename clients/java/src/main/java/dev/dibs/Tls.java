package dev.dibs;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;

/**
 * How the connection is encrypted.
 *
 * @param ca path of a PEM file with the authorities to trust; empty for those of the system
 * @param cert path of a PEM file with this process's own certificate, read again for each connection; empty for none
 * @param key path of a PEM file with the private key of that
 */
record Tls(String ca, String cert, String key) {
  boolean isOn() {
    return !ca.isEmpty() || !cert.isEmpty();
  }

  ChannelCredentials credentials() {
    if (cert.isEmpty() != key.isEmpty()) {
      throw new IllegalArgumentException(
          "tlsCertificate (DIBS_TLS_CERT, DIBS_TLS_KEY): set both a certificate and its key");
    }
    if (!isOn()) return InsecureChannelCredentials.create();
    Misplaced.checkPem("tlsCa or DIBS_TLS_CA", ca);
    Misplaced.checkPem("tlsCertificate (DIBS_TLS_CERT)", cert);
    Misplaced.checkPem("tlsCertificate (DIBS_TLS_KEY)", key);
    TlsChannelCredentials.Builder credentials = TlsChannelCredentials.newBuilder();
    String reading = "the authorities of tlsCa or DIBS_TLS_CA cannot be read: " + ca;
    try {
      if (!ca.isEmpty()) credentials.trustManager(authorities(ca));
      reading = "tlsCertificate (DIBS_TLS_CERT, DIBS_TLS_KEY) cannot be read: %s, %s".formatted(cert, key);
      if (!cert.isEmpty()) credentials.keyManager(new OwnCertificate(Path.of(cert), Path.of(key)));
      return credentials.build();
    } catch (IOException error) {
      throw new UncheckedIOException(reading, error);
    } catch (GeneralSecurityException | IllegalArgumentException error) {
      String message = "tlsCertificate (DIBS_TLS_CERT, DIBS_TLS_KEY) cannot be used: %s, %s: %s";
      throw new IllegalArgumentException(message.formatted(cert, key, error.getMessage()), error);
    }
  }

  private static InputStream authorities(String ca) throws IOException {
    byte[] text = Files.readAllBytes(Path.of(ca));
    try {
      Certificates.in(text);
    } catch (GeneralSecurityException error) {
      throw new IOException(error.getMessage());
    }
    return new ByteArrayInputStream(text);
  }

  /** Each may be a key instead of its path. */
  @Override
  public String toString() {
    return "Tls";
  }
}
