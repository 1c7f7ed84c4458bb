// A team of agents answers a question in the workflow of the room `science`, together with a person. One worker's process
// is killed in the middle of its work, and nothing is lost.
//
//   npm run -s example:agents                  with its own bus, on free ports of 127.0.0.1
//   npm run -s example:agents -- --human       you are the person; the program prints how to answer
//   npm run -s example:agents -- --url ws://127.0.0.1:9100    with a running bus, without authentication
import { parseArgs } from 'node:util';
import { ArqonBusClient, type PresenceSet } from '@arqonbus/client';
import { type ClientType, newId } from '@arqonbus/protocol';
import { cardOf, QUESTIONS, REPORTS, TEAM, WORK } from './place.ts';
import { Planner } from './planner.ts';
import { review } from './reviewer.ts';
import { findPython, Worker } from './team.ts';

const QUESTION = 'What makes bread rise?';
const FREE_PORTS = { ARQONBUS_SERVER_PORT: '0', ARQONBUS_TELEMETRY_PORT: '0', ARQONBUS_HTTP_PORT: '0' };

const { values } = parseArgs({ options: { url: { type: 'string' }, human: { type: 'boolean' } } });
const python = findPython();
if (python === undefined) {
  console.error(
    '*** There is no Python with "websockets" (pip install ./python): THE SECOND WORKER IS IN TYPESCRIPT. ***',
  );
  if (process.env.CI === 'true') process.exit(1);
}

function say(who: string, what: string): void {
  console.log(`${who.padEnd(10)} ${what}`);
}

/** Closes everything that was opened, in reverse order. */
const endings: (() => Promise<unknown>)[] = [];

async function startBus(): Promise<string> {
  const { loadConfig } = await import('@arqonbus/server/config');
  const { startServer } = await import('@arqonbus/server');
  const loaded = loadConfig({ env: { ...FREE_PORTS, ARQONBUS_LOG_LEVEL: 'error' } });
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  const { server, addresses } = await startServer(loaded.config);
  endings.push(() => server.stop());
  if (values.human) say('bus', `watch the channels at http://127.0.0.1:${addresses.http?.port}/`);
  return `ws://127.0.0.1:${addresses.bus.port}`;
}

/** A member of the team, in its channel. */
async function member(url: string, name: string, clientType: ClientType = 'ai-agent'): Promise<ArqonBusClient> {
  const client = new ArqonBusClient({ url, subject: name, screenName: name, clientType });
  await client.connect();
  endings.push(() => client.close());
  await client.join(TEAM);
  return client;
}

/** Resolves when presence reports a member of the team in one of these states. */
function until(team: PresenceSet, name: string, ...states: readonly string[]): Promise<void> {
  const isSo = (): boolean =>
    team.members.some(({ sender, agent }) => sender.name === name && states.includes(agent?.state ?? ''));
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isSo()) return;
      stop();
      resolve();
    };
    const stop = team.on('change', look);
    look();
  });
}

/** Prints what the bus reports about agents. */
async function tellOf(client: ArqonBusClient, wanted: { name?: string; skill?: string }): Promise<void> {
  const { clients } = await client.command('list_clients', wanted);
  const lines = clients.map(({ sender, state, note, card }) => {
    const skills = card?.skills?.map(({ id }) => id).join(', ');
    return `knows ${sender.name}, who can ${skills}: ${state}${note === undefined ? '' : `, "${note}"`}`;
  });
  for (const line of lines.sort()) say('bus', line);
}

async function tellStory(): Promise<void> {
  const url = values.url ?? (await startBus());
  // The team comes together, and each tells what it is.
  const planning = await member(url, 'planner');
  say('bus', 'is there');
  const planner = await Planner.start(planning, `lab-${newId()}`);
  endings.push(() => planner.end());
  await planning.identify({ card: cardOf('Finds out.', 'plan'), state: 'idle', note: 'waits for a question' });
  const questions = await planning.subscribe(QUESTIONS);
  const team = await planning.presence(TEAM);
  const reviewing = await member(url, 'reviewer');
  await reviewing.identify({ card: cardOf('Looks twice.', 'review'), state: 'idle', note: 'waits for mail' });
  await review(reviewing, (verdict) => say('reviewer', verdict));
  const ada = Worker.inTypeScript(url, 'ada', planner.group, '--hang');
  endings.push(() => ada.kill());
  await ada.during(until(team, 'ada', 'idle'));
  await tellOf(planning, { skill: 'science' });

  // A person asks, and the planner makes work of it.
  const human = await member(url, 'human', 'human');
  const reports = await human.subscribe<{ conclusion: string }>(REPORTS);
  say('human', `asks: ${QUESTION}`);
  const asked = await human.publish(QUESTIONS, { text: QUESTION });
  let question = await questions.next();
  while (question.id !== asked.id) question = await questions.next();
  const count = await planner.post(question);
  say('planner', `posts ${count} experiments to ${WORK}`);

  // One worker takes the first of them, and hangs; the other one does the rest.
  await until(team, 'ada', 'busy', 'lapsed');
  say('ada', 'takes an experiment, and its model does not answer');
  const grace =
    python === undefined
      ? Worker.inTypeScript(url, 'grace', planner.group)
      : Worker.inPython(python, url, 'grace', planner.group);
  endings.push(() => grace.stop());
  await grace.during(planner.collect(count - 1));
  say('grace', `comes and does the other ${count - 1}`);
  await until(team, 'ada', 'lapsed');
  await tellOf(planning, { name: 'ada' });
  await ada.kill();
  say('ada', 'is killed (SIGKILL)');
  const results = await grace.during(planner.collect(count));
  for (const { number, yeast, sugar, warm, rises, by, attempt } of results) {
    const things = [...(yeast ? ['yeast'] : []), ...(sugar ? ['sugar'] : []), ...(warm ? ['warmth'] : [])].join(' + ');
    say(by, `experiment ${number}, attempt ${attempt}: ${things} ${rises ? 'rises' : 'stays flat'}`);
  }

  // The report goes to a mailbox, and the bus tells what became of it there.
  const report = planner.conclude(results);
  say('planner', `mails its report to @reviewer: ${report.conclusion}`);
  const { stage, by } = await planner.submit(report, 'reviewer');
  say('planner', `has the receipt: ${stage} by ${by}`);
  if (stage !== 'handled') throw new Error(`The report was ${stage}.`);

  // Last, a person has to agree.
  const id = newId();
  say('planner', 'asks @human: may this be shared?');
  if (values.human === true) {
    const address = `--ws-url ${url}`;
    say('you', `answer: arqon send ${planning.id} '{"approved":true}' --answers ${id} ${address}`);
  } else {
    await human.mailbox({
      onMessage: async (message) => {
        await human.reply(message, { approved: true });
        say('human', 'answers: yes');
      },
    });
  }
  if (!(await planner.askLeave(report, 'human', id))) {
    say('planner', 'may not, and keeps it');
    return;
  }
  await planner.share(report);
  const { payload, envelope } = await reports.next();
  say('human', `reads in ${REPORTS}, ${envelope.metadata?.hops} steps from the question: ${payload.conclusion}`);
}

try {
  await tellStory();
} catch (error) {
  console.error(`The story has no end: ${(error as Error).message}`);
  process.exitCode = 1;
}
for (const end of endings.reverse()) await end();
if (process.exitCode === undefined) say('bus', 'all are gone');
