import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { get } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { ShownBy } from './shown-by.js';

export interface HttpsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The subject of the server's certificate. */
  readonly serialNumber: string;
}

/** Sends one GET over a new connection. */
export function httpsGet(
  url: string,
  { token, tls }: ShownBy,
  more: Record<string, string> = {},
): Promise<HttpsAnswer> {
  const pem = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  const headers = { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...more };
  const shown = { ca: pem(tls?.ca), cert: pem(tls?.cert), key: pem(tls?.key) };
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers, ...shown }, (response) => {
      const { serialNumber } = (response.socket as TLSSocket).getPeerCertificate();
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, serialNumber }),
      );
    });
    request.on('error', reject);
  });
}
