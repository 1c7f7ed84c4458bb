/**
 * Suffixes of names whose value is always a credential. Names are compared without case and separators, so that
 * `dbPassword`, `DB_PASSWORD` and `db-password` are equal.
 */
export const CERTAIN: readonly string[] = (
  'password passwd passphrase passcode passwordconfirmation apikey apisecret apitoken secretkey secretaccesskey ' +
  'clientsecret appsecret consumersecret sharedsecret webhooksecret signingsecret signingkey encryptionkey masterkey ' +
  'privatekey accesstoken refreshtoken authtoken bearertoken idtoken sessiontoken securitytoken oauthtoken bottoken ' +
  'accountkey storagekey mnemonic seedphrase recoveryphrase totpsecret'
).split(' ');

/** Suffixes of names whose value is a credential only if it looks like one. */
export const POSSIBLE: readonly string[] =
  'token secret secrets credential credentials pass pwd authorization auth accesskey sshkey'.split(' ');

/** Suffixes of similar names that mean cursors, limits or switches. */
export const HARMLESS: readonly string[] =
  'pagetoken nexttoken continuationtoken synctoken resumetoken cursortoken cancellationtoken publickey bypass compass'.split(
    ' ',
  );

/** What a field's name says about its value. */
export type Sensitivity = 'certain' | 'possible';

export interface SensitiveName {
  readonly sensitivity: Sensitivity;
  /** The matching suffix, for the rule id: `key:NAME`. */
  readonly name: string;
}

/** Classifies a field's name; undefined if it is not sensitive. Plurals count like their singular. */
export function sensitiveName(key: string): SensitiveName | undefined {
  // Longer than any name chosen by a person; also limits the work.
  if (key.length > 256) return undefined;
  const compact = key
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .replace(/\d+$/, '');
  return judge(compact) ?? (compact.endsWith('s') ? judge(compact.slice(0, -1)) : undefined);
}

function judge(compact: string): SensitiveName | undefined {
  if (HARMLESS.some((end) => compact.endsWith(end))) return undefined;
  const certain = CERTAIN.find((end) => compact.endsWith(end));
  if (certain !== undefined) return { sensitivity: 'certain', name: certain };
  const possible = POSSIBLE.find((end) => compact.endsWith(end));
  return possible === undefined ? undefined : { sensitivity: 'possible', name: possible };
}
