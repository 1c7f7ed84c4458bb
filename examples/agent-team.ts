// Six agents work through a question in the channels of the room `science`: explore → hypothesize → design → execute →
// interpret → share. Each knows only the channel it listens to and the one it writes to, so any of them may run in a
// process of its own, on another machine, in another language.
//
//   node --import tsx examples/agent-team.ts "What makes bread rise?"
//
// `scripted` stands in for a language model; put a call to yours in its place.
import { ArqonBusClient, type Message, type Subscription } from '@arqonbus/client';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const question = process.argv[2] ?? 'What makes bread rise?';

/** Answers a prompt in a role. */
type Model = (role: string, prompt: string) => Promise<string>;

interface Work {
  readonly text: string;
  /** The question that all of this is about; it holds results of one run together. */
  readonly run: string;
}

const ROLES = [
  { name: 'Explorer', reads: 'explore', writes: 'hypothesize', task: 'name what is known' },
  { name: 'Theorist', reads: 'hypothesize', writes: 'design', task: 'propose a cause' },
  { name: 'Designer', reads: 'design', writes: 'execute', task: 'plan a test of it' },
  { name: 'Operator', reads: 'execute', writes: 'interpret', task: 'run the test' },
  { name: 'Analyst', reads: 'interpret', writes: 'share', task: 'say what the outcome means' },
] as const;

const scripted: Model = async (role, prompt) => {
  const lines: Readonly<Record<string, string>> = {
    Explorer: 'Dough with yeast rises, dough without does not.',
    Theorist: 'Yeast makes a gas that the dough holds.',
    Designer: 'Put a balloon on a bottle of yeast and sugar; another without sugar.',
    Operator: 'With sugar the balloon filled; without it stayed flat.',
    Analyst: 'Yeast turns sugar into gas, and the gas raises the bread.',
  };
  return lines[role] ?? `${role} has nothing to say on "${prompt}".`;
};

async function connect(screenName: string, personality: string): Promise<ArqonBusClient> {
  const client = new ArqonBusClient({
    url,
    clientType: 'ai-agent',
    screenName,
    personality,
    ...(token === undefined ? {} : { token }),
  });
  await client.connect();
  return client;
}

/** Takes up whatever comes into the channel, and hands on what the model makes of it. */
async function work(client: ArqonBusClient, role: (typeof ROLES)[number], inbox: Subscription<Work>): Promise<void> {
  for await (const { id, payload } of inbox) {
    const text = await scripted(role.name, `Please ${role.task}: ${payload.text}`);
    // Whoever reads the result can follow these ids back to the question.
    const metadata = { causal_parent_id: id };
    await client.publish(`science:${role.writes}`, { text, run: payload.run }, { ack: true, metadata });
  }
}

const agents: ArqonBusClient[] = [];
const inboxes: Subscription<Work>[] = [];
const working: Promise<void>[] = [];
for (const role of ROLES) {
  const client = await connect(role.name, role.task);
  // Subscribed before the first question is asked: nobody misses work.
  const inbox = await client.subscribe<Work>(`science:${role.reads}`);
  agents.push(client);
  inboxes.push(inbox);
  working.push(work(client, role, inbox));
}

const lead = await connect('Lead', 'asks, and waits for the report');
agents.push(lead);
const room = await lead.subscribe<Work>('science', { echo: true });
const asked = await lead.publish('science:explore', { text: question, run: question }, { ack: true });

const parents = new Map<string, string | undefined>();
for await (const message of room) {
  if (message.payload.run !== question) continue;
  parents.set(message.id, message.envelope.metadata?.causal_parent_id);
  show(message);
  if (message.channel === 'share') {
    console.log(`report after ${depth(message.id)} steps from ${asked.id}`);
    break;
  }
}
// First no more work, then the last acks, then the connections.
await Promise.all(inboxes.map((inbox) => inbox.close()));
await Promise.all(working);
await Promise.all(agents.map((agent) => agent.close()));

function show({ channel, payload }: Message<Work>): void {
  console.log(`${`science:${channel}`.padEnd(20)} ${payload.text}`);
}

/** How many messages led from the question to this one. */
function depth(id: string): number {
  const parent = parents.get(id);
  return parent === undefined ? 0 : 1 + depth(parent);
}
