import { BASE64, DIGITS, HEX, LOWER, type Random, UPPER } from './random.ts';

const VARIABLE = '$';

/** Source code that deals with secrets and holds none. */
export function codeSample(random: Random): string {
  const name = random.words(1);
  return random.pick([
    `const token = await getToken('${name}');\nif (!token) throw new Error('no token for ${name}');`,
    `password = getpass.getpass("Password for ${name}: ")\nassert len(password) >= ${random.int(8, 20)}`,
    `headers: { Authorization: \`Bearer ${VARIABLE}{accessToken}\`, 'x-api-key': process.env.API_KEY }`,
    `req.Header.Set("Authorization", "Bearer "+token)\nreq.Header.Set("X-Request-Id", "${random.uuid()}")`,
    `SELECT id, password_hash FROM users WHERE token = ${VARIABLE}1 AND created_at > '${random.timestamp()}' -- ${name}`,
    `curl -H "Authorization: Bearer ${VARIABLE}TOKEN" https://api.example.com/v${random.int(1, 9)}/${name}`,
    `export API_KEY=${random.pick([`${VARIABLE}(pass show api)`, '<your-api-key>', `"${VARIABLE}{SECRET}"`, 'changeme', 'xxxxxxxxxxxx'])}`,
    `function isToken(x) { return /^[A-Za-z0-9_-]{${random.int(20, 40)}}$/.test(x); } // secret tokens for ${name}`,
    `let client = Client::new(&std::env::var("CLIENT_SECRET")?).with_token(token).retry(${random.int(1, 9)});`,
    `@Value("${VARIABLE}{spring.datasource.password}") private String password; // ${name}`,
    `it('refuses a wrong password', async () => { await login({ password: 'wrong' }); expect(${random.int(400, 499)}); });`,
    `if (secret === undefined || secret.length < ${random.int(16, 64)}) { throw new TypeError('secret too short'); }`,
    `.token-${random.int(1, 99)} { color: #${random.text(6, HEX)}; } .sk-folding-cube .sk-cube:before { width: 50%; }`,
    `git log --format="%H %an" | grep ${random.text(7, HEX)} # key-${name}`,
    `!function(e,t){"use strict";var n=e.token||t[${random.int(0, 99)}];return n&&n.secret}(this,${random.text(3, LOWER)});`,
    `type Credentials = { password: string; token?: string; secretKey: Uint8Array }; // ${name}`,
    `jwt.verify(token, secret, { algorithms: ['HS256'] }, (err) => done(err, "${name}"));`,
    `const url = \`postgres://${VARIABLE}{user}:${VARIABLE}{password}@${VARIABLE}{host}/${name}\`;`,
  ]);
}

function block(random: Random, label: string, count: number): string {
  const body = Array.from({ length: count }, () => random.text(64, BASE64)).join('\n');
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----`;
}

/** Documents and configuration as they lie in repositories. */
export function documentSample(random: Random): string {
  const name = random.words(1);
  return random.pick([
    block(random, 'CERTIFICATE', random.int(4, 12)),
    block(random, 'PUBLIC KEY', 4),
    block(random, 'PGP PUBLIC KEY BLOCK', 6),
    `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${random.text(43, BASE64)} ${name}@host`,
    `ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ${random.text(340, BASE64)} ${name}@host`,
    `database:\n  user: app\n  password: ${VARIABLE}{DB_PASSWORD}\n  pool: ${random.int(1, 50)}\n  name: ${name}`,
    `API_KEY=\nDB_PASSWORD=changeme\nSECRET=<generate one>\nPORT=${random.int(1_024, 9_999)}\nNAME=${name}`,
    `env:\n  - name: TOKEN\n    valueFrom:\n      secretKeyRef: { name: ${name}, key: token }\n  TOKEN=${VARIABLE}{{ secrets.TOKEN }}`,
    `"node_modules/${name}": { "version": "${random.int(1, 20)}.0.${random.int(0, 9)}", "integrity": "sha512-${random.text(86, BASE64)}==" }`,
    `resource "aws_secretsmanager_secret" "${name}" {\n  name = "prod/${name}"\n}\nvariable "token" { sensitive = true }`,
    `### Authentication\nSend \`Authorization: Bearer <token>\`. Tokens expire after ${random.int(5, 90)} minutes. Never share your secret key.`,
    `{"openapi":"3.1.0","components":{"securitySchemes":{"apiKey":{"type":"apiKey","in":"header","name":"X-API-Key"}}},"x":${random.int(1, 99)}}`,
    `Content-Security-Policy: script-src 'nonce-${random.text(22, BASE64)}=='; ETag: "${random.text(32, HEX)}"`,
    `Message-ID: <${random.text(24, LOWER)}@mail.example>\nDKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=${name}; bh=${random.text(43, BASE64)}=; b=${random.text(172, BASE64)}`,
    `{"login.password":"Password","login.forgot":"Forgot your password?","token.expired":"Your token has expired","n":${random.int(1, 99)}}`,
    `id,name,token_count,password_set\n${random.int(1, 999)},${name},${random.int(1, 9_999)},true\n${random.int(1, 999)},${name},0,false`,
    `Server=db.internal;Database=app;User Id=svc;Password=<password>;Encrypt=true;Timeout=${random.int(5, 60)}`,
  ]);
}

/** What nearly has the format of a key: samples from documentation, keys cut short, names that begin alike. */
export function nearKey(random: Random): string {
  const x = random.pick(['x', 'X', '*']);
  return random.pick([
    `AKIAIOSFODNN7${'EXAMPLE'} is the access key id of the manual, page ${random.int(1, 99)}`,
    `sk_live_${x.repeat(24)} or sk_test_${x.repeat(24)} for ${random.words(1)}`,
    `ghp_${x.repeat(36)} (${random.words(2)})`,
    `set HF_TOKEN to hf_your_token_here, see ${random.words(1)}`,
    `export SLACK_BOT_TOKEN=xoxb-your-token-${random.words(1)}-here`,
    `ghp_${random.text(20)}... (${random.words(2)})`,
    `AKIA${random.text(8, UPPER)}**** was rotated by ${random.words(1)}`,
    `sk-${random.words(1)}-${random.words(1)}-with-a-long-name-${random.int(1, 99)}`,
    `pk_live_${random.text(24)} and pk_test_${random.text(24)}`,
    `xoxb-${random.text(4, DIGITS)} key-${random.words(1)} npm_config_${random.words(1)}=true npm_lifecycle_event=test`,
    `WWW-Authenticate: Bearer realm="${random.words(1)}", error="invalid_token", error_description="expired ${random.int(1, 99)} s ago"`,
    `Authorization: Bearer ${'eyJ'}... (${random.words(2)})`,
    `eyJ${random.text(20)} is only a header, ${random.words(3)}`,
    `hvs.${random.words(1)} dp.pt ${random.words(1)} SG.${random.text(5)}.eu.example.com key-${random.text(12, HEX)}`,
    `SK${random.text(8, DIGITS)} AC${random.text(32, UPPER)} EAA ${random.words(2)} patience.${random.text(20, HEX)}`,
    `glpat-${random.words(1)} gl-sast-report.json ${random.words(2)} do_v1_${random.int(1, 99)}`,
    `${random.text(8, DIGITS)}:${random.words(1)} 10:AA:${random.text(2, HEX)} ${random.timestamp()}`,
    `https://hooks.slack.com/services/T00000000/B00000000/${x.repeat(24)}`,
  ]);
}
