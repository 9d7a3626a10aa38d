package dev.dibs;

/** The service does not accept sessions here, or something in between breaks streams: not an error of the call. */
final class NoSessionException extends DibsStatusException {
  private static final long serialVersionUID = 1L;

  NoSessionException(DibsStatusException error) {
    super(error.code(), error.getMessage(), null, error);
  }
}
