import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { handshake } from '../../test/fixtures/raw.ts';
import { WITH_AUTH } from '../../test/fixtures/tokens.ts';
import { openLine } from './arena.ts';
import { type Attack, type Field, unmet, until, user } from './attack.ts';
import { tell } from './client.ts';

const refusedUpgrades: Attack = {
  name: 'upgrades',
  title: '1,000 refused upgrades held open',
  maxRssMib: 250,
  stage: async () => ({
    serve: { env: WITH_AUTH },
    witness: await user('witness'),
    run: async (field) => {
      const { bus, told } = field;
      const lines = await Promise.all(Array.from({ length: 1_000 }, () => openLine(bus.port)));
      let cut = 0;
      for (const line of lines) {
        line.once('data', (head) => tell(told, `HTTP ${String(head).split(' ')[1]}`));
        line.once('end', () => {
          cut += 1;
        });
        line.write(handshake());
      }
      const allCut = await until(field, () => cut === lines.length);
      // Only the connection of the working client is left.
      const isForgotten = await until(field, async () => (await bus.metric('arqonbus_websocket_connections')) === 1);
      for (const line of lines) line.destroy();
      return unmet({
        'every one is answered 401': told.get('HTTP 401') === 1_000,
        'every one is let go': allCut,
        'none counts as a connection any more': isForgotten,
      });
    },
  }),
};

interface KeySet {
  readonly server: Server;
  readonly url: string;
  /** Response delay. */
  delayMs: number;
  sign(kid: string): Promise<string>;
}

async function openKeySet(): Promise<KeySet> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'known', alg: 'ES256', use: 'sig' }];
  const server = createServer((_request, response) => {
    setTimeout(() => response.end(JSON.stringify({ keys })), set.delayMs);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const set: KeySet = {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    delayMs: 0,
    sign: (kid) =>
      new SignJWT({ sub: 'ada', role: 'user' })
        .setProtectedHeader({ alg: 'ES256', kid })
        .setExpirationTime('1h')
        .sign(privateKey),
  };
  return set;
}

/** Minimum interval between the bus's fetches of the key set. */
const FETCH_INTERVAL_MS = 5_000;

async function resetHandshakes({ bus, told, open, isOver }: Field, keySet: KeySet): Promise<readonly string[]> {
  const [good, unknown] = [await keySet.sign('known'), await keySet.sign('unknown')];
  await pause(FETCH_INTERVAL_MS + 200);
  keySet.delayMs = 2_000;
  await Promise.all(
    Array.from({ length: 100 }, async () => {
      const line = connect({ host: '127.0.0.1', port: bus.port });
      line.on('error', () => {});
      await once(line, 'connect');
      line.write(handshake({ Authorization: `Bearer ${unknown}` }));
      await pause(300);
      tell(told, line.bytesRead > 0 ? 'answered' : 'nothing before the reset');
      line.resetAndDestroy();
    }),
  );
  // The working client's own is left.
  const sockets = (): Promise<number> => bus.metric('arqonbus_websocket_connections');
  const isForgotten = await until({ isOver }, async () => (await sockets()) === 1);
  await pause(keySet.delayMs);
  const stayed = await sockets();
  const next = await open({ token: good });
  return unmet({
    'none is answered before it is reset': !told.has('answered'),
    'none counts as a connection any more': isForgotten && stayed === 1,
    'the next client gets in': next.isOpen,
  });
}

const resets: Attack = {
  name: 'resets',
  title: '100 handshakes reset while a key set is slow',
  maxRssMib: 250,
  stage: async () => {
    const keySet = await openKeySet();
    const auth = {
      ARQONBUS_ENABLE_AUTH: 'true',
      ARQONBUS_AUTH_JWT_ALGORITHM: 'ES256',
      ARQONBUS_AUTH_JWKS_URL: keySet.url,
    };
    return {
      serve: { env: auth },
      witness: await keySet.sign('known'),
      run: (field) => resetHandshakes(field, keySet),
      close: () => {
        keySet.server.close();
        keySet.server.closeAllConnections();
      },
    };
  },
};

export const EDGE_ATTACKS: readonly Attack[] = [refusedUpgrades, resets];
