// The main features in ten seconds: `npm run demo`. Starts a bus on free ports, lets three clients of different types
// talk in science:explore, and prints what each of them sees.
import { type Ack, ArqonBusClient, type Message } from '@arqonbus/client';
import { startServer } from '@arqonbus/server';
import { loadConfig } from '@arqonbus/server/config';
import { WebSocket } from 'ws';

const FREE_PORTS = { ARQONBUS_SERVER_PORT: '0', ARQONBUS_TELEMETRY_PORT: '0', ARQONBUS_HTTP_PORT: '0' };

function say(who: string, what: string): void {
  console.log(`${who.padEnd(10)} ${what}`);
}

const loaded = loadConfig({ env: { ...FREE_PORTS, ARQONBUS_LOG_LEVEL: 'error' } });
if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
const { server, addresses } = await startServer(loaded.config);
const url = `ws://127.0.0.1:${addresses.bus.port}`;
say('bus', `listens on ${url}`);

// Watchers use the telemetry port.
const telemetry = new WebSocket(`ws://127.0.0.1:${addresses.telemetry?.port}`);
const watched = new Map<string, number>();
telemetry.on('message', (data) => {
  const { eventType } = JSON.parse(String(data)) as { eventType: string };
  watched.set(eventType, (watched.get(eventType) ?? 0) + 1);
});
await new Promise((resolve) => telemetry.once('message', resolve));

async function client(clientType: 'human' | 'ai-agent' | 'dashboard', screenName: string): Promise<ArqonBusClient> {
  const one = new ArqonBusClient({ url, clientType, screenName });
  const { client_id } = await one.connect();
  say(screenName, `connected as ${clientType}, ${client_id}`);
  return one;
}

const ada = await client('human', 'Ada');
const bot = await client('ai-agent', 'Bot');
const board = await client('dashboard', 'Board');

interface Finding {
  readonly text: string;
}
const name = new Map([
  [ada.id, 'Ada'],
  [bot.id, 'Bot'],
]);

// The dashboard sees the whole room, and each of the others its channel.
const everything = await board.subscribe<Finding>('science');
const forBot = await bot.subscribe<Finding>('science:explore');
const forAda = await ada.subscribe<Finding>('science:explore');

const next = async (from: AsyncIterable<Message<Finding>>): Promise<Message<Finding>> => {
  for await (const message of from) return message;
  throw new Error('the subscription ended');
};
const show = (who: string, message: Message<Finding>): void =>
  say(
    who,
    `sees #${message.sequence} in ${message.room}:${message.channel} from ${name.get(message.from)}: ${message.payload.text}`,
  );

const ack = (await ada.publish('science:explore', { text: 'What makes bread rise?' }, { ack: true })) as Ack;
say('Ada', `asked; the bus stored it in ${ack.stored} as #${ack.sequence} and delivered it to ${ack.delivered}`);
show('Bot', await next(forBot));
await bot.publish('science:explore', { text: 'Yeast turns sugar into gas.' });
show('Ada', await next(forAda));
show('Board', await next(everything));
show('Board', await next(everything));

bot.onRequest((payload) => ({ text: `whispering about ${(payload as unknown as Finding).text}` }));
const reply = await ada.request<Finding>(bot.id as string, { text: 'yeast' }, { timeoutMs: 2_000 });
say('Ada', `hears in private: ${reply.payload.text}`);

await ada.publish('science', { text: 'Thank you all!' });
show('Bot', await next(forBot));

const info = await ada.command('channel_info', { room: 'science', channel: 'explore' });
say('Ada', `asks channel_info: ${info.members.length} members, last message #${info.sequence}`);
const { messages } = await ada.command('history', { room: 'science', channel: 'explore' });
say(
  'Ada',
  `asks history: ${messages.map(({ payload }) => `"${String((payload as { text?: string }).text)}"`).join(', ')}`,
);
await ada.store.set('topic', { text: 'bread' });
say('Bot', `reads the store: ${JSON.stringify((await bot.store.get('topic'))?.value)}`);
const health = (await (await fetch(`http://127.0.0.1:${addresses.http?.port}/health`)).json()) as { status: string };
say('http', `GET /health answers ${health.status}`);

await Promise.all([ada.close(), bot.close(), board.close()]);
say('telemetry', [...watched].map(([event, count]) => `${event} ${count}`).join(', '));
telemetry.close();
await server.stop();
say('bus', 'stopped');
