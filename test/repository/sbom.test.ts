import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';

// image.test.ts shows that it names exactly the packages of the image.

interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly metadata: { readonly component: Record<string, string> };
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly hashes: readonly { readonly alg: string }[];
  }[];
}

describe('the SBOM', () => {
  const { name, version, dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  let text: string;
  let sbom: Sbom;
  beforeAll(() => {
    execFileSync('npm', ['run', '--silent', 'sbom']);
    text = readFileSync('dist/sbom.cdx.json', 'utf8');
    sbom = JSON.parse(text);
  });

  it('is in CycloneDX format, for this product and version', () => {
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: expect.stringMatching(/^1\.\d$/) });
    expect(sbom.metadata.component).toMatchObject({ type: 'application', name, version });
  });

  it('names every package of the service, with its installed version and its hash', () => {
    const named = sbom.components.map((component) => `${component.name}@${component.version}`);
    const wanted = Object.entries(dependencies).map(([dependency, its]) => `${dependency}@${its}`);
    expect(named).toEqual(expect.arrayContaining(wanted));
    for (const { name: component, version, purl, hashes } of sbom.components) {
      expect(purl).toBe(`pkg:npm/${component.replace('@', '%40')}@${version}`);
      expect(hashes.map(({ alg }) => alg)).toEqual(['SHA-512']);
    }
  });

  it('names no development dependency', () => {
    const names = sbom.components.map((component) => component.name);
    // Packages of the service depend on the types of Node.
    expect(Object.keys(devDependencies).filter((it) => names.includes(it))).toEqual(['@types/node']);
  });

  it('names no registry, and no path of the machine that made it', () => {
    const hosts = [...text.matchAll(/\bhttps?:\/\/([^/"]+)/g)].map(([, host]) => host);
    expect([...new Set(hosts)]).toEqual(['cyclonedx.org']);
    expect(text).not.toContain(process.cwd());
  });
});
