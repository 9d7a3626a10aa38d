import { SOON_DAYS } from '../config/tls-files.js';
import type { Findings } from './finding.js';

const DAY_MS = 86_400_000;

/** A certificate that ends at `endMs`, in milliseconds since 1970. */
export function dated(findings: Findings, check: string, endMs: number, nowMs = Date.now()): void {
  const days = Math.floor((endMs - nowMs) / DAY_MS);
  const date = new Date(endMs).toISOString();
  if (days < 0) findings.fault(check, `expired on ${date}; renew it`);
  else if (days < SOON_DAYS) findings.warning(check, `ends in ${days} days, on ${date}; renew it`);
  else findings.ok(check, `valid until ${date}`);
}
