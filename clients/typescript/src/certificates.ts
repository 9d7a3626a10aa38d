import { readFileSync } from 'node:fs';
import { ChannelCredentials, credentials } from '@grpc/grpc-js';
import { DibsError } from './errors.js';
import { unreadablePem } from './unreadable-file.js';

/** Paths of PEM files. An empty path means none. */
export interface CertificateFiles {
  /** The authorities that sign the service's certificate. */
  readonly tlsCa: string;
  /** The client's own certificate and its key. */
  readonly tlsCert: string;
  readonly tlsKey: string;
}

type Connecting = Parameters<ChannelCredentials['_createSecureConnector']>;
type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * TLS with files that are read again for each connection, so that a renewed certificate needs no restart. gRPC's own
 * provider reads them by a timer that keeps the process alive, and refuses to connect while one is being replaced.
 */
export class CertificatesOfFiles extends ChannelCredentials {
  #texts: readonly (Buffer | null)[];
  #made: ChannelCredentials;

  /** Throws a {@link DibsError} if the files cannot be used. */
  constructor(private readonly files: CertificateFiles) {
    super();
    this.#texts = textsOf(files);
    this.#made = madeOf(this.#texts);
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  _createSecureConnector(...to: Connecting): Connector {
    const first = this.#made._createSecureConnector(...to);
    return {
      connect: (socket) =>
        this.#current()
          ._createSecureConnector(...to)
          .connect(socket),
      waitForReady: () => first.waitForReady(),
      getCallCredentials: () => first.getCallCredentials(),
      destroy: () => first.destroy(),
    };
  }

  #current(): ChannelCredentials {
    try {
      const texts = textsOf(this.files);
      if (!texts.every((text, at) => sameText(text, this.#texts[at]))) {
        this.#made = madeOf(texts);
        this.#texts = texts;
      }
    } catch {
      // During a replacement, a file may be missing, or a certificate may not match its key yet. The old ones stay
      // in use.
    }
    return this.#made;
  }
}

function textsOf({ tlsCa, tlsKey, tlsCert }: CertificateFiles): (Buffer | null)[] {
  return [
    read('tlsCa', 'DIBS_TLS_CA', tlsCa),
    read('tlsKey', 'DIBS_TLS_KEY', tlsKey),
    read('tlsCert', 'DIBS_TLS_CERT', tlsCert),
  ];
}

function read(option: string, variable: string, path: string): Buffer | null {
  if (path === '') return null;
  try {
    return readFileSync(path);
  } catch (cause) {
    throw unreadablePem(option, variable, path, cause);
  }
}

function madeOf(texts: readonly (Buffer | null)[]): ChannelCredentials {
  try {
    return credentials.createSsl(...texts);
  } catch (cause) {
    throw new DibsError(
      'INVALID_ARGUMENT',
      'tlsCa, tlsCert, tlsKey: they are not PEM files, or the certificate belongs to another key',
      undefined,
      { cause },
    );
  }
}

function sameText(one: Buffer | null, other: Buffer | null | undefined): boolean {
  return one === null || !other ? !one === !other : one.equals(other);
}
