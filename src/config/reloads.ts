import { X509Certificate } from 'node:crypto';
import type { Identities } from '../access/identity.js';
import { readAuthFile } from './auth-file.js';
import { Faults } from './faults.js';
import { FileWatch } from './file-watch.js';
import { readTlsFiles, type TlsMaterial, type TlsPaths } from './tls-files.js';

export const RELOADED = {
  certificate: 'reloaded: TLS certificate',
  identities: 'reloaded: DIBS_AUTH_FILE',
  certificateKept: 'not reloaded: the TLS files have faults; keeping the old certificate',
  identitiesKept: 'not reloaded: DIBS_AUTH_FILE has faults; keeping the old permissions',
} as const;

/** Receives the result of each change of a file. */
export interface ReloadLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Watches the TLS files and passes on each new valid certificate. */
export function watchTls(
  { paths, material }: { readonly paths: TlsPaths; readonly material: TlsMaterial },
  log: ReloadLog,
  renew: (material: TlsMaterial) => void,
  everyMs?: number,
): FileWatch<TlsMaterial> {
  const { cert, key, ca } = paths;
  return new FileWatch<TlsMaterial>(
    {
      paths: [cert, key, ...(ca === undefined ? [] : [ca])],
      mayBecomeValid: true,
      texts: [material.cert, material.key, ...(material.ca === undefined ? [] : [material.ca])],
      parse: (read) => {
        const faults = Faults.none();
        return { content: readTlsFiles(paths, read, Date.now(), faults), faults: faults.all };
      },
      changed: (changed) => {
        renew(changed);
        const { subjectAltName, validTo } = new X509Certificate(changed.cert);
        log.info({ subjectAltName, validTo }, RELOADED.certificate);
      },
      refused: (faults) => log.error({ faults }, RELOADED.certificateKept),
    },
    everyMs,
  );
}

/** Watches DIBS_AUTH_FILE and applies each new valid version. */
export function watchIdentities(
  { path, text }: { readonly path: string; readonly text: string },
  log: ReloadLog,
  access: { replace(identities: Identities): void },
  everyMs?: number,
): FileWatch<Identities> {
  return new FileWatch<Identities>(
    {
      paths: [path],
      texts: [text],
      mayBecomeValid: false,
      parse: (read) => {
        const faults = Faults.none();
        const changed = faults.textAt('DIBS_AUTH_FILE', path, read);
        const identities =
          changed === undefined ? undefined : readAuthFile(changed, faults.in('DIBS_AUTH_FILE'));
        return { content: faults.any ? undefined : identities, faults: faults.all };
      },
      changed: (identities) => {
        access.replace(identities);
        log.info({ identities: identities.size }, RELOADED.identities);
      },
      refused: (faults) => log.error({ faults }, RELOADED.identitiesKept),
    },
    everyMs,
  );
}
