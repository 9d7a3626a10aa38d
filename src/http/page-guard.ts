import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { PageGuard } from '../access/guard.js';
import type { TlsMaterial } from '../config/tls-files.js';
import { CoordinationError } from '../coordination/errors.js';

export type GuardedPage = 'metrics' | 'console';

/** Whether a page may be seen by whoever asks for it; else by which status it is refused. */
export type Authorize = (request: IncomingMessage, page: GuardedPage) => 200 | 401 | 403;

export interface PageGuardParts {
  /** With a `ca`, pages that are not for probes want a certificate, where nobody is told apart. */
  readonly tls?: TlsMaterial | undefined;
  /** Absent where nobody is told apart. */
  readonly access?: PageGuard | undefined;
  /** Whether nobody on the way can read what is sent. The console shows keys, and is not sent otherwise. */
  readonly isPrivate: boolean;
}

/** A browser asks its user, and sends what it is told with everything of the page. */
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
  return socket.getPeerCertificate().subjectaltname ?? '';
}
