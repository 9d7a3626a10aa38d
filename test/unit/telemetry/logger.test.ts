import { describe, expect, it } from 'vitest';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { createLogger, decisionLog, type LogLevel, observeWith } from '../../../src/telemetry/logger.js';
import { Reasons } from '../../../src/telemetry/reasons.js';

function logAt(level: LogLevel) {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger(level, { write: (line) => lines.push(JSON.parse(line)) });
  return { log, lines };
}

describe('the log of decisions', () => {
  it('has one line for each decision at debug', () => {
    const { log, lines } = logAt('debug');
    const observer = observeWith(decisionLog(log, new Reasons()));
    observer.answered('shop', 'lease', 'none');
    observer.published('shop', 'stored', 12, '');
    observer.leaseEnded('shop', 'released', 100, '');
    observer.waited('shop', 'timeout', 5);
    expect(lines).toMatchObject([
      { level: 'debug', namespace: 'shop', outcome: 'lease', degraded: 'none' },
      { level: 'debug', namespace: 'shop', outcome: 'stored', rebuildMs: 12 },
      { level: 'debug', namespace: 'shop', end: 'released', heldMs: 100 },
      { level: 'debug', namespace: 'shop', endedBy: 'timeout', waitedMs: 5 },
    ]);
  });

  it('has each step of the degradation once, down and up, at warn or info', () => {
    const { log, lines } = logAt('info');
    const reasons = new Reasons();
    const observer = observeWith(decisionLog(log, reasons));
    reasons.nodeIs('one:1', false, 'connection refused');
    reasons.nodeIs('two:2', true, 'its marker is valid');
    observer.answered('shop', 'hit', 'none');
    for (const mode of ['none', 'quorum_lost', 'quorum_lost', 'local', 'none', 'none'] as const) {
      observer.degraded(mode, []);
    }
    expect(lines.map(({ level, from, to }) => `${level} ${from} ${to}`)).toEqual([
      'warn none quorum_lost',
      'warn quorum_lost local',
      'info local none',
    ]);
    expect(lines.map(({ why }) => why)).toEqual([
      'lock nodes: one:1: connection refused',
      'value store: no reply; lock nodes: one:1: connection refused',
      undefined,
    ]);
  });

  it('names the lost groups of lock nodes, whenever one is added or is back', () => {
    const { log, lines } = logAt('info');
    const observer = observeWith(decisionLog(log, new Reasons()));
    observer.degraded('quorum_lost', ['a:1']);
    observer.degraded('quorum_lost', ['a:1', 'b:1']);
    observer.degraded('quorum_lost', ['a:1', 'b:1']);
    observer.degraded('quorum_lost', ['b:1']);
    observer.degraded('none', []);
    expect(lines.map(({ level, to, groups }) => [level, to, groups])).toEqual([
      ['warn', 'quorum_lost', ['a:1']],
      ['warn', 'quorum_lost', ['a:1', 'b:1']],
      ['warn', 'quorum_lost', ['b:1']],
      ['info', 'none', undefined],
    ]);
  });

  it('warns of unusual outcomes, with the trace that they belong to', () => {
    const { log, lines } = logAt('info');
    const observer = observeWith(decisionLog(log, new Reasons()));
    const [traceId, spanId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
    const traceparent = `00-${traceId}-${spanId}-01`;
    for (const outcome of ['stored', 'stored_late', 'duplicate', 'invalidated'] as const) {
      observer.published('shop', outcome, 12, traceparent);
    }
    for (const end of ['released', 'failed', 'cancelled', 'invalidated'] as const) {
      observer.leaseEnded('shop', end, 100, traceparent);
    }
    expect(lines).toEqual([]);
    observer.published('shop', 'superseded', undefined, traceparent);
    observer.published('shop', 'unknown_lease', undefined, '');
    for (const cause of ['lease', 'store', 'reply'] as const) {
      observer.published('shop', 'not_stored', 7, 'no traceparent', { cause, why: 'why', valueBytes: 9 });
    }
    observer.publishUnanswered('shop', 250, traceparent);
    observer.leaseEnded('shop', 'expired', 100, traceparent);
    observer.leaseEnded('shop', 'session_lost', 100, '');
    const traced = { trace_id: traceId, span_id: spanId };
    expect(lines).toMatchObject([
      { level: 'warn', namespace: 'shop', outcome: 'superseded', ...traced },
      { level: 'warn', outcome: 'unknown_lease' },
      { level: 'warn', outcome: 'not_stored', rebuildMs: 7, msg: LOG.publishWithoutStore, valueBytes: 9 },
      { level: 'warn', outcome: 'not_stored', why: 'why', msg: LOG.publishRefusedByStore, valueBytes: 9 },
      { level: 'warn', outcome: 'not_stored', why: 'why', msg: LOG.publishReplyLost, valueBytes: 9 },
      { level: 'warn', namespace: 'shop', waitedMs: 250, msg: LOG.publishUnanswered, ...traced },
      { level: 'warn', end: 'expired', heldMs: 100, ...traced },
      { level: 'warn', end: 'session_lost' },
    ]);
    expect(lines.filter((line) => 'trace_id' in line)).toHaveLength(3);
  });

  it('reports indecision, its reason and its end', () => {
    const { log, lines } = logAt('info');
    const observer = observeWith(decisionLog(log, new Reasons()));
    observer.undecided(true, 10_000, 'unknown_lock');
    observer.undecided(false, 30_000);
    expect(lines).toMatchObject([
      { level: 'warn', msg: LOG.undecided, sinceMs: 10_000, why: expect.stringMatching('another store') },
      { level: 'info', msg: LOG.decided, sinceMs: 30_000 },
    ]);
  });

  it('listens to hits only if it writes them', () => {
    expect(decisionLog(logAt('info').log, new Reasons()).answered).toBeUndefined();
    expect(decisionLog(logAt('debug').log, new Reasons()).answered).toBeDefined();
  });

  it('is silent at the level silent', () => {
    const { log, lines } = logAt('silent');
    log.error({}, 'nothing');
    expect(lines).toEqual([]);
  });
});

it('every listener gets every event', () => {
  const heard: string[] = [];
  const hear = (name: string, what: string, told: unknown[]) =>
    heard.push(`${name} ${what} ${told.filter((it) => it !== undefined)}`);
  const listener = (name: string) => ({
    answered: (...told: unknown[]) => hear(name, 'answered', told),
    waited: (...told: unknown[]) => hear(name, 'waited', told),
    published: (...told: unknown[]) => hear(name, 'published', told),
    leaseEnded: (...told: unknown[]) => hear(name, 'leaseEnded', told),
    saved: (...told: unknown[]) => hear(name, 'saved', told),
    degraded: (...told: unknown[]) => hear(name, 'degraded', told),
  });
  const all = observeWith(listener('a'), listener('b'));
  all.answered('n', 'hit', 'none');
  all.waited('n', 'publish', 1);
  all.published('n', 'stored', 2, 't');
  all.leaseEnded('n', 'expired', 3, 't');
  all.saved('n', 4);
  all.degraded('local', []);
  const told = [
    'answered n,hit,none',
    'waited n,publish,1',
    'published n,stored,2,t',
    'leaseEnded n,expired,3,t',
    'saved n,4',
    'degraded local,',
  ];
  expect(heard).toEqual(told.flatMap((each) => [`a ${each}`, `b ${each}`]));
});
