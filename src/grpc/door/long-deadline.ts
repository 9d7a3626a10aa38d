import type { IncomingHttpHeaders } from 'node:http2';

/** The longest one that grpc-js counts: it makes 32 bits of it, so that a longer one passes at once. 24 days. */
const SECONDS_MAX = 2_147_483;
/** A header has at most eight digits, so only these units can be too long. */
const SECONDS_OF: Readonly<Record<string, number>> = { H: 3_600, M: 60, S: 1 };

/** Shortens a deadline that grpc-js would take for one that has passed. No call of the contract takes so long. */
export function shortenDeadline(headers: IncomingHttpHeaders): void {
  const [, amount, unit = ''] = /^(\d{1,8})([HMS])$/.exec(String(headers['grpc-timeout'] ?? '')) ?? [];
  const seconds = Number(amount) * (SECONDS_OF[unit] ?? 0);
  if (seconds > SECONDS_MAX) headers['grpc-timeout'] = `${SECONDS_MAX}S`;
}
