import { describe, expect, it, vi } from 'vitest';
import { HeldLeases } from '../src/held-leases.js';

describe('held leases', () => {
  it('report their loss once, while they are watched', async () => {
    const held = new HeldLeases();
    const [one, other] = [vi.fn(), vi.fn()];
    held.watch('one', one);
    const unwatch = held.watch('other', other);
    unwatch();
    held.lost('one');
    held.lost('one');
    held.lost('other');
    await Promise.resolve();
    expect(one).toHaveBeenCalledTimes(1);
    expect(other).not.toHaveBeenCalled();
  });

  it('report a loss that came before the watch', async () => {
    const held = new HeldLeases();
    held.lost('t');
    const lost = vi.fn();
    held.watch('t', lost);
    expect(lost).not.toHaveBeenCalled();
    await Promise.resolve();
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it('do not keep losses for ever', async () => {
    const held = new HeldLeases();
    for (let at = 0; at <= 1_000; at += 1) held.lost(`${at}`);
    const [first, last] = [vi.fn(), vi.fn()];
    held.watch('0', first);
    held.watch('1000', last);
    await Promise.resolve();
    expect([first.mock.calls.length, last.mock.calls.length]).toEqual([0, 1]);
  });
});
