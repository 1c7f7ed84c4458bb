// Reads a mailbox: earlier messages, then new ones. Each message is handled once, by whichever of the
// reader's programs takes it. See send.ts.
//
//   node --import tsx examples/mailbox/read.ts ada
import { ArqonBusClient } from '@arqonbus/client';

interface Letter {
  readonly number: number;
  readonly text: string;
}

const { ARQONBUS_WS_URL = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const [name = 'ada'] = process.argv.slice(2);
const url = token === undefined ? `${ARQONBUS_WS_URL}/?subject=${encodeURIComponent(name)}` : ARQONBUS_WS_URL;
const client = new ArqonBusClient({ url, screenName: name, ...(token === undefined ? {} : { token }) });
await client.connect();
await client.mailbox<Letter>({
  onMessage: ({ payload, sender, attempt }) =>
    console.log(`from ${sender?.subject}: ${payload.text} (attempt ${attempt})`),
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void client.drain());
console.log(`${name} reads`);
