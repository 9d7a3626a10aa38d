import { expect, it } from 'vitest';
import { peerOf } from '../../../src/access/peer.js';

it.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:0001:2::9', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  [undefined, 'a Unix socket'],
])('the address %s shares its limits as %s', (address, peer) => {
  expect(peerOf(address)).toBe(peer);
});
