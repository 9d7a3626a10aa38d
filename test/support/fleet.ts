import { RedisServer } from './redis-server.js';
import { Replica } from './replica.js';

export interface FleetOptions {
  readonly replicas?: number;
  readonly lockNodes?: 3 | 5 | 7;
  /** The environment of every replica, in addition to the addresses of the nodes and the store. */
  readonly env?: Readonly<Record<string, string>>;
  /** The server program for the lock nodes and the store; by default the installed one. */
  readonly binary?: string | undefined;
}

/** Five lock nodes, one value store and some replicas. Each is a real process on a free port. */
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

  /** Starts one more replica, of this version unless `main` belongs to another. */
  async addReplica(env: Readonly<Record<string, string>> = {}, main?: string): Promise<Replica> {
    const replica = await Replica.start({ ...this.env, ...env }, main);
    this.replicas.push(replica);
    return replica;
  }

  /** Ends all processes of the fleet that still run. */
  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    await Promise.all([this.store, ...this.lockNodes].map((server) => server.stop()));
  }
}
