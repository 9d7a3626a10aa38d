import { RedisServer } from './redis-server.js';
import { Replica } from './replica.js';

export interface FleetOptions {
  readonly replicas?: number;
  readonly lockNodes?: 3 | 5 | 7;
  /** For every replica, besides where the nodes and the store are. */
  readonly env?: Readonly<Record<string, string>>;
  /** The server of the lock nodes and the store, if not the installed one. */
  readonly binary?: string | undefined;
}

/** Five lock nodes, one value store and some replicas, each a real process on a free port. */
export class Fleet {
  private constructor(
    readonly lockNodes: readonly RedisServer[],
    readonly store: RedisServer,
    readonly replicas: Replica[],
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  static async start({ replicas = 3, lockNodes = 5, env = {}, binary }: FleetOptions = {}): Promise<Fleet> {
    const servers = await Promise.all(
      Array.from({ length: lockNodes + 1 }, () => RedisServer.start(binary === undefined ? {} : { binary })),
    );
    const [store, ...nodes] = servers as [RedisServer, ...RedisServer[]];
    const fleet = new Fleet(nodes, store, [], {
      DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
      DIBS_STORE_URL: store.url,
      ...env,
    });
    try {
      await Promise.all(Array.from({ length: replicas }, () => fleet.addReplica()));
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  /** Starts one more replica, of this version unless `main` is another one's. */
  async addReplica(env: Readonly<Record<string, string>> = {}, main?: string): Promise<Replica> {
    const replica = await Replica.start({ ...this.env, ...env }, main);
    this.replicas.push(replica);
    return replica;
  }

  /** Ends every process of the fleet, those that the test has ended already too. */
  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    await Promise.all([this.store, ...this.lockNodes].map((server) => server.stop()));
  }
}
