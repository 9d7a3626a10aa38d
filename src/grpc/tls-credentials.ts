import { ServerCredentials } from '@grpc/grpc-js';
import type { TlsMaterial } from '../config/tls-files.js';

/** A client that opens a connection and says nothing is let go after this; a handshake takes some milliseconds. */
const HANDSHAKE_MS_MAX = 10_000;

/** TLS whose certificate can be changed: new connections see the new one, and those that stand go on. */
export class TlsCredentials extends ServerCredentials {
  constructor(material: TlsMaterial) {
    const demanded = material.ca !== undefined;
    super(
      { requestCert: demanded, rejectUnauthorized: demanded, handshakeTimeout: HANDSHAKE_MS_MAX },
      contextOf(material),
    );
  }

  /** Whether clients must show a certificate stays as it was. */
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
