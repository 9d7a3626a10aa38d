/** The service does not take sessions here, or something on the way breaks streams: not an error of the call. */
export class NoSession extends Error {
  override readonly name: string = 'NoSession';
}

/** The token that the session was opened with is known no more: the next one shows the token of the moment. */
export class SessionRefused extends NoSession {
  override readonly name = 'SessionRefused';
}
