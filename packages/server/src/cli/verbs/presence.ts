import type { Member, PresenceChange, PresenceSet } from '@arqonbus/client';
import { Command } from 'commander';
import { parseJson } from '../arguments.ts';
import { aborted, type Session, withBus } from '../remote/bus.ts';
import { sentence } from '../remote/failure.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { print, printJsonLine, printResult, remark } from '../terminal/output.ts';
import { type Part, paint, StyledText, text } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface PresenceOptions extends BusOptions {
  readonly follow?: boolean;
  readonly state?: string;
}

/** `arqon presence`: the members of a channel or room. */
export function presenceVerb(): Command {
  const verb = new Command('presence')
    .description('Print the members of a channel or room and their state; with --follow, also changes.')
    .argument('<place>', 'ROOM:CHANNEL, or ROOM');
  withAnswerOptions(verb)
    .option('--follow', 'continue with every change, until Ctrl-C')
    .option('--state <json>', 'join with this state, any JSON up to 4 KiB, until Ctrl-C; implies --follow');
  withExamples(
    verb,
    'arqon presence science:explore',
    'arqon presence science --follow --json',
    `arqon presence science:explore --state '{"mood":"busy"}'`,
  );
  return verb.action(presence);
}

async function presence(place: string, options: PresenceOptions): Promise<void> {
  const state = options.state === undefined ? undefined : parseJson(options.state, 'the value of --state');
  const follow = options.follow === true || options.state !== undefined;
  await withBus(options, (session) => show(session, place, { ...options, follow }, state), { stays: follow });
}

async function show(
  { client, signal }: Session,
  place: string,
  options: PresenceOptions & { readonly follow: boolean },
  state: unknown,
): Promise<void> {
  client.on('reconnecting', ({ delayMs, error }) =>
    remark(text`${sentence(error.message)} Trying again in ${Math.round(delayMs)} ms.`),
  );
  const set = await client.presence(place, { state: state ?? null });
  // Without --state, this program does not list itself.
  const isShown = (member: Member): boolean => state !== undefined || member.clientId !== client.id;
  const members = set.members.filter(isShown);
  const count = set.count - (set.members.length - members.length);
  const whole = { version: set.version, count, members };
  if (options.follow && options.json === true) await printJsonLine(whole);
  else await printResult(options.json, whole, () => (set.countsOnly ? text`${count} are there` : rows(members)));
  if (options.follow) await follow(set, signal, options, isShown);
}

/** Prints changes until the program is stopped. */
async function follow(
  set: PresenceSet,
  signal: AbortSignal,
  options: PresenceOptions,
  isShown: (member: Member) => boolean,
): Promise<void> {
  const ended = new Promise<never>((_, reject) => {
    set.on('close', (error) => {
      if (!signal.aborted) reject(error ?? new Error('the connection ended, and connecting again would not help.'));
    });
  });
  set.on('change', (change) => {
    if (options.json === true) void printJsonLine(change);
    else for (const line of linesOf(change, isShown)) void print(line);
  });
  await Promise.race([aborted(signal), ended]);
}

function linesOf({ joined, updated, left, count }: PresenceChange, isShown: (member: Member) => boolean): Part[] {
  if (joined.length + updated.length + left.length === 0) return [text`${count} are there`];
  return [
    ...joined
      .filter(isShown)
      .map((member) => text`${paint('green', 'joined')}   ${nameOf(member)}  ${stateOf(member)}`),
    ...updated
      .filter(isShown)
      .map((member) => text`${paint('cyan', 'updated')}  ${nameOf(member)}  ${stateOf(member)}`),
    ...left.filter(isShown).map((member) => text`${paint('dim', 'left')}     ${nameOf(member)}  ${member.cause ?? ''}`),
  ];
}

function rows(members: readonly Member[]): StyledText {
  return table(
    ['CLIENT', 'SUBJECT', 'NAME', 'CHANNEL', 'SINCE', 'STATE'],
    members.map((member) => {
      const { subject, name } = Object(member.sender) as Partial<Member['sender']>;
      return [member.clientId, subject, name, member.channel, member.joinedAt, stateOf(member)];
    }),
  );
}

function nameOf({ clientId, sender, channel }: Member): Part {
  const { subject, name } = Object(sender) as Partial<Member['sender']>;
  const parts = [
    clientId,
    ...(subject === undefined ? [] : [subject]),
    ...(name === undefined ? [] : [text`"${name}"`]),
  ];
  return StyledText.join([...parts, ...(channel === undefined ? [] : [text`in ${channel}`])], ' ');
}

function stateOf({ state }: Member): Part {
  return state === null || state === undefined ? '' : StyledText.json(state);
}
