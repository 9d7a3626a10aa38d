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

it('logs the same message ten times in ten seconds, and then the number of suppressed lines', async () => {
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

it('counts each message separately, and only those that are written', () => {
  const { log, lines } = limitedLog('warn');
  for (let at = 0; at < 20; at += 1) log.info({}, 'not written');
  for (let at = 0; at < 10; at += 1) log.error({}, 'one');
  log.error({}, 'another');
  expect(lines.map(({ msg }) => msg)).toEqual([...Array(10).fill('one'), 'another']);
});

it('does not limit debug', () => {
  const { log, lines } = limitedLog();
  for (let at = 0; at < 25; at += 1) log.debug({}, 'all of it');
  expect(lines).toHaveLength(25);
});

it('limits each identity and namespace separately, so that none can hide behind a flood', () => {
  const { log, lines } = limitedLog();
  for (let n = 0; n < 20; n += 1) log.info({ identity: 'one', namespace: 'a', all: false }, 'audit');
  expect(lines).toHaveLength(10);
  log.info({ identity: 'one', namespace: 'a', all: true }, 'audit');
  log.info({ identity: 'one', namespace: 'b', all: false }, 'audit');
  log.info({ identity: 'two', namespace: 'a', all: false }, 'audit');
  expect(lines.slice(10)).toMatchObject([
    { identity: 'one', all: true },
    { identity: 'one', namespace: 'b' },
    { identity: 'two', namespace: 'a' },
  ]);
  for (let n = 0; n < 20; n += 1) log.info({ identity: 'one', namespace: 'a', all: true }, 'audit');
  expect(lines).toHaveLength(33);
});

it('does not let an identity hide itself or others behind a flood of namespaces', async () => {
  const { log, lines, clock } = limitedLog();
  for (let n = 0; n < 1_100; n += 1) {
    for (let at = 0; at < 20; at += 1) log.warn({ identity: 'one', namespace: `n${n}` }, 'audit');
  }
  const before = lines.length;
  log.warn({ identity: 'one', namespace: 'a' }, 'audit');
  log.warn({ identity: 'two', namespace: 'a' }, 'audit');
  expect(lines.slice(before)).toMatchObject([{ identity: 'two', namespace: 'a' }]);
  await clock.advance(10_000);
  for (let n = 0; n < 100; n += 1) log.warn({ identity: 'one', namespace: `later ${n}` }, 'audit');
  const later = lines.slice(before + 1);
  expect(later.map(({ namespace }) => namespace)).toEqual(
    Array.from({ length: 100 }, (_, n) => `later ${n}`),
  );
  expect(later.flatMap(({ suppressed }) => suppressed ?? [])).toEqual([22_001 - before]);
});

it('remembers a bounded number of messages', async () => {
  const { log, lines, clock } = limitedLog();
  for (let n = 0; n < 3_000; n += 1) log.warn({ identity: 'one', namespace: `n${n}` }, 'audit');
  const first = lines.length;
  expect(first).toBeLessThan(1_011);
  await clock.advance(10_000);
  log.warn({ identity: 'one', namespace: 'later' }, 'audit');
  expect(lines.at(-1)).toMatchObject({ namespace: 'later' });
  for (let n = 0; n < 500; n += 1) log.warn({ identity: 'two', namespace: `n${n}` }, 'audit');
  expect(lines).toHaveLength(first + 501);
});
