import type { MethodDefinition } from '@grpc/grpc-js';
import type { Permission } from '../access/identity.js';
import { labelOf } from '../coordination/waiting/answer-labels.js';
import type { Call } from '../coordination/words/call.js';
import type { GetOrLockAnswer, TakenOver } from '../coordination/words/outcome.js';
import type { Extend, GetOrLock } from '../coordination/words/requests.js';
import type { Facts } from '../coordination/words/trace.js';
import type { Edge, GivenLease, Row, Settled } from './answer.js';
import {
  decodeExplain,
  decodeExtend,
  decodeGetOrLock,
  decodeGetOrLockMany,
  decodeInvalidate,
  decodePublish,
  decodeRelease,
} from './decode.js';
import { askEach, KEYS_AT_ONCE } from './each-key.js';
import {
  encodeExplain,
  encodeExtend,
  encodeGetOrLock,
  encodeInvalidate,
  encodePublish,
  encodeRelease,
} from './encode.js';
import { failedCall, methodName } from './failure.js';
import * as wire from './generated/dibs/v1/coordinator.js';

const contract = wire.CoordinatorServiceService;

/** A session carries calls and is not a call itself. */
type RpcName = Exclude<keyof typeof contract, 'session'>;
type WireOf<Name extends RpcName> = ReturnType<(typeof contract)[Name]['requestDeserialize']>;
type ResponseOf<Name extends RpcName> = ReturnType<(typeof contract)[Name]['responseDeserialize']>;

/** One row per RPC. A missing RPC does not compile. */
export const CALLS = {
  getOrLock: row({
    method: contract.getOrLock,
    type: wire.GetOrLockRequest,
    answerType: wire.GetOrLockResponse,
    decode: decodeGetOrLock,
    permission: permissionOf,
    subject: ({ key }) => key,
    run: ({ coordinator }, request, call, settled) => coordinator.getOrLockAtOnce(request, call, settled),
    encode: (answer, { key }) => encodeGetOrLock(answer, key),
    told: toldOf,
    valueBytes: bytesOf,
    lease: ({ key }, answer) => leaseIn(key, answer),
    handsOut: true,
  }),
  publish: row({
    method: contract.publish,
    type: wire.PublishRequest,
    decode: decodePublish,
    permission: () => 'publish',
    subject: ({ key }) => key,
    run: ({ coordinator }, request, call, settled) => later(coordinator.publish(request, call), settled),
    encode: encodePublish,
    told: ({ outcome, fence }) => ({ outcome, fence }),
    ends: ({ token }) => token,
  }),
  release: row({
    method: contract.release,
    type: wire.ReleaseRequest,
    decode: decodeRelease,
    permission: () => 'lease',
    subject: ({ key }) => key,
    run: ({ coordinator }, request, call, settled) => later(coordinator.release(request, call), settled),
    encode: encodeRelease,
    told: (outcome) => ({ outcome }),
    ends: ({ token }) => token,
  }),
  extend: row({
    method: contract.extend,
    type: wire.ExtendRequest,
    decode: decodeExtend,
    permission: () => 'lease',
    subject: ({ key }) => key,
    run: (edge, request, call, settled) => later(extend(edge, request, call), settled),
    encode: ({ answer }) => encodeExtend(answer),
    told: ({ answer }) => ({ outcome: answer.outcome }),
    lease: ({ key }, { taken }) => taken && { key, lease: taken, isTakenOver: true },
  }),
  invalidate: row({
    method: contract.invalidate,
    type: wire.InvalidateRequest,
    decode: decodeInvalidate,
    permission: () => 'invalidate',
    subject: ({ namespace }) => ({ namespace }),
    calls: ({ keys, tags }) => Math.max(1, keys.length + tags.length),
    work: ({ keys, tags }) => Math.max(1, keys.length + tags.length),
    run: ({ coordinator, guard }, request, call, settled) =>
      later(coordinator.invalidate(request, call), (answer) => {
        if (!(answer instanceof Error)) guard?.invalidated(call.identity, request);
        settled(answer);
      }),
    encode: encodeInvalidate,
  }),
  getOrLockMany: row({
    method: contract.getOrLockMany,
    type: wire.GetOrLockManyRequest,
    answerType: wire.GetOrLockManyResponse,
    decode: decodeGetOrLockMany,
    permission: ([first]) => permissionOf(first),
    subject: ([{ key }]) => ({ namespace: key.namespace }),
    calls: (requests) => requests.length,
    // The first keys. The others follow in later pieces.
    work: ({ keys }) => Math.max(1, Math.min(keys.length, KEYS_AT_ONCE)),
    handsOut: true,
    run: (edge, requests, call, settled) =>
      askEach(edge, requests, { call, span: spanOf(contract.getOrLock.path), told: toldOf }, settled),
    // Each key that fails counts as a failed call.
    encode: ({ key, answer, isGone }, _requests, edge): wire.GetOrLockManyResponse => ({
      key: key.key,
      result:
        answer instanceof Error
          ? { $case: 'error', value: failedCall(edge, contract.getOrLockMany.path, answer, isGone) }
          : { $case: 'response', value: encodeGetOrLock(answer, key) },
    }),
    valueBytes: ({ answer }) => (answer instanceof Error ? 0 : bytesOf(answer)),
    lease: (_requests, { key, answer }) => (answer instanceof Error ? undefined : leaseIn(key, answer)),
  }),
  explain: row({
    method: contract.explain,
    type: wire.ExplainRequest,
    decode: decodeExplain,
    permission: () => 'explain',
    subject: (key) => key,
    run: ({ coordinator }, key, _call, settled) => later(coordinator.explain(key), settled),
    encode: encodeExplain,
    handsOut: true,
  }),
} satisfies { readonly [Name in RpcName]: Row<WireOf<Name>, unknown, unknown, ResponseOf<Name>> };

type OfMethod = 'path' | 'name' | 'span' | 'streams';
type Optional = 'calls' | 'work' | 'handsOut' | 'told' | 'valueBytes' | 'lease' | 'ends';

/** All rows have one shape, because every call uses them. */
function row<Wire, Request, Answer, Response>(
  it: { readonly method: Pick<MethodDefinition<Wire, Response>, 'path' | 'responseStream'> } & Omit<
    Row<Wire, Request, Answer, Response>,
    OfMethod | Optional
  > &
    Partial<Pick<Row<Wire, Request, Answer, Response>, Optional>>,
): Row<Wire, Request, Answer, Response> {
  const { path, responseStream } = it.method;
  return {
    path,
    name: methodName(path),
    span: spanOf(path),
    streams: responseStream,
    type: it.type,
    answerType: it.answerType,
    decode: it.decode,
    permission: it.permission,
    subject: it.subject,
    calls: it.calls ?? (() => 1),
    work: it.work ?? (() => 1),
    handsOut: it.handsOut ?? false,
    run: it.run,
    encode: it.encode,
    told: it.told ?? (() => undefined),
    valueBytes: it.valueBytes ?? (() => 0),
    lease: it.lease ?? (() => undefined),
    ends: it.ends ?? (() => undefined),
  };
}

/** `/dibs.v1.CoordinatorService/Publish` without its first slash. */
function spanOf(path: string): string {
  return path.slice(1);
}

/** A read changes nothing. A lease makes other callers wait. */
function permissionOf({ intent }: GetOrLock): Permission {
  return intent === 'read' ? 'read' : 'lease';
}

function toldOf({ outcome, degraded }: GetOrLockAnswer): Facts {
  return { outcome: labelOf(outcome), degraded };
}

function bytesOf({ outcome }: GetOrLockAnswer): number {
  const hit = outcome.kind === 'lease' ? outcome.previous : outcome.kind === 'hit' ? outcome : undefined;
  return hit?.payload.kind === 'value' ? hit.payload.bytes.byteLength : 0;
}

function leaseIn(key: GivenLease['key'], { outcome }: GetOrLockAnswer): GivenLease | undefined {
  return outcome.kind === 'lease' ? { key, lease: outcome, isTakenOver: false } : undefined;
}

/** A lease of another, perhaps broken session moves to the session that extends it. */
async function extend({ coordinator, session }: Edge, request: Extend, call: Call): Promise<TakenOver> {
  const { token } = request;
  // Asked now: its own holder may end it during the extension.
  const isOfAnother = token !== undefined && session?.holds(token) === false;
  const answer = await coordinator.extend(request, call);
  if (answer.outcome !== 'extended' || !isOfAnother) return { answer, taken: undefined };
  return coordinator.takeOver(request, answer);
}

function later<Answer>(promised: Promise<Answer>, settled: Settled<Answer>): undefined {
  promised.then(settled, settled);
}
