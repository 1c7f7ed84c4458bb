// Writes to the mailbox of a subject, online or not, and prints the outcome of each message. Kill the bus
// (kill -9) while nobody reads: the queued messages are still there when it is back.
//
//   npm start -- --storage sqlite
//   node --import tsx examples/mailbox/send.ts ada 10
//   node --import tsx examples/mailbox/read.ts ada       minutes later, or on another day
import { ArqonBusClient } from '@arqonbus/client';

const { ARQONBUS_WS_URL = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const [name = 'ada', count = '10'] = process.argv.slice(2);
// Without a token, the address sets the subject.
const url = token === undefined ? `${ARQONBUS_WS_URL}/?subject=shop` : ARQONBUS_WS_URL;
const client = new ArqonBusClient({ url, screenName: 'Shop', ...(token === undefined ? {} : { token }) });
const told = new Set<string>();

function tell(id: string, stage: unknown, by: unknown): void {
  told.add(id);
  console.log(`${id} ${stage} by ${by} (${told.size} of ${count})`);
  if (told.size === Number(count)) void client.drain();
}

await client.connect();
client.on('receipt', ({ id, stage, by }) => tell(id, stage, by));
// Receipts for a connection that has ended wait in the sender's own mailbox, and are reported when it is read.
await client.mailbox({ onMessage: () => {} });
let waiting: number | undefined;
for (let number = 1; number <= Number(count); number += 1) {
  const sent = await client.send(`@${name}`, { number, text: `letter ${number}` }, { receipt: true });
  waiting = sent.pending;
}
console.log(`${count} letters queued, ${waiting} wait for ${name}`);
process.once('SIGINT', () => void client.close());
