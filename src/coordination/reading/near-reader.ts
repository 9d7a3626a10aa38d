import type { Changes } from './changes.js';
import type { RecordReader } from './record-reader.js';
import type { NearCache } from './near-cache.js';
import type { Facts } from '../words/trace.js';
import { copyOf, type Snapshot } from './snapshot.js';
import type { WaitingRoom } from '../waiting/waiting-room.js';

/** Looks on behalf of a waiting room: what it sees is kept, and where the store is lost, what was kept is seen. */
export class NearReader {
  constructor(
    private readonly reader: RecordReader,
    private readonly near: NearCache,
    private readonly changes: Changes,
  ) {}

  /** `arrivals` is called when the read is sent. */
  async read(room: WaitingRoom, arrivals: () => number): Promise<Snapshot> {
    room.beginRead();
    // It is one read for all who wait; the first of them that is traced shows it.
    const step = room.trace?.begin('look');
    const looking = this.reader.read(room.key, arrivals);
    if (step !== undefined) {
      looking.then(
        (seen) => step.end({ found: foundIn(seen) }),
        () => step.end(),
      );
    }
    const snapshot = await looking;
    if (snapshot.from === 'store') {
      // A change arrived while the read was under way: it may have read the value of before, and must not bring it back.
      if (this.changes.allow(room.key.namespace, copyOf(snapshot), room.now))
        this.near.fill(room.key, snapshot);
      return snapshot;
    }
    const value = this.near.stale(room.key.id, snapshot.readAtMs);
    return value === undefined ? snapshot : { ...snapshot, record: { ...snapshot.record, value } };
  }
}

function foundIn({ record: { value } }: Snapshot): NonNullable<Facts['found']> {
  if (value === undefined || value.servableForMs <= 0) return 'nothing';
  return value.freshForMs > 0 ? 'fresh' : 'stale';
}
