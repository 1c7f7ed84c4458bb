// A chat on the command line: what you type is published, what others type is printed.
//
//   node --import tsx examples/chat.ts Ada                   in one terminal
//   node --import tsx examples/chat.ts Grace                 in another
//   echo "Lunch?" | node --import tsx examples/chat.ts Ada   sends one message and leaves
//
// The second argument is the channel (lounge:chat). /who lists the members, /quit or the end of the input leaves.
import { createInterface } from 'node:readline';
import { ArqonBusClient } from '@arqonbus/client';

const [name, address = 'lounge:chat'] = process.argv.slice(2);
if (name === undefined) {
  console.error('usage: chat.ts NAME [ROOM:CHANNEL]');
  process.exit(2);
}
const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;

interface Line {
  readonly name?: string;
  readonly text: string;
}

const client = new ArqonBusClient({
  url,
  clientType: 'human',
  screenName: name,
  ...(token === undefined ? {} : { token }),
});
client.on('state', ({ state }) => {
  if (state === 'reconnecting') console.log('* the line is down; what you type is sent when it is back');
});
await client.connect();

await client.subscribe<Line>(address, {
  history: 10,
  presence: true,
  onMessage: ({ from, payload, replayed }) =>
    console.log(`${replayed ? '(earlier) ' : ''}${payload.name ?? from}: ${payload.text}`),
  onPresence: ({ joined, left, members }) => {
    for (const { sender, client_id } of joined) console.log(`* ${sender.name ?? client_id} came; ${members} here`);
    for (const { sender, client_id } of left) console.log(`* ${sender.name ?? client_id} left; ${members} here`);
  },
  onReset: () => console.log('* some messages were missed'),
});
console.log(`* you are ${name} in ${address}`);

const input = createInterface({ input: process.stdin });
for await (const text of input) {
  if (text === '/quit') break;
  if (text === '/who') {
    const { members } = await client.channelInfo(address);
    console.log(`* here: ${members.map((member) => member.screen_name ?? member.client_id).join(', ')}`);
  } else if (text.trim() !== '') {
    await client.publish(address, { name, text }, { ack: true });
  }
}
input.close();
await client.close();
