import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { endWithThisProcess } from './end-with-this-process.js';
import { ownAddress } from './real-jaeger.js';
import { Replica } from './replica.js';
import { until } from './until.js';

const READY_MS_MAX = 120_000;

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly secretKeyRef?: { readonly name: string; readonly key: string };
    readonly fieldRef?: { readonly fieldPath: string };
  };
}
interface Container {
  readonly command?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly readinessProbe?: { readonly exec?: { readonly command: readonly string[] } };
  readonly startupProbe?: { readonly httpGet?: { readonly path: string } };
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly replicas?: number;
    readonly minReplicas?: number;
    readonly scaleTargetRef?: { readonly name: string };
    readonly template?: {
      readonly spec: {
        readonly containers: readonly [Container];
        readonly volumes?: readonly {
          readonly name: string;
          readonly configMap?: { readonly name: string };
        }[];
      };
    };
  };
}

/** A container as its Pod describes it, with the values that Kubernetes would fill in. */
interface Pod {
  readonly name: string;
  /** Its own loopback address, so that all ports are free. */
  readonly host: string;
  readonly container: Container;
  readonly env: Readonly<Record<string, string>>;
  /** Fills in variable references, mounted paths and addresses. */
  filled(text: string): string;
  /** Runs a probe's command in the container. */
  readonly exec: (command: readonly string[]) => Promise<boolean>;
}

/**
 * Runs the Pods of rendered manifests as local processes, with the manifests' commands, variables, files and probes.
 * Each Pod has its own address. Dibs comes from this repository, Redis is the installed one.
 */
export class Pods {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-pods-'));
  readonly #redis: ChildProcess[] = [];
  readonly replicas: Replica[] = [];
  readonly #addresses = new Map<string, string>();

  private constructor(
    private readonly manifests: readonly Manifest[],
    private readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>,
  ) {}

  /**
   * `rendered` is YAML. `services` maps further names with ports, such as `jaeger.observability:4317`, to their
   * addresses. Resolves when each Pod's own probe says that it is ready.
   */
  static async start(
    rendered: string,
    secrets: Readonly<Record<string, Readonly<Record<string, string>>>>,
    services: Readonly<Record<string, string>>,
  ): Promise<Pods> {
    const manifests = parseAllDocuments(rendered)
      .map((document) => document.toJS() as Manifest | null)
      .filter((manifest) => manifest !== null);
    const pods = new Pods(manifests, secrets);
    for (const [name, address] of Object.entries(services)) pods.#addresses.set(name, address);
    try {
      await pods.#start();
    } catch (error) {
      await pods.stop();
      throw error;
    }
    return pods;
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    for (const child of this.#redis) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const redis = this.#of('StatefulSet').flatMap((set) =>
      Array.from({ length: set.spec?.replicas ?? 1 }, (_, at) => {
        const name = `${set.metadata.name}-${at}`;
        const host = ownAddress();
        // A Service for each Pod, or one Service for the only Pod.
        this.#addresses.set(`${name}:6379`, `${host}:6379`);
        if (set.spec?.replicas === 1) this.#addresses.set(`${set.metadata.name}:6379`, `${host}:6379`);
        return this.#podOf(set, name, host);
      }),
    );
    for (const pod of redis) this.#run(pod);
    await until(
      async () => (await Promise.all(redis.map((pod) => pod.exec(['redis-cli', 'PING'])))).every(Boolean),
      READY_MS_MAX,
    );
    for (const deployment of this.#of('Deployment')) {
      const { name } = deployment.metadata;
      const autoscaler = this.#of('HorizontalPodAutoscaler').find(
        ({ spec }) => spec?.scaleTargetRef?.name === name,
      );
      const count = deployment.spec?.replicas ?? autoscaler?.spec?.minReplicas ?? 1;
      for (let at = 0; at < count; at += 1) await this.#startReplica(deployment, `${name}-${at}`);
    }

    await until(async () => {
      const ready = redis.map((pod) => pod.exec(pod.container.readinessProbe?.exec?.command ?? ['false']));
      return (await Promise.all(ready)).every(Boolean);
    }, READY_MS_MAX);
  }

  async #startReplica(deployment: Manifest, name: string): Promise<void> {
    const host = ownAddress();
    const { env, container } = this.#podOf(deployment, name, host);
    // The image listens on all addresses of its Pod.
    const listen = { DIBS_LISTEN: `${host}:50051`, DIBS_HTTP_LISTEN: `${host}:9464` };
    const replica = await Replica.start({ ...listen, ...env });
    this.replicas.push(replica);
    const probe = `${replica.httpUrl}${container.startupProbe?.httpGet?.path}`;
    await until(async () => (await fetch(probe)).ok, READY_MS_MAX);
  }

  #of(kind: string): Manifest[] {
    return this.manifests.filter((manifest) => manifest.kind === kind);
  }

  #podOf(workload: Manifest, name: string, host: string): Pod {
    const spec = workload.spec?.template?.spec;
    if (spec === undefined) throw new Error(`${workload.kind} ${workload.metadata.name} has no template`);
    const [container] = spec.containers;
    const root = join(this.#folder, name);
    mkdirSync(root);
    const mounts = (container.volumeMounts ?? []).map(({ name: volume, mountPath }) => {
      const folder = join(root, volume);
      mkdirSync(folder);
      const config = spec.volumes?.find((one) => one.name === volume)?.configMap?.name;
      const data = this.#of('ConfigMap').find(({ metadata }) => metadata.name === config)?.data ?? {};
      for (const [file, text] of Object.entries(data)) writeFileSync(join(folder, file), text);
      return [mountPath, folder] as const;
    });
    const variables = new Map<string, string>();
    const filled = (text: string) => {
      let result = text.replaceAll(/\$\((\w+)\)/g, (it, variable) => variables.get(variable) ?? it);
      for (const [path, folder] of mounts) result = result.replaceAll(path, folder);
      for (const [service, address] of this.#addresses) result = result.replaceAll(service, address);
      return result;
    };
    for (const { name: variable, value, valueFrom } of container.env ?? []) {
      const { secretKeyRef, fieldRef } = valueFrom ?? {};
      const referred = secretKeyRef && this.secrets[secretKeyRef.name]?.[secretKeyRef.key];
      const text = value ?? referred ?? (fieldRef?.fieldPath === 'metadata.name' ? name : undefined);
      if (text === undefined) throw new Error(`${name}: there is nothing that ${variable} refers to`);
      variables.set(variable, filled(text));
    }
    const env = Object.fromEntries(variables);
    // Probes use the usual port of their own Pod.
    const shim = `#!/bin/sh\nPATH=\${PATH#*:} exec redis-cli -h ${host} "$@"\n`;
    writeFileSync(join(root, 'redis-cli'), shim);
    chmodSync(join(root, 'redis-cli'), 0o755);
    const inside = { PATH: [root, process.env.PATH].join(delimiter), ...env };
    const exec = async ([program = '', ...args]: readonly string[]) =>
      promisify(execFile)(program, args.map(filled), { env: inside }).then(
        () => true,
        () => false,
      );
    return { name, host, container, env, filled, exec };
  }

  #run({ name, host, container, env, filled }: Pod): void {
    const [program = '', ...args] = (container.command ?? []).map(filled);
    const dir = join(this.#folder, name);
    const place = ['--bind', host, '--dir', dir];
    const child = spawn(program, [...args, ...place], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    endWithThisProcess(child);
    this.#redis.push(child);
  }
}
