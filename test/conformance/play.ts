import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../support/until.js';
import type { Adapter, Answer, Json } from './adapter.js';
import type { Column } from './adapters.js';
import { base64, encoded, wire } from './encoded.js';
import { mismatch, refusal } from './matches.js';
import { namespaceOf, type Scenario, type Step } from './scenario.js';
import type { Stage } from './stage.js';

/** What a scenario needs: the service, and adapter processes by actor. */
export interface Surroundings {
  readonly stage: Stage;
  readonly column: Column;
  /** From 1. */
  readonly attempt: number;
  adapter(actor: string): Promise<Adapter>;
}

const EVENT_MS_MAX = 20_000;
const CONNECTED_MS_MAX = 20_000;
const EVENTUALLY_PAUSE_MS = 50;
/** Fields of the step that are not sent to the actor. */
const OF_THE_STEP = new Set(['as', 'times', 'expect', 'save', 'target', 'namespace', 'with']);
const METHODS = new Set([
  'GetOrLock',
  'Publish',
  'Release',
  'Extend',
  'Invalidate',
  'Explain',
  'GetOrLockMany',
]);
const ACTORS = ['a', 'b', 'c'];

/** Plays one scenario in one language. Rejects with an error that names the step that failed. */
export async function play(scenario: Scenario, surroundings: Surroundings): Promise<void> {
  const run = new Run(scenario, surroundings);
  try {
    await run.all(scenario.steps);
  } finally {
    await run.leave();
  }
}

interface Client {
  readonly adapter: Adapter;
  readonly client: string;
  readonly opened: Promise<Answer>;
  /** It has made a call of its own. */
  isUsed: boolean;
}

class Run {
  readonly #namespace: string;
  readonly #saved = new Map<string, unknown>();
  readonly #behind = new Map<string, Promise<Answer>>();
  readonly #come = new Map<string, Answer>();
  /** Includes actors that are still starting, because steps that begin together share them. */
  readonly #actors = new Map<string, Promise<Adapter>>();
  /** The clients that are open, by actor and target. */
  readonly #clients = new Map<string, Client>();
  /** The events of each adapter that steps no longer wait for: earlier ones, and those already taken. */
  readonly #seen = new Map<Adapter, Json[]>();
  /** How many events each adapter had when this began. */
  readonly #before = new Map<Adapter, number>();
  readonly #id = Math.random().toString(36).slice(2, 8);
  #calls = 0;

  constructor(
    scenario: Scenario,
    private readonly around: Surroundings,
  ) {
    this.#namespace = namespaceOf(scenario, around.column.name, around.attempt);
  }

  async all(steps: readonly Step[]): Promise<void> {
    for (const [at, step] of steps.entries()) {
      try {
        await this.#one(step);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        throw new Error(`step ${at + 1}, ${JSON.stringify(step).slice(0, 160)}: ${text}${this.#settled()}`);
      }
    }
  }

  /** The results so far of the calls that run in the background. Most faults begin there. */
  #settled(): string {
    const known = [...this.#come].map(
      ([name, answer]) => `\n  ${name}: ${JSON.stringify(answer).slice(0, 200)}`,
    );
    return known.join('');
  }

  /** Closes the clients that the scenario left open. A step that failed may have left an actor that stands still. */
  async leave(): Promise<void> {
    for (const { adapter } of this.#clients.values()) adapter.continue();
    await Promise.all(
      [...this.#clients.values()].map(({ adapter, client }) => adapter.act('close', { client })),
    );
  }

  async #one(step: Step): Promise<void> {
    if (step.fleet !== undefined)
      return this.around.stage.act(String(this.#filled(step.fleet)), this.#namespace);
    if (step.sleep !== undefined) return sleep(step.sleep);
    if (step.waiters !== undefined) {
      const { key, count } = step.waiters;
      return this.around.stage.waiters(this.#namespace, key, count);
    }
    if (step.over !== undefined) return this.around.stage.over(this.#namespace, step.over.key);
    if (step.shared !== undefined) {
      const { keys } = this.#filled(step.shared) as { keys: readonly string[] };
      return this.around.stage.shared(this.#namespace, keys);
    }
    if (step.met !== undefined) {
      const { keys, count } = this.#filled(step.met) as { keys: readonly string[]; count: number };
      return this.around.stage.met(this.#namespace, keys, count);
    }
    if (step.event !== undefined) return this.#event(this.#filled(step.event) as Json);
    if (step.rebuilds !== undefined) return this.#rebuilds(step.rebuilds);
    if (step.told !== undefined) return this.#told(this.#filled(step.told) as Json & { times: number });
    if (step.within !== undefined) return this.#within(step.within, step.steps as Step[]);
    if (step.eventually !== undefined) return this.#eventually(step.eventually, step.steps as Step[]);
    if (step.await !== undefined) return this.#check(step, await this.#awaited(step.await));
    const actor = ACTORS.find((name) => step[name] !== undefined);
    if (actor === undefined) throw new Error('the step does nothing');
    return this.#act(actor, step);
  }

  async #act(actor: string, step: Step): Promise<void> {
    const what = String(step[actor]);
    if (what === 'kill') {
      await (await this.#actors.get(actor))?.kill();
      this.#actors.delete(actor);
      for (const name of this.#clients.keys()) if (name.startsWith(actor)) this.#clients.delete(name);
      return;
    }
    if (what === 'pause' || what === 'continue') return (await this.#adapterOf(actor))[what]();
    const fields = Object.fromEntries(
      Object.entries(step).filter(([name]) => name !== actor && !OF_THE_STEP.has(name)),
    );
    const asked = Array.from({ length: step.times ?? 1 }, (_, at) => {
      const name =
        step.as === undefined ? undefined : step.times === undefined ? step.as : `${step.as} ${at + 1}`;
      const answer = this.#ask(actor, what, step, { ...fields, call: this.#callOf(name) });
      // A step that awaits the call reports its failure. Perhaps no step does.
      answer.catch(() => {});
      return { name, answer };
    });
    for (const { name, answer } of asked) {
      if (name !== undefined) {
        this.#behind.set(name, answer);
        answer.then((come) => this.#come.set(name, come)).catch(() => {});
      } else this.#check(step, await answer);
    }
  }

  async #ask(actor: string, what: string, step: Step, fields: Json): Promise<Answer> {
    const { target = actor === 'b' ? 'r2' : 'r1', namespace } = step as {
      target?: string;
      namespace?: string;
    };
    const adapter = await this.#adapterOf(actor);
    if (what === 'let') return adapter.act('let', { gate: `${this.#id} ${fields.gate}` });
    if (what === 'cancel') return adapter.act('cancel', { call: this.#callOf(String(step.call)) });
    const known = this.#clientOf(actor, adapter, target, step);
    const { client } = known;
    const open = await known.opened;
    if ('error' in open || what === 'open') return open;
    const filled = this.#filled({ ...fields, client }) as Json & { rebuild?: Json; request?: Json };
    if (METHODS.has(what)) {
      const request = wire({ namespace: namespace ?? this.#namespace, ...(filled.request as Json) });
      return adapter.act('call', { ...filled, method: what, request });
    }
    const isFirst = !known.isUsed;
    known.isUsed = true;
    if (isFirst && target !== 'nowhere' && endsSoon(what, step))
      await adapter.act('ready', { client, timeout_ms: CONNECTED_MS_MAX });
    if (what === 'get_or_rebuild')
      return adapter.act(what, { ...filled, rebuild: this.#script(filled.rebuild) });
    if (what === 'get_or_rebuild_many')
      return counted(await adapter.act(what, { ...filled, rebuild: this.#script(filled.rebuild) }));
    return adapter.act(what, what === 'set' ? (encoded(filled) as Json) : filled);
  }

  /** A rebuild's script, or one for each time that it runs, with this run's gates and with bytes as base64. */
  #script(of: unknown): unknown {
    if (Array.isArray(of)) return of.map((one) => this.#script(one));
    const { gate, value, values, each, asks, ...rebuild } = (of ?? {}) as Json & { asks?: Json };
    return {
      ...rebuild,
      ...(value === undefined ? {} : { value: base64(value) }),
      ...(values === undefined ? {} : { values: encoded(values, 'values') }),
      ...(each === undefined ? {} : { each: base64(each) }),
      ...(gate === undefined ? {} : { gate: `${this.#id} ${gate}` }),
      ...(asks === undefined ? {} : { asks: { ...asks, rebuild: this.#script(asks.rebuild) } }),
    };
  }

  #callOf(name: string | undefined): string {
    if (name !== undefined) return `${this.#id} ${name}`;
    this.#calls += 1;
    return `${this.#id} ${this.#calls}`;
  }

  #adapterOf(actor: string): Promise<Adapter> {
    const adapter = this.#actors.get(actor) ?? this.#start(actor);
    this.#actors.set(actor, adapter);
    return adapter;
  }

  async #start(actor: string): Promise<Adapter> {
    const adapter = await this.around.adapter(actor);
    if (!this.#seen.has(adapter)) {
      this.#seen.set(adapter, [...adapter.events]);
      this.#before.set(adapter, adapter.events.length);
    }
    return adapter;
  }

  /** Returns the client for an actor, target and set of options. Its first call opens it. */
  #clientOf(actor: string, adapter: Adapter, target: string, step: Step): Client {
    const { on_unavailable, holder, with: named = {} } = step as Json & { with?: Json };
    const options = {
      ...(holder === undefined ? {} : { holder }),
      ...(on_unavailable === undefined ? {} : { on_unavailable }),
      ...(this.#filled(named) as Json),
    };
    const name = `${actor} ${target} ${JSON.stringify({ ...options, on_unavailable: undefined })}`;
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const client = `${this.#id} ${name}`;
    const { stage, column } = this.around;
    const where = { target: stage.targetOf(target), namespace: this.#namespace, session: column.session };
    const opened = adapter.open({ client, ...where, ...stage.optionsFor(options, this.#namespace) });
    const open = { adapter, client, opened, isUsed: false };
    this.#clients.set(name, open);
    return open;
  }

  async #awaited(name: string): Promise<Answer> {
    const answer = this.#behind.get(name);
    if (answer === undefined) throw new Error(`no step is called ${name}`);
    return answer;
  }

  #check({ expect = {}, save = {} }: Step, answer: Answer): void {
    const expected = this.#filled(expect) as Json;
    if (!('error' in expected) && 'error' in answer)
      throw new Error(`the call failed: ${JSON.stringify(answer.error)}`);
    const actual: Json = 'error' in answer ? { error: answer.error } : answer.result;
    const wrong = mismatch(encoded(expected), refusal(expected, actual));
    if (wrong !== undefined) throw new Error(wrong);
    for (const [name, path] of Object.entries(save)) {
      this.#saved.set(
        name,
        path.split('.').reduce<unknown>((of, field) => (of as Json | undefined)?.[field], actual),
      );
    }
  }

  /** Waits for an event that no step has taken yet. */
  async #event({ actor, call, ...told }: Json): Promise<void> {
    // In the adapters' order.
    const expected = Array.isArray(told.keys) ? { ...told, keys: [...told.keys].sort() } : told;
    const adapter = await this.#adapterOf(String(actor));
    const seen = this.#seen.get(adapter) as Json[];
    const wanted = encoded({ ...expected, ...(call === undefined ? {} : { call: `${this.#id} ${call}` }) });
    let taken: Json | undefined;
    try {
      await until(() => {
        taken = adapter.events.find(
          (event) => !seen.includes(event) && mismatch(wanted, event) === undefined,
        );
        return taken !== undefined;
      }, EVENT_MS_MAX);
    } catch {
      const others = adapter.events.filter((event) => !seen.includes(event));
      throw new Error(`no such event; there are ${JSON.stringify(others).slice(0, 600)}`);
    }
    seen.push(taken as Json);
  }

  async #rebuilds(count: number): Promise<void> {
    const adapters = await Promise.all(this.#actors.values());
    const begun = [...new Set(adapters)].flatMap((adapter) =>
      adapter.events.filter(
        ({ name, call }) => name === 'rebuild' && String(call).startsWith(`${this.#id} `),
      ),
    );
    if (begun.length !== count) throw new Error(`${begun.length} rebuilds have begun`);
  }

  /** Counts events without waiting: they must have come before this step. */
  async #told({ actor, times, ...expected }: Json & { times: number }): Promise<void> {
    const adapter = await this.#adapterOf(String(actor));
    const before = this.#before.get(adapter) ?? 0;
    const wanted = encoded(expected);
    const alike = adapter.events.slice(before).filter((event) => mismatch(wanted, event) === undefined);
    if (alike.length !== times) throw new Error(`such an event came ${alike.length} times`);
  }

  async #within(ms: number, steps: readonly Step[]): Promise<void> {
    const startMs = performance.now();
    await this.all(steps);
    const tookMs = performance.now() - startMs;
    if (tookMs > ms) throw new Error(`the steps took ${Math.round(tookMs)} ms`);
  }

  /** Repeats the steps until they hold. */
  async #eventually(ms: number, steps: readonly Step[]): Promise<void> {
    const untilMs = performance.now() + ms;
    for (;;) {
      try {
        return await this.all(steps);
      } catch (error) {
        if (performance.now() >= untilMs) throw error;
      }
      await sleep(EVENTUALLY_PAUSE_MS);
    }
  }

  /** Replaces the names of saved fields by their values. */
  #filled(of: unknown): unknown {
    if (typeof of === 'string' && of.startsWith('$') && this.#saved.has(of.slice(1)))
      return this.#saved.get(of.slice(1));
    if (Array.isArray(of)) return of.map((one) => this.#filled(one));
    if (typeof of !== 'object' || of === null) return of;
    if ('chars' in of) return 'k'.repeat(Number(of.chars));
    if ('names' in of) return Array.from({ length: Number(of.names) }, (_, at) => `k${at + 1}`);
    return Object.fromEntries(Object.entries(of).map(([name, one]) => [name, this.#filled(one)]));
  }
}

/**
 * Whether the call ends within seconds, without a value. It must not be the one that opens the client's connection,
 * because that alone may take as long on a busy machine.
 */
function endsSoon(what: string, { wait_ms, deadline_ms }: Step): boolean {
  if (what === 'invalidate' || what === 'explain' || deadline_ms !== undefined) return true;
  return wait_ms === undefined ? what === 'get' : Number(wait_ms) < 10_000;
}

/** Adds the number of keys that have a value, because an expectation of some keys does not check it. */
function counted(answer: Answer): Answer {
  const count = (of: Json) => ({ ...of, count: Object.keys((of.values as Json | undefined) ?? {}).length });
  return 'error' in answer ? { error: count(answer.error) } : { result: count(answer.result) };
}
