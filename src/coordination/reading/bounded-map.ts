/** Sets the entry as the newest one of the map, and drops the oldest ones beyond `max`. */
export function setNewest<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, max: number): void {
  // The only entry stays where it is, because each deletion would cost a new table.
  if (map.size === 1 && map.has(key)) {
    map.set(key, value);
    return;
  }
  map.delete(key);
  for (const oldest of map.keys()) {
    if (map.size < max) break;
    map.delete(oldest);
  }
  map.set(key, value);
}
