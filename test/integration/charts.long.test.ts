import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { findGoProgram } from '../../.ci/go-programs.mjs';
import { ownAddress } from '../support/real-jaeger.js';
import { RealRegistry } from '../support/real-registry.js';

// The release step that publishes the charts, with Helm's own program and a real registry. Users must get from there
// what the repository has.

const run = promisify(execFile);
const STEP = 'package the charts, and push them';

interface Workflow {
  readonly jobs: Readonly<
    Record<string, { readonly steps: readonly { readonly name?: string; readonly run?: string }[] }>
  >;
}

async function programs(): Promise<{ readonly helm: string; readonly registry: string } | undefined> {
  try {
    const root = process.cwd();
    return { helm: await findGoProgram(root, 'helm'), registry: await findGoProgram(root, 'registry') };
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    console.warn(`SKIPPED, the charts in a real registry: ${(error as Error).message}`);
    return undefined;
  }
}

const found = await programs();

describe.skipIf(found === undefined)('the charts of a release', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-charts-'));
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  let registry: RealRegistry;
  let charts: string;

  beforeAll(async () => {
    registry = await RealRegistry.start(found?.registry ?? '', ownAddress());
    charts = `oci://${registry.address}/dibs-cache/charts`;
    symlinkSync(found?.helm ?? '', join(folder, 'helm'));
    const { jobs } = parse(readFileSync('.github/workflows/release.yaml', 'utf8')) as Workflow;
    const step = Object.values(jobs)
      .flatMap(({ steps }) => steps)
      .find(({ name }) => name === STEP);
    // This registry has no certificate.
    await shell((step?.run ?? '').replace('helm push', 'helm push --plain-http'));
  });
  afterAll(async () => {
    await registry?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const shell = async (text: string) => {
    const env = {
      PATH: [folder, process.env.PATH].join(delimiter),
      HOME: folder,
      RUNNER_TEMP: folder,
      CHARTS: charts,
    };
    return (await run('sh', ['-ec', text], { env, maxBuffer: 10_000_000 })).stdout;
  };

  it.each(['one-node', 'fleet', 'own-redis'])(
    'install the same as the repository, with %s',
    async (values) => {
      const options = `--namespace dibs --values deploy/helm/dibs/examples/${values}.yaml`;
      const here = await shell(`helm template dibs deploy/helm/dibs ${options}`);
      const there = await shell(
        `helm template dibs ${charts}/dibs --version ${version} --plain-http ${options}`,
      );
      expect(there).toContain('kind: Deployment');
      expect(there).toBe(here);
    },
  );

  it('include the library chart for sidecars', async () => {
    const shown = parse(
      await shell(`helm show chart ${charts}/dibs-sidecar --version ${version} --plain-http`),
    );
    expect(shown).toMatchObject({ name: 'dibs-sidecar', type: 'library', version });
  });

  it('exist in no other version', async () => {
    const other = shell(`helm show chart ${charts}/dibs --version 999.0.0 --plain-http`);
    await expect(other).rejects.toThrow('999.0.0');
  });
});
