import {
  defaultResource,
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from '@opentelemetry/resources';

export const SERVICE_NAME = 'dibs';
const INSTANCE = 'service.instance.id';

/** What metrics over OTLP describe. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override the name. */
export function serviceResource(): Resource {
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': SERVICE_NAME }))
    .merge(detectResources({ detectors: [envDetector] }));
}

/**
 * OTEL_RESOURCE_ATTRIBUTES of one worker. Two that send the same series under one `service.instance.id` would overwrite
 * each other's figures. So its number stands at the end of the id that is set, or of `instance`.
 */
export function attributesOfWorker(attributes: string | undefined, instance: string, worker: number): string {
  const all = (attributes ?? '').split(',').filter((pair) => pair.trim() !== '');
  const isId = (pair: string) => pair.split('=', 1)[0]?.trim() === INSTANCE;
  const id = all.find(isId)?.split('=').slice(1).join('=').trim() ?? instance;
  return [...all.filter((pair) => !isId(pair)), `${INSTANCE}=${id}-worker-${worker}`].join(',');
}
