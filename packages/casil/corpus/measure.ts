import type { JsonObject } from '@arqonbus/protocol';
import { inspect, type Verdict } from '../src/inspect.ts';
import { compilePolicy } from '../src/policy.ts';
import { DEFAULT_CASIL_SETTINGS } from '../src/settings.ts';
import { ASSIGNED_SECRETS } from './assignments.ts';
import { carry, carryField, carryName } from './carriers.ts';
import { HARMLESS_KINDS } from './harmless.ts';
import { Random } from './random.ts';
import { BLIND_SPOTS, fieldSecret, SECRET_FIELDS, SECRET_KINDS } from './secrets.ts';

const PER_SECRET_KIND = 12;
const PER_HARMLESS_KIND = 110;

/** Kinds that are put into names of fields too; the rules are the same there. */
const NAMED_KINDS = ['AWS access key id', 'GitHub classic', 'Stripe', 'JSON Web Token', 'Connection string'];

/** How the samples of one kind fared. `found` of a harmless kind are false alarms. */
export interface KindResult {
  readonly kind: string;
  readonly samples: number;
  readonly found: number;
  /** A sample that fared badly, for whoever wants to mend it. */
  readonly example: string | undefined;
}

export interface CorpusResult {
  readonly secrets: readonly KindResult[];
  readonly harmless: readonly KindResult[];
  readonly blindSpots: readonly KindResult[];
  /** Share of the secrets that were found and of which nothing came out of redaction. */
  readonly recall: number;
  /** Share of the findings that were secrets. */
  readonly precision: number;
}

/** Inspects the whole corpus, which is the same for the same seed, without any redaction path or pattern. */
export function measureCorpus(seed: number): CorpusResult {
  const random = new Random(seed);
  const judge = judgement();
  const secrets = Object.entries({ ...SECRET_KINDS, ...ASSIGNED_SECRETS }).map(([kind, make]) =>
    tally(kind, PER_SECRET_KIND, () => {
      const { text, secret } = make(random);
      const payload = carry(random, text);
      return { payload, found: isFound(judge(payload), secret) };
    }),
  );
  for (const name of SECRET_FIELDS) {
    secrets.push(
      tally(`field ${name}`, PER_SECRET_KIND, () => {
        const secret = fieldSecret(random);
        const payload = carryField(random, name, secret);
        return { payload, found: isFound(judge(payload), secret) };
      }),
    );
  }
  for (const kind of NAMED_KINDS) {
    secrets.push(
      tally(`as the name of a field: ${kind}`, PER_SECRET_KIND, () => {
        const { text, secret } = SECRET_KINDS[kind]!(random);
        const payload = carryName(random, text);
        return { payload, found: isFound(judge(payload), secret) };
      }),
    );
  }
  const harmless = Object.entries(HARMLESS_KINDS).map(([kind, make]) =>
    tally(
      kind,
      PER_HARMLESS_KIND,
      () => {
        const payload = carry(random, make(random));
        return { payload, found: judge(payload).flags.includes('contains_probable_secret') };
      },
      true,
    ),
  );
  const blindSpots = Object.entries(BLIND_SPOTS).map(([kind, make]) =>
    tally(kind, PER_SECRET_KIND, () => {
      const { text, secret } = make(random);
      const payload = carry(random, text);
      return { payload, found: isFound(judge(payload), secret) };
    }),
  );
  const found = sum(secrets, 'found');
  return {
    secrets,
    harmless,
    blindSpots,
    recall: found / sum(secrets, 'samples'),
    precision: found / (found + sum(harmless, 'found')),
  };
}

export function sum(results: readonly KindResult[], field: 'samples' | 'found'): number {
  return results.reduce((total, result) => total + result[field], 0);
}

function judgement(): (payload: JsonObject) => Verdict {
  const compiled = compilePolicy({
    ...DEFAULT_CASIL_SETTINGS,
    enabled: true,
    mode: 'enforce',
    transport_redaction: true,
    redaction_paths: [],
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.faults));
  return (payload) => inspect(compiled.policy, { type: 'event', room: 'corpus', channel: 'sample', payload });
}

function isFound(verdict: Verdict, secret: string): boolean {
  const inJson = JSON.stringify(secret).slice(1, -1);
  return verdict.flags.includes('contains_probable_secret') && !JSON.stringify(verdict.payload).includes(inJson);
}

function tally(
  kind: string,
  samples: number,
  make: () => { payload: JsonObject; found: boolean },
  harmless = false,
): KindResult {
  let found = 0;
  let example: string | undefined;
  for (let i = 0; i < samples; i++) {
    const sample = make();
    if (sample.found) found++;
    if (sample.found === harmless) example ??= JSON.stringify(sample.payload).slice(0, 400);
  }
  return { kind, samples, found, example };
}
