import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Caller } from './caller.js';
import { TestAuthority } from './certificates.js';
import { Replica } from './replica.js';
import { SessionCaller } from './session-caller.js';

export const PERMISSIONS = ['read', 'lease', 'publish', 'invalidate', 'explain'] as const;
export const namespace = 'shop';

const ALL = PERMISSIONS.join(', ');
/** The hash of a token as the auth file has it. */
export const sha256 = (token: string) => `'sha256:${createHash('sha256').update(token).digest('hex')}'`;

/** For each permission, one identity that has only it and one that has all the others. */
const byPermission = PERMISSIONS.map((it) => {
  const others = PERMISSIONS.filter((permission) => permission !== it).join(', ');
  return `
  only-${it}: { tokens: [${sha256(`only-${it}`)}], permissions: { shop: [${it}] } }
  not-${it}: { tokens: [${sha256(`not-${it}`)}], permissions: { shop: [${others}], other: [${ALL}] } }`;
}).join('');

/** Each identity's token is its name. */
export const AUTH_FILE = `identities:
  checkout:
    tokens: [${sha256('checkout-old')}, ${sha256('checkout')}]
    certificates: [checkout.shop.svc]
    permissions: { shop: [${ALL}] }
  search:
    tokens: [${sha256('search')}]
    certificates: ['spiffe://prod/search']
    permissions: { shop: [${ALL}] }
  operator: { tokens: [${sha256('operator')}], permissions: { '*': [explain] } }
  hasty: { tokens: [${sha256('hasty')}], permissions: { shop: [read] }, calls_per_second: 5 }
  crowd: { tokens: [${sha256('crowd')}], permissions: { shop: [read] }, waiters: 3 }
${byPermission}
`;

/** A replica that checks permissions. It serves TLS with client certificates, and a unix socket without. */
export class AccessTrial {
  readonly authority = new TestAuthority();
  readonly authFile: string;
  readonly #closing: (() => unknown)[] = [];
  #replica: Replica | undefined;

  private constructor(private readonly dir = mkdtempSync(join(tmpdir(), 'dibs-access-'))) {
    this.authFile = join(dir, 'auth.yaml');
    writeFileSync(this.authFile, AUTH_FILE);
  }

  static async start(): Promise<AccessTrial> {
    const trial = new AccessTrial();
    const tls = trial.authority.issue();
    trial.#replica = await Replica.start({
      ...{ DIBS_AUTH_FILE: trial.authFile, DIBS_LOG_LEVEL: 'info', DIBS_SESSION_GRACE_MS: '60000' },
      ...{ DIBS_TLS_CERT: tls.cert, DIBS_TLS_KEY: tls.key, DIBS_TLS_CA: trial.authority.ca },
      DIBS_LISTEN: `127.0.0.1:0,${trial.socket}`,
    });
    return trial;
  }

  get replica(): Replica {
    if (this.#replica === undefined) throw new Error('the replica was not started');
    return this.#replica;
  }

  /** The target of callers without a certificate. */
  get socket(): string {
    return `unix://${join(this.dir, 'dibs.sock')}`;
  }

  /** The target that requires a certificate. */
  get tlsTarget(): string {
    return `localhost:${this.replica.target.split(',')[0]?.split(':').at(-1)}`;
  }

  get httpsUrl(): string {
    return `https://localhost:${this.replica.httpUrl.split(':').at(-1)}`;
  }

  by(token?: string): Caller {
    return this.closed(new Caller(this.socket, token === undefined ? {} : { token }));
  }

  async session(token: string, hello = {}): Promise<SessionCaller> {
    const opened = await SessionCaller.open(this.socket, hello, { token });
    this.#closing.push(() => opened.drop());
    return opened;
  }

  /** Registers something that {@link closeAll} closes. */
  closed<It extends { close(): unknown }>(it: It): It {
    this.#closing.push(() => it.close());
    return it;
  }

  closeAll(): void {
    for (const close of this.#closing.splice(0)) close();
  }

  async stop(): Promise<void> {
    await this.#replica?.kill();
    rmSync(this.dir, { recursive: true });
    this.authority.close();
  }
}
