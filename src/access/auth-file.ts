import { parse } from 'yaml';
import { z } from 'zod';

export const PERMISSIONS = ['read', 'lease', 'publish', 'invalidate', 'explain'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** The entry for every namespace. */
export const EVERY = '*';

/** A caller's identity and permissions. */
export interface Identity {
  readonly name: string;
  /** SHA-256 digests. */
  readonly tokens: readonly Buffer[];
  /** Each with its kind before it, as {@link alternativeNames} has them. */
  readonly certificates: readonly string[];
  /** By namespace. Those under {@link EVERY} are added everywhere. */
  readonly permissions: ReadonlyMap<string, ReadonlySet<Permission>>;
  /** Infinity: no bound. */
  readonly callsPerSecond: number;
  readonly waitersMax: number;
}

export type Identities = ReadonlyMap<string, Identity>;

/** One for use and one for rotation. A third would be a forgotten one. */
const TOKENS_MAX = 2;

/** Parses the text of DIBS_AUTH_FILE. Every fault begins with its path in the file and contains no token. */
export function readAuthFile(text: string): {
  readonly identities: Identities;
  readonly faults: readonly string[];
} {
  const identities = new Map<string, Identity>();
  let content: unknown;
  try {
    content = parse(text) ?? {};
  } catch {
    // The parser's message quotes the file, which may contain an unhashed token.
    return { identities, faults: ['is not YAML, or has a duplicate entry'] };
  }
  const result = file.safeParse(content);
  if (!result.success) return { identities, faults: result.error.issues.map(faultOf) };
  for (const [name, said] of Object.entries(result.data.identities)) {
    identities.set(name, identityOf(name, said));
  }
  return { identities, faults: sharedBy(identities) };
}

type Said = z.infer<typeof file>['identities'][string];

function identityOf(name: string, said: Said): Identity {
  return Object.freeze({
    name,
    tokens: said.tokens.map((token) => Buffer.from(token.slice('sha256:'.length), 'hex')),
    // A name with a colon is a URI, because no DNS name has one. DNS names ignore case.
    certificates: said.certificates.map((it) => (it.includes(':') ? `URI:${it}` : `DNS:${it.toLowerCase()}`)),
    permissions: new Map(Object.entries(said.permissions).map(([where, may]) => [where, new Set(may)])),
    callsPerSecond: said.calls_per_second ?? Number.POSITIVE_INFINITY,
    waitersMax: said.waiters ?? Number.POSITIVE_INFINITY,
  });
}

/** Faults for credentials that two identities share: each could act as the other. */
function sharedBy(identities: Identities): string[] {
  const faults: string[] = [];
  const claimed = new Map<string, string>();
  for (const { name, tokens, certificates } of identities.values()) {
    const claim = (path: string, what: string) => {
      const before = claimed.get(what);
      if (before === undefined) claimed.set(what, `${name}.${path}`);
      else
        faults.push(
          `identities.${name}.${path}: is the same as identities.${before}; credentials must belong to one identity`,
        );
    };
    for (const [at, token] of tokens.entries()) claim(`tokens.${at}`, token.toString('hex'));
    for (const [at, certificate] of certificates.entries()) claim(`certificates.${at}`, certificate);
  }
  return faults;
}

function whole(min: number, max: number) {
  const error = `is not a whole number within ${min} to ${max}`;
  return z.custom<number>((it) => Number.isInteger(it) && Number(it) >= min && Number(it) <= max, { error });
}

function named(pattern: RegExp, what: string) {
  return z.string({ error: `is not ${what}` }).regex(pattern, { error: `is not ${what}` });
}

// An identity without tokens and certificates is allowed: this removes the last one in a hurry.
const identity = z.strictObject({
  tokens: z
    .array(named(/^sha256:[0-9A-Fa-f]{64}$/, 'sha256: and the 64 hexadecimal digits of a SHA-256'))
    .refine((all) => all.length <= TOKENS_MAX, {
      error: `has more than ${TOKENS_MAX} tokens; keep the current one and its successor`,
      when: () => true,
    })
    .default([]),
  certificates: z
    .array(named(/^[!-~]{1,1024}$/, 'a DNS name or a URI of a certificate').regex(/^[^",\\]*$/))
    .default([]),
  permissions: z
    .record(
      named(/^(?:[A-Za-z0-9_.-]{1,64}|\*)$/, 'a namespace: 1 to 64 of [A-Za-z0-9_.-], or * for all'),
      z.array(z.enum(PERMISSIONS, { error: `is not one of ${PERMISSIONS.join(', ')}` })),
    )
    .default({}),
  calls_per_second: whole(1, 1_000_000).optional(),
  waiters: whole(1, 10_000_000).optional(),
});

const file = z.strictObject({
  identities: z.record(named(/^[A-Za-z0-9_-]{1,64}$/, 'a name of 1 to 64 of [A-Za-z0-9_-]'), identity, {
    error: 'is missing, or is not a map of names to identities',
  }),
});

function faultOf(issue: z.core.$ZodIssue): string {
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return issue.path.length === 0 ? message : `${issue.path.join('.')}: ${message}`;
}
