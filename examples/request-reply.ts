// A service that answers requests, and a caller that finds it. Requests are private messages: only these two see
// them.
//
//   node --import tsx examples/request-reply.ts serve        in one terminal, or in several
//   node --import tsx examples/request-reply.ts ask 84 2     in another
//
// Services are found by the channel that they join. The caller spreads its requests over all of them.
import { ArqonBusClient, CommandError, RequestError, TimeoutError } from '@arqonbus/client';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const SERVICES = 'services:divider';

interface Task {
  readonly dividend: number;
  readonly divisor: number;
}

interface Result {
  readonly quotient: number;
}

async function connect(screenName: string): Promise<ArqonBusClient> {
  const client = new ArqonBusClient({
    url,
    clientType: 'service',
    screenName,
    ...(token === undefined ? {} : { token }),
  });
  await client.connect();
  return client;
}

async function serve(): Promise<void> {
  const service = await connect('Divider');
  service.onRequest<Task, Result>(({ dividend, divisor }) => {
    if (typeof dividend !== 'number' || typeof divisor !== 'number') {
      throw new RequestError('BAD_TASK', 'A task has the numbers "dividend" and "divisor".');
    }
    if (divisor === 0) throw new RequestError('DIVISION_BY_ZERO', 'Nothing can be divided by zero.');
    return { quotient: dividend / divisor };
  });
  // Joined last: whoever finds the service gets an answer.
  await service.join(SERVICES);
  console.log(`serving as ${service.id}`);
  process.once('SIGINT', () => void service.close());
  process.once('SIGTERM', () => void service.close());
}

async function ask(task: Task): Promise<void> {
  const caller = await connect('Caller');
  try {
    const [service, others] = await findService(caller);
    const { payload } = await caller.request<Result>(service, task, { timeoutMs: 3_000 });
    console.log(`${task.dividend} / ${task.divisor} = ${payload.quotient} (one of ${others} that could answer)`);
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof RequestError) console.error(`the service refused: ${error.code}: ${error.message}`);
    else if (error instanceof TimeoutError) console.error('the service did not answer in time');
    else throw error;
  } finally {
    await caller.close();
  }
}

/** The client id of one service, and the number of services. */
async function findService(caller: ArqonBusClient): Promise<[string, number]> {
  const members = await caller.channelInfo(SERVICES).then(
    (info) => info.members,
    (error: unknown) => {
      // A channel that nobody ever joined does not exist.
      if (error instanceof CommandError && error.code === 'NOT_FOUND') return [];
      throw error;
    },
  );
  const service = members[Math.floor(Math.random() * members.length)];
  if (service === undefined) throw new RequestError('NO_SERVICE', `nobody is in ${SERVICES}; start one with "serve".`);
  return [service.client_id, members.length];
}

const [verb, dividend, divisor] = process.argv.slice(2);
if (verb === 'serve') await serve();
else if (verb === 'ask' && divisor !== undefined) await ask({ dividend: Number(dividend), divisor: Number(divisor) });
else {
  console.error('usage: request-reply.ts serve | request-reply.ts ask DIVIDEND DIVISOR');
  process.exitCode = 2;
}
