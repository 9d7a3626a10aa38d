import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { findGoProgram } from '../../.ci/go-programs.mjs';
import { ownAddress } from '../support/real-jaeger.js';
import { type KubernetesPrograms, RealKubernetes } from '../support/real-kubernetes.js';

// A real API server with Pod Security `restricted` must accept what `kubectl apply -k` and `helm install` send. There
// are no controllers, so the test creates the Pods of each workload.

const START_MS_MAX = 180_000;
const STEP_MS_MAX = 120_000;
const KUSTOMIZATIONS = 'deploy/kubernetes';
const CHART = 'deploy/helm/dibs';
/** The namespace of kustomizations and values that name none. */
const NAMESPACE = 'elsewhere';

interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly volumes?: readonly object[];
    readonly containers: readonly { readonly securityContext?: object }[];
    readonly securityContext?: object;
  };
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: {
    readonly template?: PodTemplate;
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
}

interface Installation {
  readonly chart: string;
  /** Names of example files. Later files override earlier ones. */
  readonly values: readonly string[];
  readonly set?: string;
}
const INSTALLATIONS: readonly Installation[] = [
  { chart: CHART, values: [], set: 'image.repository=registry.example.com/platform/dibs' },
  { chart: CHART, values: ['fleet'] },
  { chart: CHART, values: ['one-node'] },
  { chart: CHART, values: ['fleet', 'traced'] },
  { chart: CHART, values: ['fleet', 'redis-tls'] },
  { chart: CHART, values: ['own-redis'] },
  { chart: CHART, values: ['fleet', 'secured'] },
  { chart: 'deploy/helm/examples/prices', values: [] },
];

async function programs(): Promise<KubernetesPrograms | undefined> {
  const root = process.cwd();
  try {
    return {
      helm: await findGoProgram(root, 'helm'),
      etcd: await findGoProgram(root, 'etcd', 'kubernetes'),
      kubectl: await findGoProgram(root, 'kubectl', 'kubernetes'),
      apiserver: await findGoProgram(root, 'kube-apiserver', 'kubernetes'),
    };
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    console.warn(`SKIPPED, a real API server of Kubernetes: ${(error as Error).message}`);
    return undefined;
  }
}

const found = await programs();

function manifestsIn(yaml: string): Manifest[] {
  return parseAllDocuments(yaml)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/** Returns what users can apply: every folder whose kustomization is not a component. */
function kustomizations(): string[] {
  const paths = readdirSync(KUSTOMIZATIONS, { recursive: true, encoding: 'utf8' });
  const files = paths.filter((path) => path.endsWith('kustomization.yaml'));
  const whole = files.filter((path) =>
    /^kind: Kustomization$/m.test(readFileSync(join(KUSTOMIZATIONS, path), 'utf8')),
  );
  return whole.map((path) => path.replace(/\/kustomization\.yaml$/, '')).sort();
}

/** Returns the command blocks of a page that contain `text`, without the commands that wait for running Pods. */
function blocksOf(page: string, text: string): string[] {
  const blocks = readFileSync(page, 'utf8').matchAll(/^( *)```sh\n([\s\S]*?)^\1```$/gm);
  return [...blocks]
    .map(([, indent = '', block = '']) => block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''))
    .filter((block) => block.includes(text))
    .map((block) => block.replaceAll(/^kubectl .* rollout status .*\n/gm, ''));
}

/** Returns the Pod that the controller of a workload would create, once for all its replicas. */
function podsOf({ kind, metadata, spec }: Manifest): object[] {
  if (spec?.template === undefined) return [];
  const claims = (spec.volumeClaimTemplates ?? []).map(({ metadata: { name } }) => ({
    name,
    persistentVolumeClaim: { claimName: `${name}-${metadata.name}-0` },
  }));
  const { template } = spec;
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...template.metadata, name: `${metadata.name}-${kind.toLowerCase()}` },
      spec: { ...template.spec, volumes: [...(template.spec.volumes ?? []), ...claims] },
    },
  ];
}

/** Returns the types of the Prometheus operator, in the version of `test/deploy`. Users get them with the operator. */
async function monitoringTypes(): Promise<string[]> {
  const name = 'github.com/prometheus-operator/prometheus-operator';
  const pin = readFileSync('test/deploy/go.mod', 'utf8');
  const version = pin.split('\n').find((line) => line.includes(`${name}/pkg/apis/monitoring v`));
  const args = ['mod', 'download', '-json', `${name}@${version?.trim().split(' ')[1]}`];
  // Outside of any module, because a module would need this one in its go.mod.
  const { stdout } = await promisify(execFile)('go', args, { cwd: tmpdir() });
  const folder = join(JSON.parse(stdout).Dir, 'example', 'prometheus-operator-crd');
  return ['podmonitors', 'prometheusrules', 'servicemonitors'].map((kind) =>
    join(folder, `monitoring.coreos.com_${kind}.yaml`),
  );
}

describe.skipIf(found === undefined)('a real API server, under Pod Security `restricted`', () => {
  let cluster: RealKubernetes;
  beforeAll(async () => {
    cluster = await RealKubernetes.start(found as KubernetesPrograms, ownAddress());
    for (const path of await monitoringTypes()) await cluster.kubectl(['apply', '--server-side', '-f', path]);
    const types = ['podmonitors', 'prometheusrules', 'servicemonitors'].map(
      (kind) => `crd/${kind}.monitoring.coreos.com`,
    );
    await cluster.kubectl(['wait', '--for=condition=Established', ...types]);
  }, START_MS_MAX);
  afterAll(() => cluster?.stop());

  /** Creates a namespace if it is missing, with what a controller would add. */
  const prepareNamespace = async (name: string) => {
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
    const account = {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace: name },
    };
    for (const object of [namespace, account]) {
      await cluster.kubectl(['apply', '--server-side', '-f', '-'], JSON.stringify(object));
    }
  };

  const expectPodsOf = async (manifests: readonly Manifest[], namespace: string) => {
    const pods = manifests.flatMap(podsOf);
    expect(pods.length).toBeGreaterThan(0);
    for (const pod of pods) {
      await cluster.kubectl(['--namespace', namespace, 'create', '-f', '-'], JSON.stringify(pod));
    }
    await cluster.kubectl(['--namespace', namespace, 'delete', 'pods', '--all', '--wait=false']);
  };

  /** Deletes everything but the namespace, which only a controller deletes. */
  const remove = async (manifests: readonly Manifest[], namespace: string) => {
    const rest = manifests.filter(({ kind }) => kind !== 'Namespace').map((one) => JSON.stringify(one));
    const args = ['--namespace', namespace, 'delete', '--wait=false', '-f', '-'];
    await cluster.kubectl(args, rest.join('\n---\n'));
  };

  it(
    'accepts the commands of both quick starts literally',
    async () => {
      const [secret, install] = blocksOf('deploy/helm/README.md', 'kubectl');
      await cluster.run('sh', ['-ec', `${secret}\n${install}`]);
      const installed = manifestsIn(
        await cluster.run('helm', ['--namespace', 'dibs', 'get', 'manifest', 'dibs']),
      );
      expect(installed.map(({ kind }) => kind)).toContain('Deployment');
      await prepareNamespace('dibs');
      await expectPodsOf(installed, 'dibs');
      await cluster.run('helm', ['--namespace', 'dibs', 'uninstall', 'dibs']);
      await cluster.kubectl(['--namespace', 'dibs', 'delete', 'secret', 'dibs-redis']);

      const [apply] = blocksOf('deploy/kubernetes/README.md', 'kubectl apply');
      await cluster.run('sh', ['-ec', apply ?? ''], '', KUSTOMIZATIONS);
      const keys = ['--namespace', 'dibs', 'get', 'secret', 'dibs-redis', '--output', 'jsonpath={.data}'];
      expect(Object.keys(JSON.parse(await cluster.kubectl(keys))).sort()).toEqual([
        'lock-password',
        'password',
        'store-password',
      ]);
      await remove(
        manifestsIn(await cluster.kubectl(['kustomize', `${KUSTOMIZATIONS}/examples/fleet`])),
        'dibs',
      );
    },
    STEP_MS_MAX,
  );

  it.each(kustomizations())(
    'accepts `kubectl apply -k` of %s, and its Pods',
    async (name) => {
      const folder = join(KUSTOMIZATIONS, name);
      const manifests = manifestsIn(await cluster.kubectl(['kustomize', folder]));
      const namespace = manifests.find(({ metadata }) => metadata.namespace)?.metadata.namespace ?? NAMESPACE;
      await prepareNamespace(namespace);
      const applied = await cluster.kubectl([
        '--namespace',
        namespace,
        'apply',
        '--server-side',
        '-k',
        folder,
      ]);
      expect(applied.trim().split('\n')).toHaveLength(manifests.length);
      await expectPodsOf(manifests, namespace);
      await remove(manifests, namespace);
    },
    STEP_MS_MAX,
  );

  it.each(INSTALLATIONS)(
    'accepts `helm install` of $chart with $values, and its Pods',
    async ({ values, chart, set }) => {
      const files = values.flatMap((name) => ['--values', join(CHART, 'examples', `${name}.yaml`)]);
      await prepareNamespace(NAMESPACE);
      const helm = (...args: string[]) => cluster.run('helm', [...args, '--namespace', NAMESPACE]);
      const settings = set === undefined ? [] : ['--set', set];
      await helm('install', 'dibs', chart, '--server-side', ...files, ...settings);
      await expectPodsOf(manifestsIn(await helm('get', 'manifest', 'dibs')), NAMESPACE);
      await helm('uninstall', 'dibs');
    },
    STEP_MS_MAX,
  );

  it('has installed every example of values', () => {
    const examples = readdirSync(join(CHART, 'examples')).map((file) => file.replace(/\.yaml$/, ''));
    expect(examples.filter((name) => !INSTALLATIONS.some(({ values }) => values.includes(name)))).toEqual([]);
    expect(INSTALLATIONS.filter(({ chart }) => !existsSync(join(chart, 'Chart.yaml')))).toEqual([]);
  });

  const REFUSED: readonly [string, string, (spec: PodTemplate['spec']) => object][] = [
    ['shares the network of its machine', 'hostNetwork', () => ({ hostNetwork: true })],
    ['runs as root', 'runAsUser=0', () => ({ securityContext: { runAsUser: 0 } })],
    [
      'reads a folder of its machine',
      'hostPath',
      ({ volumes = [] }) => ({ volumes: [...volumes, { name: 'root', hostPath: { path: '/' } }] }),
    ],
    [
      'keeps its capabilities',
      'unrestricted capabilities',
      ({ containers }) => ({
        containers: containers.map((one) => ({
          ...one,
          securityContext: { ...one.securityContext, capabilities: {} },
        })),
      }),
    ],
  ];
  it.each(REFUSED)(
    'refuses a Pod that %s',
    async (_, says, change) => {
      const manifests = manifestsIn(await cluster.kubectl(['kustomize', join(KUSTOMIZATIONS, 'service')]));
      const deployment = manifests.find(({ kind }) => kind === 'Deployment') as Manifest;
      const template = deployment.spec?.template as PodTemplate;
      const spec = {
        ...deployment.spec,
        template: { ...template, spec: { ...template.spec, ...change(template.spec) } },
      };
      await prepareNamespace(NAMESPACE);
      const apply = ['--namespace', NAMESPACE, 'apply', '--server-side', '-f', '-'];
      const worse = { ...deployment, spec };
      const applied = cluster.kubectl(apply, JSON.stringify(worse));
      await expect(applied).rejects.toThrow('would violate PodSecurity "restricted:latest"');
      await expect(applied).rejects.toThrow(says);
      const refused = expectPodsOf([worse], NAMESPACE);
      await expect(refused).rejects.toThrow('forbidden: violates PodSecurity "restricted:latest"');
    },
    STEP_MS_MAX,
  );

  it.each([
    ['an unknown field', 'field not declared in schema', { maxReplica: 3 }],
    ['a maximum of replicas below the minimum', 'spec.maxReplicas', { maxReplicas: 1 }],
  ])('refuses %s', async (_, says, change) => {
    const manifests = manifestsIn(await cluster.kubectl(['kustomize', join(KUSTOMIZATIONS, 'service')]));
    const autoscaler = manifests.find(({ kind }) => kind === 'HorizontalPodAutoscaler') as Manifest;
    const worse = { ...autoscaler, spec: { ...autoscaler.spec, ...change } };
    await prepareNamespace(NAMESPACE);
    const apply = ['--namespace', NAMESPACE, 'apply', '--server-side', '-f', '-'];
    await expect(cluster.kubectl(apply, JSON.stringify(worse))).rejects.toThrow(says);
  });
});
