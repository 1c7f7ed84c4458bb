import type { StreamEnd, TokenStream } from '@arqonbus/client';
import { Command, Option } from 'commander';
import { given, whole } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { printResult, remark } from '../terminal/output.ts';
import { type Part, text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

interface StreamOptions extends BusOptions {
  readonly id?: string;
  readonly ttlSeconds?: number;
}

/** `arqon stream`: writes standard input as a token stream. */
export function streamVerb(): Command {
  const verb = new Command('stream')
    .description(
      'Write standard input to a channel as a token stream. Readers see it as it arrives, and history stores it as one event.',
    )
    .argument('<target>', 'ROOM:CHANNEL');
  withAnswerOptions(verb)
    .addOption(new Option('--id <id>', 'id of the stream; a stream that is already open is continued'))
    .addOption(
      new Option('--ttl-seconds <n>', 'time for which it stays open without this program').argParser(whole(1)),
    );
  withExamples(
    verb,
    'llm "Tell me a story" | arqon stream talk:answers',
    'arqon stream talk:answers --id story-7 --json < story.txt',
  );
  return verb.action(stream);
}

async function stream(target: string, options: StreamOptions): Promise<void> {
  const { id, ttlSeconds, json } = options;
  if (!target.includes(':')) throw new UsageError('a stream goes to one channel, written ROOM:CHANNEL.');
  await withBus(
    options,
    async ({ client, signal }) => {
      const opened = await client.openStream(target, given({ id, ttlSeconds }));
      await printResult(json, await pour(opened, signal), shown);
    },
    { stays: true },
  );
}

/** Writes standard input until its end or until the program is stopped; an error ends the stream as failed. */
async function pour(opened: TokenStream, signal: AbortSignal): Promise<StreamEnd> {
  const { stdin } = process;
  let isCancelled = signal.aborted;
  const cancel = (): void => {
    isCancelled = true;
    stdin.destroy();
  };
  signal.addEventListener('abort', cancel, { once: true });
  opened.onCancel(({ subject }) => {
    remark(text`${subject === undefined ? 'a reader' : subject} asks to stop.`);
    cancel();
  });
  try {
    stdin.setEncoding('utf8');
    for await (const chunk of stdin) {
      if (isCancelled) break;
      await opened.append(String(chunk));
    }
  } catch (error) {
    // A cancellation interrupts the input.
    if (!isCancelled) {
      await opened.close('failed').catch(() => {});
      throw error;
    }
  } finally {
    signal.removeEventListener('abort', cancel);
  }
  return opened.close(isCancelled ? 'cancelled' : 'complete');
}

function shown({ sequence, length, delivered, stored }: StreamEnd): Part {
  const place = sequence === 0 ? 'not stored' : `#${sequence}`;
  return `${place}, ${length} characters, delivered to ${delivered}, stored: ${stored}`;
}
