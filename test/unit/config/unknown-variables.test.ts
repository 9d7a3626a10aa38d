import { expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { CLIENT_VARIABLES, variablesRead } from '../../support/variables-read.js';

const unknown = (env: Record<string, string>) => loadConfig(env).suspicions.unknownVariables;

it.each([
  ['DIBS_QUORUM_NODE', 'DIBS_QUORUM_NODES'],
  ['DIBS_STORE_URI', 'DIBS_STORE_URL'],
  ['DIBS_QORUM_NODES', 'DIBS_QUORUM_NODES'],
  ['DIBS_LOGLEVEL', 'DIBS_LOG_LEVEL'],
  ['dibs_store_url', 'DIBS_STORE_URL'],
  ['DIBS_LISTEN_PORT', 'DIBS_LISTEN'],
  ['DIBS_SOMETHING_ELSE_ENTIRELY', undefined],
])('%s is unknown, and looks most like %s', (variable, nearest) => {
  expect(unknown({ [variable]: 'x' })).toEqual([{ variable, nearest }]);
});

it('every variable that the service or a client reads is known', () => {
  const known = [...variablesRead(), ...CLIENT_VARIABLES];
  expect(known.length).toBeGreaterThan(20);
  for (const variable of known) {
    // A variable that cannot be 'x' throws, which does not matter here.
    try {
      expect(unknown({ [variable]: 'x' })).toEqual([]);
    } catch (error) {
      expect(error).toMatchObject({ name: 'ConfigError' });
    }
  }
});

it('the variables of a Kubernetes Service named dibs are known, and empty ones count as unset', () => {
  expect(
    unknown({
      DIBS_SERVICE_HOST: '10.0.0.1',
      DIBS_SERVICE_PORT: '50051',
      DIBS_SERVICE_PORT_GRPC: '50051',
      DIBS_PORT: 'tcp://10.0.0.1:50051',
      DIBS_PORT_50051_TCP: 'tcp://10.0.0.1:50051',
      DIBS_PORT_50051_TCP_PROTO: 'tcp',
      DIBS_PORT_50051_TCP_PORT: '50051',
      DIBS_PORT_50051_TCP_ADDR: '10.0.0.1',
      DIBS_CONSOLE_SERVICE_HOST: '10.0.0.2',
      DIBS_QUORUM_NODE: ' ',
      OTHER: 'x',
    }),
  ).toEqual([]);
  expect(unknown({ DIBS_PORT: '50051' })).toMatchObject([{ variable: 'DIBS_PORT' }]);
});

it.each([
  [{}, false],
  [{ DIBS_LISTEN: '0.0.0.0:1', DIBS_INSECURE: 'true' }, true],
  [{ DIBS_LISTEN: '127.0.0.1:1,[::]:1', DIBS_INSECURE: 'true' }, true],
  [{ DIBS_LISTEN: 'unix:///run/dibs.sock,[::1]:1' }, false],
  [
    {
      DIBS_LISTEN: '0.0.0.0:1',
      DIBS_INSECURE: 'true',
      DIBS_QUORUM_NODES: 'redis://a,redis://b,redis://c',
      DIBS_STORE_URL: 'redis://s',
    },
    false,
  ],
])('an embedded replica with %j is reachable from other machines: %s', (env, embeddedBeyondLoopback) => {
  expect(loadConfig(env).suspicions).toMatchObject({ embeddedBeyondLoopback });
});
