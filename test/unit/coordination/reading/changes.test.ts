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
  /** As a caller of a key of which no change was heard. */
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
  /** The namespace's clock is known, as by a look. */
  const listening = (clock = 'c.1') => {
    changes.listenTo(NAMESPACE);
    changes.clockRead(NAMESPACE, clock, changes.count);
  };
  const heard = (it: TagWake | undefined) => changes.namespaceChanged(NAMESPACE, it);
  return { changes, comes, copy, listening, heard };
}

describe('a copy', () => {
  it('may be given to who came before the change, and not to who came after', () => {
    const { changes, comes, copy } = trial();
    const read = copy();
    const before = comes();
    const after = comes({ keyAt: changes.keyChanged() });
    expect(changes.allow(NAMESPACE, read, before)).toBe(true);
    expect(changes.allow(NAMESPACE, read, after)).toBe(false);
    expect(changes.allow(NAMESPACE, copy(), after)).toBe(true);
  });

  it('counts from when it was sent, whenever its reply came', () => {
    const { changes, comes, copy } = trial();
    const sent = copy();
    const caller = comes({ keyAt: changes.keyChanged() });
    // The reply comes now, and the caller was there before it.
    expect(changes.allow(NAMESPACE, sent, caller)).toBe(false);
  });

  it('that has the fence of the last change, or a later one, is what the change was about', () => {
    const { changes, comes, copy, listening } = trial();
    listening();
    const read = copy({ fence: 7 });
    const keyAt = changes.keyChanged();
    expect(changes.allow(NAMESPACE, read, comes({ keyAt, keyFence: 7 }))).toBe(true);
    expect(changes.allow(NAMESPACE, read, comes({ keyAt, keyFence: 8 }))).toBe(false);
    expect(changes.allow(NAMESPACE, read, comes({ keyAt }))).toBe(false);
  });

  it('is over for newcomers once one of its tags, or the namespace, was invalidated after its clock', () => {
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

  it('of another clock, or from before a gap in the times, is over for newcomers', () => {
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

  it('is over for newcomers when the channel was lost, and when it was confirmed anew', () => {
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

  it('is over for newcomers once this replica itself has invalidated its tag, before any wake came', () => {
    const { changes, comes, copy, listening, heard } = trial();
    listening();
    const read = copy();
    changes.invalidatedHere(NAMESPACE, wake(2, 'red'));
    expect(changes.allow(NAMESPACE, read, comes())).toBe(false);
    // Its wake comes late, and is no gap.
    expect(heard(wake(2, 'red'))).toBe(true);
    expect(heard(wake(3, 'blue'))).toBe(true);
    // Where no reply came, anything may have been done.
    const other = copy({ clock: 'c.3', tags: ['blue'] });
    changes.invalidatedHere(NAMESPACE, undefined);
    expect(changes.allow(NAMESPACE, other, comes())).toBe(false);
  });

  it('is not known to stand by more changes than are remembered', () => {
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

  it('of a namespace that was not listened to since before its read is not known to stand', () => {
    const { changes, copy, heard } = trial();
    changes.listenTo(NAMESPACE);
    const sentAt = changes.count;
    heard(undefined);
    // Sent before the gap: what it says of the clock does not cover what was missed.
    changes.clockRead(NAMESPACE, 'c.1', sentAt);
    expect(changes.stands(NAMESPACE, copy())).toBeUndefined();
  });
});

describe('a lease that no store knows', () => {
  it('is untouched as long as no tag of it was invalidated, nor its namespace, since it was given', () => {
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

  it('is not, once the channel was confirmed anew', () => {
    const { changes, listening } = trial();
    listening();
    const givenAt = changes.count;
    changes.channelConfirmed();
    expect(changes.untouchedSince(NAMESPACE, [], givenAt)).toBe(false);
  });

  it('is not, once more was invalidated than is remembered', () => {
    const { changes, listening, heard } = trial();
    listening();
    const givenAt = changes.count;
    for (let time = 2; time <= 130; time += 1) heard(wake(time, 'blue'));
    expect(changes.untouchedSince(NAMESPACE, ['red'], givenAt)).toBe(false);
  });
});

it('forgets the namespaces that it has listened to for longest', () => {
  const { changes, copy, listening } = trial();
  listening();
  for (let at = 0; at < 256; at += 1) changes.listenTo(`other-${at}`);
  expect(changes.stands(NAMESPACE, copy())).toBeUndefined();
});
