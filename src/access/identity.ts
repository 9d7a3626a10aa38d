export const PERMISSIONS = ['read', 'lease', 'publish', 'invalidate', 'explain'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** What stands for every namespace. */
export const EVERY = '*';

/** Somebody who may call, and what it may do. */
export interface Identity {
  readonly name: string;
  /** SHA-256 digests. */
  readonly tokens: readonly Buffer[];
  /** Each with its kind before it, as {@link alternativeNames} has them. */
  readonly certificates: readonly string[];
  /** By namespace; what stands under {@link EVERY} comes on top everywhere. */
  readonly permissions: ReadonlyMap<string, ReadonlySet<Permission>>;
  /** Infinity for no bound. */
  readonly callsPerSecond: number;
  readonly waitersMax: number;
}

export type Identities = ReadonlyMap<string, Identity>;
