package dev.dibs;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/** The caller's token. It is read for each call, because it may change. It is never printed. */
final class Token extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Pattern VISIBLE = Pattern.compile("[\\x21-\\x7e]+");

  private final Supplier<String> source;

  private Token(Supplier<String> source) {
    this.source = source;
  }

  /** Null if the text is empty. */
  static Token of(String text) {
    if (text.isEmpty()) return null;
    if (!VISIBLE.matcher(text).matches()) {
      throw new IllegalArgumentException("token or DIBS_TOKEN: it has characters other than visible ASCII");
    }
    return new Token(() -> text);
  }

  static Token of(Supplier<String> source) {
    return new Token(source);
  }

  /** The file is read again when it changes. */
  static Token in(Path file) {
    if (!Files.exists(file)) Misplaced.checkToken("tokenFile or DIBS_TOKEN_FILE", file.toString());
    FileToken token = new FileToken(file);
    token.get();
    return new Token(token);
  }

  @Override
  public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
    String text;
    try {
      text = source.get();
    } catch (Throwable error) {
      // The message may contain the token.
      applier.fail(refusal("cannot be had: " + error.getClass().getName()));
      return;
    }
    if (text == null || !VISIBLE.matcher(text).matches()) {
      applier.fail(refusal("is empty or has characters other than visible ASCII"));
      return;
    }
    Metadata headers = new Metadata();
    headers.put(AUTHORIZATION, "Bearer " + text);
    applier.apply(headers);
  }

  @Override
  public String toString() {
    return "Token";
  }

  private static Status refusal(String why) {
    return Status.UNAUTHENTICATED.withDescription("token").withCause(new Refusal(why));
  }

  /** The token cannot be sent, so the call was not sent either. */
  static final class Refusal extends Exception {
    private static final long serialVersionUID = 1L;

    Refusal(String why) {
      super(why);
    }
  }

  private static final class FileToken implements Supplier<String> {
    private final Path file;
    private FileTime readOf;
    private long readSize;
    private String text;

    FileToken(Path file) {
      this.file = file;
    }

    /** While the file is replaced, it may be missing: the previous token is still the best one. */
    @Override
    public synchronized String get() {
      try {
        FileTime changed = Files.getLastModifiedTime(file);
        long size = Files.size(file);
        if (text == null || !changed.equals(readOf) || size != readSize) {
          String read = Files.readString(file).strip();
          // It may be empty while it is being written.
          if (read.isEmpty() && text != null) return text;
          text = read;
          readOf = changed;
          readSize = size;
        }
      } catch (IOException error) {
        if (text == null) throw new UncheckedIOException("tokenFile or DIBS_TOKEN_FILE: cannot be read: " + file, error);
      }
      return text;
    }
  }
}
