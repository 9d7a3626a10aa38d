import type { StoreConnection } from './connection.js';
import type { GatheredScript, ScriptArgument } from './script.js';

/** Limits of one call, in steps and roughly in bytes: the store does nothing else while it works on one call. */
export const CALL_STEPS_MAX = 128;
export const CALL_BYTES_MAX = 64 * 1024;
/** A step with more bytes has a call of its own. */
export const STEP_BYTES_MAX = 16 * 1024;
/** The approximate size of a step without its value. */
const STEP_BYTES = 512;

interface Settles {
  resolve(reply: unknown): void;
  reject(why: unknown): void;
}

/** One call under construction: the steps of one script, in the order of the requests. */
class Call {
  readonly keys: string[] = [];
  readonly args: ScriptArgument[] = [];
  /** For each step. */
  readonly settles: Settles[] = [];
  #bytes = 0;

  constructor(readonly script: GatheredScript<string>) {}

  hasRoomFor(bytes: number): boolean {
    return this.keys.length < CALL_STEPS_MAX && this.#bytes + bytes + STEP_BYTES <= CALL_BYTES_MAX;
  }

  add(key: string, args: readonly ScriptArgument[], bytes: number, settles: Settles): void {
    this.keys.push(key);
    for (const arg of args) this.args.push(arg);
    this.settles.push(settles);
    this.#bytes += bytes + STEP_BYTES;
  }
}

/**
 * Gathers the requests of one turn of the event loop to the value store, and sends them when the turn ends: one call
 * per script. Steps of one key keep their order, also across scripts. An error belongs to its own step; if a
 * call fails as a whole, all its steps fail. On a cluster every step is a separate call, because keys rarely share a
 * slot.
 */
export class GatheredSteps {
  /** Unsent, in the order in which they are sent. */
  #calls: Call[] = [];
  /** The call of each script that still has room. */
  #growing = new Map<GatheredScript<string>, Call>();
  /** The script for which each key has an unsent step. */
  #scriptOf = new Map<string, GatheredScript<string>>();

  constructor(private readonly connection: StoreConnection) {}

  /** Resolves to the reply of this step. `bytes` is the size of the value that it brings. */
  ask<A extends string>(
    script: GatheredScript<A>,
    key: string,
    args: Readonly<Record<A, ScriptArgument>>,
    bytes = 0,
  ): Promise<unknown> {
    // Calls of different scripts are not sent in the order of their steps.
    const other = this.#scriptOf.get(key);
    if (other !== undefined && other !== script) this.flush();
    return new Promise((resolve, reject) => {
      const isLarge = bytes > STEP_BYTES_MAX;
      const call = isLarge ? this.#begin(script) : this.#callFor(script, bytes);
      call.add(key, script.argsOf(args), bytes, { resolve, reject });
      this.#scriptOf.set(key, script);
      // Later requests for the same key must not join a call before this one.
      if (isLarge) this.#growing.delete(script);
      if (this.connection.isCluster) this.flush();
    });
  }

  /** Must be called before anything else is sent for the key, to keep the order. */
  sendBefore(key: string): void {
    if (this.#scriptOf.has(key)) this.flush();
  }

  /** Sends what was gathered. */
  flush(): void {
    const calls = this.#calls;
    if (calls.length === 0) return;
    this.#calls = [];
    // New ones: see PassingMap.
    this.#growing = new Map();
    this.#scriptOf = new Map();
    for (const call of calls) this.#send(call);
  }

  #callFor(script: GatheredScript<string>, bytes: number): Call {
    const growing = this.#growing.get(script);
    return growing?.hasRoomFor(bytes) === true ? growing : this.#begin(script);
  }

  #begin(script: GatheredScript<string>): Call {
    // After everything that becomes due in this turn: replies that came in one read settle one after the other.
    if (this.#calls.length === 0) process.nextTick(() => this.flush());
    const call = new Call(script);
    this.#calls.push(call);
    this.#growing.set(script, call);
    return call;
  }

  #send({ script, keys, args, settles }: Call): void {
    const sent = this.connection.call((client) => script.runAll(client, keys, args));
    sent.then(
      (replies) => {
        for (const [at, { resolve, reject }] of settles.entries()) {
          const reply = (replies as readonly unknown[])[at];
          if (reply instanceof Error) reject(this.connection.faultOf(reply));
          else resolve(reply);
        }
      },
      (why) => {
        for (const { reject } of settles) reject(why);
      },
    );
  }
}
