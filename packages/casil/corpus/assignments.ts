import { HEX, type Random } from './random.ts';
import { chosenPassword, inside, type SecretKind } from './secrets.ts';

const NAMES = (
  'password passwd api_key client_secret access_token refresh_token auth_token private_key secret_key webhook_secret ' +
  'session_token passphrase signing_key encryption_key token secret'
).split(' ');

/** A name of a secret in any of the ways in which programs and people write names. */
function secretName(random: Random): string {
  const words = [
    ...random.pick(['', '', 'db ', 'my app ', 'prod ']).split(' '),
    ...random.pick(NAMES).split('_'),
  ].filter((word) => word !== '');
  const capital = (word: string): string => word[0]!.toUpperCase() + word.slice(1);
  return random.pick<() => string>([
    () => words.join('_'),
    () => words.join('_').toUpperCase(),
    () => words.join('-'),
    () => words.join('.'),
    () => words.map((word, i) => (i === 0 ? word : capital(word))).join(''),
    () => words.map(capital).join(''),
    () => words.map(capital).join('-'),
  ])();
}

/** A value as a program makes it, or one that a person chose. */
function secretValue(random: Random): string {
  return random.pick<() => string>([
    () => random.text(random.int(12, 40)),
    () => random.text(32, HEX),
    () => random.uuid(),
    () => `${random.text(10)}-${random.text(10)}_${random.text(4)}`,
    () => random.bytes(24).toString('base64url'),
  ])();
}

const assigned =
  (before: string, separator: readonly string[], after = ''): SecretKind =>
  (random) =>
    inside(`${before}${secretName(random)}${random.pick(separator)}`, secretValue(random), after);

/** Secrets that stand in a text behind their name, in the formats in which texts hold names and values. */
export const ASSIGNED_SECRETS: Readonly<Record<string, SecretKind>> = {
  'log line, key=value': assigned('time=12:00:01 level=info msg="config loaded" ', ['='], ' user_id=17 ok=true'),
  'log line, key: value': assigned('INFO loaded configuration: ', [': ', ':'], ' (from vault)'),
  '.env file': assigned('PORT=8080\nDEBUG=false\n', ['=', '="'], '\nHOST=db.internal\n'),
  YAML: assigned('database:\n  host: db.internal\n  ', [': ', ':   ', ': "', ": '"], '\n  pool: 5\n'),
  'YAML, in a block': assigned('database:\n  ', [': |\n    ', ': >-\n      '], '\n'),
  'INI file': assigned('[database]\nhost = db.internal\n', [' = ', '=', ' ='], '\nport = 5432\n'),
  'TOML file': assigned('[database]\nhost = "db.internal"\n', [' = "', " = '"], '"\nport = 5432\n'),
  'Java properties': assigned('spring.jpa.show-sql=false\nspring.datasource.', ['=', ': '], '\n'),
  'JSON in a string, any name': assigned('{"host":"db.internal","', ['":"', '": "'], '","port":5432}'),
  'JSON in a string of JSON': assigned('{\\"host\\":\\"db.internal\\",\\"', ['\\":\\"', '\\": \\"'], '\\"}'),
  'shell export': assigned('set -e\nexport ', ['=', '="', "='"], '\nexport PATH=/usr/bin\n'),
  'shell variable': assigned('env ', ['='], ' node server.js --port 8080'),
  'command-line flag': assigned('deploy --region eu-west-1 --', ['=', ' ', '="'], ' --yes'),
  'HTTP header': assigned('GET /v1/items HTTP/1.1\r\nX-', [': '], '\r\nHost: api.example\r\n'),
  'form body': assigned('user=app&', ['='], '&remember=1'),
  'XML element': (random) => {
    const name = secretName(random);
    return inside(`<config><host>db.internal</host><${name}>`, secretValue(random), `</${name}></config>`);
  },
  code: (random) =>
    inside(
      `${random.pick(['const ', 'let ', 'var ', '$', 'self.', ''])}${secretName(random).replaceAll(/[-.]/g, '_')}${random.pick([' = "', ' := "', " => '", '="', " = '"])}`,
      secretValue(random),
      '"\n',
    ),
  'words with a colon': (random) =>
    inside(
      `Here is the ${random.pick(['API key', 'access key', 'client secret', 'access token'])}: `,
      secretValue(random),
    ),
  'password chosen by a person, in lower case': (random) =>
    inside(
      `${random.pick(['password', 'db_password', 'smtp.password', 'Password'])}${random.pick(['=', ': ', ' = '])}`,
      chosenPassword(random),
    ),
};

const V = '$';

/** Assignments and sentences with the same words, without a secret. */
export function harmlessAssignment(random: Random): string {
  const name = secretName(random);
  const word = random.words(1);
  const placeholder = random.pick([
    `${V}{${name.toUpperCase().replaceAll(/\W/g, '_')}}`,
    `${V}${word.toUpperCase()}_1`,
    `<your ${word}>`,
    `<${name}>`,
    '********',
    'changeme',
    'xxxxxxxx',
    `{{ ${word}_1 }}`,
    `%${word.toUpperCase()}_1%`,
    `env:${word.toUpperCase()}_1`,
    `vault:secret/data/${word}#v2`,
    'null',
    'required',
    `/run/secrets/${word}-1`,
  ]);
  return random.pick([
    `${name}=${placeholder}`,
    `${name}: ${placeholder}`,
    `${name} = "${placeholder}"`,
    `export ${name}=${placeholder}`,
    `deploy --${name}=${placeholder} --replicas ${random.int(1, 9)}`,
    `deploy --${name} ${placeholder}`,
    `{"${name}":"${placeholder}"}`,
    `db:\n  ${name}: ${placeholder}\n  port: ${random.int(1_024, 9_999)}\n`,
  ]);
}

/** Prose in which a name of a secret is followed by a colon or an equals sign. */
export function proseWithColon(random: Random): string {
  const word = random.words(1);
  return random.pick([
    `A password: think of a long one, ${random.words(3)}.`,
    `Password: use at least ${random.int(8, 16)} characters, then ${word}.`,
    `The secret: patience, and ${random.words(2)}.`,
    `Token: the word that the model reads next, for example "${word}".`,
    `API key: see section ${random.int(1, 20)}.${random.int(1, 9)} of the manual about ${word}.`,
    `Credentials: ask the ${word} team (${random.int(1, 99)}).`,
    `password = what you type, username = who you are, ${word}`,
    `Authorization: role ${word} is needed`,
    `Tokens: ${random.int(1_000, 99_999)}, requests: ${random.int(1, 999)}, errors: 0`,
    `max_tokens=${random.int(100, 9_999)} token_count: ${random.int(1, 999)} tokens_per_second=${random.int(1, 99)}.${random.int(1, 9)}`,
  ]);
}

/** Code that takes a secret from elsewhere. */
export function codeThatAssigns(random: Random): string {
  const name = secretName(random).replaceAll(/[-.]/g, '_');
  const word = random.words(1);
  return random.pick([
    `${name} = config.get("${word}${random.int(1, 99)}")`,
    `const ${name} = process.env.${name.toUpperCase()}_${random.int(1, 9)};`,
    `${name} := sha256.Sum256([]byte(${word}))`,
    `self.${name} = settings.${name.toUpperCase()}_${random.int(1, 9)}`,
    `let ${name}: Uint8Array = await crypto.subtle.digest('SHA-256', ${word});`,
    `${name} = os.environ["${word.toUpperCase()}_${random.int(1, 9)}"]`,
    `if (${name} === undefined) throw new Error('no ${word}${random.int(1, 99)}');`,
    `SELECT * FROM users WHERE ${name} = :${word}${random.int(1, 99)}`,
    `interface Login { ${name}: string; user${random.int(1, 9)}: number }`,
    `${name}: base64.b64decode(${word}${random.int(1, 9)})`,
    `secretKeyRef:\n  name: ${word}-${random.words(1)}-v${random.int(1, 9)}\n  key: ${word}`,
  ]);
}
