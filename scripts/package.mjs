import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Packs everything into one folder (`dist/`, or the one given as argument), so that it can be installed without a
 * registry: each npm package as a tarball, the Python package as a wheel. The workspaces must be built first.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve(process.argv[2] ?? `${root}/dist`);

mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) if (/^arqonbus-.*\.(tgz|whl)$/.test(name)) rmSync(`${out}/${name}`);
// The dashboard is part of the server, not a separate package.
const manifest = (path) => JSON.parse(readFileSync(`${root}/${path}/package.json`, 'utf8'));
const published = manifest('.').workspaces.filter((path) => manifest(path).private !== true);
const chosen = published.flatMap((path) => ['-w', path]);
execFileSync('npm', ['pack', ...chosen, '--silent', '--pack-destination', out], { cwd: root, stdio: 'pipe' });
const pip = ['-m', 'pip', 'wheel', '--quiet', '--disable-pip-version-check', '--no-deps', '-w', out, './python'];
const wheel = spawnSync('python3', pip, { cwd: root, stdio: 'pipe', encoding: 'utf8' });

const files = readdirSync(out).filter((name) => /^arqonbus-.*\.(tgz|whl)$/.test(name));
const shown = relative(process.cwd(), out) || '.';
const paths = (end) => files.filter((name) => name.endsWith(end)).map((name) => `${out}/${name}`);
console.log(`${shown}: ${files.join(' ')}\n\nElsewhere, all of it:\n`);
console.log(`  npm install ${paths('.tgz').join(' ')}`);
if (wheel.status === 0) console.log(`  pip install ${paths('.whl').join(' ')}`);
else
  console.log(
    `\nWithout the Python package, for pip could not make it:\n${wheel.error?.message ?? wheel.stderr.trim()}`,
  );
