import { expect, it } from 'vitest';
import { attributesOfWorker, serviceResource } from '../../../src/telemetry/service-resource.js';

it.each([
  ['nothing', undefined, 'service.instance.id=host-1-worker-2'],
  ['an empty text', '', 'service.instance.id=host-1-worker-2'],
  ['other attributes', 'k8s.pod.name=p,a=b', 'k8s.pod.name=p,a=b,service.instance.id=host-1-worker-2'],
  ['an id', 'service.instance.id=pod=x,a=b', 'a=b,service.instance.id=pod=x-worker-2'],
])('a worker has its own instance id if the environment has %s', (_, attributes, expected) => {
  expect(attributesOfWorker(attributes, 'host-1', 2)).toBe(expected);
});

it('the service has the default name, unless the environment has another', () => {
  expect(serviceResource().attributes['service.name']).toBe('dibs');
  process.env.OTEL_SERVICE_NAME = 'the cache of shop';
  process.env.OTEL_RESOURCE_ATTRIBUTES = 'service.instance.id=one';
  try {
    expect(serviceResource().attributes).toMatchObject({
      'service.name': 'the cache of shop',
      'service.instance.id': 'one',
    });
  } finally {
    delete process.env.OTEL_SERVICE_NAME;
    delete process.env.OTEL_RESOURCE_ATTRIBUTES;
  }
});
