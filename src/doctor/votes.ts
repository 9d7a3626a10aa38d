import type { SingleAddress } from '../config/store-url.js';
import type { Clock } from '../coordination/ports/clock.js';
import { RedisLockNode } from '../redis/lock-node.js';
import type { Findings } from './finding.js';
import { within } from './within.js';

/** A vote takes a millisecond. A replica waits for DIBS_NODE_TIMEOUT_MS; this also covers a new connection. */
const VOTE_MS_MAX = 5_000;
/** If the release is lost, the lock ends by itself. */
const LOCK_MS = 2_000;

export interface VotingNode {
  readonly address: SingleAddress;
  readonly ca: string | undefined;
  readonly silenceMs: number;
  readonly clock: Clock;
  readonly id: string;
  readonly nonce: string;
  /** The run of its process. */
  readonly run: string;
}

/**
 * Locks, extends and releases a key that no other program uses, as a replica does. Only on a node that votes: on another one
 * a replica would begin its wait, and that would stay.
 */
export async function tryVotes(of: VotingNode, findings: Findings): Promise<void> {
  const { run, id, nonce } = of;
  const node = new RedisLockNode(of.address, of);
  const connected = new Promise<void>((resolve) => {
    node.start({ connected: resolve, disconnected: () => {} });
  });
  try {
    const replies = await within(of.clock, VOTE_MS_MAX, async () => {
      await connected;
      await node.prepare();
      const step = { id, ttlMs: LOCK_MS };
      const taken = await node.take(run, [
        { ...step, kind: 'acquire', nonce },
        { ...step, kind: 'acquire', nonce: `${nonce}-other` },
        { ...step, kind: 'extend', nonce },
      ]);
      await node.free([{ id, nonce }]);
      return taken.map((reply) => (reply instanceof Error ? reply.message : reply)).join(', ');
    });
    if (replies === 'done, held, done')
      findings.ok('votes', 'locked, refused a second lock, extended, released');
    else
      findings.fault(
        'votes',
        `lock, second lock and extension were answered ${replies}, not done, held, done`,
      );
  } catch (error) {
    findings.fault('votes', (error as Error).message);
  } finally {
    await node.close();
  }
}
