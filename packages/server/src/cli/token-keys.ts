import { type Command, Option } from 'commander';
import type { Algorithm } from '../auth/keys.ts';
import type { SigningKey } from '../auth/mint.ts';
import type { Verifier } from '../auth/verifier.ts';
import type { Config } from '../config/config.ts';
import { readText } from './arguments.ts';
import { UsageError } from './exit.ts';
import { type Flags, requireSettings } from './settings.ts';

const ALGORITHMS: readonly Algorithm[] = ['HS256', 'RS256', 'ES256', 'EdDSA'];

/** The options that name a key. */
export interface KeyFlags {
  readonly secret?: string;
  readonly secretFile?: string;
  readonly key?: string;
  readonly algorithm?: Algorithm;
}

export function withKeyOptions(verb: Command): Command {
  return verb
    .option('--secret <text>', 'secret of HS256; others see a command line, so better --secret-file')
    .option('--secret-file <file>', 'file with the secret of HS256 (default: ARQONBUS_AUTH_JWT_SECRET)')
    .addOption(new Option('--algorithm <name>', 'default: ARQONBUS_AUTH_JWT_ALGORITHM').choices(ALGORITHMS));
}

/** The key that the options, else the configuration, name; with the issuer and audience that the configuration asks for. */
export async function signingKey(
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

/** The judge that a server with this configuration would have; undefined when no key is known. */
export async function verifierFor(flags: KeyFlags & Flags): Promise<Verifier | undefined> {
  const { createVerifier } = await import('../auth/verifier.ts');
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
