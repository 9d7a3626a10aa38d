import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Caller } from '../support/caller.js';
import { type Issued, TestAuthority } from '../support/certificates.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';
import type { Json } from './adapter.js';

/** The only identity that it accepts, by this token (unless a scenario changes it) or by a certificate of this name. */
const CALLER = 'conformance';

/** A replica with TLS that authenticates its callers, and the credentials for them. */
export class GuardedReplica {
  #accepted = CALLER;

  private constructor(
    private readonly authority: TestAuthority,
    private readonly env: Readonly<Record<string, string>>,
    private replica: Replica,
    private readonly callers: Issued,
  ) {}

  static async start(env: Readonly<Record<string, string>>): Promise<GuardedReplica> {
    const authority = new TestAuthority();
    const [own, callers] = [
      authority.issue(),
      authority.issue({ subject: `/CN=${CALLER}`, names: `DNS:${CALLER}` }),
    ];
    const authFile = authFileIn(authority);
    writeFileSync(authFile, identitiesBy(CALLER));
    const secured = {
      ...env,
      ...{ DIBS_AUTH_FILE: authFile, DIBS_LISTEN: `127.0.0.1:0,unix://${join(authority.dir, 'dibs.sock')}` },
      ...{ DIBS_TLS_CERT: own.cert, DIBS_TLS_KEY: own.key, DIBS_TLS_CA: authority.ca },
    };
    return new GuardedReplica(authority, secured, await Replica.start(secured), callers);
  }

  /** Its address by the name in its certificate. */
  get target(): string {
    return `localhost:${this.#addresses[0]?.split(':').at(-1)}`;
  }

  /** Its Unix socket, where it requires only a token. */
  get socket(): string {
    return this.#addresses[1] ?? '';
  }

  get #addresses(): string[] {
    return this.replica.target.split(',');
  }

  /** The client's options, with paths instead of the scenarios' names for files. */
  pathsFor(options: Json, namespace: string): Json {
    const paths: Json = {};
    if (options.tls_ca !== undefined) paths.tls_ca = this.authority.ca;
    if (options.tls_cert !== undefined) {
      const named = this.#certificateOf(`${namespace} ${options.tls_cert}`);
      const { cert, key } = existsSync(named.cert) ? named : this.callers;
      Object.assign(paths, { tls_cert: cert, tls_key: key });
    }
    for (const of of ['token_file', 'token_function']) {
      if (options[of] !== undefined) paths[of] = this.#fileOf(`${namespace} ${options[of]}`);
    }
    return { ...options, ...paths };
  }

  /** Writes a token file for clients. */
  writeToken(name: string, token: string, namespace: string): void {
    writeFileSync(this.#fileOf(`${namespace} ${name}`), `${token}\n`);
  }

  /** Writes a certificate of this name, with its key, for clients. */
  writeCertificate(name: string, caller: string, namespace: string): void {
    const issued = this.authority.issue({ subject: `/CN=${caller}`, names: `DNS:${caller}` });
    const { cert, key } = this.#certificateOf(`${namespace} ${name}`);
    copyFileSync(issued.key, key);
    copyFileSync(issued.cert, cert);
  }

  /** Makes this the only accepted token, on open sessions too. */
  async accept(token: string): Promise<void> {
    this.#accepted = token;
    writeFileSync(authFileIn(this.authority), identitiesBy(token));
    this.replica.signal('SIGHUP');
    const caller = new Caller(this.socket, { token });
    await until(() => caller.explain({ key: 'any' }).then(Boolean, () => false));
    caller.close();
  }

  /** Restarts it at the same address. All connections break. */
  async restart(): Promise<void> {
    const { target } = this.replica;
    await this.replica.kill();
    this.replica = await Replica.start({ ...this.env, DIBS_LISTEN: target });
  }

  async heal(): Promise<void> {
    if (this.#accepted !== CALLER) await this.accept(CALLER);
  }

  async stop(): Promise<void> {
    await this.replica.kill();
    this.authority.close();
  }

  #fileOf(name: string): string {
    return join(this.authority.dir, `${fileNameOf(name)}.token`);
  }

  #certificateOf(name: string): Issued {
    const path = join(this.authority.dir, `of ${fileNameOf(name)}`);
    return { cert: `${path}.pem`, key: `${path}.key` };
  }
}

const fileNameOf = (name: string) => name.replace(/[^\w.-]/g, '-');
const authFileIn = ({ dir }: TestAuthority) => join(dir, 'auth.yaml');

function identitiesBy(token: string): string {
  const digest = createHash('sha256').update(token).digest('hex');
  const permissions = "{ '*': [read, lease, publish, invalidate, explain] }";
  return `identities:\n  ${CALLER}: { tokens: ['sha256:${digest}'], certificates: [${CALLER}], permissions: ${permissions} }\n`;
}
