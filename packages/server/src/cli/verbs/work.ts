import type { ArqonBusClient, Delivery, GroupSubscription } from '@arqonbus/client';
import { Command, Option } from 'commander';
import { given, positive, whole } from '../arguments.ts';
import { type Ending, requireCommand, runCommand } from '../child.ts';
import { messageOf } from '../exit.ts';
import { type Session, withBus } from '../remote/bus.ts';
import { sentence } from '../remote/failure.ts';
import { type GroupMaking, makingOf, sourceOf, withGroupMaking } from '../remote/group.ts';
import { type BusOptions, withBusOptions } from '../remote/options.ts';
import { remark } from '../terminal/output.ts';
import { text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

interface WorkOptions extends BusOptions, GroupMaking {
  readonly group: string;
  readonly prefetch?: number;
  readonly concurrency: number;
  readonly delaySeconds: number;
  readonly limit?: number;
}

/** Exit codes with a specific meaning, as in `sysexits.h`. */
const EX_DATAERR = 65;
const EX_TEMPFAIL = 75;
/** Number of extensions within the duration of a lease. */
const EXTENSIONS = 3;

/** `arqon work`: runs a command for each event of a group. */
export function workVerb(): Command {
  const verb = new Command('work')
    .description(
      'Run a command for each event, as a worker of a group: the envelope is its standard input, and ARQON_ROOM, ' +
        'ARQON_CHANNEL, ARQON_ID, ARQON_GROUP, ARQON_ATTEMPT and ARQON_SENDER are in its environment. Its exit code ' +
        `is the answer: 0 acknowledges, ${EX_DATAERR} makes a dead letter, ${EX_TEMPFAIL} retries after --delay-seconds, ` +
        'and any other code retries after the backoff of the group. The event stays with this worker while ' +
        'the command runs. Ctrl-C lets running commands finish and returns the other events. A second one stops them too.',
    )
    .argument('<source>', 'ROOM:CHANNEL, a pattern such as ROOM:orders.*, or ROOM for the whole room')
    .argument('<command...>', 'after "--": the command and its arguments')
    .requiredOption('--group <name>', 'the group; created if it does not exist');
  withGroupMaking(withBusOptions(verb))
    .addOption(new Option('--concurrency <n>', 'commands that run concurrently').argParser(whole(1)).default(1))
    .addOption(
      new Option('--prefetch <n>', 'unacknowledged events of this worker (default: one for each command)').argParser(
        whole(1),
      ),
    )
    .addOption(
      new Option('--delay-seconds <n>', `the delay after exit code ${EX_TEMPFAIL}`).argParser(positive).default(60),
    )
    .addOption(new Option('--limit <n>', 'exit after n events').argParser(whole(1)));
  withExamples(
    verb,
    'arqon work shop:orders --group mailers -- ./send-mail.sh',
    'arqon work shop:orders --group billing --key payload.customer --concurrency 4 -- python3 bill.py',
    `arqon work lab:jobs --group g --limit 1 -- jq .payload`,
  );
  return verb.action(work);
}

async function work(source: string, command: readonly string[], options: WorkOptions): Promise<void> {
  requireCommand(command);
  await withBus(options, (session) => new Worker(source, command, options, session).run(), { stays: true });
}

class Worker {
  private readonly source: string;
  private readonly command: readonly string[];
  private readonly options: WorkOptions;
  private readonly client: ArqonBusClient;
  private readonly signal: AbortSignal;
  private readonly counts = { handled: 0, again: 0, rejected: 0 };
  private taken = 0;
  private extendMs = 0;

  constructor(source: string, command: readonly string[], options: WorkOptions, { client, signal }: Session) {
    this.source = source;
    this.command = command;
    this.options = options;
    this.client = client;
    this.signal = signal;
  }

  async run(): Promise<void> {
    const { client, options, signal } = this;
    const { group, concurrency, prefetch = concurrency } = options;
    client.on('reconnecting', ({ delayMs, error }) =>
      remark(text`${sentence(error.message)} Trying again in ${Math.round(delayMs)} ms.`),
    );
    const place = { ...sourceOf(this.source), group };
    const making = given(makingOf(options));
    if (Object.keys(making).length > 0) await client.command('group.create', { ...place, ...making });
    const subscription = await client.subscribe(this.source, {
      group,
      prefetch: Math.max(prefetch, concurrency),
      manualAck: true,
    });
    const { ack_wait_seconds: ackWait } = await client.command('group.info', place);
    this.extendMs = (ackWait * 1000) / EXTENSIONS;
    subscription.on('notice', ({ payload }) => {
      if (payload.event === 'group_lost')
        remark(text`${this.source}: history no longer has events that this group had not read.`);
    });
    const close = (): void => void subscription.close();
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted) close();
    try {
      await Promise.all(Array.from({ length: concurrency }, () => this.takeFrom(subscription)));
      // Waits for the last answers.
      await client.drain();
    } finally {
      signal.removeEventListener('abort', close);
      const { handled, again, rejected } = this.counts;
      remark(`${handled} done, ${again} to be done again, ${rejected} rejected.`);
    }
  }

  /** Handles one event after the other. */
  private async takeFrom(subscription: GroupSubscription): Promise<void> {
    const { limit = Number.POSITIVE_INFINITY } = this.options;
    for await (const message of subscription) {
      if (this.taken >= limit) {
        await this.answer(message, message.nack({ delaySeconds: 0 }));
        break;
      }
      this.taken += 1;
      if (this.taken >= limit) void subscription.close();
      await this.handle(message);
    }
  }

  private async handle(message: Delivery): Promise<void> {
    const { room = '', channel = '', id, group, attempt, sender, envelope } = message;
    const extending = setInterval(() => {
      // A failure to extend shows up with the answer.
      message.extend().catch(() => {});
    }, this.extendMs);
    let ending: Ending;
    try {
      ending = await runCommand(this.command, {
        input: JSON.stringify(envelope),
        shielded: true,
        env: {
          ARQON_ROOM: room,
          ARQON_CHANNEL: channel,
          ARQON_ID: id,
          ARQON_GROUP: group,
          ARQON_ATTEMPT: String(attempt),
          ARQON_SENDER: sender?.subject ?? '',
        },
      });
    } catch (error) {
      await this.answer(message, message.nack({ reason: 'the command could not be started' }));
      throw new Error(`the command could not be started: ${messageOf(error)}.`);
    } finally {
      clearInterval(extending);
    }
    await this.settle(message, ending);
  }

  private async settle(message: Delivery, { code, signal }: Ending): Promise<void> {
    const reason = code === null ? `ended by ${signal}` : `exit code ${code}`;
    const { counts } = this;
    if (code === 0) {
      if (await this.answer(message, message.ack())) counts.handled += 1;
    } else if (code === EX_DATAERR) {
      if (await this.answer(message, message.reject(reason))) counts.rejected += 1;
    } else {
      const delay = code === EX_TEMPFAIL ? { delaySeconds: this.options.delaySeconds } : {};
      if (await this.answer(message, message.nack({ ...delay, reason }))) counts.again += 1;
    }
    if (code !== 0) remark(text`${message.id}, attempt ${message.attempt}: ${reason}.`);
  }

  /** Whether the answer was accepted. */
  private async answer({ id }: Delivery, answered: Promise<void>): Promise<boolean> {
    try {
      await answered;
      return true;
    } catch (error) {
      remark(text`${id} is handed out again, since its answer did not count: ${sentence(messageOf(error))}`);
      return false;
    }
  }
}
