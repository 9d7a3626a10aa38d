import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Faults } from './faults.js';

/** PEM files. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  /** The authority for client certificates. Absent: clients need none. */
  readonly ca?: string;
}

/** Their contents. With a `ca`, clients except probes must show a certificate that it signed. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

export type ReadFile = (path: string) => string;

const BEGIN = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g;
const CERTIFICATE = new RegExp(`${BEGIN.source}[\\s\\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----`, 'g');

/**
 * Reads all files and checks that they can be parsed, that they match, and that the certificate is valid at `nowMs`.
 * Every fault begins with its variable. Undefined if there is a fault.
 */
export function readTlsFiles(
  paths: TlsPaths,
  read: ReadFile,
  nowMs: number,
  faults: Faults,
): TlsMaterial | undefined {
  const before = faults.all.length;
  const textOf = (variable: string, path: string) => faults.textAt(variable, path, read);
  const cert = textOf('DIBS_TLS_CERT', paths.cert);
  const key = textOf('DIBS_TLS_KEY', paths.key);
  const ca = paths.ca === undefined ? undefined : textOf('DIBS_TLS_CA', paths.ca);
  if (cert !== undefined) checkCertificate(cert, key, paths, nowMs, faults);
  else if (key !== undefined) privateKeyOf(key, paths, faults);
  if (ca !== undefined) checkAuthorities('DIBS_TLS_CA', paths.ca ?? '', ca, faults);
  if (cert === undefined || key === undefined || faults.all.length > before) return undefined;
  const material = { cert, key, ca };
  // The remaining faults: a chain that is broken after its first certificate, or a key that is too short.
  const served = `'${paths.cert}' cannot be used for TLS`;
  return faults.attempt('DIBS_TLS_CERT', served, () => createSecureContext(material)) && material;
}

function checkCertificate(
  cert: string,
  key: string | undefined,
  paths: TlsPaths,
  nowMs: number,
  faults: Faults,
): void {
  const broken = `'${paths.cert}' is not a PEM certificate`;
  const certificate = faults.attempt('DIBS_TLS_CERT', broken, () => new X509Certificate(cert));
  const privateKey = key === undefined ? undefined : privateKeyOf(key, paths, faults);
  if (certificate === undefined) return;
  const { validFrom, validTo } = certificate;
  if (nowMs > Date.parse(validTo)) faults.add('DIBS_TLS_CERT', `expired on ${isoOf(validTo)}`);
  if (nowMs < Date.parse(validFrom)) faults.add('DIBS_TLS_CERT', `is not valid before ${isoOf(validFrom)}`);
  if (privateKey !== undefined && !certificate.checkPrivateKey(privateKey)) {
    faults.add('DIBS_TLS_KEY', 'does not match the certificate in DIBS_TLS_CERT');
  }
}

function privateKeyOf(key: string, paths: TlsPaths, faults: Faults): KeyObject | undefined {
  const broken = `'${paths.key}' is not a PEM private key without a passphrase`;
  return faults.attempt('DIBS_TLS_KEY', broken, () => createPrivateKey(key));
}

/** Node stops at the first certificate that it cannot read, and does not say so. */
export function checkAuthorities(variable: string, path: string, text: string, faults: Faults): void {
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) faults.add(variable, `'${path}' has no PEM certificate`);
  faults.attempt(variable, `'${path}' has a broken PEM certificate`, () => {
    for (const each of certificates) new X509Certificate(each);
    if ((text.match(BEGIN)?.length ?? 0) > certificates.length) throw new Error('one has no end');
  });
}

function isoOf(date: string): string {
  return new Date(date).toISOString();
}
