import type { StoreConnection } from './connection.js';
import { FIRST_START_KEY } from './keys.js';

/** The value store as the one that remembers whether the quorum has ever voted. */
export class RedisFirstStart {
  constructor(private readonly connection: StoreConnection) {}

  /** True for the first caller that any store with this content ever had. Rejects with StoreUnavailable. */
  async claimFirstStart(): Promise<boolean> {
    const reply = await this.connection.call((client) => client.set(FIRST_START_KEY, '1', 'NX'));
    return reply === 'OK';
  }
}
