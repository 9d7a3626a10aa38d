import { expect, it } from 'vitest';
import { rateLimited } from '../../../src/telemetry/log-rate.js';
import { createLogger, type LogLevel } from '../../../src/telemetry/logger.js';
import { ManualClock } from '../../support/manual-clock.js';

function limitedLog(level: LogLevel = 'debug') {
  const lines: Record<string, unknown>[] = [];
  const clock = new ManualClock();
  const log = rateLimited(createLogger(level, { write: (line) => lines.push(JSON.parse(line)) }), clock);
  return { log, lines, clock };
}

it('says the same ten times in ten seconds, and then how often it did not', async () => {
  const { log, lines, clock } = limitedLog();
  for (let at = 0; at < 25; at += 1) log.warn({ at }, 'again');
  expect(lines).toHaveLength(10);
  await clock.advance(9_999);
  log.warn({}, 'again');
  expect(lines).toHaveLength(10);
  await clock.advance(1);
  log.warn({ at: 26 }, 'again');
  expect(lines.at(-1)).toMatchObject({ msg: 'again', at: 26, suppressed: 16 });
  log.warn({}, 'again');
  expect(lines.at(-1)).not.toHaveProperty('suppressed');
});

it('counts each message for itself, and nothing that is not written', () => {
  const { log, lines } = limitedLog('warn');
  for (let at = 0; at < 20; at += 1) log.info({}, 'not written');
  for (let at = 0; at < 10; at += 1) log.error({}, 'one');
  log.error({}, 'another');
  expect(lines.map(({ msg }) => msg)).toEqual([...Array(10).fill('one'), 'another']);
});

it('leaves debug alone', () => {
  const { log, lines } = limitedLog();
  for (let at = 0; at < 25; at += 1) log.debug({}, 'all of it');
  expect(lines).toHaveLength(25);
});
