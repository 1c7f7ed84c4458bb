import { parseArgs } from 'node:util';
import { PEERS, peerNamed } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';
import { FULL_SCENARIOS, SCENARIOS, type Scenario, scaled } from './scenarios.ts';
import { SUITES, type Suite } from './suites.ts';

export interface Options {
  readonly peers: readonly Peer[];
  readonly scenarios: readonly Scenario[];
  /** Benchmarks of ArqonBus alone, in separate programs. */
  readonly suites: readonly Suite[];
  readonly quick: boolean;
  /** Fraction of the connections and channels of each scenario. */
  readonly scale: number;
  /** Runs per peer and scenario; the median is reported. */
  readonly rounds: number;
  readonly seconds: number;
  /** Maximum attempts of a run while other load on the machine disturbs it. */
  readonly attempts: number;
  /** JSON output file for the figures of every run. */
  readonly json: string | undefined;
  /** The page to write the tables into. */
  readonly write: string | undefined;
  /** Directory for V8 CPU profiles of the Node servers. */
  readonly profile: string | undefined;
  readonly help: boolean;
}

const NAMES: readonly string[] = [...SCENARIOS, ...FULL_SCENARIOS, ...SUITES].map(({ name }) => name);

export const USAGE: string = `Usage: npm run bench -- [options]

  --quick            one round of one second instead of three of two
  --full             also hold 19,000 idle connections
  --peers LIST       of ${PEERS.map((peer) => peer.name).join(', ')}
  --only LIST        of ${NAMES.join(', ')}
                     (a name stands for all that begin with it and a hyphen, too)
  --scale N          the share of connections and channels: to try it, not to measure (1)
  --seconds N        measured seconds per run
  --rounds N         runs per peer and scenario
  --attempts N       tries of a run that other work on the machine disturbs (3)
  --json FILE        write every run's figures
  --write FILE       write the tables into the page, as docs/benchmarks.md
  --profile DIR      write a V8 CPU profile of every Node server run
  --help
`;

/** Default peers, for the questions: how does ArqonBus compare, and what does the machine allow? */
const DEFAULT_PEERS = [
  ...['arqonbus', 'arqonbus-sse', 'centrifugo', 'centrifugo-history', 'centrifugo-sse'],
  ...['nats', 'socket.io', 'ws', 'redis', 'raw'],
];

/** Throws an error with a sentence for invalid options. */
export function readOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      peers: { type: 'string' },
      only: { type: 'string' },
      scale: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      attempts: { type: 'string' },
      json: { type: 'string' },
      write: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const { only, quick } = values;
  const scale = positive('scale', values.scale, 1);
  if (scale > 1) throw new Error(`--scale must be a number above 0 and at most 1, not "${values.scale}"`);
  const all = only === undefined;
  const chosen = all ? [] : list(only).map((name) => ({ name, ...named(name) }));
  for (const { name, scenarios, suites } of chosen) {
    if (scenarios.length + suites.length === 0) throw new Error(`no scenario "${name}"; known: ${NAMES.join(', ')}`);
  }
  const scenarios = all
    ? [...SCENARIOS, ...(values.full ? FULL_SCENARIOS : [])]
    : chosen.flatMap((choice) => choice.scenarios);
  return {
    peers: (values.peers === undefined ? DEFAULT_PEERS : list(values.peers)).map(peerNamed),
    scenarios: scenarios.map((scenario) => (scale === 1 ? scenario : scaled(scenario, scale))),
    suites: all ? SUITES.filter(({ long }) => long !== true) : chosen.flatMap((choice) => choice.suites),
    quick,
    scale,
    rounds: positive('rounds', values.rounds, quick ? 1 : 3),
    seconds: positive('seconds', values.seconds, quick ? 1 : 2),
    attempts: positive('attempts', values.attempts, quick ? 1 : 3),
    json: values.json,
    write: values.write,
    profile: values.profile,
    help: values.help,
  };
}

function list(text: string): string[] {
  return text.split(',').map((word) => word.trim());
}

function named(name: string): { scenarios: readonly Scenario[]; suites: readonly Suite[] } {
  const is = (one: { readonly name: string }): boolean => one.name === name || one.name.startsWith(`${name}-`);
  return { scenarios: [...SCENARIOS, ...FULL_SCENARIOS].filter(is), suites: SUITES.filter(is) };
}

function positive(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not "${text}"`);
  return value;
}
