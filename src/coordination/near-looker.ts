import type { Looker } from './looker.js';
import type { NearCache } from './near-cache.js';
import type { View } from './view.js';
import type { WaitingRoom } from './waiting-room.js';

/** Looks on behalf of a waiting room: what it sees is kept, and where the store is lost, what was kept is seen. */
export class NearLooker {
  constructor(
    private readonly looker: Looker,
    private readonly near: NearCache,
  ) {}

  /** `arrivals` is called when the read is sent. */
  async look(room: WaitingRoom, arrivals: () => number): Promise<View> {
    const { generation } = this.near;
    room.beginLook();
    const view = await this.looker.look(room.key, arrivals);
    if (view.from === 'store') {
      if (room.changed || generation !== this.near.generation) return { ...view, overtaken: true };
      this.near.fill(room.key, view, generation);
      return view;
    }
    const value = this.near.stale(room.key.id, view.readAtMs);
    return value === undefined ? view : { ...view, record: { ...view.record, value } };
  }
}
