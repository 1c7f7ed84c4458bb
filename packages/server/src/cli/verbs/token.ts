import { Command, InvalidArgumentError, Option } from 'commander';
import type { Algorithm } from '../../auth/keys.ts';
import type { SigningKey } from '../../auth/mint.ts';
import type { Verifier } from '../../auth/verifier.ts';
import type { Config } from '../../config/config.ts';
import { collectGrants, collectList, given, readText } from '../arguments.ts';
import { messageOf, UsageError } from '../exit.ts';
import { sentence } from '../remote/failure.ts';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import { print, printDocument, remark } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** The options for a key. */
interface KeyFlags {
  readonly secret?: string;
  readonly secretFile?: string;
  readonly key?: string;
  readonly algorithm?: Algorithm;
}

interface MintOptions extends KeyFlags {
  readonly sub?: string;
  readonly name?: string;
  readonly role?: string;
  readonly tenant?: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly grant?: Readonly<Record<string, readonly string[]>>;
  readonly telemetry?: boolean;
  readonly join?: readonly string[];
  readonly durable?: boolean;
  readonly expires: number;
  readonly keyId?: string;
  readonly json?: boolean;
}

const ALGORITHMS: readonly Algorithm[] = ['HS256', 'RS256', 'ES256', 'EdDSA'];

/** As for the server under prod: a shorter secret can be guessed. */
const LEAST_SECRET_BYTES = 32;
const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** `arqon token`: creates and inspects tokens, for development. */
export function tokenVerb(): Command {
  const verb = new Command('token').description(
    'Create a token for development ("arqon token" alone), or inspect one.',
  );
  verb.addCommand(mintVerb(), { isDefault: true });
  verb.addCommand(inspectVerb());
  return withExamples(verb, 'arqon token --sub alice --role user --expires 1h', 'arqon token inspect TOKEN');
}

function mintVerb(): Command {
  const verb = new Command('mint')
    .description('Create a token, signed with the key of the options or of the configuration.')
    .option('--sub <subject>', 'the subject')
    .option('--name <name>', 'the fixed screen name')
    .addOption(new Option('--role <role>', 'the role').choices(['guest', 'user', 'admin']))
    .option('--tenant <tenant>', 'the tenant; "*" with the role admin: all tenants')
    .addOption(new Option('--publish <globs>', 'where the subject may publish; repeatable').argParser(collectList))
    .addOption(new Option('--subscribe <globs>', 'where the subject may read; repeatable').argParser(collectList))
    .addOption(
      new Option('--grant <action=globs>', 'further grants, as in store_read=desk/*; repeatable').argParser(
        collectGrants,
      ),
    )
    .addOption(
      new Option('--join <addresses>', 'automatic memberships, as room:channel; repeatable').argParser(collectList),
    )
    .option('--telemetry', 'may watch the telemetry port')
    .option('--durable', 'may create jobs and webhooks that outlive its connections')
    .addOption(
      new Option('--expires <time>', 'lifetime: 90s, 15m, 1h, 7d, or never').argParser(lifetime).default(86_400, '24h'),
    )
    .option('--key-id <kid>', 'id of the key, for servers that have several');
  withKeyOptions(verb)
    .option('--key <file>', 'private key in PEM, for RS256, ES256 and EdDSA')
    .option('--json', 'print only JSON');
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
    .description(
      'Show the contents of a token, and whether a server with this configuration accepts it (exit code 1 if not).',
    )
    .argument('<token>', 'the token, or "-" for standard input');
  withKeyOptions(verb).option('--json', 'print only JSON');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon token inspect TOKEN',
    'arqon token | arqon token inspect -',
  );
  return verb.action(inspect);
}

async function mint(options: MintOptions & Flags): Promise<void> {
  const { mintToken } = await import('../../auth/mint.ts');
  const {
    sub,
    name,
    role,
    tenant,
    publish,
    subscribe,
    grant: grants,
    join,
    telemetry,
    durable,
    expires,
    keyId,
  } = options;
  const { key, issuer, audience } = await signingKey(options);
  if (key.algorithm === 'HS256') warnOfShort(key.secret);
  let token: string;
  try {
    token = await mintToken(key, {
      ...given({
        sub,
        name,
        role,
        tenant,
        publish,
        subscribe,
        grants,
        join,
        telemetry,
        durable,
        keyId,
        issuer,
        audience,
      }),
      ...(Number.isFinite(expires) ? { expiresInSeconds: expires } : {}),
    });
  } catch (error) {
    // A claim that no server would accept, or an unsuitable key.
    throw new UsageError(sentence(namingFlag(messageOf(error))));
  }
  if (options.json === true) await printDocument({ token });
  else await print(token);
}

async function inspect(text: string, options: KeyFlags & Flags & { json?: boolean }): Promise<void> {
  const { inspectToken } = await import('../../auth/mint.ts');
  const token = (text === '-' ? readText('-', 'the argument <token>') : text).trim();
  const verifier = await verifierFor(options);
  let inspection: Awaited<ReturnType<typeof inspectToken>>;
  try {
    inspection = await inspectToken(token, verifier);
  } catch (error) {
    throw new UsageError(sentence(messageOf(error)));
  }
  const { header, claims, verification } = inspection;
  const accepted = verification === null ? null : verification.ok;
  const refusal =
    verification === null || verification.ok ? {} : { reason: verification.reason, because: verification.internal };
  await printDocument({ header, claims, times: timesOf(claims), accepted, ...refusal });
  if (accepted === false) process.exitCode = 1;
}

/** Replaces claim names in a message by option names. */
function namingFlag(message: string): string {
  return message
    .replace(/^"(sub|name|role|publish|subscribe|join|telemetry)"/, '--$1')
    .replace(/^"tenant_id"/, '--tenant')
    .replace(/^The private key/, 'the private key of --key');
}

function warnOfShort(secret: string): void {
  const bytes = Buffer.byteLength(secret);
  if (bytes >= LEAST_SECRET_BYTES) return;
  remark(`warning: the secret has ${bytes} bytes and can be guessed; use at least ${LEAST_SECRET_BYTES} random ones.`);
}

/** The times of a token in a readable form. */
function timesOf(claims: Readonly<Record<string, unknown>>): Record<string, string> {
  const times: Record<string, string> = {};
  for (const name of ['iat', 'nbf', 'exp']) {
    const at = claims[name];
    if (typeof at === 'number' && Math.abs(at) < 8.64e12) times[name] = new Date(at * 1000).toISOString();
  }
  return times;
}

/** A lifetime in seconds; Infinity for a token that never expires. */
function lifetime(text: string): number {
  if (text === 'never') return Number.POSITIVE_INFINITY;
  const [, count, unit = ''] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
  if (Number(count) > 0) return Number(count) * UNITS[unit]!;
  throw new InvalidArgumentError('Write a number above 0 and its unit, such as 90s, 15m, 1h or 7d, or "never".');
}

function withKeyOptions(verb: Command): Command {
  return verb
    .option('--secret <text>', 'secret of HS256; other users of this machine can see it, unlike --secret-file')
    .option('--secret-file <file>', 'file with the secret of HS256 (default: ARQONBUS_AUTH_JWT_SECRET)')
    .addOption(new Option('--algorithm <name>', 'default: ARQONBUS_AUTH_JWT_ALGORITHM').choices(ALGORITHMS));
}

/** The key from the options or else from the configuration, with the configured issuer and audience. */
async function signingKey(
  flags: KeyFlags & Flags,
): Promise<{ key: SigningKey; issuer: string | undefined; audience: string | undefined }> {
  const auth = await authSettings(flags);
  const algorithm = flags.algorithm ?? (flags.key === undefined ? auth.jwtAlgorithm : undefined);
  if (algorithm === undefined) throw new UsageError('--key needs --algorithm: RS256, ES256 or EdDSA.');
  const settled = { issuer: auth.issuer || undefined, audience: auth.audience || undefined };
  if (algorithm === 'HS256') {
    if (flags.key !== undefined)
      throw new UsageError('--key is for RS256, ES256 and EdDSA; HS256 takes --secret-file.');
    const secret = secretOf(flags) ?? auth.jwtSecret;
    if (secret !== '') return { key: { algorithm, secret }, ...settled };
    throw new UsageError('there is no secret to sign with; pass --secret-file or set ARQONBUS_AUTH_JWT_SECRET.');
  }
  if (flags.key === undefined) throw new UsageError(`${algorithm} signs with a private key; pass --key FILE.`);
  return { key: { algorithm, privateKey: readText(flags.key, '--key') }, ...settled };
}

/** The verifier of a server with this configuration; undefined if no key is known. */
async function verifierFor(flags: KeyFlags & Flags): Promise<Verifier | undefined> {
  const { createVerifier } = await import('../../auth/verifier.ts');
  const auth = await authSettings(flags);
  const jwtAlgorithm = flags.algorithm ?? auth.jwtAlgorithm;
  const jwtSecret = secretOf(flags) ?? auth.jwtSecret;
  const isKnown = jwtAlgorithm === 'HS256' ? jwtSecret !== '' : auth.publicKeyFile !== '' || auth.jwksUrl !== '';
  return isKnown ? createVerifier({ ...auth, jwtAlgorithm, jwtSecret }) : undefined;
}

function secretOf({ secret, secretFile }: KeyFlags): string | undefined {
  if (secret !== undefined && secretFile !== undefined)
    throw new UsageError('pass --secret or --secret-file, not both.');
  if (secretFile === undefined) return secret;
  return readText(secretFile, '--secret-file').replace(/\r?\n$/, '');
}

async function authSettings({
  secret,
  secretFile,
  key,
  algorithm,
  ...rest
}: KeyFlags & Flags): Promise<Config['auth']> {
  return (await requireSettings(rest)).config.auth;
}
