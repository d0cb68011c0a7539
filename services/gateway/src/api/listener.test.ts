import { once } from 'node:events';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { Target } from '../testing/wire-client.ts';

// The one port as a scanner of TLS servers sees it.

const nats = withNats();
let fixture: GatewayFixture;
let target: Target;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator(), { tls: true });
  ({ target } = await fixture.gateway());
});
afterAll(() => fixture.close());

const open = (more: ConnectionOptions): TLSSocket => {
  const { host, port, ca = Buffer.alloc(0) } = target;
  return connect({ host, port, ca, servername: 'localhost', ALPNProtocols: ['http/1.1'], ...more });
};
/** What was agreed on; the words of the refusal otherwise. */
const agreed = async (more: ConnectionOptions): Promise<{ version: string; cipher: string; alpn: string } | string> => {
  const socket = open(more);
  try {
    await once(socket, 'secureConnect');
    const { protocol = '', cipher = '' } = {
      protocol: socket.getProtocol() ?? '',
      cipher: socket.getCipher().standardName,
    };
    return { version: protocol, cipher, alpn: socket.alpnProtocol || '' };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
};

describe('the TLS listener', () => {
  it.each(['TLSv1', 'TLSv1.1', 'TLSv1.2'] as const)('does not speak %s', async (version) => {
    const told = await agreed({ minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' });
    expect(told).toMatch(/PROTOCOL_VERSION|NO_PROTOCOLS|UNSUPPORTED_PROTOCOL/);
  });

  it.each(['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'])(
    'speaks TLS 1.3 with %s',
    async (cipher) => {
      expect(await agreed({ ciphers: cipher })).toMatchObject({ version: 'TLSv1.3', cipher });
    },
  );

  it.each(['TLS_AES_128_CCM_SHA256', 'TLS_AES_128_CCM_8_SHA256'])('does not speak %s', async (ciphers) => {
    expect(await agreed({ ciphers })).toBeTypeOf('string');
  });

  it.each(['X25519MLKEM768', 'X25519', 'P-256', 'P-384'])('agrees on keys by %s', async (ecdhCurve) => {
    expect(await agreed({ ecdhCurve })).toMatchObject({ version: 'TLSv1.3' });
  });

  it.each(['http/1.1', 'h2'])('offers %s, and no protocol that it was not asked for', async (alpn) => {
    expect(await agreed({ ALPNProtocols: [alpn] })).toMatchObject({ alpn });
    expect(await agreed({ ALPNProtocols: ['spdy/3', alpn] })).toMatchObject({ alpn });
    expect(await agreed({ ALPNProtocols: ['spdy/3'] })).toBeTypeOf('string');
  });

  it('does not renegotiate', async () => {
    const socket = open({});
    await once(socket, 'secureConnect');
    expect(socket.renegotiate({}, () => {})).toBeFalsy();
    socket.destroy();
  });
});
