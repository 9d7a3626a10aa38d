import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ServedCertificates } from '../../src/served-certificates.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { TestAuthority } from '../support/certificates.js';

const DAY_MS = 86_400_000;
const authority = new TestAuthority();
afterAll(() => authority.close());
const certOf = (days: number) => ({ cert: readFileSync(authority.issue({ days }).cert, 'utf8'), key: '' });
const [ofAQuarter, ofAWeek] = [certOf(90), certOf(7)];

const told: string[] = [];
const log = {
  warn: (fields: object, message: string) => told.push(`${message} ${JSON.stringify(fields)}`),
};
let laterMs = 0;
let certificates: ServedCertificates;
const served = (material = ofAQuarter) => {
  certificates = new ServedCertificates(material, log, () => Date.now() + laterMs);
};
const isTold = (text: string) =>
  expect(told).toEqual([expect.stringMatching(new RegExp(`^${text} .*"DIBS_TLS_CERT","endsAt":"20.*Z"`))]);

beforeEach(() => {
  told.length = 0;
  laterMs = 0;
});
afterEach(() => {
  certificates.stop();
  vi.useRealTimers();
});

it('a certificate is logged at its load, when less than 14 days are left', () => {
  laterMs = 75.9 * DAY_MS;
  served();
  expect(told).toEqual([]);
  certificates.stop();
  laterMs = 76.1 * DAY_MS;
  served();
  isTold(LOG.certificateEndsSoon);
});

it('one of a few days is logged when less than a third of them is left', () => {
  laterMs = 4.5 * DAY_MS;
  served(ofAWeek);
  expect(told).toEqual([]);
  certificates.stop();
  laterMs = 4.8 * DAY_MS;
  served(ofAWeek);
  isTold(LOG.certificateEndsSoon);
});

it('one that comes near its end while the process runs is logged each day, and when it has ended', async () => {
  vi.useFakeTimers();
  served();
  await vi.advanceTimersByTimeAsync(75 * DAY_MS);
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(3 * DAY_MS);
  expect(told.length).toBeGreaterThanOrEqual(2);
  await vi.advanceTimersByTimeAsync(14 * DAY_MS);
  expect(told.at(-1)).toMatch(LOG.certificateEnded);
});

it('a renewed one ends later, and is silent', async () => {
  laterMs = 80 * DAY_MS;
  served();
  isTold(LOG.certificateEndsSoon);
  certificates.renewTls(certOf(180));
  await certificates.check();
  expect(told).toHaveLength(1);
  expect(certificates.ends).toEqual([expect.objectContaining({ variable: 'DIBS_TLS_CERT' })]);
  expect((certificates.ends[0]!.endMs - Date.now()) / DAY_MS).toBeCloseTo(180, 0);
});
