import type { TlsMaterial } from '../config/tls-files.js';

/** A client that opens a connection and says nothing is let go after this. */
const HANDSHAKE_MS_MAX = 5_000;

/** What stays as it is for as long as the server runs, and what {@link contextOf} changes. */
export function serverOptionsOf(material: TlsMaterial) {
  return {
    // Probes have none: it is asked for, and looked at by the pages that want one.
    requestCert: material.ca !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS_MAX,
    ...contextOf(material),
  };
}

export function contextOf({ cert, key, ca }: TlsMaterial) {
  return { cert, key, ca, minVersion: 'TLSv1.2' } as const;
}
