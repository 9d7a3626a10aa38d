import type { Config } from '../config/config.js';
import type { Findings } from './finding.js';

/** Several processes behind one address, on a machine with this number of cores. One process, the default, is no finding. */
export function examineWorkers(
  { workers, sessionGraceMs }: Pick<Config, 'workers' | 'sessionGraceMs'>,
  cores: number,
  findings: Findings,
): void {
  if (workers === 1) return;
  if (workers > cores) {
    const todo = 'set DIBS_WORKERS to the cores that a replica has';
    findings.warning('workers', `${workers} processes for ${cores} core(s) of this machine; ${todo}`);
  } else findings.ok('workers', `${workers} processes behind one address, each with its share of the bounds`);
  if (sessionGraceMs > 0) {
    const lost = 'a client that reconnects to another one loses its leases';
    findings.warning('sessions', `DIBS_SESSION_GRACE_MS helps only at the same worker: ${lost}`);
  }
}
