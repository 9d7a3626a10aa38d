/** The public interface of the package `@dibs/client`. Nothing else in it is public. */
export type {
  CallOptions,
  Extend,
  GetOrLock,
  GetOrLockMany,
  Invalidate,
  Keyed,
  KeyedOutcome,
  Publish,
  Release,
} from './calls.js';
export { type Dibs, DibsClient, type Stored } from './client.js';
export { bytes, type Codec, json } from './codec.js';
export {
  type BusyReason,
  DibsBusyError,
  DibsError,
  type DibsErrorCode,
  DibsManyError,
  LeaseLostError,
  RebuildFailedError,
  ReentrantRebuildError,
  UndecodableError,
} from './errors.js';
export type { CallEvent, Hooks } from './hooks.js';
export type { NearCacheOptions } from './near-cache.js';
export type {
  CodecOption,
  DibsClientOptions,
  GetOptions,
  NoCodec,
  RebuildContext,
  RebuildManyContext,
  RebuildOptions,
  SetOptions,
  StoreOptions,
} from './options.js';
export type {
  Busy,
  Degraded,
  Explanation,
  ExtendOutcome,
  Failed,
  GetOrLockOutcome,
  Hit,
  Lease,
  LeaseEnd,
  LeaseReason,
  Published,
  PublishOutcome,
  ReleaseOutcome,
} from './outcomes.js';
export type { RebuildMany, ValuesByKey } from './typed-many.js';
export { type Wrap, type WrapDefaults, type WrapOptions, wrapOf } from './wrap.js';
