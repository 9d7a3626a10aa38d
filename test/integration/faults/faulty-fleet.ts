import { FakedClock } from '../../support/faked-clock.js';
import { freePort, RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';
import { TcpProxy } from '../../support/tcp-proxy.js';

/** Short, because a node that forgot waits for the longest lease. */
export const LEASE_MS_MAX = 2_000;

/** Five lock nodes, a store and three replicas, with a proxy before each Redis. Faults can hit all of them. */
export class FaultyFleet {
  readonly replicas: Replica[] = [];
  /** The wall clock of the first replica, or undefined if it cannot be faked. */
  readonly clock = FakedClock.create();

  private constructor(
    readonly nodes: readonly RedisServer[],
    readonly store: RedisServer,
    readonly nodeProxies: readonly TcpProxy[],
    readonly storeProxy: TcpProxy,
    private readonly ports: readonly (readonly [grpc: number, http: number])[],
  ) {}

  static async start(): Promise<FaultyFleet> {
    const nodes = await Promise.all(Array.from({ length: 5 }, () => RedisServer.start()));
    const store = await RedisServer.start();
    const nodeProxies = await Promise.all(nodes.map(({ port }) => TcpProxy.start(port)));
    const storeProxy = await TcpProxy.start(store.port);
    const ports: [number, number][] = [];
    // One after another, so no port is returned twice.
    for (let at = 0; at < 3; at += 1) ports.push([await freePort(), await freePort()]);
    const fleet = new FaultyFleet(nodes, store, nodeProxies, storeProxy, ports);
    for (let at = 0; at < 3; at += 1) await fleet.startReplica(at);
    return fleet;
  }

  get targets(): string[] {
    return this.ports.map(([grpc]) => `127.0.0.1:${grpc}`);
  }

  /** Starts a replica, always on the same ports. */
  async startReplica(at: number): Promise<void> {
    const [grpc, http] = this.ports[at] as readonly [number, number];
    this.replicas[at] = await Replica.start({
      DIBS_QUORUM_NODES: this.nodeProxies.map(({ url }) => url).join(','),
      DIBS_STORE_URL: this.storeProxy.url,
      DIBS_LISTEN: `127.0.0.1:${grpc}`,
      DIBS_HTTP_LISTEN: `127.0.0.1:${http}`,
      DIBS_LEASE_MS: '1000',
      DIBS_LEASE_MAX_MS: String(LEASE_MS_MAX),
      DIBS_LOG_LEVEL: 'error',
      ...(at === 0 ? this.clock?.env : {}),
    });
  }

  /** Repairs all proxies. */
  async heal(): Promise<void> {
    for (const proxy of [...this.nodeProxies, this.storeProxy]) proxy.behave({});
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    await Promise.all([...this.nodeProxies, this.storeProxy].map((proxy) => proxy.stop()));
    await Promise.all([...this.nodes, this.store].map((server) => server.stop()));
    this.clock?.remove();
  }
}
