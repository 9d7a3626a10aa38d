import type { TlsMaterial } from '../config/tls-files.js';

/** A silent connection is closed after this. */
const HANDSHAKE_MS_MAX = 5_000;

/** The fixed options of the server, and the material that {@link contextOf} changes. */
export function serverOptionsOf(material: TlsMaterial) {
  return {
    // Requested but not required, because probes have none. Pages that need one check it.
    requestCert: material.ca !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS_MAX,
    ...contextOf(material),
  };
}

export function contextOf({ cert, key, ca }: TlsMaterial) {
  return { cert, key, ca, minVersion: 'TLSv1.2' } as const;
}
