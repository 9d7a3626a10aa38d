import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** PEM files. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  /** The authority for client certificates. Absent: clients need none. */
  readonly ca?: string;
}

/** Their contents. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

export type ReadFile = (path: string) => string;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/**
 * Reads all files and checks that they can be parsed, that they match, and that the certificate is valid at `nowMs`.
 * Every fault begins with its variable. `material` is undefined if there is a fault.
 */
export function readTlsFiles(
  paths: TlsPaths,
  read: ReadFile,
  nowMs: number,
): { readonly material: TlsMaterial | undefined; readonly faults: readonly string[] } {
  const faults: string[] = [];
  const attempt = <T>(variable: string, what: string, work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      faults.push(`${variable}: ${what}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const textOf = (variable: string, path: string) =>
    attempt(variable, `'${path}' cannot be read`, () => read(path));
  const cert = textOf('DIBS_TLS_CERT', paths.cert);
  const key = textOf('DIBS_TLS_KEY', paths.key);
  const ca = paths.ca === undefined ? undefined : textOf('DIBS_TLS_CA', paths.ca);
  const certificate =
    cert === undefined
      ? undefined
      : attempt('DIBS_TLS_CERT', `'${paths.cert}' is not a PEM certificate`, () => new X509Certificate(cert));
  const privateKey =
    key === undefined
      ? undefined
      : attempt('DIBS_TLS_KEY', `'${paths.key}' is not a PEM private key without a passphrase`, () =>
          createPrivateKey(key),
        );
  if (certificate !== undefined) faults.push(...faultsOf(certificate, privateKey, nowMs));
  if (ca !== undefined && paths.ca !== undefined) {
    const certificates = ca.match(CERTIFICATE) ?? [];
    if (certificates.length === 0) faults.push(`DIBS_TLS_CA: '${paths.ca}' has no PEM certificate`);
    attempt('DIBS_TLS_CA', `'${paths.ca}' has a broken PEM certificate`, () => {
      for (const each of certificates) new X509Certificate(each);
    });
  }
  if (cert === undefined || key === undefined || faults.length > 0) return { material: undefined, faults };
  const material = { cert, key, ...(ca === undefined ? {} : { ca }) };
  // The remaining faults: a chain that is broken after its first certificate, or a key that is too short.
  attempt('DIBS_TLS_CERT', `'${paths.cert}' cannot be used for TLS`, () => createSecureContext(material));
  return faults.length > 0 ? { material: undefined, faults } : { material, faults };
}

function faultsOf(certificate: X509Certificate, key: KeyObject | undefined, nowMs: number): string[] {
  const { validFrom, validTo } = certificate;
  const faults: string[] = [];
  if (nowMs > Date.parse(validTo)) faults.push(`DIBS_TLS_CERT: expired on ${isoOf(validTo)}`);
  if (nowMs < Date.parse(validFrom)) faults.push(`DIBS_TLS_CERT: is not valid before ${isoOf(validFrom)}`);
  if (key !== undefined && !certificate.checkPrivateKey(key)) {
    faults.push('DIBS_TLS_KEY: does not match the certificate in DIBS_TLS_CERT');
  }
  return faults;
}

function isoOf(date: string): string {
  return new Date(date).toISOString();
}
