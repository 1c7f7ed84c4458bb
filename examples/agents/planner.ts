import { type ArqonBusClient, type Message, type Receipt, RequestError, type Subscription } from '@arqonbus/client';
import { type Dough, type Experiment, REPORTS, RESULTS, type Report, type Result, WORK } from './place.ts';

/** Time for a person to answer: the longest timeout of a request, in milliseconds. */
const PATIENCE_MS = 300_000;
/** Time for a worker to run an experiment, in seconds. */
const LEASE_SECONDS = 30;

const LIST = new Intl.ListFormat('en');

/** Turns a question into experiments, and their results into an answer. */
export class Planner {
  readonly group: string;
  private readonly client: ArqonBusClient;
  private readonly results: Subscription<Result>;
  /** By the number of the experiment, so a repeated one counts once. */
  private readonly known: Map<number, Message<Result>> = new Map();
  /** The messages that carry this run's experiments. */
  private readonly posted: Set<string> = new Set();

  private constructor(client: ArqonBusClient, group: string, results: Subscription<Result>) {
    this.client = client;
    this.group = group;
    this.results = results;
  }

  /** @param group a name that only this run uses, so that it gets no work of another run */
  static async start(client: ArqonBusClient, group: string): Promise<Planner> {
    const [room = '', channel = ''] = WORK.split(':');
    // Made before the first experiment is posted, the group has all of them, workers or not.
    await client.command('group.create', {
      room,
      channel,
      group,
      ack_wait_seconds: LEASE_SECONDS,
      backoff_seconds: [0],
    });
    return new Planner(client, group, await client.subscribe<Result>(RESULTS));
  }

  /** Posts one experiment with all ingredients, and one without each of them. Returns their number. */
  async post(question: Message): Promise<number> {
    const whole = { yeast: true, sugar: true, warm: true };
    const doughs = [whole, { ...whole, yeast: false }, { ...whole, sugar: false }, { ...whole, warm: false }];
    for (const [index, dough] of doughs.entries()) {
      const experiment: Experiment = { number: index + 1, ...dough };
      const { id } = await this.client.publish(WORK, experiment, { metadata: { causal_parent_id: question.id } });
      this.posted.add(id);
    }
    return doughs.length;
  }

  /** Resolves with the results in the order of their experiments, once there are this many. */
  async collect(count: number): Promise<readonly Result[]> {
    while (this.known.size < count) {
      const message = await this.results.next();
      const { causal_parent_id: cause } = message.envelope.metadata ?? {};
      if (cause !== undefined && this.posted.has(cause)) this.known.set(message.payload.number, message);
    }
    return [...this.known.values()].map(({ payload }) => payload).sort((one, other) => one.number - other.number);
  }

  conclude(results: readonly Result[]): Report {
    const needed = (['yeast', 'sugar', 'warm'] as const).filter((one) =>
      results.some((result) => !result[one] && !result.rises),
    );
    return { conclusion: `To rise, bread needs ${LIST.format(needed.map(inWords))}.`, results };
  }

  /** Sends the report to the mailbox of a reviewer, and resolves with its outcome. */
  async submit(report: Report, reviewer: string): Promise<Receipt> {
    const { handled } = await this.client.send(`@${reviewer}`, report, { receipt: true });
    return handled as Promise<Receipt>;
  }

  /** Asks a person. False if the answer is no. */
  async askLeave(report: Report, person: string, id: string): Promise<boolean> {
    const question = { question: `May this be shared? ${report.conclusion}`, answer: { approved: true } };
    try {
      const { payload } = await this.client.request<{ approved?: unknown }>(`@${person}`, question, {
        id,
        timeoutMs: PATIENCE_MS,
      });
      return payload.approved === true;
    } catch (error) {
      if (error instanceof RequestError) return false;
      throw error;
    }
  }

  /** Publishes the conclusion, as caused by the last result. */
  async share({ conclusion }: Report): Promise<void> {
    const cause = [...this.known.values()].at(-1)?.id;
    await this.client.publish(
      REPORTS,
      { conclusion },
      cause === undefined ? {} : { metadata: { causal_parent_id: cause } },
    );
  }

  /** Deletes its group. */
  async end(): Promise<void> {
    const [room = '', channel = ''] = WORK.split(':');
    await this.client.command('group.delete', { room, channel, group: this.group });
  }
}

function inWords(need: keyof Dough): string {
  return need === 'warm' ? 'warmth' : need;
}
