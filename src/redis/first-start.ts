import type { StoreConnection } from './connection.js';
import { FIRST_START_KEY, groupStartKey } from './keys.js';

/** At a start, the lock nodes may have answered before the store has. A claim takes at most a second. */
const FORMAT_MS_MAX = 500;

/**
 * The value store as the memory of whether a group of lock nodes has ever voted. A fleet with one group uses a key of
 * its own. Every fleet writes both keys, so both are known when groups are added or removed.
 */
export class RedisFirstStart {
  /** `group`: the name of the lock nodes. `isOnly`: the fleet has no other group. */
  constructor(
    private readonly connection: StoreConnection,
    private readonly group: string,
    private readonly isOnly: boolean,
  ) {}

  /** True for the first caller ever on a store with this content. Rejects with StoreUnavailable. */
  async claimFirstStart(): Promise<boolean> {
    await this.connection.formatWithin(FORMAT_MS_MAX);
    const [ofFleet, ofGroup] = await this.connection.call((client) =>
      Promise.all([FIRST_START_KEY, groupStartKey(this.group)].map((key) => client.set(key, '1', 'NX'))),
    );
    return (this.isOnly ? ofFleet : ofGroup) === 'OK';
  }
}
