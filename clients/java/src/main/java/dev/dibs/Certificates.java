package dev.dibs;

import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

/** Certificates in PEM. */
final class Certificates {
  private Certificates() {}

  /** Empty if the text has none. Its error repeats nothing: a file may have a key instead. */
  static X509Certificate[] in(byte[] text) throws GeneralSecurityException {
    try {
      return CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(text)).stream()
          .map(X509Certificate.class::cast)
          .toArray(X509Certificate[]::new);
    } catch (CertificateException error) {
      // The parser may repeat a line.
      throw new GeneralSecurityException("the file of the certificate has none that can be read");
    }
  }
}
