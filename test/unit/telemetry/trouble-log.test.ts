import { expect, it } from 'vitest';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { Reasons } from '../../../src/telemetry/reasons.js';
import { TroubleLog } from '../../../src/telemetry/trouble-log.js';

function trial() {
  const lines: string[] = [];
  const line = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message}: ${(fields as { why?: string }).why}`);
  };
  const reasons = new Reasons();
  let nowMs = 0;
  const clock = { nowMs: () => nowMs };
  const log = new TroubleLog({ warn: line('warn'), error: line('error'), debug: () => {} }, clock, reasons);
  return {
    lines,
    reasons,
    log,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}
const refused = { kind: 'refused', why: 'full', error: new Error('OOM') } as const;
const unreachable = { kind: 'unreachable', why: 'connection refused', error: new Error('x') } as const;
const foreign = { kind: 'foreign_key', why: 'WRONGTYPE', error: new Error('x') } as const;

it('each reason is logged once a minute', () => {
  const { lines, log, pass } = trial();
  for (const trouble of [unreachable, refused, foreign, unreachable, refused]) log.heard(trouble);
  const each = [
    `warn ${LOG.storeUnreachable}: connection refused`,
    `error ${LOG.storeRefuses}: full`,
    `error ${LOG.storeForeignKey}: WRONGTYPE`,
  ];
  expect(lines).toEqual(each);
  pass(59_999);
  log.heard(refused);
  expect(lines).toHaveLength(3);
  pass(1);
  log.heard(refused);
  expect(lines).toHaveLength(4);
});

it('a connection that breaks again is logged at once, and the same refusal only later', () => {
  const { lines, log } = trial();
  for (const trouble of [unreachable, refused]) log.heard(trouble);
  log.over();
  for (const trouble of [unreachable, refused]) log.heard(trouble);
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['warn', 'error', 'warn']);
});

it("the store's reason is kept for the line about the degradation, until the store answers", () => {
  const { log, reasons } = trial();
  log.heard(refused);
  log.heard(foreign);
  reasons.nodeIs('one:1', false, 'full');
  expect(reasons.of('store_lost')).toBe('value store: full');
  expect(reasons.of('local')).toBe('value store: full; lock nodes: one:1: full');
  log.over();
  reasons.nodeIs('one:1', true, 'votes');
  expect(reasons.of('store_lost')).toBe('value store: no reply');
  expect(reasons.of('quorum_lost')).toBe('lock nodes: too few votes in time');
  expect(reasons.of('none')).toBe('');
});
