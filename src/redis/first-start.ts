import type { StoreConnection } from './connection.js';
import { FIRST_START_KEY, groupStartKey } from './keys.js';

/**
 * The value store as the one that remembers whether a group of lock nodes has ever voted. A fleet with one group keeps
 * that under a key of its own. Both keys are written by every fleet, so that both are known when groups come and go.
 */
export class RedisFirstStart {
  /** `group`: the name of the lock nodes. `isOnly`: the fleet has no other group. */
  constructor(
    private readonly connection: StoreConnection,
    private readonly group: string,
    private readonly isOnly: boolean,
  ) {}

  /** True for the first caller that any store with this content ever had. Rejects with StoreUnavailable. */
  async claimFirstStart(): Promise<boolean> {
    const [ofFleet, ofGroup] = await this.connection.call((client) =>
      Promise.all([FIRST_START_KEY, groupStartKey(this.group)].map((key) => client.set(key, '1', 'NX'))),
    );
    return (this.isOnly ? ofFleet : ofGroup) === 'OK';
  }
}
