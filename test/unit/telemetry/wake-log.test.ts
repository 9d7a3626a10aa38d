import { expect, it } from 'vitest';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { WakeLog } from '../../../src/telemetry/wake-log.js';

function trial() {
  const lines: string[] = [];
  const line = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message}: ${(fields as { why?: string }).why ?? ''}`);
  };
  let nowMs = 0;
  const log = new WakeLog({ warn: line('warn'), info: line('info') }, { nowMs: () => nowMs });
  /** A try fails each second. */
  const fails = (seconds: number, why = 'no rights') => {
    for (let second = 0; second < seconds; second += 1) {
      log.failed(why);
      nowMs += 1_000;
    }
  };
  return { lines, log, fails };
}

it('a channel that fails for ten seconds is told, again after a minute, and with its recovery', () => {
  const { lines, log, fails } = trial();
  log.storeConnected();
  fails(10);
  expect(lines).toEqual([]);
  fails(1);
  const told = `warn ${LOG.wakesUnheard}: no rights`;
  expect(lines).toEqual([told]);
  fails(59);
  expect(lines).toHaveLength(1);
  fails(1);
  expect(lines).toEqual([told, told]);
  log.heard();
  expect(lines).toEqual([told, told, `info ${LOG.wakesHeard}: `]);
});

it('another reason is told at once', () => {
  const { lines, log, fails } = trial();
  log.storeConnected();
  fails(12);
  fails(2, 'no connection left');
  expect(lines).toEqual([
    `warn ${LOG.wakesUnheard}: no rights`,
    `warn ${LOG.wakesUnheard}: no connection left`,
  ]);
});

it('a channel that fails with the store, or for a moment, is not told', () => {
  const { lines, log, fails } = trial();
  fails(100);
  log.storeConnected();
  fails(5);
  log.storeUnreachable();
  fails(100);
  log.storeConnected();
  fails(9);
  log.heard();
  fails(9);
  log.heard();
  expect(lines).toEqual([]);
});
