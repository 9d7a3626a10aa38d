import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../../test/support/certificates.js';
import { CertificatesOfFiles } from '../src/certificates.js';
import { DibsClient } from '../src/client.js';

describe('certificates of files', () => {
  const authority = new TestAuthority();
  const [first, second] = ['first', 'second'].map((name) => authority.issue({ subject: `/CN=${name}` }));
  let server: Server;
  beforeAll(async () => {
    const { cert, key } = authority.issue();
    const [ca, own, secret] = [authority.ca, cert, key].map((path) => readFileSync(path));
    server = createServer(
      { ca, cert: own, key: secret, requestCert: true, ALPNProtocols: ['h2'] },
      (socket) => socket.end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    server.close();
    authority.close();
  });

  /** The client's certificate name, as the service sees it on a new connection. */
  async function shown(security: CertificatesOfFiles): Promise<string> {
    const { port } = server.address() as AddressInfo;
    const came = new Promise<string>((resolve) =>
      server.once('secureConnection', (socket: TLSSocket) =>
        resolve(String(socket.getPeerCertificate().subject.CN)),
      ),
    );
    const connector = security._createSecureConnector({ scheme: 'dns', path: `localhost:${port}` }, {});
    const { socket } = await connector.connect(connect(port, '127.0.0.1'));
    const name = await came;
    socket.destroy();
    return name;
  }

  it('are read again for each connection, and only as a pair', async () => {
    const own = authority.issue({ subject: '/CN=own' });
    if (first === undefined || second === undefined) throw new Error('expected two certificates');
    const security = new CertificatesOfFiles({ tlsCa: authority.ca, tlsCert: own.cert, tlsKey: own.key });
    expect(await shown(security)).toBe('own');
    authority.replace(own, first);
    expect(await shown(security)).toBe('first');
    // The key is replaced first, and does not match the certificate yet.
    writeFileSync(own.key, readFileSync(second.key));
    expect(await shown(security)).toBe('first');
    writeFileSync(own.cert, readFileSync(second.cert));
    expect(await shown(security)).toBe('second');
    unlinkSync(own.cert);
    expect(await shown(security)).toBe('second');
  });

  it('are refused at construction if they cannot be used', () => {
    if (first === undefined || second === undefined) throw new Error('expected two certificates');
    const target = 'localhost:1';
    expect(() => new DibsClient({ target, tlsCert: first.cert, tlsKey: second.key })).toThrow(
      /^tlsCa, tlsCert, tlsKey: .* belongs to another key/,
    );
  });
});
