import { describe, expect, it } from 'vitest';
import { createLogger, decisionLog, type LogLevel, observeWith } from '../../../src/telemetry/logger.js';

function logAt(level: LogLevel) {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger(level, { write: (line) => lines.push(JSON.parse(line)) });
  return { log, lines };
}

describe('the log of decisions', () => {
  it('has one line a decision at debug', () => {
    const { log, lines } = logAt('debug');
    const observer = decisionLog(log);
    observer.answered('shop', 'lease', 'none');
    observer.published('shop', 'stored', 12);
    observer.leaseEnded('shop', 'expired', 100);
    observer.waited('shop', 'timeout', 5);
    expect(lines).toMatchObject([
      { level: 'debug', namespace: 'shop', outcome: 'lease', degraded: 'none' },
      { level: 'debug', namespace: 'shop', outcome: 'stored', rebuildMs: 12 },
      { level: 'debug', namespace: 'shop', end: 'expired', heldMs: 100 },
      { level: 'debug', namespace: 'shop', endedBy: 'timeout', waitedMs: 5 },
    ]);
  });

  it('has each step on the ladder once, down and up, where everybody sees it', () => {
    const { log, lines } = logAt('info');
    const observer = decisionLog(log);
    observer.answered('shop', 'hit', 'none');
    for (const mode of ['none', 'quorum_lost', 'quorum_lost', 'local', 'none', 'none'] as const) {
      observer.degraded(mode);
    }
    expect(lines.map(({ level, from, to }) => `${level} ${from} ${to}`)).toEqual([
      'warn none quorum_lost',
      'warn quorum_lost local',
      'info local none',
    ]);
  });

  it('is silent where it is told to be', () => {
    const { log, lines } = logAt('silent');
    log.error({}, 'nothing');
    expect(lines).toEqual([]);
  });
});

it('tells every listener everything', () => {
  const heard: string[] = [];
  const listener = (name: string) => ({
    answered: (...told: unknown[]) => heard.push(`${name} answered ${told}`),
    waited: (...told: unknown[]) => heard.push(`${name} waited ${told}`),
    published: (...told: unknown[]) => heard.push(`${name} published ${told}`),
    leaseEnded: (...told: unknown[]) => heard.push(`${name} leaseEnded ${told}`),
    saved: (...told: unknown[]) => heard.push(`${name} saved ${told}`),
    degraded: (...told: unknown[]) => heard.push(`${name} degraded ${told}`),
  });
  const all = observeWith(listener('a'), listener('b'));
  all.answered('n', 'hit', 'none');
  all.waited('n', 'publish', 1);
  all.published('n', 'stored', 2);
  all.leaseEnded('n', 'expired', 3);
  all.saved('n', 4);
  all.degraded('local');
  const told = [
    'answered n,hit,none',
    'waited n,publish,1',
    'published n,stored,2',
    'leaseEnded n,expired,3',
    'saved n,4',
    'degraded local',
  ];
  expect(heard).toEqual(told.flatMap((each) => [`a ${each}`, `b ${each}`]));
});
