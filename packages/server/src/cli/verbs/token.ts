import { Command, InvalidArgumentError, Option } from 'commander';
import { collectGrants, collectList, given, readText } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { type Flags, withSettings } from '../settings.ts';
import { print, printDocument } from '../terminal/output.ts';
import { type KeyFlags, signingKey, verifierFor, withKeyOptions } from '../token-keys.ts';
import { withExamples } from '../verb.ts';

interface MintOptions extends KeyFlags {
  readonly sub?: string;
  readonly role?: string;
  readonly tenant?: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly grant?: Readonly<Record<string, readonly string[]>>;
  readonly telemetry?: boolean;
  readonly durable?: boolean;
  readonly expires?: number;
  readonly issuer?: string;
  readonly audience?: string;
  readonly keyId?: string;
  readonly json?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** `arqon token`: makes and reads tokens, for development. */
export function tokenVerb(): Command {
  const verb = new Command('token').description('Make a token for development ("arqon token" alone), or read one.');
  verb.addCommand(mintVerb(), { isDefault: true });
  verb.addCommand(inspectVerb());
  return withExamples(verb, 'arqon token --sub alice --role user --expires 1h', 'arqon token inspect TOKEN');
}

function mintVerb(): Command {
  const verb = new Command('mint')
    .description('Make a token, signed with the key of the configuration or of the options.')
    .option('--sub <subject>', 'who it is for')
    .addOption(new Option('--role <role>', 'what they may').choices(['guest', 'user', 'admin']))
    .option('--tenant <tenant>', 'their tenant; "*" with the role admin: over all')
    .addOption(new Option('--publish <globs>', 'where they may publish; repeatable').argParser(collectList))
    .addOption(new Option('--subscribe <globs>', 'where they may read; repeatable').argParser(collectList))
    .addOption(
      new Option('--grant <action=globs>', 'what else they may do, as in store_read=desk/*; repeatable').argParser(
        collectGrants,
      ),
    )
    .option('--telemetry', 'may watch the telemetry port')
    .option('--durable', 'may make jobs and webhooks that outlive their connections')
    .addOption(new Option('--expires <time>', 'lifetime: 90s, 15m, 1h, 7d').argParser(lifetime))
    .option('--key-id <kid>', 'id of the key, for servers that have several');
  withKeyOptions(verb)
    .option('--key <file>', 'private key in PEM, for RS256, ES256 and EdDSA')
    .option('--json', 'print JSON and nothing else');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon token --sub alice --role user --expires 1h',
    "arqon token --sub bot --publish 'lab:*' --subscribe 'lab:*,news:*' --secret-file jwt.secret",
    'arqon token --sub ops --role admin --key private.pem --algorithm EdDSA',
    'ARQONBUS_TOKEN=$(arqon token --sub me --role admin) arqon tail science:general',
  );
  return verb.action(mint);
}

function inspectVerb(): Command {
  const verb = new Command('inspect')
    .description('Take a token apart, and say whether a server with this configuration accepts it (exit code 1: no).')
    .argument('<token>', 'the token, or "-" for standard input');
  withKeyOptions(verb).option('--json', 'print JSON and nothing else');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon token inspect TOKEN',
    'arqon token | arqon token inspect -',
  );
  return verb.action(inspect);
}

async function mint(options: MintOptions & Flags): Promise<void> {
  const { mintToken } = await import('../../auth/mint.ts');
  const { sub, role, tenant, publish, subscribe, grant: grants, telemetry, durable, expires, keyId } = options;
  const { key, issuer, audience } = await signingKey(options);
  let token: string;
  try {
    token = await mintToken(key, {
      ...given({ sub, role, tenant, publish, subscribe, grants, telemetry, durable, keyId, issuer, audience }),
      ...given({ expiresInSeconds: expires }),
    });
  } catch (error) {
    // Claims that no server would accept, keys that do not fit: nothing that trying again would mend.
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (options.json === true) await printDocument({ token });
  else await print(token);
}

async function inspect(text: string, options: KeyFlags & Flags & { json?: boolean }): Promise<void> {
  const { inspectToken } = await import('../../auth/mint.ts');
  const token = (text === '-' ? readText('-', 'the argument') : text).trim();
  const verifier = await verifierFor(options);
  let inspection: Awaited<ReturnType<typeof inspectToken>>;
  try {
    inspection = await inspectToken(token, verifier);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const { header, claims, verification } = inspection;
  const accepted = verification === null ? null : verification.ok;
  const refusal =
    verification === null || verification.ok ? {} : { reason: verification.reason, because: verification.internal };
  await printDocument({ header, claims, times: timesOf(claims), accepted, ...refusal });
  if (accepted === false) process.exitCode = 1;
}

/** The times of a token as a person reads them. */
function timesOf(claims: Readonly<Record<string, unknown>>): Record<string, string> {
  const times: Record<string, string> = {};
  for (const name of ['iat', 'nbf', 'exp']) {
    const at = claims[name];
    if (typeof at === 'number' && Math.abs(at) < 8.64e12) times[name] = new Date(at * 1000).toISOString();
  }
  return times;
}

function lifetime(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
  if (Number(count) > 0) return Number(count) * UNITS[unit]!;
  throw new InvalidArgumentError('Write a number above 0 and its unit: 90s, 15m, 1h, 7d.');
}
