// A bot that greets new members of its channel, and answers messages.
//
//   node --import tsx examples/hello-world-bot.ts
//
// Ctrl-C ends it. ARQONBUS_WS_URL is the address of the bus, ARQONBUS_TOKEN a token if the bus requires one,
// ARQONBUS_BOT_ADDRESS the channel. With --once it exits after its first answer.
import { ArqonBusClient } from '@arqonbus/client';

const {
  ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100',
  ARQONBUS_BOT_ADDRESS: address = 'science:general',
  ARQONBUS_TOKEN: token,
} = process.env;

interface Talk {
  readonly text?: unknown;
  readonly in_reply_to?: string;
}

const bot = new ArqonBusClient({
  url,
  clientType: 'ai-agent',
  screenName: 'HelloBot',
  personality: 'friendly',
  ...(token === undefined ? {} : { token }),
});
const welcome = await bot.connect();
console.log(`connected to ${url} as ${welcome.client_id}`);
process.once('SIGINT', () => void bot.close());

const channel = await bot.subscribe<Talk>(address, {
  presence: true,
  onPresence: async ({ joined }) => {
    for (const { sender, client_id } of joined)
      await bot.publish(address, { text: `Welcome, ${sender.name ?? client_id}!` });
  },
  onReset: ({ reason }) => console.error(`messages may be missing: ${reason}`),
});
await bot.publish(address, { text: 'Hello, I am HelloBot. Say something!' });
console.log(`listening on ${address}`);

for await (const { id, from, payload } of channel) {
  // Do not answer answers, because two bots would never stop.
  if (typeof payload.text !== 'string' || payload.in_reply_to !== undefined) continue;
  console.log(`${from}: ${payload.text}`);
  await bot.publish(address, { text: `You said: ${payload.text}`, in_reply_to: id });
  if (process.argv.includes('--once')) break;
}
await bot.close();
