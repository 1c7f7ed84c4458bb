import { untoldDuplicates } from './duplicates.ts';
import type { Acked } from './publisher.ts';
import type { HandedOut } from './worker.ts';

/** The group's state as reported by the servers after the storm. */
export interface GroupStanding {
  readonly handled: number;
  readonly pending: number;
  readonly unacked: number;
  readonly members: number;
  readonly rejected: number;
  /** Events that retention removed before the group read them. */
  readonly lost: number;
}

export interface GroupEvidence {
  readonly acked: readonly Acked[];
  readonly handed: readonly HandedOut[];
  readonly standing: GroupStanding;
  /** When this was requested, in milliseconds since 1970. */
  readonly at: number;
}

export interface GroupVerdict {
  /** Events acked by a worker whose ack took effect or may have. */
  readonly handled: number;
  /** Stored events that nobody handled. */
  readonly lost: number;
  /** Events redelivered or acked again after an ack took effect. */
  readonly doubled: number;
  /** Acks that came too late and were refused. */
  readonly stale: number;
  /** Ids of events related to the faults, the first few. */
  readonly suspects: readonly string[];
  /** Violations of the group guarantees, one sentence each; empty if there are none. */
  readonly faults: readonly string[];
}

/** Maximum faults reported per kind. */
const MOST_TOLD = 5;

/** Compares what workers received and answered with what was published and acked. */
export function judgeGroup({ acked, handed, standing, at }: GroupEvidence): GroupVerdict {
  const byId = new Map<string, HandedOut[]>();
  for (const event of handed) byId.set(event.id, [...(byId.get(event.id) ?? []), event]);
  const stored = acked.filter((one) => one.stored !== 'none');
  const missing = stored.filter(({ id }) => !(byId.get(id) ?? []).some(mayCount));
  const twice = [...byId.values()].filter((all) => again(all).length > 0);
  const doubled = twice.flatMap(again);
  const done = [...byId.values()].filter((all) => all.some(({ answer }) => answer === 'done')).length;
  const faults = [...told(missing, byId, standing), ...some(doubled), ...some(untoldDuplicates(acked))];
  const suspects = [...missing, ...twice.flatMap(([event]) => event ?? [])].map(({ id }) => id).slice(0, MOST_TOLD);
  faults.push(...some(strangers(stored, handed)), ...unsettled(standing, done, handed, at));
  return {
    handled: [...byId.values()].filter((all) => all.some(mayCount)).length,
    lost: missing.length,
    doubled: doubled.length,
    stale: handed.filter(({ answer }) => answer === 'lost').length,
    suspects: faults.length === 0 ? [] : suspects,
    faults,
  };
}

/** An ack whose response was lost with its connection may have taken effect. */
function mayCount({ answer }: HandedOut): boolean {
  return answer === 'done' || answer === 'asked';
}

/** Unhandled events must have been reported as lost. */
function told(missing: readonly Acked[], byId: ReadonlyMap<string, HandedOut[]>, { lost }: GroupStanding): string[] {
  if (missing.length <= lost) return [];
  const sentences = missing.map(({ id, channel, sequence }) => {
    const times = byId.get(id)?.length ?? 0;
    return `${id} (${channel} ${sequence}) was ${times === 0 ? 'never handed out' : `handed out ${times} times and never handled`}`;
  });
  return [`${missing.length} events were not handled, of which ${lost} were told as lost`, ...some(sentences)];
}

/**
 * An effective ack completes an event. A lease that expires later was granted later: the lease of that ack would have
 * expired first.
 */
function again(all: readonly HandedOut[]): string[] {
  const [first, ...others] = all.filter(({ answer }) => answer === 'done');
  if (first === undefined) return [];
  const later = all.filter(({ deadline, token }) => deadline > first.deadline && token !== first.token);
  return [
    ...others.slice(0, 1).map(({ id, worker }) => `${id} was acked by ${first.worker}, and by ${worker} once more`),
    ...later.slice(0, 1).map(({ id, worker, attempt }) => {
      return `${id} was acked by ${first.worker} and then handed to ${worker} (attempt ${attempt})`;
    }),
  ].slice(0, 1);
}

/** Events at another position than their sender was told. */
function strangers(stored: readonly Acked[], handed: readonly HandedOut[]): string[] {
  const places = new Map(stored.map(({ id, channel, sequence }) => [id, `${channel} ${sequence}`]));
  return handed.flatMap(({ id, channel, sequence, worker }) => {
    const place = places.get(id);
    if (place === undefined) return [`${worker} was given ${id}, which nobody has had an ack for`];
    return place === `${channel} ${sequence}`
      ? []
      : [`${worker} was given ${id} as ${channel} ${sequence}, not ${place}`];
  });
}

function unsettled(
  { handled, pending, unacked, rejected, members }: GroupStanding,
  done: number,
  handed: readonly HandedOut[],
  at: number,
): string[] {
  const last = Math.max(...handed.flatMap(({ moments }) => moments.slice(0, 1)).map((moment) => moment.at));
  const left = `the group has ${pending} events pending and ${unacked} unacked when all is over`;
  return [
    ...(pending + unacked > 0 ? [`${left}, with ${members} members, and hands nothing out since ${at - last} ms`] : []),
    ...(rejected > 0 ? [`${rejected} events were rejected, though nobody did that`] : []),
    ...(handled < done ? [`the group counts ${handled} handled events where workers acked ${done}`] : []),
  ];
}

function some(sentences: readonly string[]): string[] {
  const more = sentences.length - MOST_TOLD;
  return [...sentences.slice(0, MOST_TOLD), ...(more > 0 ? [`and ${more} more like that`] : [])];
}
