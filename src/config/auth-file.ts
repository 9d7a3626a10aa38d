import { z } from 'zod';
import { type Identities, type Identity, PERMISSIONS } from '../access/identity.js';
import { type Faults, unknownSettings } from './faults.js';
import { readYaml } from './yaml-text.js';

/** One for use and one for rotation. A third would be a forgotten one. */
const TOKENS_MAX = 2;

/** Parses the text of DIBS_AUTH_FILE. Every fault begins with its path in the file and contains no token. */
export function readAuthFile(text: string, faults: Faults): Identities {
  const identities = new Map<string, Identity>();
  const content = readYaml(text, faults);
  if (content === undefined) return identities;
  for (const [name, said] of Object.entries(faults.fitting(file, content)?.identities ?? {})) {
    identities.set(name, identityOf(name, said));
  }
  refuseShared(identities, faults);
  return identities;
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
function refuseShared(identities: Identities, faults: Faults): void {
  const claimed = new Map<string, string>();
  for (const { name, tokens, certificates } of identities.values()) {
    const claim = (path: string, what: string) => {
      const before = claimed.get(what);
      if (before === undefined) claimed.set(what, `${name}.${path}`);
      else {
        const whose = `is the same as identities.${before}; credentials must belong to one identity`;
        faults.add(`identities.${name}.${path}`, whose);
      }
    };
    for (const [at, token] of tokens.entries()) claim(`tokens.${at}`, token.toString('hex'));
    for (const [at, certificate] of certificates.entries()) claim(`certificates.${at}`, certificate);
  }
}

function whole(min: number, max: number) {
  const error = `is not a whole number within ${min} to ${max}`;
  return z.custom<number>((it) => Number.isInteger(it) && Number(it) >= min && Number(it) <= max, { error });
}

function named(pattern: RegExp, what: string) {
  return z.string({ error: `is not ${what}` }).regex(pattern, { error: `is not ${what}` });
}

/** Like zod's strictObject. Its faults say what is known. */
function known<const Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? unknownSettings(issue.keys, Object.keys(shape)) : undefined,
  });
}

// An identity without tokens and certificates is allowed: this removes the last one in a hurry.
const identity = known({
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

const file = known({
  identities: z.record(named(/^[A-Za-z0-9_-]{1,64}$/, 'a name of 1 to 64 of [A-Za-z0-9_-]'), identity, {
    error: 'is missing, or is not a map of names to identities',
  }),
});
