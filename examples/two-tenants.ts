// Two isolated teams on one bus: the same room names, separate messages and members. Starts its own bus with
// authentication, and signs tokens for both teams.
//
//   node --import tsx examples/two-tenants.ts
import { createHmac, randomBytes } from 'node:crypto';
import { ArqonBusClient, ConnectionError, RefusedError } from '@arqonbus/client';
import { startServer } from '@arqonbus/server';
import { loadConfig } from '@arqonbus/server/config';

const secret = randomBytes(32).toString('hex');
const loaded = loadConfig({
  env: {
    ARQONBUS_SERVER_PORT: '0',
    ARQONBUS_TELEMETRY_PORT: 'off',
    ARQONBUS_HTTP_PORT: 'off',
    ARQONBUS_LOG_LEVEL: 'error',
    ARQONBUS_ENABLE_AUTH: 'true',
    ARQONBUS_AUTH_JWT_SECRET: secret,
  },
});
if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
const { server, addresses } = await startServer(loaded.config);
const url = `ws://127.0.0.1:${addresses.bus.port}`;

/** A token signed with HS256. Your identity provider, any JWT library, or `arqon token` for development can create them too. */
function token(claims: object): string {
  const now = Math.floor(Date.now() / 1000);
  const parts = [
    { alg: 'HS256', typ: 'JWT' },
    { iat: now, exp: now + 600, ...claims },
  ];
  const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

async function connect(claims: object): Promise<ArqonBusClient> {
  const client = new ArqonBusClient({ url, token: () => token(claims) });
  const { role, tenant } = await client.connect();
  console.log(`${JSON.stringify(claims)} connects as ${role} of ${tenant}`);
  return client;
}

const stranger = new ArqonBusClient({ url });
await stranger.connect().catch((error: unknown) => {
  if (!(error instanceof ConnectionError)) throw error;
  console.log(`without a token: ${error.code}, HTTP ${error.status}`);
});

const red = await connect({ sub: 'ruth', tenant_id: 'red' });
const blue = await connect({ sub: 'bert', tenant_id: 'blue' });
// A narrower token: it may read the whole room and publish to one channel.
const intern = await connect({ sub: 'ines', tenant_id: 'red', publish: ['plans:questions'], subscribe: ['plans:*'] });

const forRed = await intern.subscribe<{ text: string }>('plans:launch');
const forBlue = await blue.subscribe<{ text: string }>('plans:launch', { echo: true });
const ack = await red.publish('plans:launch', { text: 'Friday' }, { ack: true });
console.log(`red publishes to plans:launch; delivered to ${ack.delivered}`);
console.log(`red's intern reads: ${(await forRed.next({ timeoutMs: 2_000 })).payload.text}`);

await red.send('sub:bert', { text: 'psst' }, { ack: true }).catch(tell('red writes to bert in private'));
await intern.publish('plans:launch', { text: 'Monday' }, { ack: true }).catch(tell("red's intern writes there"));

// The same name, but another channel: blue first reads its own first message.
const first = await blue.publish('plans:launch', { text: 'Sunday' }, { ack: true });
console.log(`blue publishes to plans:launch; it has sequence ${first.sequence}`);
console.log(`blue reads: ${(await forBlue.next({ timeoutMs: 2_000 })).payload.text}`);

function tell(what: string): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof RefusedError)) throw error;
    console.log(`${what}: ${error.code}`);
  };
}

await Promise.all([red.close(), blue.close(), intern.close()]);
await server.stop();
