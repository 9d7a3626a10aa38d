import type { TLSSocket } from 'node:tls';

/** The first row that fits tells. */
const REASONS: readonly (readonly [code: RegExp, why: string])[] = [
  [/DID_NOT_RETURN_A_CERTIFICATE/, 'it shows no certificate, and DIBS_TLS_CA asks for one'],
  [/WRONG_VERSION_NUMBER|HTTP_REQUEST/, 'it does not speak TLS'],
  [/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/, 'it speaks no TLS 1.2 or later'],
  [
    /ALERT/,
    'it does not accept the certificate in DIBS_TLS_CERT: is it valid, and does the client know its authority?',
  ],
];

/**
 * Why a handshake failed, for the person who set up the certificates: otherwise only clients would know. Undefined if the
 * connection has just ended, as those of probes do.
 */
export function handshakeFault(
  { code = '' }: Pick<NodeJS.ErrnoException, 'code'>,
  { authorizationError }: Pick<TLSSocket, 'authorizationError'>,
): string | undefined {
  // Node destroys the connection then, and says only that it has ended.
  if (authorizationError) {
    return `its certificate is not accepted: is it valid, and signed by an authority in DIBS_TLS_CA? (${authorizationError})`;
  }
  if (!code.startsWith('ERR_SSL_')) return undefined;
  const why = REASONS.find(([pattern]) => pattern.test(code))?.[1];
  return why === undefined ? code : `${why} (${code})`;
}
