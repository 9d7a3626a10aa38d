import { expect, it } from 'vitest';
import { proxyNamed, proxyOptions } from '../../../src/cli/proxy.js';

it.each([
  ['127.0.0.1:50051', true],
  ['127.1.2.3:1', true],
  ['localhost:50051', true],
  ['localhost', true],
  ['[::1]:50051', true],
  ['dns:///localhost:50051', true],
  ['localhost.example.com:50051', false],
  ['dns:///dibs:50051', false],
  ['127.0.0.1.example.com:1', false],
])('a proxy is bypassed for %s: %s', (target, isLocal) => {
  expect(proxyOptions(target)).toEqual(isLocal ? { 'grpc.enable_http_proxy': 0 } : {});
  expect(proxyNamed(target, { https_proxy: 'http://proxy:1' })).toBe(
    isLocal ? '' : ' through the proxy of https_proxy',
  );
});

it('the variable that takes effect is named', () => {
  expect(proxyNamed('dibs:1', {})).toBe('');
  expect(proxyNamed('dibs:1', { http_proxy: 'http://a', grpc_proxy: 'http://b' })).toMatch('grpc_proxy');
  expect(proxyNamed('dibs:1', { HTTP_PROXY: 'http://a', http_proxy: '' })).toBe('');
});
