import { describe, expect, it } from 'vitest';
import type { TagWake } from '../../../../src/coordination/ports/wake-channel.js';
import { type Arrival, Changes, type Copy } from '../../../../src/coordination/reading/changes.js';

const NAMESPACE = 'space';

const wake = (time: number, ...tags: string[]): TagWake => ({
  clockId: 'c',
  time,
  tags,
  all: tags.length === 0,
});

function trial() {
  const changes = new Changes();
  /** A caller that arrives now, for a key without a known change. */
  const comes = (over: Partial<Arrival> = {}): Arrival => ({
    at: changes.count,
    keyAt: 0,
    keyFence: Number.POSITIVE_INFINITY,
    wideAt: changes.wideAt(NAMESPACE),
    ...over,
  });
  const copy = (over: Partial<Copy> = {}): Copy => ({
    sentAt: changes.count,
    fence: 5,
    clock: 'c.1',
    tags: ['red'],
    ...over,
  });
  /** The tag clock of the namespace is known, as after a read. */
  const listening = (clock = 'c.1') => {
    changes.listenTo(NAMESPACE);
    changes.clockRead(NAMESPACE, clock, changes.count);
  };
  const heard = (it: TagWake | undefined) => changes.namespaceChanged(NAMESPACE, it);
  return { changes, comes, copy, listening, heard };
}

describe('a copy', () => {
  it('may serve callers from before a change, and none that came after it', () => {
    const { changes, comes, copy } = trial();
    const read = copy();
    const before = comes();
    const after = comes({ keyAt: changes.keyChanged() });
    expect(changes.allow(NAMESPACE, read, before)).toBe(true);
    expect(changes.allow(NAMESPACE, read, after)).toBe(false);
    expect(changes.allow(NAMESPACE, copy(), after)).toBe(true);
  });

  it('counts from when its read was sent, not from its reply', () => {
    const { changes, comes, copy } = trial();
    const sent = copy();
    const caller = comes({ keyAt: changes.keyChanged() });
    // The reply comes now, after the caller.
    expect(changes.allow(NAMESPACE, sent, caller)).toBe(false);
  });

  it('with the fence of the last change or a higher one may serve later callers', () => {
    const { changes, comes, copy, listening } = trial();
    listening();
    const read = copy({ fence: 7 });
    const keyAt = changes.keyChanged();
    expect(changes.allow(NAMESPACE, read, comes({ keyAt, keyFence: 7 }))).toBe(true);
    expect(changes.allow(NAMESPACE, read, comes({ keyAt, keyFence: 8 }))).toBe(false);
    expect(changes.allow(NAMESPACE, read, comes({ keyAt }))).toBe(false);
  });

  it('serves no newcomer once one of its tags, or the namespace, was invalidated after its clock', () => {
    const { changes, comes, copy, listening, heard } = trial();
    listening();
    const read = copy();
    heard(wake(2, 'blue'));
    expect(changes.allow(NAMESPACE, read, comes())).toBe(true);
    heard(wake(3, 'green', 'red'));
    expect(changes.allow(NAMESPACE, read, comes())).toBe(false);
    expect(changes.allow(NAMESPACE, copy({ clock: 'c.3', sentAt: 0 }), comes())).toBe(true);
    heard(wake(4));
    expect(changes.allow(NAMESPACE, copy({ clock: 'c.3', sentAt: 0, tags: [] }), comes())).toBe(false);
  });

  it('of another clock, or from before a gap in the times, serves no newcomer', () => {
    for (const odd of [{ ...wake(3, 'blue'), clockId: 'other' }, wake(9, 'blue'), undefined]) {
      const { changes, comes, copy, listening, heard } = trial();
      listening();
      heard(wake(2, 'blue'));
      const read = copy({ clock: 'c.2' });
      expect(heard(odd)).toBe(false);
      expect(changes.allow(NAMESPACE, read, comes())).toBe(false);
      expect(changes.stands(NAMESPACE, read)).toBeUndefined();
    }
  });

  it('serves no newcomer once the channel was lost or confirmed again', () => {
    for (const happens of ['channelDisconnected', 'channelConfirmed'] as const) {
      const { changes, comes, copy, listening } = trial();
      listening();
      const read = copy();
      const before = comes();
      changes[happens]();
      expect(changes.allow(NAMESPACE, read, comes())).toBe(false);
      expect(changes.allow(NAMESPACE, read, before)).toBe(true);
    }
  });

  it('serves no newcomer once this replica has invalidated its tag, before any wake', () => {
    const { changes, comes, copy, listening, heard } = trial();
    listening();
    const read = copy();
    changes.invalidatedHere(NAMESPACE, wake(2, 'red'));
    expect(changes.allow(NAMESPACE, read, comes())).toBe(false);
    // Its wake comes late, and is not a gap.
    expect(heard(wake(2, 'red'))).toBe(true);
    expect(heard(wake(3, 'blue'))).toBe(true);
    // Without a reply, anything may have been done.
    const other = copy({ clock: 'c.3', tags: ['blue'] });
    changes.invalidatedHere(NAMESPACE, undefined);
    expect(changes.allow(NAMESPACE, other, comes())).toBe(false);
  });

  it('is not known to be unchanged after more changes than are remembered', () => {
    const { changes, copy, listening, heard } = trial();
    listening();
    for (let time = 2; time <= 129; time += 1) heard(wake(time, 'blue'));
    expect(changes.stands(NAMESPACE, copy())).toBe(true);
    heard(wake(130, 'blue'));
    expect(changes.stands(NAMESPACE, copy())).toBeUndefined();
    expect(changes.stands(NAMESPACE, copy({ clock: 'c.2' }))).toBe(true);
    const many = trial();
    many.listening();
    for (let time = 2; time <= 70; time += 1)
      many.heard(wake(time, ...Array.from({ length: 16 }, (_, at) => `t${at}`)));
    expect(many.changes.stands(NAMESPACE, copy())).toBeUndefined();
  });

  it('is not known to be unchanged if the tag clock was read before a gap', () => {
    const { changes, copy, heard } = trial();
    changes.listenTo(NAMESPACE);
    const sentAt = changes.count;
    heard(undefined);
    // It was sent before the gap, so the clock that it reports does not cover what was missed.
    changes.clockRead(NAMESPACE, 'c.1', sentAt);
    expect(changes.stands(NAMESPACE, copy())).toBeUndefined();
  });
});

describe('an unstored lease', () => {
  it('is untouched while neither its tags nor its namespace were invalidated since its grant', () => {
    const { changes, listening, heard } = trial();
    listening();
    heard(wake(2, 'red'));
    const givenAt = changes.count;
    heard(wake(3, 'blue'));
    expect(changes.untouchedSince(NAMESPACE, ['red'], givenAt)).toBe(true);
    expect(changes.untouchedSince(NAMESPACE, ['red', 'blue'], givenAt)).toBe(false);
    changes.channelDisconnected();
    expect(changes.untouchedSince(NAMESPACE, ['red'], givenAt)).toBe(true);
    heard(wake(4));
    expect(changes.untouchedSince(NAMESPACE, [], givenAt)).toBe(false);
  });

  it('counts as touched once the channel was confirmed again', () => {
    const { changes, listening } = trial();
    listening();
    const givenAt = changes.count;
    changes.channelConfirmed();
    expect(changes.untouchedSince(NAMESPACE, [], givenAt)).toBe(false);
  });

  it('counts as touched after more invalidations than are remembered', () => {
    const { changes, listening, heard } = trial();
    listening();
    const givenAt = changes.count;
    for (let time = 2; time <= 130; time += 1) heard(wake(time, 'blue'));
    expect(changes.untouchedSince(NAMESPACE, ['red'], givenAt)).toBe(false);
  });
});

it('at most 256 namespaces are listened to, and the oldest is forgotten', () => {
  const { changes, copy, listening } = trial();
  listening();
  for (let at = 0; at < 256; at += 1) changes.listenTo(`other-${at}`);
  expect(changes.stands(NAMESPACE, copy())).toBeUndefined();
});
