import { parseArgs } from 'node:util';
import { PEERS, peerNamed } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';
import { FULL_SCENARIOS, SCENARIOS, type Scenario } from './scenarios.ts';

export interface Options {
  readonly peers: readonly Peer[];
  readonly scenarios: readonly Scenario[];
  /** How often every peer runs every scenario; the median is reported. */
  readonly rounds: number;
  readonly seconds: number;
  /** How often a run is tried at most while other work on the machine disturbs it. */
  readonly attempts: number;
  /** Where the figures of every run go as JSON. */
  readonly json: string | undefined;
  /** The page to write the tables into. */
  readonly write: string | undefined;
  /** Directory for V8 CPU profiles of the Node servers. */
  readonly profile: string | undefined;
  readonly help: boolean;
}

export const USAGE: string = `Usage: npm run bench -- [options]

  --quick            one round of one second instead of three of two
  --full             also hold 20,000 idle connections
  --peers LIST       of ${PEERS.map((peer) => peer.name).join(', ')}
  --scenarios LIST   of ${[...SCENARIOS, ...FULL_SCENARIOS].map((scenario) => scenario.name).join(', ')}
                     (a name stands for all that begin with it and a hyphen, too)
  --seconds N        measured seconds per run
  --rounds N         runs per peer and scenario
  --attempts N       tries of a run that other work on the machine disturbs (3)
  --json FILE        write every run's figures
  --write FILE       write the tables into the page, as docs/benchmarks.md
  --profile DIR      write a V8 CPU profile of every Node server run
  --help
`;

/** Peers that say something about the default question: how does ArqonBus compare, and what does the machine allow? */
const DEFAULT_PEERS = ['arqonbus', 'ws', 'socket.io', 'nats', 'redis', 'raw'];

/** Throws an error with a sentence for whatever it does not understand. */
export function readOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      peers: { type: 'string' },
      scenarios: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      attempts: { type: 'string' },
      json: { type: 'string' },
      write: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  return {
    peers: (values.peers === undefined ? DEFAULT_PEERS : list(values.peers)).map(peerNamed),
    scenarios:
      values.scenarios === undefined
        ? [...SCENARIOS, ...(values.full ? FULL_SCENARIOS : [])]
        : list(values.scenarios).flatMap(scenariosNamed),
    rounds: positive('rounds', values.rounds, values.quick ? 1 : 3),
    seconds: positive('seconds', values.seconds, values.quick ? 1 : 2),
    attempts: positive('attempts', values.attempts, values.quick ? 1 : 3),
    json: values.json,
    write: values.write,
    profile: values.profile,
    help: values.help,
  };
}

function list(text: string): string[] {
  return text.split(',').map((word) => word.trim());
}

function scenariosNamed(name: string): Scenario[] {
  const all = [...SCENARIOS, ...FULL_SCENARIOS];
  const found = all.filter((scenario) => scenario.name === name || scenario.name.startsWith(`${name}-`));
  if (found.length === 0) throw new Error(`no scenario "${name}"; known: ${all.map((s) => s.name).join(', ')}`);
  return found;
}

function positive(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not "${text}"`);
  return value;
}
