import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Issued, TestAuthority } from '../support/certificates.js';
import { Replica } from '../support/replica.js';
import type { Json } from './adapter.js';

/** The only caller that it knows: by this token, or by a certificate of this name. */
const CALLER = 'conformance';

/** A replica with TLS that asks its callers who they are, and what they show it. */
export class GuardedReplica {
  private constructor(
    private readonly authority: TestAuthority,
    private readonly replica: Replica,
    private readonly callers: Issued,
  ) {}

  static async start(env: Readonly<Record<string, string>>): Promise<GuardedReplica> {
    const authority = new TestAuthority();
    const [own, callers] = [
      authority.issue(),
      authority.issue({ subject: `/CN=${CALLER}`, names: `DNS:${CALLER}` }),
    ];
    const authFile = join(authority.dir, 'auth.yaml');
    const token = createHash('sha256').update(CALLER).digest('hex');
    const permissions = "{ '*': [read, lease, publish, invalidate, explain] }";
    writeFileSync(
      authFile,
      `identities:\n  ${CALLER}: { tokens: ['sha256:${token}'], certificates: [${CALLER}], permissions: ${permissions} }\n`,
    );
    const replica = await Replica.start({
      ...env,
      ...{ DIBS_AUTH_FILE: authFile, DIBS_LISTEN: `127.0.0.1:0,unix://${join(authority.dir, 'dibs.sock')}` },
      ...{ DIBS_TLS_CERT: own.cert, DIBS_TLS_KEY: own.key, DIBS_TLS_CA: authority.ca },
    });
    return new GuardedReplica(authority, replica, callers);
  }

  /** By name, for which its certificate stands. */
  get target(): string {
    return `localhost:${this.#addresses[0]?.split(':').at(-1)}`;
  }

  /** Where it asks for a token only. */
  get socket(): string {
    return this.#addresses[1] ?? '';
  }

  get #addresses(): string[] {
    return this.replica.target.split(',');
  }

  /** The client's options, with paths in place of the names that scenarios give to files. */
  pathsFor(options: Json, namespace: string): Json {
    const paths: Json = {};
    if (options.tls_ca !== undefined) paths.tls_ca = this.authority.ca;
    if (options.tls_cert !== undefined) paths.tls_cert = this.callers.cert;
    if (options.tls_key !== undefined) paths.tls_key = this.callers.key;
    for (const of of ['token_file', 'token_function']) {
      if (options[of] !== undefined) paths[of] = this.#fileOf(`${namespace} ${options[of]}`);
    }
    return { ...options, ...paths };
  }

  /** Writes a file that clients read their token from. */
  writeToken(name: string, token: string, namespace: string): void {
    writeFileSync(this.#fileOf(`${namespace} ${name}`), `${token}\n`);
  }

  async stop(): Promise<void> {
    await this.replica.kill();
    this.authority.close();
  }

  #fileOf(name: string): string {
    return join(this.authority.dir, `${name.replace(/[^\w.-]/g, '-')}.token`);
  }
}
