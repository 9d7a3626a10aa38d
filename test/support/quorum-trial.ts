import { Redis } from 'ioredis';
import type { NodeState, Vote } from '../../src/quorum/quorum-observer.js';
import { RedlockQuorum } from '../../src/quorum/redlock-quorum.js';
import { RedisLockNode } from '../../src/redis/lock-node.js';
import { SystemChance } from '../../src/system-chance.js';
import { SystemClock } from '../../src/system-clock.js';
import { ClaimInMemory } from './claim-in-memory.js';
import { MUCH_PATIENCE } from './patience.js';
import { RedisServer } from './redis-server.js';
import { until } from './until.js';

/** A node that forgot may wait for some seconds. */
const STATE_MS_MAX = 60_000;

export interface VoteHeard {
  readonly node: string;
  readonly vote: Vote;
  readonly why: string | undefined;
}

export interface QuorumTrialOptions {
  readonly nodes?: 3 | 5;
  /** By default longer than a node stalls on a busy machine. */
  readonly timeoutMs?: number;
  readonly silenceMs?: number;
  readonly leaseMsMax?: number;
  readonly args?: readonly string[];
}

/** Five real lock nodes, and any number of replicas' quorums on them. */
export class QuorumTrial {
  readonly claim = new ClaimInMemory();
  readonly votes: VoteHeard[] = [];
  readonly changes: string[] = [];
  readonly #quorums: RedlockQuorum[] = [];
  readonly #clients: Redis[];

  private constructor(
    readonly servers: readonly RedisServer[],
    private readonly options: QuorumTrialOptions,
  ) {
    this.#clients = servers.map(({ url }) => {
      const client = new Redis(url, { retryStrategy: () => 20 });
      client.on('error', () => {});
      return client;
    });
  }

  static async start(options: QuorumTrialOptions = {}): Promise<QuorumTrial> {
    const started = Array.from({ length: options.nodes ?? 5 }, () =>
      RedisServer.start({ args: options.args ?? [] }),
    );
    return new QuorumTrial(await Promise.all(started), options);
  }

  /** Adds a quorum. Resolves when all its nodes have answered. */
  async replica(options: QuorumTrialOptions = {}): Promise<RedlockQuorum> {
    const { silenceMs = MUCH_PATIENCE.silenceMs, ...more } = { ...this.options, ...options };
    const { timeoutMs = 10_000, leaseMsMax = 60_000 } = more;
    const patience = { ...MUCH_PATIENCE, silenceMs };
    const quorum = new RedlockQuorum({
      nodes: this.servers.map(({ address }) => new RedisLockNode(address, patience)),
      claim: this.claim,
      clock: new SystemClock(),
      chance: new SystemChance(),
      observer: {
        voted: (node, vote, _ms, why) => this.votes.push({ node, vote, why }),
        stateChanged: (node, from, to, why) => this.changes.push(`${node} ${from} > ${to}: ${why}`),
        sharesStore: (node) => this.changes.push(`${node} shares the store`),
      },
      timeoutMs,
      silenceMs,
      leaseMsMax,
    });
    this.#quorums.push(quorum);
    quorum.start();
    await quorum.ready(10_000);
    return quorum;
  }

  /** A separate client of one node, for the test. */
  on(at: number): Redis {
    const client = this.#clients[at];
    if (client === undefined) throw new Error(`there is no node ${at}`);
    return client;
  }

  server(at: number): RedisServer {
    const server = this.servers[at];
    if (server === undefined) throw new Error(`there is no node ${at}`);
    return server;
  }

  /** The holder of the id on each node that answers. */
  holders(id: string, nodes = this.servers.map((_, at) => at)): Promise<(string | null)[]> {
    return Promise.all(nodes.map((at) => this.on(at).get(`dibs:lock:${id}`)));
  }

  stateOf(quorum: RedlockQuorum, at: number): NodeState | undefined {
    return quorum.states().get(`127.0.0.1:${this.server(at).port}`);
  }

  async untilState(quorum: RedlockQuorum, at: number, state: NodeState): Promise<void> {
    await until(() => this.stateOf(quorum, at) === state, STATE_MS_MAX);
  }

  /** Waits until all five vote. */
  async untilAllVote(quorum: RedlockQuorum): Promise<void> {
    await until(() => [...quorum.states().values()].every((state) => state === 'voting'), STATE_MS_MAX);
  }

  async close(): Promise<void> {
    await Promise.all(this.#quorums.map((quorum) => quorum.close()));
    for (const client of this.#clients) client.disconnect();
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}
