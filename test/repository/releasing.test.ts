import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { VERSION } from '../../src/version.js';

// Everything that is released has one version, as RELEASING.md says.

it.each([
  ['package-lock.json', /^ {2}"version": "(.*)",$/m],
  ['Dockerfile', /^ARG VERSION=(.*)$/m],
  ['clients/typescript/src/version.ts', /^export const VERSION = '(.*)';$/m],
  ['clients/typescript/package.json', /^ {2}"version": "(.*)",$/m],
  ['clients/go/doc.go', /^const Version = "(.*)"$/m],
  ['clients/python/pyproject.toml', /^version = "(.*)"$/m],
  ['clients/java/pom.xml', /^ {2}<version>(.*)<\/version>$/m],
  ['clients/java/src/main/java/dev/dibs/Version.java', /^ {2}static final String TEXT = "(.*)";$/m],
  ['clients/java/spring/pom.xml', /^ {2}<version>(.*)<\/version>$/m],
  ['clients/java/spring/README.md', /^ {2}<version>(.*)<\/version>$/m],
  ['clients/java/README.md', /^ {2}<version>(.*)<\/version>$/m],
  ['clients/rust/Cargo.toml', /^version = "(.*)"$/m],
  ['deploy/kubernetes/service/deployment.yaml', /^ +image: dibs:(.*)$/m],
  ['deploy/kubernetes/sidecar/dibs.yaml', /^ +image: dibs:(.*)$/m],
  ['deploy/kubernetes/examples/fleet/kustomization.yaml', /^ +newTag: (.*)$/m],
  ['deploy/kubernetes/examples/own-redis/kustomization.yaml', /^ +newTag: (.*)$/m],
  ['deploy/kubernetes/examples/sidecar/kustomization.yaml', /^ +newTag: (.*)$/m],
  ['deploy/helm/dibs/Chart.yaml', /^version: (.*)$/m],
  ['deploy/helm/dibs/Chart.yaml', /^appVersion: (.*)$/m],
  ['deploy/helm/dibs-sidecar/Chart.yaml', /^version: (.*)$/m],
  ['deploy/helm/dibs-sidecar/Chart.yaml', /^appVersion: (.*)$/m],
  ['deploy/helm/examples/prices/Chart.yaml', /^ {4}version: (.*)$/m],
])('%s has the version of package.json', (path, place) => {
  expect(place.exec(readFileSync(path, 'utf8'))?.[1]).toBe(VERSION);
});
