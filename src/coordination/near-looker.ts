import type { Changes } from './changes.js';
import type { Looker } from './looker.js';
import type { NearCache } from './near-cache.js';
import type { Facts } from './trace.js';
import { copyOf, type View } from './view.js';
import type { WaitingRoom } from './waiting-room.js';

/** Looks on behalf of a waiting room: what it sees is kept, and where the store is lost, what was kept is seen. */
export class NearLooker {
  constructor(
    private readonly looker: Looker,
    private readonly near: NearCache,
    private readonly changes: Changes,
  ) {}

  /** `arrivals` is called when the read is sent. */
  async look(room: WaitingRoom, arrivals: () => number): Promise<View> {
    room.beginLook();
    // It is one read for all who wait; the first of them that is traced shows it.
    const step = room.trace?.begin('look');
    const looking = this.looker.look(room.key, arrivals);
    if (step !== undefined) {
      looking.then(
        (seen) => step.end({ found: foundIn(seen) }),
        () => step.end(),
      );
    }
    const view = await looking;
    if (view.from === 'store') {
      // A change arrived while the read was under way: it may have read the value of before, and must not bring it back.
      if (this.changes.allow(room.key.namespace, copyOf(view), room.now)) this.near.fill(room.key, view);
      return view;
    }
    const value = this.near.stale(room.key.id, view.readAtMs);
    return value === undefined ? view : { ...view, record: { ...view.record, value } };
  }
}

function foundIn({ record: { value } }: View): NonNullable<Facts['found']> {
  if (value === undefined || value.servableForMs <= 0) return 'nothing';
  return value.freshForMs > 0 ? 'fresh' : 'stale';
}
