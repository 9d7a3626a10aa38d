/** What has a place in an order of use. */
export interface Used {
  /** Used next after it. */
  newer: Used | undefined;
  /** Used last before it. */
  older: Used | undefined;
}

/**
 * An order of use, as links between its items. Moving one creates nothing. In a map, each use would be a removal and an
 * addition, and the map would be copied after as many uses as it has items.
 */
export class Recency<Item extends Used> {
  #newest: Used | undefined;
  #oldest: Used | undefined;

  /** What was used least recently. */
  get oldest(): Item | undefined {
    return this.#oldest as Item | undefined;
  }

  add(item: Item): void {
    item.newer = undefined;
    item.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
  }

  use(item: Item): void {
    if (item === this.#newest) return;
    this.remove(item);
    this.add(item);
  }

  remove(item: Item): void {
    const { newer, older } = item;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    // An old item that was removed must not keep younger ones alive.
    item.newer = undefined;
    item.older = undefined;
  }

  clear(): void {
    this.#newest = undefined;
    this.#oldest = undefined;
  }
}
