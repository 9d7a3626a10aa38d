/** PEM. With a `ca`, all pages except probes need a certificate that it signed. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

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
  return { cert, key, ...(ca === undefined ? {} : { ca }), minVersion: 'TLSv1.2' } as const;
}
