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

/** When the certificates of one file end. */
export interface CertificateEnd {
  /** Which names the file. */
  readonly variable: 'DIBS_TLS_CERT' | 'DIBS_TLS_CA';
  readonly fromMs: number;
  readonly endMs: number;
}

/** Time enough to renew a certificate on a working day. */
export const SOON_DAYS = 14;

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
  if (ca !== undefined) {
    const authorities = checkAuthorities('DIBS_TLS_CA', paths.ca ?? '', ca, faults);
    checkOneIsValid(authorities, paths.ca ?? '', nowMs, faults);
  }
  if (cert === undefined || key === undefined || faults.all.length > before) return undefined;
  const material = { cert, key, ca };
  // The remaining faults: a chain that is broken after its first certificate, or a key that is too short.
  const served = `'${paths.cert}' cannot be used for TLS`;
  return faults.attempt('DIBS_TLS_CERT', served, () => createSecureContext(material)) && material;
}

/**
 * When each file can no longer be used: a certificate when the first of its chain ends, authorities when the last of
 * them does.
 */
export function certificateEndsOf({ cert, ca }: TlsMaterial): readonly CertificateEnd[] {
  const [first] = endsIn('DIBS_TLS_CERT', cert);
  const last = ca === undefined ? undefined : endsIn('DIBS_TLS_CA', ca).at(-1);
  return [first, last].filter((end) => end !== undefined);
}

/** From the earliest to the latest. */
function endsIn(variable: CertificateEnd['variable'], pem: string): readonly CertificateEnd[] {
  const dates = (pem.match(CERTIFICATE) ?? []).map((text) => {
    const { validFrom, validTo } = new X509Certificate(text);
    return { variable, fromMs: Date.parse(validFrom), endMs: Date.parse(validTo) };
  });
  return dates.sort((a, b) => a.endMs - b.endMs);
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

/** Node stops at the first certificate that it cannot read, and does not say so. Undefined if there is a fault. */
export function checkAuthorities(
  variable: string,
  path: string,
  text: string,
  faults: Faults,
): readonly X509Certificate[] | undefined {
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) {
    faults.add(variable, `'${path}' has no PEM certificate`);
    return undefined;
  }
  return faults.attempt(variable, `'${path}' has a broken PEM certificate`, () => {
    if ((text.match(BEGIN)?.length ?? 0) > certificates.length) throw new Error('one has no end');
    return certificates.map((each) => new X509Certificate(each));
  });
}

/** A bundle may contain old certificates. If none is valid, every client is refused, and only clients would notice. */
function checkOneIsValid(
  authorities: readonly X509Certificate[] | undefined,
  path: string,
  nowMs: number,
  faults: Faults,
): void {
  const isValid = ({ validFrom, validTo }: X509Certificate) =>
    Date.parse(validFrom) <= nowMs && nowMs <= Date.parse(validTo);
  const [first] = authorities ?? [];
  if (first === undefined || authorities?.some(isValid) === true) return;
  const dates = `the first is valid from ${isoOf(first.validFrom)} to ${isoOf(first.validTo)}`;
  faults.add('DIBS_TLS_CA', `'${path}' has no certificate that is valid now; ${dates}`);
}

function isoOf(date: string): string {
  return new Date(date).toISOString();
}
