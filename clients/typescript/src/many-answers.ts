import { type Calls, KEYS_MAX, type KeyedOutcome, WAY_MS } from './calls.js';
import type { Clock } from './clock.js';
import { type BusyReason, DibsError, isUnreachable } from './errors.js';
import type { FirstAnswer } from './fetch-loop.js';
import type { GetOrLockOutcome } from './outcomes.js';
import { pause } from './pause.js';

/** The shared request for many keys. */
export interface ManyQuestion {
  readonly calls: Calls;
  readonly clock: Clock;
  readonly requestId: string;
  readonly signal: AbortSignal | undefined;
  /** The wait of one GetOrLockMany, and how long its reply may take in milliseconds. */
  waiting(): Pick<Parameters<Calls['getOrLockMany']>[0], 'waitMs'> & { readonly deadlineMs: number };
  readonly asked: Omit<Parameters<Calls['getOrLockMany']>[0], 'keys' | 'waitMs' | 'requestId'>;
  /** Whether the caller waits for other callers' rebuilds. */
  readonly waits: boolean;
  readonly traceparent: string | undefined;
}

interface Busy {
  readonly key: string;
  readonly reason: BusyReason;
}

interface Open {
  settle(outcome: GetOrLockOutcome): void;
  fail(error: unknown): void;
}

/** How many attempts a call has that breaks off without any answer: another replica may answer the second one. */
const TIMES_MAX = 2;
/** How long keys with an immediate lease wait for keys that the service has not decided. */
const LOOK_MS_MAX = 1_000;
const LOOK_PAUSE_MS = 20;

/**
 * The first answer of each of many keys. The first request does not wait, so that all available leases come at once and
 * their keys are rebuilt together. Then one call waits for the keys that other callers rebuild.
 */
export class ManyAnswers {
  readonly #open = new Map<string, Open>();

  constructor(private readonly question: ManyQuestion) {}

  /** Call it for each key before {@link ask}. */
  of(key: string): FirstAnswer {
    const outcome = new Promise<GetOrLockOutcome>((settle, fail) => {
      this.#open.set(key, { settle, fail });
    });
    // Its caller may have left before it reads this.
    outcome.catch(() => {});
    return { requestId: this.question.requestId, outcome };
  }

  /**
   * Asks for all keys. Calls `first` when it is known which of them are available at once, or when a replica takes too
   * long to say so: the leases of the others are held meanwhile.
   */
  async ask(first: () => void): Promise<void> {
    const pieces = this.#piecesOf([...this.#open.keys()]);
    const { waits, clock } = this.question;
    const wait = (its: readonly (readonly string[])[]) =>
      Promise.all(its.map((keys) => this.#pass(keys, 'final')));
    if (!waits || pieces.length === 0) {
      await wait(pieces);
      first();
      return;
    }
    const cancel = clock.after(LOOK_MS_MAX + WAY_MS, first);
    let looks = pieces.length;
    const lookAndWait = async (keys: readonly string[]) => {
      const held = await this.#look(keys);
      looks -= 1;
      if (looks === 0) {
        cancel();
        first();
      }
      // Not after all looks, because one at a replica that hangs would use up the wait of these.
      await wait(this.#piecesOf(held));
    };
    await Promise.all(pieces.map(lookAndWait));
  }

  /** At most the contract's bound in each, and the keys of each replica apart. */
  #piecesOf(keys: readonly string[]): (readonly string[])[] {
    return keys.length === 0 ? [] : this.question.calls.groupsOf(keys).flatMap(piecesOf);
  }

  /**
   * Asks without a wait, and again while no other caller has the lease of a key: a service under load has not decided
   * all of a thousand keys at once. Resolves to the keys to wait for.
   */
  async #look(keys: readonly string[]): Promise<readonly string[]> {
    const { clock, signal } = this.question;
    const { waitMs = LOOK_MS_MAX } = this.question.waiting();
    const untilMs = clock.nowMs() + Math.min(LOOK_MS_MAX, waitMs);
    const held: string[] = [];
    for (let asked = keys; ; ) {
      const busy = await this.#pass(asked, 'look');
      asked = busy.filter(({ reason }) => reason === 'undecided').map(({ key }) => key);
      held.push(...busy.filter(({ reason }) => reason !== 'undecided').map(({ key }) => key));
      if (asked.length === 0 || clock.nowMs() >= untilMs || signal?.aborted) return [...held, ...asked];
      await pause(clock, LOOK_PAUSE_MS, signal);
    }
  }

  /** One call, and another one if it breaks off. Resolves to the busy keys, which a look does not settle. */
  async #pass(keys: readonly string[], pass: 'look' | 'final'): Promise<readonly Busy[]> {
    const left = new Set(keys);
    const busy: Busy[] = [];
    for (let time = 1; ; time += 1) {
      try {
        for await (const answer of this.#answers([...left], pass)) {
          left.delete(answer.key);
          time = 1;
          if (pass === 'look' && 'outcome' in answer && answer.outcome.kind === 'busy')
            busy.push({ key: answer.key, reason: answer.outcome.reason });
          else this.#settle(answer);
        }
        this.#fail(left, new DibsError('INTERNAL', 'the service has left out this key'));
        return busy;
      } catch (error) {
        if (left.size > 0 && time < TIMES_MAX && brokeOff(error) && !this.question.signal?.aborted) continue;
        this.#fail(left, error);
        return busy;
      }
    }
  }

  #answers(keys: readonly string[], pass: 'look' | 'final'): AsyncIterable<KeyedOutcome> {
    const { calls, asked, requestId, signal, traceparent } = this.question;
    const { waitMs, deadlineMs } = this.question.waiting();
    return calls.getOrLockMany(
      { ...asked, keys, requestId, waitMs: pass === 'look' ? 0 : waitMs },
      { deadlineMs, signal, traceparent },
    );
  }

  #settle(answer: KeyedOutcome): void {
    const open = this.#open.get(answer.key);
    this.#open.delete(answer.key);
    if ('error' in answer) open?.fail(answer.error);
    else open?.settle(answer.outcome);
  }

  #fail(keys: Iterable<string>, error: unknown): void {
    for (const key of keys) {
      this.#open.get(key)?.fail(error);
      this.#open.delete(key);
    }
  }
}

function brokeOff(error: unknown): boolean {
  return error instanceof DibsError && error.code === 'UNAVAILABLE' && isUnreachable(error);
}

function piecesOf(keys: readonly string[]): (readonly string[])[] {
  const count = Math.ceil(keys.length / KEYS_MAX);
  return Array.from({ length: count }, (_, at) => keys.slice(at * KEYS_MAX, (at + 1) * KEYS_MAX));
}
