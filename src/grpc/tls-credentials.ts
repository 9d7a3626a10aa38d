import { ServerCredentials } from '@grpc/grpc-js';
import type { TlsMaterial } from '../config/tls-files.js';

/** A silent connection is closed after this. A handshake takes some milliseconds. */
const HANDSHAKE_MS_MAX = 10_000;

/** TLS with a changeable certificate. New connections get the new one; open ones continue. */
export class TlsCredentials extends ServerCredentials {
  constructor(material: TlsMaterial) {
    const demanded = material.ca !== undefined;
    super(
      { requestCert: demanded, rejectUnauthorized: demanded, handshakeTimeout: HANDSHAKE_MS_MAX },
      contextOf(material),
    );
  }

  /** Does not change whether clients must show a certificate. */
  renew(material: TlsMaterial): void {
    this.updateSecureContextOptions(contextOf(material));
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOf({ cert, key, ca }: TlsMaterial) {
  return { cert, key, ca, minVersion: 'TLSv1.2' } as const;
}
