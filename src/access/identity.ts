export const PERMISSIONS = ['read', 'lease', 'publish', 'invalidate', 'explain'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** The entry for every namespace. */
export const EVERY = '*';

/** A caller's identity and permissions. */
export interface Identity {
  readonly name: string;
  /** SHA-256 digests. */
  readonly tokens: readonly Buffer[];
  /** Each with its kind, as in {@link alternativeNames}. */
  readonly certificates: readonly string[];
  /** By namespace. Those under {@link EVERY} are added everywhere. */
  readonly permissions: ReadonlyMap<string, ReadonlySet<Permission>>;
  /** Infinity: no bound. */
  readonly callsPerSecond: number;
  readonly waitersMax: number;
}

export type Identities = ReadonlyMap<string, Identity>;
