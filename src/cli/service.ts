import { readFileSync } from 'node:fs';
import {
  type ChannelCredentials,
  credentials,
  logVerbosity,
  Metadata,
  type ServiceError,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import { maybeContent } from '../config/faults.js';
import {
  CoordinatorServiceClient,
  type ExplainRequest,
  type ExplainResponse,
  type InvalidateRequest,
  type InvalidateResponse,
} from '../grpc/generated/dibs/v1/coordinator.js';
import { Misuse, Refusal, type Surroundings } from './command.js';
import { maybePassword, proxyNamed, proxyOptions, staysHere } from './proxy.js';
import { TOKEN_HELP, TOKEN_OPTIONS, tokenFor } from './token.js';

/** Options of every command that calls the service. */
export const SERVICE_OPTIONS = {
  target: { type: 'string' },
  namespace: { type: 'string', short: 'n' },
  ...TOKEN_OPTIONS,
} as const;

export const SERVICE_HELP = `  --target ADDRESS     gRPC address: HOST:PORT, unix:///path or dns:///HOST:PORT;
                       default DIBS_TARGET, else 127.0.0.1:50051
  -n, --namespace NAME default: default
${TOKEN_HELP}`;

const DEFAULT_TARGET = '127.0.0.1:50051';
/** A person waits for the answer. An invalidation of 1,000 keys takes a fraction of this. */
const CALL_MS_MAX = 10_000;

/** What the options of a command say about the service. */
interface Said {
  readonly target?: string | undefined;
  readonly namespace?: string | undefined;
  readonly 'allow-insecure-token'?: boolean | undefined;
}

type Done<Reply> = (error: ServiceError | null, reply: Reply) => void;

/** A connection to the service that the options and the environment name. */
export class Service {
  readonly #stub: CoordinatorServiceClient;
  readonly #metadata = new Metadata();

  constructor(
    readonly target: string,
    security: ChannelCredentials,
    token: string,
    private readonly through = '',
  ) {
    // Each error is one line, and this class writes it.
    setLogVerbosity(logVerbosity.NONE);
    if (token !== '') this.#metadata.set('authorization', `Bearer ${token}`);
    this.#stub = new CoordinatorServiceClient(target, security, proxyOptions(target));
  }

  static from(said: Said, env: Surroundings['env']): Service {
    const { target, namespace, 'allow-insecure-token': isAllowed } = said;
    if (namespace === '') throw empty('--namespace', 'the namespace default');
    if (target === '') throw empty('--target', 'DIBS_TARGET');
    const where = target ?? (env.DIBS_TARGET || DEFAULT_TARGET);
    if (maybePassword(where)) {
      throw new Misuse('--target (DIBS_TARGET): has a user or a password, or another @; set HOST:PORT');
    }
    try {
      const security = securityOf(env);
      const isPrivate = security._isSecure() || staysHere(where);
      const token = tokenFor(env, { to: where, isPrivate, isAllowed });
      return new Service(where, security, token, proxyNamed(where, env));
    } catch (error) {
      if (error instanceof Misuse) throw error;
      throw new Misuse(`--target: '${where}' is not a valid address: ${(error as Error).message}`);
    }
  }

  explain(request: ExplainRequest): Promise<ExplainResponse> {
    return this.#call((how, done: Done<ExplainResponse>) =>
      this.#stub.explain(request, this.#metadata, how, done),
    );
  }

  invalidate(request: InvalidateRequest): Promise<InvalidateResponse> {
    return this.#call((how, done: Done<InvalidateResponse>) =>
      this.#stub.invalidate(request, this.#metadata, how, done),
    );
  }

  close(): void {
    this.#stub.close();
  }

  #call<Reply>(send: (how: { deadline: number }, done: Done<Reply>) => unknown): Promise<Reply> {
    return new Promise((resolve, reject) => {
      send({ deadline: Date.now() + CALL_MS_MAX }, (error, reply) => {
        if (error === null) resolve(reply);
        else reject(refusalOf(error, this.target, this.through));
      });
    });
  }
}

/** An unset variable of a script must not stand for the default: `invalidate --all` would drop other values. */
function empty(option: string, without: string): Misuse {
  return new Misuse(`${option}: is empty, perhaps because of an unset variable; leave it out for ${without}`);
}

/**
 * TLS only with DIBS_TLS_CA, and then with the certificate of the caller, if there is one. The environment of a replica has
 * the certificate of the replica.
 */
function securityOf({
  DIBS_TLS_CA: ca = '',
  DIBS_TLS_CERT: cert = '',
  DIBS_TLS_KEY: key = '',
}: Surroundings['env']): ChannelCredentials {
  if (ca === '') return credentials.createInsecure();
  if ((cert === '') !== (key === '')) throw new Misuse('DIBS_TLS_CERT, DIBS_TLS_KEY: one needs the other');
  const authorities = fileAt('DIBS_TLS_CA', ca);
  const ownKey = key === '' ? null : fileAt('DIBS_TLS_KEY', key);
  const own = cert === '' ? null : fileAt('DIBS_TLS_CERT', cert);
  try {
    return credentials.createSsl(authorities, ownKey, own);
  } catch {
    throw new Misuse(
      'DIBS_TLS_CA, DIBS_TLS_CERT, DIBS_TLS_KEY: they are not PEM files, or the certificate belongs to another key',
    );
  }
}

function fileAt(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (maybeContent(path)) {
      throw new Misuse(
        `${variable}: cannot be read, and looks like the content of a file; set the path of the file`,
      );
    }
    throw new Misuse(`${variable}: '${path}' cannot be read: ${(error as Error).message}`);
  }
}

/** What happened and what to do, in one line. */
export function refusalOf(error: ServiceError, target: string, through = ''): Refusal {
  const { code, details, metadata } = error;
  switch (code) {
    case status.UNAVAILABLE:
      // With a pushback the service itself answered; otherwise there was no connection.
      return metadata.get('grpc-retry-pushback-ms').length > 0
        ? new Refusal(`${target} is unavailable: ${details}`)
        : new Refusal(
            `${target} does not answer${through} (${connectionFault(details)}): check the address (--target, DIBS_TARGET)${through === '' ? '' : ', NO_PROXY'} and TLS (DIBS_TLS_CA, DIBS_TLS_CERT)`,
          );
    case status.DEADLINE_EXCEEDED:
      return new Refusal(
        `${target} did not answer within ${CALL_MS_MAX / 1_000} s: check the address (--target, DIBS_TARGET)`,
      );
    case status.UNAUTHENTICATED:
      return new Refusal(`${target} requires authentication: set DIBS_TOKEN (${details})`);
    case status.PERMISSION_DENIED:
      return new Refusal(
        `${target} denied the call: the identity of DIBS_TOKEN lacks a permission (${details})`,
      );
    case status.UNIMPLEMENTED:
      return new Refusal(`${target} is not Dibs, or an older version: ${details}`);
    default:
      return new Refusal(`${target} refused: ${details}`);
  }
}

/** Removes what grpc-js wraps around the socket's message. */
function connectionFault(details: string): string {
  const said = details
    .replace(/^No connection established\. Last error: (Error: )?/, '')
    .replace(/\.? Resolution note:[\s\S]*$/, '')
    .trim();
  // What grpc-js says about a proxy that cannot be reached.
  return said === 'undefined' || said === '' ? 'no connection' : said;
}
