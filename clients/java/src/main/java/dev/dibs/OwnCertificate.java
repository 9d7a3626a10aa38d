package dev.dibs;

import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

/** The certificate of this process. It is read again for each connection, so a renewed one needs no restart. */
final class OwnCertificate extends X509ExtendedKeyManager {
  private static final String BEGIN = "-----BEGIN PRIVATE KEY-----";
  private static final String END = "-----END PRIVATE KEY-----";

  /** A certificate with its key, under a name of its own: a handshake asks for one after the other. */
  private record Pair(String name, byte[] certText, byte[] keyText, X509Certificate[] chain, PrivateKey key) {}

  private final Path cert;
  private final Path key;
  private Pair current;

  /** For handshakes that began before the last change. */
  private Pair before;

  OwnCertificate(Path cert, Path key) throws IOException, GeneralSecurityException {
    this.cert = cert;
    this.key = key;
    current = read("1", Files.readAllBytes(cert), Files.readAllBytes(key));
  }

  @Override
  public synchronized String chooseEngineClientAlias(String[] types, Principal[] issuers, SSLEngine engine) {
    try {
      byte[] certText = Files.readAllBytes(cert);
      byte[] keyText = Files.readAllBytes(key);
      if (!Arrays.equals(certText, current.certText()) || !Arrays.equals(keyText, current.keyText())) {
        Pair next = read(String.valueOf(Integer.parseInt(current.name()) + 1), certText, keyText);
        before = current;
        current = next;
      }
    } catch (IOException | GeneralSecurityException | IllegalArgumentException error) {
      // While the files are replaced, one may be missing or may not match the other: the previous ones stay in use.
    }
    return current.name();
  }

  @Override
  public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
    return chooseEngineClientAlias(types, issuers, null);
  }

  @Override
  public X509Certificate[] getCertificateChain(String alias) {
    Pair pair = of(alias);
    return pair == null ? null : pair.chain().clone();
  }

  @Override
  public PrivateKey getPrivateKey(String alias) {
    Pair pair = of(alias);
    return pair == null ? null : pair.key();
  }

  @Override
  public synchronized String[] getClientAliases(String type, Principal[] issuers) {
    return new String[] {current.name()};
  }

  @Override
  public String[] getServerAliases(String type, Principal[] issuers) {
    return null;
  }

  @Override
  public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
    return null;
  }

  private synchronized Pair of(String name) {
    if (current.name().equals(name)) return current;
    return before != null && before.name().equals(name) ? before : null;
  }

  private static Pair read(String name, byte[] certText, byte[] keyText) throws GeneralSecurityException {
    X509Certificate[] chain = Certificates.in(certText);
    if (chain.length == 0) throw new GeneralSecurityException("the file of the certificate has none");
    PublicKey its = chain[0].getPublicKey();
    PrivateKey key = KeyFactory.getInstance(its.getAlgorithm()).generatePrivate(new PKCS8EncodedKeySpec(der(keyText)));
    if (!belong(its, key)) throw new GeneralSecurityException("the certificate belongs to another key");
    return new Pair(name, certText, keyText, chain, key);
  }

  private static byte[] der(byte[] pem) throws GeneralSecurityException {
    String text = new String(pem, StandardCharsets.US_ASCII);
    int begin = text.indexOf(BEGIN);
    int end = text.indexOf(END);
    if (begin < 0 || end < begin) throw new GeneralSecurityException("the file of the key has no PKCS#8 key");
    return Base64.getMimeDecoder().decode(text.substring(begin + BEGIN.length(), end));
  }

  private static boolean belong(PublicKey its, PrivateKey key) throws GeneralSecurityException {
    String algorithm =
        switch (its.getAlgorithm()) {
          case "RSA" -> "SHA256withRSA";
          case "EC" -> "SHA256withECDSA";
          default -> its.getAlgorithm();
        };
    Signature signature = Signature.getInstance(algorithm);
    byte[] any = {1};
    signature.initSign(key);
    signature.update(any);
    byte[] signed = signature.sign();
    signature.initVerify(its);
    signature.update(any);
    return signature.verify(signed);
  }
}
