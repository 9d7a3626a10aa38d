/**
 * The service does not accept sessions here, or something on the way breaks streams. It is not an error of the call.
 */
export class NoSession extends Error {
  override readonly name: string = 'NoSession';
}

/** The token of the session is no longer valid. The next session sends the current one. */
export class SessionRefused extends NoSession {
  override readonly name = 'SessionRefused';
}
