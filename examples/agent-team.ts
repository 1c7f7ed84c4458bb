// Six agents work through a question in the channels of the room `science`: explore → hypothesize → design → execute →
// interpret → share. Each knows only the channel it listens to and the one it writes to, so any of them may run in a
// separate process, on another machine, in another language.
//
//   node --import tsx examples/agent-team.ts "What makes bread rise?"
//
// `scripted` replaces a language model; call your own model instead.
import { ArqonBusClient, type Message, type Subscription } from '@arqonbus/client';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const question = process.argv[2] ?? 'What makes bread rise?';

/** Answers a prompt for a role. */
type Model = (role: string, prompt: string) => Promise<string>;

interface Work {
  readonly text: string;
  /** The question of the whole run, which identifies its results. */
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

/** Reads the events of the channel, and publishes the model's results to the next channel. */
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
// Stop taking work, then wait for the last acks, then close the connections.
await Promise.all(inboxes.map((inbox) => inbox.close()));
await Promise.all(working);
await Promise.all(agents.map((agent) => agent.close()));

function show({ channel, payload }: Message<Work>): void {
  console.log(`${`science:${channel}`.padEnd(20)} ${payload.text}`);
}

/** The number of messages from the question to this one. */
function depth(id: string): number {
  const parent = parents.get(id);
  return parent === undefined ? 0 : 1 + depth(parent);
}
