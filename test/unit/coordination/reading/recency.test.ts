import { expect, it } from 'vitest';
import { Recency, type Used } from '../../../../src/coordination/reading/recency.js';
import { SeededRandom } from '../../../support/seeded-random.js';

class Item implements Used {
  newer: Used | undefined;
  older: Used | undefined;

  constructor(readonly name: number) {}
}

/** From the least recently used on. Removes all. */
function drained(order: Recency<Item>): number[] {
  const names: number[] = [];
  for (let item = order.oldest; item !== undefined; item = order.oldest) {
    names.push(item.name);
    order.remove(item);
  }
  return names;
}

it('the order is that of use, whatever is added, used and removed', () => {
  const random = new SeededRandom(3_894);
  for (let run = 0; run < 300; run += 1) {
    const order = new Recency<Item>();
    const items = new Map<number, Item>();
    for (let at = 0; at < 30; at += 1) {
      const item = items.get(random.below(at + 1));
      if (item === undefined || random.fraction() < 0.3) {
        const added = new Item(at);
        items.set(at, added);
        order.add(added);
      } else if (random.fraction() < 0.7) {
        order.use(item);
        items.delete(item.name);
        items.set(item.name, item);
      } else {
        order.remove(item);
        items.delete(item.name);
        expect([item.newer, item.older]).toEqual([undefined, undefined]);
      }
    }
    expect(drained(order)).toEqual([...items.keys()]);
    expect(order.oldest).toBeUndefined();
  }
});

it('clear removes everything', () => {
  const order = new Recency<Item>();
  order.add(new Item(1));
  order.clear();
  order.add(new Item(2));
  expect(drained(order)).toEqual([2]);
});
