import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { CoordinationError } from '../coordination/errors.js';
import type { TlsMaterial } from './tls.js';

/** What a request shows of whoever sent it. */
export interface Credentials {
  /** The header; empty if there is none. */
  readonly authorization: string;
  /** The alternative names of its certificate, as node writes them; empty unless one was verified. */
  subjectAltName(): string;
}

/** Who may see the pages that are not for probes. */
export interface PageGuard {
  /** Absent: plaintext. */
  readonly tls?: TlsMaterial | undefined;
  /** Throws `unauthenticated` or `permission_denied`. Absent where nobody is told apart. */
  readonly access?: { admitToPage(credentials: Credentials, page: string): void } | undefined;
}

/** Why not, and what to answer. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Undefined for whoever may see the page: who is known where somebody is told apart, or shows a certificate. */
export function refusalOf(
  guard: PageGuard,
  { socket, headers }: IncomingMessage,
  page: string,
): Refusal | undefined {
  const certified = (socket as Partial<TLSSocket>).authorized === true;
  if (guard.access === undefined) {
    if (guard.tls?.ca === undefined || certified) return undefined;
    return { status: 403, text: 'a client certificate is needed (DIBS_TLS_CA)\n' };
  }
  const { authorization = '' } = headers;
  const subjectAltName = () => (certified ? alternativeNamesOf(socket as TLSSocket) : '');
  try {
    guard.access.admitToPage({ authorization, subjectAltName }, page);
    return undefined;
  } catch (error) {
    if (!(error instanceof CoordinationError)) throw error;
    const text = `${error.message}\n`;
    if (error.kind !== 'unauthenticated') return { status: 403, text };
    // Browsers ask their user then.
    return { status: 401, text, headers: { 'www-authenticate': 'Basic realm="dibs", charset="UTF-8"' } };
  }
}

function alternativeNamesOf(socket: TLSSocket): string {
  return socket.getPeerCertificate().subjectaltname ?? '';
}
