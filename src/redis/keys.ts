import type { Key } from '../coordination/words/key.js';

/** The hash that holds the record of a key. The braces make the id its cluster slot, with any contents. */
export function recordKey(id: string): string {
  return `dibs:{${id}}`;
}

/** The hash of a namespace. No key ID is equal to it, because each contains a zero byte. */
export function namespaceKey(namespace: string): string {
  return `dibs:{${namespaceId(namespace)}}`;
}

/** The slots of a namespace's rebuild limit, in the cluster slot of its hash. */
export function slotsKey(namespace: string): string {
  return `${namespaceKey(namespace)}:places`;
}

/** The tags of a namespace by their last stamps, in the same slot. */
export function stampOrderKey(namespace: string): string {
  return `${namespaceKey(namespace)}:tags`;
}

/** A namespace's name, as wakes carry it. */
export function namespaceId(namespace: string): string {
  return Buffer.from(namespace, 'utf8').toString('base64url');
}

/** All keys that the value store uses for a key and its namespace. */
export function keysOf({ namespace, id }: Key): string[] {
  return [recordKey(id), namespaceKey(namespace), slotsKey(namespace), stampOrderKey(namespace)];
}

/** The pub/sub channel on the value store that every replica listens to. */
export const WAKE_CHANNEL = 'dibs:wake';

/** On the value store: exists once any quorum has voted, until the store loses it. */
export const FIRST_START_KEY = 'dibs:first-start';

/** The same for one group of lock nodes. No key ID is `first-start`, because each contains a zero byte. */
export function groupStartKey(group: string): string {
  return `dibs:{first-start}:${group}`;
}

/** On the value store: the format of everything that is kept there. */
export const FORMAT_KEY = 'dibs:format';

/** On a lock node: the lock of a key. */
export function lockKey(id: string): string {
  return `dibs:lock:${id}`;
}

/** On a lock node: the run of its process since which it has forgotten nothing. */
export const MARKER_KEY = 'dibs:marker';

/** On a lock node: how long it has waited since it may have forgotten something. */
export const WAIT_KEY = 'dibs:wait';
