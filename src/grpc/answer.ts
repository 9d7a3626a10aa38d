import type { Guard, Visitor } from '../access/guard.js';
import type { Permission } from '../access/identity.js';
import type { Coordinator } from '../coordination/coordinator.js';
import type { Call } from '../coordination/words/call.js';
import type { Key } from '../coordination/words/key.js';
import type { Lease } from '../coordination/words/outcome.js';
import type { Token } from '../coordination/words/token.js';
import type { Facts, Tracing } from '../coordination/words/trace.js';
import type { Bounds } from './decode.js';
import type { AnswerType } from './gather.js';
import type { MessageType } from './strict-codec.js';
import type { Pieces } from './turns.js';

/** The part of the coordinator that calls reach. */
export type Domain = Pick<
  Coordinator,
  | 'getOrLockAtOnce'
  | 'publish'
  | 'release'
  | 'extend'
  | 'takeOver'
  | 'invalidate'
  | 'explain'
  | 'giveBack'
  | 'watchLease'
>;

/** What every call needs for its answer, on any carrier. */
export interface Edge extends Bounds {
  readonly coordinator: Domain;
  /** Absent without identities: every caller may do everything. */
  readonly guard: Guard | undefined;
  /** Absent without tracing. */
  readonly tracing: Tracing | undefined;
  /** The default label of a holder. */
  readonly holder: string;
  /** The leases of the call's session. Absent outside sessions. */
  readonly session: SessionLeases | undefined;
  /** Does this work later, piece by piece, in turn with the work of others. */
  pace(rest: Pieces): void;
  /** Receives the cause of every INTERNAL, with the path of its method. */
  unexpected(cause: unknown, path: string): void;
  /** Receives each error that a caller gets: the name of its method, such as `Publish`, and of its code. */
  failed(method: string, code: string): void;
}

export interface SessionLeases {
  holds(token: Token): boolean;
  /** A call of this session ends the lease, so its end is no news to the session's client. */
  forget(token: Token): void;
}

/** The subject of a call. Without a key, its trace names none. */
export interface Subject {
  readonly namespace: string;
  readonly key?: string;
}

/** Called with each answer. All except the last have `more`. An error is always the last. */
export type Settled<Answer> = (answer: Answer | Error, more?: boolean) => void;

/** Everything that a carrier must know about one RPC. `calls.ts` has a row for each. */
export interface Row<Wire, Request, Answer, Response> {
  /** `/dibs.v1.CoordinatorService/Publish` */
  readonly path: string;
  /** `Publish`: the name for permissions and rates. */
  readonly name: string;
  /** `dibs.v1.CoordinatorService/Publish`: the name in traces. */
  readonly span: string;
  /** Whether it may have more than one answer. */
  readonly streams: boolean;
  readonly type: MessageType<Wire>;
  /** Of answers that carry values: their bytes are not copied more often than necessary. */
  readonly answerType?: AnswerType<Response> | undefined;
  /** Throws `invalid_argument`, with a text that begins with the field's path. */
  decode(wire: Wire, edge: Edge, identity: string): Request;
  permission(request: Request): Permission;
  subject(request: Request): Subject;
  /** How many calls it counts as. */
  calls(request: Request): number;
  /** How much work it is, before it is decoded. */
  work(wire: Wire): number;
  /** Whether its answer hands out a value, a lease, or what is known of them. The caller must then still have the right. */
  handsOut: boolean;
  /** Returns an immediate answer, or undefined and later calls `settled`. Creates no promise unless necessary. */
  run(edge: Edge, request: Request, call: Call, settled: Settled<Answer>): Answer | undefined;
  encode(answer: Answer, request: Request, edge: Edge): Response;
  /** What the call's trace records of the answer. */
  told(answer: Answer): Facts | undefined;
  /** The size of the values in the answer. The rest of a message is small. */
  valueBytes(answer: Answer): number;
  /** The lease that the answer carries. */
  lease(request: Request, answer: Answer): GivenLease | undefined;
  /** The token of the lease that this call ends. */
  ends(request: Request): Token | undefined;
}

/** Any row. Carriers only pass on its messages. */
export type AnyRow = Row<unknown, unknown, unknown, unknown>;

/** A lease on its way to its caller. */
export interface GivenLease {
  readonly key: Key;
  readonly lease: Lease;
  /** It was granted earlier, and belongs to this call's session from now on. */
  readonly isTakenOver: boolean;
}

/** One message for the caller. */
export interface Answered<Response> {
  readonly response: Response;
  /** The lease in it. The carrier releases it if the message cannot be sent. */
  readonly given: GivenLease | undefined;
  readonly valueBytes: number;
  readonly more: boolean;
}

export type Done<Response> = (answered: Answered<Response> | Error) => void;

/**
 * Answers one call: decode, check permission, ask the coordinator, encode. Never throws: an error is the last answer
 * that `done` gets. If the answer is immediate, calls `done` before it returns, so a hit in memory costs no promise.
 * Without a `visitor`, an answer that comes later does not depend on the caller's rights at that time.
 */
export function answer<Wire, Request, Answer, Response>(
  row: Row<Wire, Request, Answer, Response>,
  wire: Wire,
  call: Call,
  edge: Edge,
  done: Done<Response>,
  visitor?: Visitor,
): void {
  let request: Request;
  let known: Answer | undefined;
  let isRefused = false;
  const settled = (it: Answer | Error, more = false) =>
    done(it instanceof Error ? it : answeredBy(row, request, it, more, call, edge));
  const settledLater = (it: Answer | Error, more = false) => {
    const refusal = isRefused || it instanceof Error ? undefined : refusalOf(row, request, visitor, edge);
    if (!isRefused && refusal === undefined) {
      settled(it, more);
      return;
    }
    if (!(it instanceof Error)) giveBack(row, request, it, edge);
    if (refusal === undefined) return;
    isRefused = true;
    done(refusal);
    // What else it waits for ends too.
    call.cancel();
  };
  try {
    request = decoded(row, wire, call, edge);
    admit(row, request, call, edge);
    const ended = edge.session && row.ends(request);
    if (ended !== undefined) edge.session?.forget(ended);
    known = row.run(edge, request, call, visitor === undefined || !row.handsOut ? settled : settledLater);
  } catch (error) {
    done(errorOf(error));
    return;
  }
  // Outside the try, because an error thrown by `done` is not a fault of the call.
  if (known !== undefined) settled(known);
}

/** The request. One that cannot be decoded costs its caller a call too. */
function decoded<Wire, Request>(
  row: Pick<Row<Wire, Request, never, never>, 'decode'>,
  wire: Wire,
  { identity }: Call,
  edge: Edge,
): Request {
  try {
    return row.decode(wire, edge, identity);
  } catch (error) {
    edge.guard?.spend(identity);
    throw error;
  }
}

/**
 * The error of a call that was refused before it could be answered: it costs its caller a call too, and with too many of
 * them the error says so.
 */
export function refusedAtCost(error: unknown, identity: string, { guard }: Pick<Edge, 'guard'>): unknown {
  try {
    guard?.spend(identity);
    return error;
  } catch (tooMany) {
    return tooMany;
  }
}

/** Why the caller may no longer have the answer: its rights may have ended while it waited. */
function refusalOf<Request>(
  row: Pick<Row<never, Request, never, never>, 'name' | 'permission' | 'subject'>,
  request: Request,
  visitor: Visitor | undefined,
  { guard }: Edge,
): Error | undefined {
  if (visitor === undefined || guard === undefined) return undefined;
  try {
    guard.readmit(visitor, row.name);
    guard.allow(visitor.identity, row.name, row.permission(request), row.subject(request).namespace, 0);
    return undefined;
  } catch (error) {
    return errorOf(error);
  }
}

function giveBack<Request, Answer>(
  row: Pick<Row<never, Request, Answer, never>, 'path' | 'lease'>,
  request: Request,
  it: Answer,
  { coordinator, unexpected }: Edge,
): void {
  const given = row.lease(request, it);
  if (given === undefined) return;
  coordinator.giveBack(given.key, given.lease).catch((cause) => unexpected(cause, row.path));
}

/** Checks the permission, and names the subject for the trace. */
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
    const response = row.encode(it, request, edge);
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
