import type { IncomingMessage } from 'node:http';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { PageGuard } from '../access/guard.js';
import type { TlsMaterial } from '../config/tls-files.js';
import { CoordinationError } from '../coordination/words/errors.js';

export type GuardedPage = 'metrics' | 'console';

/** The status for a request of a page: 200 allows it. */
export type Authorize = (request: IncomingMessage, page: GuardedPage) => 200 | 401 | 403;

export interface PageGuardParts {
  /** With a `ca` and without identities, all pages except probes need a certificate. */
  readonly tls?: TlsMaterial | undefined;
  /** Absent without identities. */
  readonly access?: PageGuard | undefined;
  /** Whether the connection is private. The console shows keys, so it is served only then. */
  readonly isPrivate: boolean;
}

/** The text of a 401. */
export const UNAUTHENTICATED = 'authentication required: send a token as the password\n';

/** A browser asks its user for a password, and sends it with every request of the page. */
export const CHALLENGE = { 'www-authenticate': 'Basic realm="dibs", charset="UTF-8"' };

export function authorizeBy({ tls, access, isPrivate }: PageGuardParts): Authorize {
  return ({ socket, headers }, page) => {
    if (page === 'console' && !isPrivate) return 403;
    const certified = (socket as Partial<TLSSocket>).authorized === true;
    if (access === undefined) return tls?.ca === undefined || certified ? 200 : 403;
    const { authorization = '' } = headers;
    const subjectAltName = () => (certified ? alternativeNamesOf(socket as TLSSocket) : '');
    try {
      access.admitToPage({ authorization, subjectAltName }, page);
      return 200;
    } catch (error) {
      if (!(error instanceof CoordinationError)) throw error;
      return error.kind === 'unauthenticated' ? 401 : 403;
    }
  };
}

function alternativeNamesOf(socket: TLSSocket): string {
  // Null when the socket has closed, whatever its type says: an open console is asked for again each second.
  const certificate: Partial<PeerCertificate> | null = socket.getPeerCertificate();
  return certificate?.subjectaltname ?? '';
}
