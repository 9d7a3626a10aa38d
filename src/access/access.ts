import { hash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../coordination/ports/clock.js';
import { CoordinationError } from '../coordination/words/errors.js';
import type { Invalidate } from '../coordination/words/requests.js';
import { alternativeNames } from './alternative-names.js';
import type { Credentials, Guard, PageGuard, Visitor } from './guard.js';
import { EVERY, type Identities, type Permission } from './identity.js';
import { Rates } from './rates.js';

/** Receives audit events. They never contain a key, a token or a value. */
export interface Audit {
  /** `identity`, `namespace` and `permission` are empty for a caller without an identity. */
  denied(identity: string, method: string, namespace: string, permission: string): void;
  invalidated(identity: string, what: Pick<Invalidate, 'namespace' | 'keys' | 'tags' | 'all' | 'mode'>): void;
}

export interface AccessParts {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly audit: Audit;
}

/** A token's digest, or the names of a certificate. An unreadable token has neither. */
type Shown = { readonly token: Buffer | undefined } | { readonly names: readonly string[] };

/** Decides what an identity may do. Denies anything that the file does not allow. */
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

  /** Applies the new identities at once, also to open sessions. */
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

  /** Grows with each {@link replace}. An earlier lookup may then be outdated. */
  get generation(): number {
    return this.#generation;
  }

  /** Returns the caller's identity. Throws `unauthenticated`. A token takes precedence over a certificate. */
  admit({ authorization, subjectAltName }: Credentials, method: string): Visitor {
    const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
    return this.#admit(shownOf(authorization, token, subjectAltName), method);
  }

  /** Throws `unauthenticated` if the caller was admitted but its credentials were removed. */
  readmit(visitor: Pick<Visitor, 'isKnown'>, method: string): void {
    if (!visitor.isKnown)
      throw this.#unauthenticated(method, 'authorization: the credentials were removed from DIBS_AUTH_FILE');
  }

  /** For pages about all namespaces. Throws `unauthenticated` or `permission_denied`. */
  admitToPage({ authorization, subjectAltName }: Credentials, page: string): void {
    const { identity } = this.#admit(
      shownOf(authorization, pageTokenOf(authorization), subjectAltName),
      page,
    );
    if (this.#identities.get(identity)?.permissions.get(EVERY)?.has('explain') === true) return;
    throw this.#denied(identity, page, EVERY, 'explain');
  }

  /**
   * Throws `exhausted` if the identity calls too often, and `permission_denied` unless it has the permission in the
   * namespace. This call counts as `calls` calls.
   */
  allow(identity: string, method: string, permission: Permission, namespace: string, calls: number): void {
    const known = this.#identities.get(identity);
    if (known === undefined)
      throw this.#unauthenticated(method, 'authorization: the identity was removed from DIBS_AUTH_FILE');
    // Also if it is denied below: a refused call is work too. Watching a namespace is not a call.
    if (calls > 0) this.#rates.spend(identity, known.callsPerSecond, calls);
    if (!this.may(identity, permission, namespace)) {
      throw this.#denied(identity, method, namespace, permission);
    }
  }

  spend(identity: string): void {
    const known = this.#identities.get(identity);
    if (known !== undefined) this.#rates.spend(identity, known.callsPerSecond, 1);
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

  /** The identity that has these credentials now. */
  identityOf(shown: Shown): string | undefined {
    if ('names' in shown) {
      const names = new Set(shown.names.flatMap((name) => this.#certificates.get(name) ?? []));
      // A certificate that matches two identities matches neither.
      return names.size === 1 ? [...names][0] : undefined;
    }
    const { token } = shown;
    let found: string | undefined;
    if (token === undefined) return found;
    // Compares all of them, so the time reveals nothing.
    for (const { digest, name } of this.#tokens) if (timingSafeEqual(digest, token)) found = name;
    return found;
  }

  #admit(shown: Shown | undefined, method: string): Visitor {
    if (shown === undefined) {
      const text = 'authorization: not set; send a bearer token or a client certificate';
      throw this.#unauthenticated(method, text);
    }
    const identity = this.identityOf(shown);
    if (identity !== undefined) return new Admitted(this, identity, shown);
    const what = 'token' in shown ? 'the token' : 'every name of the client certificate';
    throw this.#unauthenticated(method, `authorization: ${what} is unknown`);
  }

  #unauthenticated(method: string, message: string): CoordinationError {
    this.parts.audit.denied('', method, '', '');
    return new CoordinationError('unauthenticated', message);
  }

  #denied(identity: string, method: string, namespace: string, permission: string): CoordinationError {
    this.parts.audit.denied(identity, method, namespace, permission);
    const where = namespace === EVERY ? 'every namespace' : `namespace ${namespace}`;
    const message = `identity ${identity} lacks the permission ${permission} in ${where}`;
    return new CoordinationError('permission_denied', message);
  }
}

/** An admitted caller, valid as long as its credentials are. */
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

  /** False after its token or certificate was removed from its identity. */
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
  // An unreadable header is an error. Do not fall back to the certificate.
  if (authorization !== '') return { token: token ? hash('sha256', token, 'buffer') : undefined };
  const names = alternativeNames(subjectAltName());
  return names.length === 0 ? undefined : { names };
}

/** Browsers ask for a name and a password. Any name works; the token is the password. */
function pageTokenOf(authorization: string): string | undefined {
  const [, scheme = '', said = ''] = /^(bearer|basic) +(\S+)$/i.exec(authorization) ?? [];
  if (scheme.toLowerCase() !== 'basic') return said;
  const text = Buffer.from(said, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}
