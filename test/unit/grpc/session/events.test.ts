import { expect, it } from 'vitest';
import { Events } from '../../../../src/grpc/session/events.js';

const changed = (namespace: string, keys: string[], tags: string[] = [], all = false) =>
  ({ $case: 'invalidated', value: { namespace, keys, tags, all } }) as const;

it('merges the changes of a namespace into one event', () => {
  const events = new Events();
  events.add(changed('a', ['x'], ['t']));
  events.add(changed('b', ['y']));
  events.add(changed('a', ['z'], ['u']));
  expect(events.take().map(({ event }) => event)).toEqual([
    changed('a', ['x', 'z'], ['t', 'u']),
    changed('b', ['y']),
  ]);
  expect(events.size).toBe(0);
  events.add(changed('a', ['w']));
  expect(events.take()).toHaveLength(1);
});

it('reports that anything may have changed when there are too many names, and keeps reporting it', () => {
  const events = new Events();
  for (let at = 0; at < 1_000_000; at += 1) events.add(changed('a', [`key ${at}`]));
  events.add(changed('a', ['x']));
  events.add(changed('b', [], [], true));
  expect(events.take().map(({ event }) => event)).toEqual([
    changed('a', [], [], true),
    changed('b', [], [], true),
  ]);
});

it('keeps one beat, behind all events that it confirms, and every lost lease', () => {
  const events = new Events();
  const beat = { $case: 'beat', value: {} } as const;
  const lost = { $case: 'leaseLost', value: { namespace: 'a', key: 'k', token: 't', end: 1 } } as const;
  for (const event of [beat, lost, beat, changed('a', ['x']), beat, { ...lost }]) events.add(event);
  expect(events.take().map(({ event }) => event?.$case)).toEqual([
    'leaseLost',
    'invalidated',
    'beat',
    'leaseLost',
  ]);
});

it('puts no more into one message than every client accepts', () => {
  const events = new Events();
  const key = 'k'.repeat(1_000);
  for (let at = 0; at < 64; at += 1) {
    events.add(
      changed(
        `n${at}`,
        Array.from({ length: 20 }, () => key),
      ),
    );
  }
  const messages: number[] = [];
  while (events.size > 0) messages.push(events.take().length);
  expect(messages.reduce((sum, one) => sum + one, 0)).toBe(64);
  expect(Math.max(...messages)).toBeLessThan(20);
});
