import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface CertificateOptions {
  /** In openssl's syntax: `DNS:localhost,IP:127.0.0.1`. */
  readonly names?: string;
  /** `/CN=...`; unique by default. */
  readonly subject?: string;
  /** Days from now. A negative number makes an expired certificate. */
  readonly days?: number;
}

/** Paths of PEM files. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate authority for one test. It signs certificates with `openssl`. */
export class TestAuthority {
  readonly dir = mkdtempSync(join(tmpdir(), 'dibs-tls-'));
  #issued = 0;

  constructor(name = 'a test') {
    this.#openssl('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', `/CN=${name}`);
  }

  /** The path of the authority's own certificate. */
  get ca(): string {
    return join(this.dir, 'ca.pem');
  }

  issue({ names = 'DNS:localhost,IP:127.0.0.1', days = 2, subject }: CertificateOptions = {}): Issued {
    this.#issued += 1;
    const name = String(this.#issued);
    this.#openssl(
      'req',
      '-new',
      ...NEW_KEY,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      subject ?? `/CN=${name}`,
    );
    writeFileSync(join(this.dir, `${name}.ext`), `subjectAltName=${names}\n`);
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`];
    this.#openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...signer,
      '-out',
      `${name}.pem`,
      '-days',
      String(days),
    );
    return { cert: join(this.dir, `${name}.pem`), key: join(this.dir, `${name}.key`) };
  }

  /** Replaces a certificate in place, as a rotation does: the key first. */
  replace(at: Issued, by: Issued): void {
    writeFileSync(at.key, readFileSync(by.key));
    writeFileSync(at.cert, readFileSync(by.cert));
  }

  close(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.dir, stdio: 'pipe' });
  }
}
