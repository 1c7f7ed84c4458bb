import { ALPHANUMERIC, BASE32, BASE64, BASE64URL, DIGITS, HEX, LOWER, type Random, UPPER } from './random.ts';

/** A text that holds a secret, and the secret itself, which must not come out of redaction. */
export interface SecretSample {
  readonly text: string;
  readonly secret: string;
}

/** Makes a secret of one kind with a random body. Nothing here is, or ever was, a credential. */
export type SecretKind = (random: Random) => SecretSample;

const whole = (secret: string): SecretSample => ({ text: secret, secret });
export const inside = (before: string, secret: string, after = ''): SecretSample => ({
  text: before + secret + after,
  secret,
});
const prefixed =
  (prefix: string | readonly string[], length: number, alphabet = ALPHANUMERIC): SecretKind =>
  (random) =>
    whole((typeof prefix === 'string' ? prefix : random.pick(prefix)) + random.text(length, alphabet));

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function lines(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.text(64, BASE64)).join('\n');
}

function keyBlock(label: string): SecretKind {
  return (random) => {
    const body = lines(random, random.int(3, 12));
    // Apart, so that no scanner takes this file for a key.
    const [begin, end] = [`-----BEGIN ${label}-----`, `-----END ${label}-----`];
    return inside(`${begin}\n`, body, `\n${end}`);
  };
}

/** The formats in which the issuers hand out their keys. */
export const SECRET_KINDS: Readonly<Record<string, SecretKind>> = {
  'AWS access key id': prefixed(['AKIA', 'ASIA'], 16, BASE32),
  'AWS secret key, named': (random) =>
    inside(
      random.pick(['aws_secret_access_key = ', 'AWS_SECRET_ACCESS_KEY=', 'awsSecretAccessKey: "']),
      random.text(40, BASE64),
    ),
  'GitHub classic': prefixed(['ghp_', 'gho_', 'ghs_', 'ghu_', 'ghr_'], 36),
  'GitHub fine-grained': (random) => whole(`github_pat_${random.text(22)}_${random.text(59)}`),
  GitLab: prefixed(['glpat-', 'gldt-', 'glptt-'], 20, BASE64URL),
  'Slack bot': (random) => whole(`xoxb-${random.text(12, DIGITS)}-${random.text(13, DIGITS)}-${random.text(24)}`),
  'Slack user': (random) =>
    whole(
      `xoxp-${random.text(12, DIGITS)}-${random.text(12, DIGITS)}-${random.text(13, DIGITS)}-${random.text(32, HEX)}`,
    ),
  'Slack webhook': (random) =>
    inside(
      'https://hooks.slack.com/services/',
      `T${random.text(10, UPPER)}/B${random.text(10, UPPER)}/${random.text(24)}`,
    ),
  'Discord webhook': (random) =>
    inside('https://discord.com/api/webhooks/', `${random.text(18, DIGITS)}/${random.text(68, BASE64URL)}`),
  'Telegram bot': (random) => inside(`${random.int(100_000_000, 9_999_999_999)}:`, `AA${random.text(33, BASE64URL)}`),
  Stripe: prefixed(['sk_live_', 'sk_test_', 'rk_live_'], 24),
  'Webhook signing secret': prefixed('whsec_', 32),
  'Google API key': prefixed('AIza', 35, BASE64URL),
  'Google OAuth token': prefixed('ya29.a0', 160, BASE64URL),
  'Google client secret': prefixed('GOCSPX-', 28, BASE64URL),
  'OpenAI classic': prefixed('sk-', 48),
  'OpenAI project': prefixed(['sk-proj-', 'sk-svcacct-'], 120, BASE64URL),
  Anthropic: (random) => whole(`sk-ant-api03-${random.text(93, BASE64URL)}AA`),
  OpenRouter: prefixed('sk-or-v1-', 64, HEX),
  'Hugging Face': prefixed('hf_', 34),
  Groq: prefixed('gsk_', 52),
  npm: prefixed('npm_', 36),
  PyPI: prefixed('pypi-AgEIcHlwaS5vcmc', 140, BASE64URL),
  'Docker Hub': prefixed('dckr_pat_', 27, BASE64URL),
  SendGrid: (random) => whole(`SG.${random.text(22, BASE64URL)}.${random.text(43, BASE64URL)}`),
  Mailgun: prefixed('key-', 32, HEX),
  Twilio: prefixed('SK', 32, HEX),
  DigitalOcean: prefixed('dop_v1_', 64, HEX),
  'HashiCorp Vault': prefixed('hvs.', 95, BASE64URL),
  Databricks: prefixed('dapi', 32, HEX),
  Shopify: prefixed(['shpat_', 'shpss_'], 32, HEX),
  Square: prefixed('sq0csp-', 43, BASE64URL),
  Linear: prefixed('lin_api_', 40),
  Notion: prefixed('ntn_', 46),
  Doppler: prefixed('dp.pt.', 43),
  Grafana: (random) => whole(`glsa_${random.text(32)}_${random.text(8, HEX)}`),
  Sentry: prefixed('sntryu_', 64, HEX),
  Postman: (random) => whole(`PMAK-${random.text(24, HEX)}-${random.text(34, HEX)}`),
  Atlassian: prefixed('ATATT3xFfGF0', 180, BASE64URL),
  'Azure storage key': (random) =>
    inside(
      'DefaultEndpointsProtocol=https;AccountName=files;AccountKey=',
      `${random.text(86, BASE64)}==`,
      ';EndpointSuffix=core.windows.net',
    ),
  'Azure client secret': (random) => inside(random.text(3), `8Q~${random.text(34, `${ALPHANUMERIC}-_.~`)}`),
  'JSON Web Token': (random) =>
    whole(
      `${base64url({ alg: random.pick(['HS256', 'RS256', 'ES256']), typ: 'JWT' })}.${base64url({
        sub: random.uuid(),
        name: random.words(2),
        iat: random.int(1_600_000_000, 1_900_000_000),
      })}.${random.text(random.pick([43, 86, 342]), BASE64URL)}`,
    ),
  'Bearer, opaque': (random) =>
    inside(random.pick(['Authorization: Bearer ', 'bearer ']), random.text(random.int(24, 64))),
  'Basic credentials': (random) =>
    inside('Authorization: Basic ', Buffer.from(`${random.words(1)}:${random.text(16)}`).toString('base64')),
  'RSA key block': keyBlock('RSA PRIVATE KEY'),
  'PKCS #8 key block': keyBlock('PRIVATE KEY'),
  'OpenSSH key block': keyBlock('OPENSSH PRIVATE KEY'),
  'PGP key block': keyBlock('PGP PRIVATE KEY BLOCK'),
  'Connection string': (random) =>
    inside(
      `${random.pick(['postgres', 'postgresql', 'mysql', 'mongodb+srv', 'redis', 'rediss', 'amqp', 'https'])}://${random.pick(['app', 'root', '', 'svc_user'])}:`,
      random.text(random.int(8, 24), `${ALPHANUMERIC}-_.!`),
      `@${random.words(1)}.internal:${random.int(1_024, 65_535)}/db`,
    ),
  'ADO connection string': (random) =>
    inside(`Server=tcp:db.internal,1433;Database=app;User Id=svc;Password=`, random.text(18), ';Encrypt=true'),
  'Environment variable': (random) =>
    inside(
      `${random.pick(['', 'export ', 'ENV '])}${random.pick(['DB_PASSWORD', 'STRIPE_SECRET', 'SLACK_TOKEN', 'OPENAI_API_KEY', 'APIKEY', 'SESSION_SECRET'])}=`,
      random.text(random.int(16, 40)),
    ),
  'Environment variable, chosen by a person': (random) =>
    inside(`${random.pick(['DB_PASSWORD', 'SMTP_PASSWORD', 'APP_SECRET'])}=`, chosenPassword(random)),
  'Connection string, chosen by a person': (random) =>
    inside(
      `${random.pick(['postgres', 'mysql', 'redis'])}://app:`,
      chosenPassword(random).replaceAll(/[#?]/g, '!'),
      '@db.internal/x',
    ),
  'JSON in a string, chosen by a person': (random) =>
    inside('{\\"user\\":\\"svc\\", \\"password\\": \\"', chosenPassword(random), '\\"}'),
  'Query parameter': (random) =>
    inside(
      `https://api.example.com/v1/items?limit=5&${random.pick(['access_token', 'api_key', 'token', 'client_secret'])}=`,
      random.text(random.int(20, 40), LOWER),
      '&page=2',
    ),
  'JSON in a string': (random) =>
    inside(
      `{"user":"svc","${random.pick(['password', 'api_key', 'clientSecret', 'refresh_token'])}":"`,
      random.text(random.int(16, 32)),
      '","ok":true}',
    ),
};

/** A password as a person chooses it. */
export function chosenPassword(random: Random): string {
  const word = random.pick(['summer', 'dragon', 'Monkey', 'letmein', 'Winter', 'blueriver', 'Tr0ubadour', 'kitchen']);
  return `${word}${random.pick(['', '-', '_', '.'])}${random.int(10, 9_999)}${random.pick(['', '!', '#', '?'])}`;
}

/** Names of fields that give their value away; the value has no shape of its own. */
export const SECRET_FIELDS: readonly string[] = (
  'password passwd db_password userPassword PASSWORD api_key apiKey X-API-Key client_secret clientSecret access_token ' +
  'accessToken refresh_token auth-token private_key secretKey SECRET_ACCESS_KEY webhookSecret session_token passphrase'
).split(' ');

/** Values as people and programs choose them. */
export function fieldSecret(random: Random): string {
  const choices: readonly (() => string)[] = [
    () => random.text(random.int(8, 40)),
    () => random.text(32, HEX),
    () => random.uuid(),
    () =>
      `${random.pick(['summer', 'dragon', 'monkey', 'letmein', 'Winter'])}${random.int(10, 9_999)}${random.pick(['', '!', '#'])}`,
    () => `${random.words(1)}-${random.words(1)}-${random.words(1)}-${random.int(10, 99)}`,
    () => random.bytes(24).toString('base64'),
  ];
  return random.pick(choices)();
}

/** What the layer cannot see, measured all the same so that the manual can say so. */
export const BLIND_SPOTS: Readonly<Record<string, SecretKind>> = {
  'password in prose': (random) => {
    const secret = `${random.pick(['hunter', 'tulip', 'falcon'])}${random.int(10, 99)}`;
    return inside('my password is ', secret, ' but do not tell');
  },
  'AWS secret key without its name': (random) => whole(random.text(40, BASE64)),
  'hexadecimal key without a name': (random) => whole(random.text(64, HEX)),
  'key in base64': (random) => {
    const secret = Buffer.from(`ghp_${random.text(36)}`).toString('base64');
    return whole(secret);
  },
  'key with a space in it': (random) => {
    const secret = `ghp_${random.text(18)} ${random.text(18)}`;
    return whole(secret);
  },
};
