import { hash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../coordination/clock.js';
import { CoordinationError } from '../coordination/errors.js';
import type { Invalidate } from '../coordination/requests.js';
import { alternativeNames } from './alternative-names.js';
import type { Credentials, Guard, PageGuard, Visitor } from './guard.js';
import { EVERY, type Identities, type Permission } from './identity.js';
import { Rates } from './rates.js';

/** What is to be kept of who did what: never a key, a token or a value. */
export interface Audit {
  /** `identity` is empty for whoever is none, and so are `namespace` and `permission` then. */
  denied(identity: string, method: string, namespace: string, permission: string): void;
  invalidated(identity: string, what: Pick<Invalidate, 'namespace' | 'keys' | 'tags' | 'all' | 'mode'>): void;
}

export interface AccessParts {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly audit: Audit;
}

/** A token's digest, or the names of a certificate; a token that nobody could read has none. */
type Shown = { readonly token: Buffer | undefined } | { readonly names: readonly string[] };

/** Who may do what. Nobody, but for what the file says. */
export class Access implements Guard, PageGuard {
  #identities: Identities;
  #tokens: readonly { readonly digest: Buffer; readonly name: string }[] = [];
  #certificates: ReadonlyMap<string, string> = new Map();
  #generation = 0;
  readonly #rates: Rates;

  constructor(
    identities: Identities,
    private readonly parts: AccessParts,
  ) {
    this.#rates = new Rates(parts.clock);
    this.#identities = identities;
    this.replace(identities);
  }

  /** Counts from now on, for sessions that are open too. */
  replace(identities: Identities): void {
    const all = [...identities.values()];
    this.#identities = identities;
    this.#tokens = all.flatMap(({ name, tokens }) => tokens.map((digest) => ({ digest, name })));
    this.#certificates = new Map(
      all.flatMap(({ name, certificates }) => certificates.map((certificate) => [certificate, name])),
    );
    this.#rates.keepOnly(identities);
    this.#generation += 1;
  }

  /** Grows with each {@link replace}: what was found before may count no more. */
  get generation(): number {
    return this.#generation;
  }

  /** Who calls. Throws `unauthenticated`. A token that is shown counts, whatever the certificate says. */
  admit({ authorization, subjectAltName }: Credentials, method: string): Visitor {
    const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
    return this.#admit(shownOf(authorization, token, subjectAltName), method);
  }

  /** Throws `unauthenticated` for whoever was admitted and counts no more. */
  readmit(visitor: Pick<Visitor, 'isKnown'>, method: string): void {
    if (!visitor.isKnown)
      throw this.#unauthenticated(method, 'authorization: counts no more; it was taken away');
  }

  /** For pages that show what any namespace does. Throws `unauthenticated` or `permission_denied`. */
  admitToPage({ authorization, subjectAltName }: Credentials, page: string): void {
    const { identity } = this.#admit(
      shownOf(authorization, pageTokenOf(authorization), subjectAltName),
      page,
    );
    if (this.#identities.get(identity)?.permissions.get(EVERY)?.has('explain') === true) return;
    throw this.#denied(identity, page, EVERY, 'explain');
  }

  /**
   * Throws `permission_denied` unless the identity may do this in the namespace, and `exhausted` where it calls
   * too often. `calls` is how many calls this one counts for.
   */
  allow(identity: string, method: string, permission: Permission, namespace: string, calls: number): void {
    const known = this.#identities.get(identity);
    if (known === undefined) throw this.#unauthenticated(method, 'authorization: its identity was removed');
    if (!this.may(identity, permission, namespace)) {
      throw this.#denied(identity, method, namespace, permission);
    }
    // A watched namespace is no call.
    if (calls > 0) this.#rates.spend(identity, known.callsPerSecond, calls);
  }

  may(identity: string, permission: Permission, namespace: string): boolean {
    const permissions = this.#identities.get(identity)?.permissions;
    if (permissions === undefined) return false;
    const has = (where: string) => permissions.get(where)?.has(permission) === true;
    return has(namespace) || has(EVERY);
  }

  waitersMaxOf(identity: string): number {
    return this.#identities.get(identity)?.waitersMax ?? 0;
  }

  invalidated(identity: string, what: Invalidate): void {
    this.parts.audit.invalidated(identity, what);
  }

  /** The name of the identity that shows this now. */
  identityOf(shown: Shown): string | undefined {
    if ('names' in shown) {
      const names = new Set(shown.names.flatMap((name) => this.#certificates.get(name) ?? []));
      // A certificate that is two identities is neither.
      return names.size === 1 ? [...names][0] : undefined;
    }
    const { token } = shown;
    let found: string | undefined;
    if (token === undefined) return found;
    // All of them, whichever it is: how long that takes says nothing.
    for (const { digest, name } of this.#tokens) if (timingSafeEqual(digest, token)) found = name;
    return found;
  }

  #admit(shown: Shown | undefined, method: string): Visitor {
    if (shown === undefined) {
      const text = 'authorization: is not set; a bearer token or a client certificate is needed';
      throw this.#unauthenticated(method, text);
    }
    const identity = this.identityOf(shown);
    if (identity !== undefined) return new Admitted(this, identity, shown);
    const what = 'token' in shown ? 'the token' : 'no name of the client certificate';
    throw this.#unauthenticated(method, `authorization: ${what} is ${'token' in shown ? 'not ' : ''}known`);
  }

  #unauthenticated(method: string, message: string): CoordinationError {
    this.parts.audit.denied('', method, '', '');
    return new CoordinationError('unauthenticated', message);
  }

  #denied(identity: string, method: string, namespace: string, permission: string): CoordinationError {
    this.parts.audit.denied(identity, method, namespace, permission);
    const where = namespace === EVERY ? 'every namespace' : `namespace ${namespace}`;
    const message = `identity ${identity} does not have the permission ${permission} in ${where}`;
    return new CoordinationError('permission_denied', message);
  }
}

/** Who was admitted, for as long as what it has shown counts. */
class Admitted implements Visitor {
  #generation: number;
  #isKnown = true;

  constructor(
    private readonly access: Access,
    readonly identity: string,
    private readonly shown: Shown,
  ) {
    this.#generation = access.generation;
  }

  /** False once its token or certificate has been taken from its identity. */
  get isKnown(): boolean {
    if (this.#generation !== this.access.generation) {
      this.#generation = this.access.generation;
      this.#isKnown = this.access.identityOf(this.shown) === this.identity;
    }
    return this.#isKnown;
  }
}

function shownOf(
  authorization: string,
  token: string | undefined,
  subjectAltName: () => string,
): Shown | undefined {
  // A header that nobody can read was meant to say something: it is no reason to look elsewhere.
  if (authorization !== '') return { token: token ? hash('sha256', token, 'buffer') : undefined };
  const names = alternativeNames(subjectAltName());
  return names.length === 0 ? undefined : { names };
}

/** Browsers ask for a name and a password: any name will do, and the token is the password. */
function pageTokenOf(authorization: string): string | undefined {
  const [, scheme = '', said = ''] = /^(bearer|basic) +(\S+)$/i.exec(authorization) ?? [];
  if (scheme.toLowerCase() !== 'basic') return said;
  const text = Buffer.from(said, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}
