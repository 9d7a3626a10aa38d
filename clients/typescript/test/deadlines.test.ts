import { describe, expect, it } from 'vitest';
import { Deadlines, type Tick } from '../src/deadlines.js';
import { TIMER_MS_MAX } from '../src/numbers.js';

/** A clock that moves only when a test moves it. */
class HandClock {
  now = 0;
  readonly timers = new Set<{ readonly atMs: number; readonly fire: () => void }>();

  nowMs = () => this.now;
  soon = () => () => {};
  after = (delayMs: number, fire: () => void) => {
    const timer = { atMs: this.now + delayMs, fire };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  };
  behind = this.after;

  goOn(toMs: number): void {
    this.now = toMs;
    for (const timer of [...this.timers]) {
      if (timer.atMs > toMs || !this.timers.delete(timer)) continue;
      timer.fire();
    }
  }
}

class Item {
  tick: Tick | undefined;
  place = 0;

  constructor(readonly name: string) {}
}

function start() {
  const clock = new HandClock();
  const expired: string[] = [];
  const deadlines = new Deadlines<Item>((item) => expired.push(item.name), clock);
  const set = (name: string, delayMs: number) => {
    const item = new Item(name);
    deadlines.set(item, delayMs);
    return item;
  };
  return { clock, expired, deadlines, set };
}

describe('deadlines', () => {
  it('reports each expired item once, never early and at most a tick late', () => {
    const { clock, expired, set } = start();
    set('one', 10);
    set('two', 11);
    set('later', 100);
    clock.goOn(9);
    expect(expired).toEqual([]);
    clock.goOn(15);
    expect(expired).toEqual(['one', 'two']);
    clock.goOn(200);
    expect(expired).toEqual(['one', 'two', 'later']);
  });

  it('has one timer per tick, and none when all items of the tick are cancelled', () => {
    const { clock, expired, deadlines, set } = start();
    const items = Array.from({ length: 100 }, (_, at) => set(String(at), 9 + at / 40));
    expect(clock.timers.size).toBe(1);
    for (const item of items) deadlines.cancel(item);
    expect(clock.timers.size).toBe(0);
    clock.goOn(1_000);
    expect(expired).toEqual([]);
  });

  it('cancels one of several items, and accepts a second cancel', () => {
    const { clock, expired, deadlines, set } = start();
    const [one] = [set('one', 10), set('two', 10)];
    deadlines.cancel(one);
    deadlines.cancel(one);
    expect(clock.timers.size).toBe(1);
    clock.goOn(20);
    expect(expired).toEqual(['two']);
    deadlines.cancel(one);
  });

  it('begins a new tick when the last one has ended', () => {
    const { clock, expired, deadlines, set } = start();
    deadlines.cancel(set('gone', 10));
    set('again', 10);
    clock.goOn(12);
    set('third', 10);
    clock.goOn(30);
    expect(expired).toEqual(['again', 'third']);
  });

  it('lets an expired item cancel another item of its tick', () => {
    const clock = new HandClock();
    const expired: string[] = [];
    const deadlines: Deadlines<Item> = new Deadlines<Item>((item) => {
      expired.push(item.name);
      deadlines.cancel(other);
    }, clock);
    deadlines.set(new Item('first'), 10);
    const other = new Item('other');
    deadlines.set(other, 10);
    clock.goOn(20);
    expect(expired).toEqual(['first']);
  });

  it('does not report the longest one at once, although its tick ends after what a timer can count', async () => {
    const expired: string[] = [];
    const deadlines = new Deadlines<Item>((item) => expired.push(item.name));
    const item = new Item('longest');
    deadlines.set(item, TIMER_MS_MAX);
    await new Promise((resolve) => setTimeout(resolve, 20));
    deadlines.cancel(item);
    expect(expired).toEqual([]);
  });
});
