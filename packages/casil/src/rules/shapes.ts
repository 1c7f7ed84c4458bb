import { isAssignedSecret } from '../assignment.ts';
import { isBasicCredentials, isCredentialLike, isPlaceholder } from '../plausibility.ts';
import { filler, LOWER, rule, type SecretRule } from './rule.ts';

/** The password of a connection string. Short ones count too; documentation uses `password` or `pass`. */
function isConnectionPassword(value: string): boolean {
  return !isPlaceholder(value) && !/^(?:pass(?:word|wd)?|pwd|secret|\w+_PASS(?:WORD)?)$/i.test(value);
}

/** Suffixes of secret names; {@link isAssignedSecret} checks the whole name. */
const NAME =
  '(?i:pass(?:word|wd|phrase|code)|pwd|[_-]pass|secret|token|credential|authorization' +
  '|(?:api|access|private|secret|signing|encryption|master|account|storage|ssh)[ _.-]?key)';
/** Between a name and its value: `=`, `: `, ` => `, the `>` of a tag, and the start of a YAML block. */
const ASSIGNS =
  's?[0-9]{0,2}\\\\{0,3}["\'`]?(?:[ \\t]{0,8}(?:[=-]>|:=|==?|:)[ \\t]{0,8}(?:[|>][+-]?[ \\t]*\\r?\\n[ \\t]+)?|>)';

/** Secrets recognized by a format or by the words around them, not by their issuer. */
export const SHAPE_RULES: readonly SecretRule[] = [
  rule(
    'private_key',
    'Private key block (PEM, OpenSSH, PGP)',
    '-----BEGIN ',
    // The second branch matches a truncated block.
    '[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:(?s:.)*?-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\\s\\\\]*)',
    `-----BEGIN ${'PRIVATE'} KEY-----\n${filler(64)}\n-----END ${'PRIVATE'} KEY-----`,
    { touching: true },
  ),
  rule(
    'putty_key',
    'PuTTY private key file',
    'PuTTY-User-Key-File-',
    '[23]: (?s:.)*',
    `PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 14\n${filler(64)}`,
  ),
  rule(
    'age_key',
    'age identity',
    'AGE-SECRET-KEY-1',
    '[0-9A-Z]{58}\\b',
    `AGE-SECRET-KEY-1${filler(58, LOWER).toUpperCase()}`,
  ),
  rule(
    'jwt',
    'JSON Web Token with a signature',
    'eyJ',
    '[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{4,}\\.[A-Za-z0-9_-]{16,}',
    `eyJ${filler(33)}.eyJ${filler(80)}.${filler(43)}`,
  ),
  rule(
    'encrypted_jwt',
    'JSON Web Token, encrypted',
    'eyJ',
    '[A-Za-z0-9_-]{8,}(?:\\.[A-Za-z0-9_-]*){3}\\.[A-Za-z0-9_-]{16,64}',
    `eyJ${filler(33)}.${filler(80)}.${filler(16)}.${filler(80)}.${filler(22)}`,
  ),
  rule(
    'bearer_token',
    'Bearer credentials',
    '(?i:bearer)[ \\t]',
    '[A-Za-z0-9._~+/-]{16,}={0,2}',
    `Bearer ${filler(40)}`,
    { lead: '[ \\t]*', check: isCredentialLike },
  ),
  rule(
    'basic_credentials',
    'HTTP Basic credentials',
    '(?i:basic)[ \\t]',
    '[A-Za-z0-9+/]{8,}={0,2}',
    `Basic ${btoa(`svc:${filler(20)}`)}`,
    { lead: '[ \\t]*', check: isBasicCredentials },
  ),
  rule(
    'connection_string',
    'Address with a password in it',
    '://',
    '[^\\s/?#"\'<>]{3,}@',
    `postgres://app:${filler(16)}@db.example/app`,
    { lead: '[^\\s/?#:@"\'<>]*:', touching: true, tail: 1, check: isConnectionPassword },
  ),
  rule(
    'connection_password',
    'Password in a list of connection settings',
    ';[ ]?(?i:password|pwd)',
    '[^;\\s"\']{4,}',
    `Server=db;User Id=app;Password=${filler(16)};`,
    { lead: '[ ]?=[ ]?', touching: true, check: isConnectionPassword },
  ),
  rule(
    'query_parameter',
    'Credential in the query of an address',
    '[?&](?i:access_token|auth_token|api_?key|client_secret|token|password|x-amz-signature|signature)=',
    '[A-Za-z0-9._~%+/-]{12,}',
    `https://api.example/v1?access_token=${filler(32)}`,
    { lead: '', touching: true, check: isCredentialLike },
  ),
  rule(
    'assignment',
    'Value assigned to the name of a secret',
    NAME,
    '[^\\s"\'`&;,<>(){}\\[\\]$\\\\:=][^\\s"\'`&;,<>(){}\\[\\]\\\\]{5,}',
    `export DB_PASSWORD=${filler(20)}`,
    { lead: ASSIGNS, touching: true, named: true, check: isAssignedSecret },
  ),
  rule(
    'quoted_assignment',
    'Quoted value assigned to the name of a secret',
    NAME,
    '[^"\'`\\\\\\s]{6,}',
    `{"user":"app","api_key":"${filler(24)}"}`,
    { lead: `${ASSIGNS}\\\\{0,3}["'\`]`, touching: true, named: true, check: isAssignedSecret },
  ),
  rule(
    'command_line_value',
    'Value of a command-line flag or shell variable named as a secret',
    `(?:--(?:[A-Za-z0-9][A-Za-z0-9._-]*)?|(?i:setx|setenv)[ \\t]+(?:[A-Za-z0-9][A-Za-z0-9_]*)?)${NAME}`,
    '[^\\s"\'`&;,<>(){}\\[\\]$\\\\:=-][^\\s"\'`]{5,}',
    `login --user app --password ${filler(20)}`,
    { lead: 's?[ \\t]{1,8}["\'`]?', touching: true, named: true, check: isAssignedSecret },
  ),
];
