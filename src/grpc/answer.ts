import type { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import type { Key } from '../coordination/key.js';
import type { Lease } from '../coordination/outcome.js';
import type { Facts, Tracing } from '../coordination/trace.js';
import type { Bounds } from './decode.js';
import type { Guard, Permission } from './guard.js';
import type { MessageType } from './strict-codec.js';

/** The part of the coordinator that calls reach. */
export type Domain = Pick<
  Coordinator,
  'getOrLockAtOnce' | 'publish' | 'release' | 'extend' | 'invalidate' | 'explain' | 'giveBack' | 'watchLease'
>;

/** What every call is answered with, whichever carrier brings it. */
export interface Edge extends Bounds {
  readonly coordinator: Domain;
  /** Absent where everybody may do everything. */
  readonly guard: Guard | undefined;
  /** Absent where nothing is traced. */
  readonly tracing: Tracing | undefined;
  /** The label of a holder that sends none. */
  readonly holder: string;
  /** Hears the cause of every INTERNAL, with the path of the method that it came to. */
  unexpected(cause: unknown, path: string): void;
}

/** What a call is about. Without a key, its trace names none. */
export interface Subject {
  readonly namespace: string;
  readonly key?: string;
}

/** Called with each answer; all but the last one say that there are `more`. An error is always the last. */
export type Settled<Answer> = (answer: Answer | Error, more?: boolean) => void;

/** One RPC: everything that a carrier must know of it. `calls.ts` has a row for each. */
export interface Row<Wire, Request, Answer, Response> {
  /** `/dibs.v1.CoordinatorService/Publish` */
  readonly path: string;
  /** `Publish`, as permissions and rates name it. */
  readonly name: string;
  /** `dibs.v1.CoordinatorService/Publish`, as traces name it. */
  readonly span: string;
  /** Whether it may have more than one answer. */
  readonly streams: boolean;
  readonly type: MessageType<Wire>;
  /** Throws `invalid_argument`, with a text that begins with the field's path. */
  decode(wire: Wire, edge: Edge): Request;
  permission(request: Request): Permission;
  subject(request: Request): Subject;
  /** How many calls it counts for. */
  calls(request: Request): number;
  /** Returns what is known at once; else undefined, and `settled` is called. No promise where none is needed. */
  run(edge: Edge, request: Request, call: Call, settled: Settled<Answer>): Answer | undefined;
  encode(answer: Answer, edge: Edge): Response;
  /** What the call's trace learns of the answer. */
  told(answer: Answer): Facts | undefined;
  /** Of the values in the answer; everything else of a message is small. */
  valueBytes(answer: Answer): number;
  /** The lease that the answer carries. */
  lease(request: Request, answer: Answer): GivenLease | undefined;
  /** The token of the lease that its holder ends by this call. */
  ends(wire: Wire): string | undefined;
}

/** Any row, for carriers: they only pass its messages on. */
export type AnyRow = Row<unknown, unknown, unknown, unknown>;

/** A lease that is on its way to its caller. */
export interface GivenLease {
  readonly key: Key;
  readonly lease: Lease;
}

/** One message for the caller. */
export interface Answered<Response> {
  readonly response: Response;
  /** The lease in it. The carrier gives it back if the message cannot be sent. */
  readonly given: GivenLease | undefined;
  readonly valueBytes: number;
  readonly more: boolean;
}

export type Done<Response> = (answered: Answered<Response> | Error) => void;

/**
 * Answers one call: decode, admit, ask the coordinator, encode. Never throws: what goes wrong is the last that
 * `done` hears. Calls `done` before it returns if the answer is known at once, so that a hit in this replica's
 * memory costs no promise.
 */
export function answer<Wire, Request, Answer, Response>(
  row: Row<Wire, Request, Answer, Response>,
  wire: Wire,
  call: Call,
  edge: Edge,
  done: Done<Response>,
): void {
  let request: Request;
  let known: Answer | undefined;
  const settled = (it: Answer | Error, more = false) =>
    done(it instanceof Error ? it : answeredBy(row, request, it, more, call, edge));
  try {
    request = row.decode(wire, edge);
    admit(row, request, call, edge);
    known = row.run(edge, request, call, settled);
  } catch (error) {
    done(errorOf(error));
    return;
  }
  // Outside: what `done` itself throws is no fault of the call.
  if (known !== undefined) settled(known);
}

/** Whether the call may be made, and what its trace is about. */
function admit<Request>(
  row: Pick<Row<never, Request, never, never>, 'name' | 'permission' | 'subject' | 'calls'>,
  request: Request,
  { identity, trace }: Call,
  { guard }: Edge,
): void {
  if (guard === undefined && trace === undefined) return;
  const { namespace, key } = row.subject(request);
  guard?.allow(identity, row.name, row.permission(request), namespace, row.calls(request));
  if (key !== undefined) trace?.about(namespace, key);
}

function answeredBy<Wire, Request, Answer, Response>(
  row: Row<Wire, Request, Answer, Response>,
  request: Request,
  it: Answer,
  more: boolean,
  { trace }: Call,
  edge: Edge,
): Answered<Response> | Error {
  try {
    const response = row.encode(it, edge);
    if (trace !== undefined) {
      const facts = row.told(it);
      if (facts !== undefined) trace.know(facts);
    }
    return { response, given: row.lease(request, it), valueBytes: row.valueBytes(it), more };
  } catch (error) {
    return errorOf(error);
  }
}

export function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
