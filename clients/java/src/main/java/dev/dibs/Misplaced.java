package dev.dibs;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.regex.Pattern;

/** Secrets that are set where a path or an address belongs. No error repeats them, because errors are logged. */
final class Misplaced {
  /** Longer paths are rare, and most private keys are longer. */
  private static final int SHOWN_PATH_MAX = 255;

  /** PEM, also in base64, or only what stands within its lines. */
  private static final Pattern PEM =
      Pattern.compile("[\\r\\n]|-----BEGIN|^\\s*LS0tLS1CRUdJTi|^\\s*M[A-Za-z0-9+/_-]{60,}={0,2}\\s*$");

  /** A token may be any text, so only what begins with a folder counts as a path. */
  private static final Pattern BEGINS_WITH_FOLDER = Pattern.compile("(?:[A-Za-z]:|~|\\.\\.?)?[\\\\/]");

  /** Base64 may begin with a slash too. */
  private static final Pattern RANDOM = Pattern.compile("[+=]|[A-Za-z0-9]{20}");

  private Misplaced() {}

  /** Throws if it is no file and looks like the content of one. The error has no cause that would repeat it. */
  static void checkPem(String option, String path) {
    if (maybeContent(path)) check(option, path, "looks like");
  }

  /** The same for the file of a token. */
  static void checkToken(String option, String path) {
    boolean isPath = BEGINS_WITH_FOLDER.matcher(path).lookingAt() && !RANDOM.matcher(path).find();
    if (maybeContent(path) || !isPath) check(option, path, "may be");
  }

  private static boolean maybeContent(String path) {
    return path.length() > SHOWN_PATH_MAX || PEM.matcher(path).find();
  }

  private static void check(String option, String path, String seems) {
    if (new File(path).exists()) return;
    String message = "%s: cannot be read, and %s the content of a file; set the path of the file";
    throw new UncheckedIOException(message.formatted(option, seems), new IOException("no such file"));
  }
}
