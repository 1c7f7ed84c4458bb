import type { CommandArgs, CommandName, CommandResult } from '@arqonbus/protocol';
import type { WaitOptions } from './pending.ts';
import type { Line } from './queue.ts';

/** Arguments of `command()`: left out where the command needs none. */
export type CommandParameters<N extends CommandName> =
  Record<never, never> extends CommandArgs<N>
    ? [args?: CommandArgs<N>, wait?: WaitOptions]
    : [args: CommandArgs<N>, wait?: WaitOptions];

export interface AskOptions<N extends CommandName> extends WaitOptions {
  /** Sends past the queue. */
  line?: Line | undefined;
  /** Runs with the answer, before any later frame is looked at. */
  onAnswer?: (result: CommandResult<N>) => void;
}

/** Sends a command; resolves with the answer's payload. */
export type Ask = <N extends CommandName>(
  name: N,
  args: CommandArgs<N>,
  options?: AskOptions<N>,
) => Promise<CommandResult<N>>;
