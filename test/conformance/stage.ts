import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { stringify } from 'yaml';
import { keyOf } from '../../src/coordination/words/key.js';
import { Degraded } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';
import type { Json } from './adapter.js';
import { GuardedReplica } from './guarded-replica.js';
import { HoldingService } from './holding-service.js';
import type { MessageProxy } from './message-proxy.js';
import { MuteService } from './mute-service.js';
import { newerService } from './newer-service.js';
import { Pulse } from './pulse.js';

const LOCK_NODES = 5;
const REPLICAS = ['r1', 'r2'] as const;
type ReplicaName = (typeof REPLICAS)[number];
/** On a busy machine, a new quorum may miss its quick start. Then it votes only after the longest lease. */
const WHOLE_MS_MAX = 60_000;

/** For scenarios that leave the service as it is: a process that gets no CPU for seconds is not lost. */
const PATIENT = {
  DIBS_SILENCE_MS: '30000',
  DIBS_STORE_TIMEOUT_MS: '30000',
  DIBS_LEASE_MAX_MS: '30000',
  // A holder extends it every 5 s.
  DIBS_LEASE_MS: '15000',
};
/** For scenarios that stop a part of the service. It soon notices that. */
const ALERT = { DIBS_LEASE_MAX_MS: '10000', DIBS_LEASE_MS: '10000' };

interface Process {
  readonly pid: number;
}

/** The service on a real quorum on which scenarios are played, and what they may do to it. */
export class Stage {
  readonly #replicas = new Map<ReplicaName, Replica>();
  readonly #callers = new Map<ReplicaName, Caller>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-conformance-'));
  readonly #draining = new Set<string>();
  #newer: MessageProxy | undefined;
  #mute: MuteService | undefined;
  #holding: HoldingService | undefined;
  #guarded: GuardedReplica | undefined;
  #short: Replica | undefined;
  #pulses: readonly Pulse[] = [];

  private constructor(
    private readonly nodes: readonly RedisServer[],
    private readonly store: RedisServer,
    private readonly times: Readonly<Record<string, string>>,
  ) {}

  /**
   * `policies` are by namespace, as in DIBS_CONFIG. `targets` are the optional ones that scenarios use. `alone`: for
   * scenarios that stop a part of the service.
   */
  static async open(
    policies: Readonly<Record<string, unknown>>,
    targets: ReadonlySet<string>,
    alone: boolean,
  ): Promise<Stage> {
    const servers = await Promise.all(Array.from({ length: LOCK_NODES + 1 }, () => RedisServer.start()));
    const [store, ...nodes] = servers as [RedisServer, ...RedisServer[]];
    const stage = new Stage(nodes, store, alone ? ALERT : PATIENT);
    writeFileSync(stage.#config, stringify({ namespaces: policies }));
    await Promise.all(REPLICAS.map((name) => stage.#start(name, stage.#firstListen(name))));
    if (targets.has('guarded')) stage.#guarded = await GuardedReplica.start(stage.#environment());
    if (targets.has('short')) {
      stage.#short = await Replica.start({ ...stage.#environment(), DIBS_WAIT_MAX_MS: '2000' });
    }
    stage.#newer = await newerService(stage.targetOf('r1'));
    stage.#mute = await MuteService.before(stage.targetOf('r1'));
    stage.#holding = await HoldingService.before(stage.targetOf('r1'));
    await stage.#whole();
    stage.#feelPulses();
    return stage;
  }

  #feelPulses(): void {
    this.#pulses = REPLICAS.map(
      (name) => new Pulse(async () => this.#caller(name).explain({ namespace: 'pulse', key: 'any' })),
    );
  }

  /** Whether the service was late to answer since then, without being stopped by the scenario. */
  wasLate(sinceMs: number): boolean {
    return this.#pulses.some((pulse) => pulse.wasLate(sinceMs));
  }

  get #config(): string {
    return join(this.#folder, 'dibs.yaml');
  }

  /** The address of a target. This folder's README lists the names. */
  targetOf(name: string): string {
    if (name === 'newer') return this.#newer?.target ?? '';
    if (name === 'mute') return this.#mute?.target ?? '';
    if (name === 'holding') return this.#holding?.target ?? '';
    if (name === 'nowhere') return '127.0.0.1:1';
    if (name === 'both') return REPLICAS.map((replica) => this.targetOf(replica)).join(',');
    if (name === 'with-nowhere') return `127.0.0.1:1,${this.targetOf('r1')}`;
    if (name === 'socket') return this.#socket;
    if (name === 'guarded') return this.#guarded?.target ?? '';
    if (name === 'guarded-socket') return this.#guarded?.socket ?? '';
    if (name === 'short') return this.#short?.target ?? '';
    const target = this.#replicas.get(name as ReplicaName)?.target.split(',')[0];
    if (target === undefined) throw new Error(`there is no replica ${name}`);
    return target;
  }

  /** A client's options, with paths instead of names of files. */
  optionsFor(options: Json, namespace: string): Json {
    return this.#guarded?.pathsFor(options, namespace) ?? options;
  }

  /** Waits until `count` callers wait for the key, on all replicas together. */
  async waiters(namespace: string, key: string, count: number): Promise<void> {
    await until(async () => {
      const explained = await Promise.all(
        [...this.#callers.values()].map((caller) => caller.explain({ namespace, key })),
      );
      return explained.reduce((sum, { waiters }) => sum + waiters, 0) === count;
    });
  }

  /** Waits until the key has no fresh value. */
  async over(namespace: string, key: string): Promise<void> {
    await until(async () => {
      const { value } = await this.#caller('r2').explain({ namespace, key });
      return (value?.freshForMs ?? 0) <= 0;
    });
  }

  /** Waits until each replica has callers that wait for some of the keys. */
  async shared(namespace: string, keys: readonly string[]): Promise<void> {
    await until(async () => {
      const waiters = [...this.#callers.values()].map(async (caller) => {
        const explained = await Promise.all(keys.map((key) => caller.explain({ namespace, key })));
        return explained.some(({ waiters }) => waiters > 0);
      });
      return (await Promise.all(waiters)).every((some) => some);
    });
  }

  /** Waits until, for each of the keys, `count` callers wait at one replica. */
  async met(namespace: string, keys: readonly string[], count: number): Promise<void> {
    await until(async () => {
      const meets = keys.map(async (key) => {
        const explained = await Promise.all(
          [...this.#callers.values()].map((caller) => caller.explain({ namespace, key })),
        );
        return explained.some(({ waiters }) => waiters === count);
      });
      return (await Promise.all(meets)).every((met) => met);
    });
  }

  /** Changes the fleet as a scenario says: a verb and its object. */
  async act(words: string, namespace: string): Promise<void> {
    const [verb, what = '', ...rest] = words.split(' ');
    const about = rest.join(' ');
    if (verb === 'pause' || verb === 'continue') {
      for (const pulse of this.#pulses) pulse.pause();
      for (const one of this.#named(what)) signal(one, verb === 'pause' ? 'SIGSTOP' : 'SIGCONT');
    } else if (verb === 'kill') await this.#replica(what).kill();
    else if (verb === 'drain') {
      this.#replica(what).signal('SIGTERM');
      this.#draining.add(what);
    } else if (verb === 'start') await this.#restart(what as ReplicaName);
    else if (verb === 'split')
      await this.#split(namespace, [what, about].filter((word) => word !== '').join(' '));
    else if (verb === 'token') this.#guarded?.writeToken(what, about, namespace);
    else if (verb === 'certificate') this.#guarded?.writeCertificate(what, about, namespace);
    else if (verb === 'accept') await this.#guarded?.accept(what);
    else if (verb === 'restart' && what === 'guarded') await this.#guarded?.restart();
    else if (what === 'mute') this.#mute?.act(verb);
    else if (verb === 'hold' || verb === 'catch' || verb === 'pass')
      await this.#holding?.act(verb, namespace, what);
    else if (verb === 'flush' && what === 'store') await this.#atStore((redis) => redis.flushall());
    else throw new Error(`the fleet cannot ${words}`);
  }

  /** Makes everything run and answer again, as at the beginning. */
  async heal(): Promise<void> {
    for (const one of [...this.nodes, this.store, ...this.#replicas.values()]) signal(one, 'SIGCONT');
    await Promise.all(REPLICAS.map((name) => this.#restart(name)));
    await this.#whole();
    await this.#guarded?.heal();
    this.#mute?.act('hear');
    for (const pulse of this.#pulses) pulse.continue();
  }

  async #whole(): Promise<void> {
    await Promise.all(REPLICAS.map((name) => until(() => this.#isWhole(name), WHOLE_MS_MAX)));
  }

  /** Whether a replica grants a lease that is not degraded. */
  async #isWhole(name: ReplicaName): Promise<boolean> {
    const [namespace, key] = ['healing', `${name} ${performance.now()}`];
    try {
      const { outcome, degraded } = await this.#caller(name).getOrLock({ namespace, key, waitMs: 0 });
      if (outcome?.$case !== 'lease') return false;
      await this.#caller(name).release({ namespace, key, token: outcome.value.token });
      return degraded === Degraded.DEGRADED_NONE;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#newer?.stop();
    await this.#mute?.stop();
    await this.#holding?.stop();
    await this.#guarded?.stop();
    await this.#short?.kill();
    for (const caller of this.#callers.values()) caller.close();
    for (const one of [...this.nodes, this.store, ...this.#replicas.values()]) signal(one, 'SIGCONT');
    await Promise.all([...this.#replicas.values()].map((replica) => replica.kill()));
    await Promise.all([...this.nodes, this.store].map((server) => server.stop()));
    rmSync(this.#folder, { recursive: true });
  }

  #caller(name: ReplicaName): Caller {
    const caller = this.#callers.get(name);
    if (caller === undefined) throw new Error(`there is no replica ${name}`);
    return caller;
  }

  #replica(name: string): Replica {
    const replica = this.#replicas.get(name as ReplicaName);
    if (replica === undefined) throw new Error(`there is no replica ${name}`);
    return replica;
  }

  /** `what` is `store`, `nodes` for a majority of them, or a replica. */
  #named(what: string): readonly Process[] {
    if (what === 'store') return [this.store];
    if (what === 'nodes') return this.nodes.slice(0, (LOCK_NODES + 1) / 2);
    return [this.#replica(what)];
  }

  async #start(name: ReplicaName, listen: string): Promise<void> {
    const replica = await Replica.start({ ...this.#environment(), DIBS_LISTEN: listen });
    this.#replicas.set(name, replica);
    this.#callers.get(name)?.close();
    this.#callers.set(name, new Caller(this.targetOf(name)));
  }

  get #socket(): string {
    return `unix://${join(this.#folder, 'dibs.sock')}`;
  }

  /** r1 listens on a socket too. */
  #firstListen(name: ReplicaName): string {
    return name === 'r1' ? `127.0.0.1:0,${this.#socket}` : '127.0.0.1:0';
  }

  #environment(): Record<string, string> {
    return {
      DIBS_QUORUM_NODES: this.nodes.map(({ url }) => url).join(','),
      DIBS_STORE_URL: this.store.url,
      DIBS_CONFIG: this.#config,
      ...this.times,
      // Longer than the moments between two steps of a scenario, also on a busy machine.
      DIBS_NODE_TIMEOUT_MS: '2000',
      DIBS_LEASE_MIN_MS: '2000',
      DIBS_WAITERS_PER_KEY: '20',
    };
  }

  /** Starts an ended replica again at its old address. */
  async #restart(name: ReplicaName): Promise<void> {
    const replica = this.#replica(name);
    if (this.#draining.delete(name)) await replica.ended;
    const still = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)));
    if ((await Promise.race([replica.ended, still])) === undefined) return;
    await this.#start(name, replica.target);
  }

  /** Makes the next vote for a key undecided: two lock nodes hold it for one nonce, and two for another. */
  async #split(namespace: string, key: string): Promise<void> {
    await Promise.all(
      this.nodes.slice(0, 4).map(async ({ url }, at) => {
        const redis = new Redis(url);
        await redis.set(`dibs:lock:${keyOf(namespace, key).id}`, `another-${at % 2}`, 'PX', 30_000);
        redis.disconnect();
      }),
    );
  }

  async #atStore(act: (redis: Redis) => Promise<unknown>): Promise<void> {
    const redis = new Redis(this.store.url);
    await act(redis);
    redis.disconnect();
  }
}

/** Sends a signal, unless the process has ended. */
function signal({ pid }: Process, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
