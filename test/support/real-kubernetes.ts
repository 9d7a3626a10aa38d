import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { endWithThisProcess } from './end-with-this-process.js';
import { until } from './until.js';

const START_MS_MAX = 120_000;

/** Applied to every namespace, as in a strict cluster: a workload that violates it gets a warning, its Pods are refused. */
const POD_SECURITY = JSON.stringify({
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AdmissionConfiguration',
  plugins: [
    {
      name: 'PodSecurity',
      configuration: {
        apiVersion: 'pod-security.admission.config.k8s.io/v1',
        kind: 'PodSecurityConfiguration',
        defaults: { enforce: 'restricted', warn: 'restricted' },
      },
    },
  ],
});

export interface KubernetesPrograms {
  readonly etcd: string;
  readonly apiserver: string;
  readonly kubectl: string;
  readonly helm: string;
}

/**
 * A Kubernetes for one test: etcd and the API server, with Pod Security `restricted`. It has no controllers and no
 * nodes, so it stores what it accepts and runs nothing.
 */
export class RealKubernetes {
  readonly #children: ChildProcess[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-kubernetes-'));
  /** The environment in which `kubectl` and `helm` are installed and find this cluster. */
  readonly env: Readonly<Record<string, string>> = {
    PATH: [this.#folder, process.env.PATH].join(delimiter),
    HOME: this.#folder,
    KUBECONFIG: join(this.#folder, 'kubeconfig'),
  };

  private constructor(
    private readonly programs: KubernetesPrograms,
    /** A loopback address on which it uses its usual ports. */
    private readonly host: string,
  ) {
    for (const name of ['kubectl', 'helm'] as const) symlinkSync(programs[name], join(this.#folder, name));
  }

  /** Starts it. Throws with its last lines if it does not become ready. */
  static async start(programs: KubernetesPrograms, host: string): Promise<RealKubernetes> {
    const kubernetes = new RealKubernetes(programs, host);
    try {
      await kubernetes.#start();
    } catch (error) {
      await kubernetes.stop();
      throw error;
    }
    return kubernetes;
  }

  /** Returns kubectl's output. Rejects with its error. A warning of the API server is an error too. */
  async kubectl(args: readonly string[], input = ''): Promise<string> {
    return this.run('kubectl', ['--warnings-as-errors', ...args], input);
  }

  /** Like {@link kubectl}, for another program that finds the cluster by its variables. It runs in `folder`. */
  async run(command: string, args: readonly string[], input = '', folder = '.'): Promise<string> {
    const child = spawn(command, args, { env: this.env, cwd: folder });
    endWithThisProcess(child);
    child.stdin.on('error', () => {}); // It ended early. Its output says why.
    child.stdin.end(input);
    const printed = { out: '', err: '' };
    child.stdout.on('data', (data) => {
      printed.out += data;
    });
    child.stderr.on('data', (data) => {
      printed.err += data;
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(printed.err);
    return printed.out;
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const { etcd, apiserver } = this.programs;
    const [clients, peers] = [`http://${this.host}:2379`, `http://${this.host}:2380`];
    const urls = [
      ...['--listen-client-urls', clients, '--advertise-client-urls', clients],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
      ...['--initial-cluster', `default=${peers}`],
    ];
    const store = this.#spawn(etcd, [...urls, '--data-dir', join(this.#folder, 'etcd'), '--unsafe-no-fsync']);
    const token = randomUUID();
    this.#write('kubeconfig', kubeconfig(`https://${this.host}:6443`, token));
    const server = this.#spawn(apiserver, [
      ...['--etcd-servers', clients, '--bind-address', this.host, '--secure-port', '6443'],
      ...['--cert-dir', join(this.#folder, 'certificates'), '--service-cluster-ip-range', '10.0.0.0/24'],
      ...['--token-auth-file', this.#write('tokens.csv', `${token},admin,admin,system:masters\n`)],
      ...['--authorization-mode', 'RBAC', '--endpoint-reconciler-type', 'none'],
      ...['--admission-control-config-file', this.#write('admission.json', POD_SECURITY)],
      ...['--service-account-issuer', 'https://kubernetes.default.svc', ...this.#serviceAccountKeys()],
    ]);
    const isReady = async () => {
      for (const { child, log } of [store, server])
        if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended:\n${log.join('')}`);
      const answer = await this.kubectl(['get', '--raw', '/readyz']).catch(() => '');
      return answer === 'ok';
    };
    await until(isReady, START_MS_MAX);
  }

  #serviceAccountKeys(): string[] {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs1', format: 'pem' });
    const path = this.#write('service-accounts.pem', `${pem}`);
    return ['--service-account-key-file', path, '--service-account-signing-key-file', path];
  }

  #write(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, text);
    return path;
  }

  #spawn(command: string, args: readonly string[]): { readonly child: ChildProcess; readonly log: string[] } {
    const child = spawn(command, args, {
      env: { PATH: this.env.PATH, HOME: this.#folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    endWithThisProcess(child);
    this.#children.push(child);
    const log: string[] = [];
    child.stderr.on('data', (data) => {
      log.push(`${data}`);
      if (log.length > 50) log.shift();
    });
    return { child, log };
  }
}

/** Makes a self-signed certificate. */
function kubeconfig(server: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'own', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'own', context: { cluster: 'own', user: 'admin' } }],
    'current-context': 'own',
  });
}
