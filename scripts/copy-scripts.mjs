// Copies the Lua and SQL scripts of packages/bus/src to the same places in dist, where the compiled code reads them.
// `tsc` does not copy them; `npm run build` runs both.
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bus = fileURLToPath(new URL('../packages/bus/', import.meta.url));

/** The Lua and SQL files of a folder, as relative paths. */
function scriptsIn(folder) {
  const all = readdirSync(join(bus, folder), { recursive: true });
  return all.filter((path) => /\.(lua|sql)$/.test(path));
}

const sources = scriptsIn('src');
for (const path of scriptsIn('dist')) if (!sources.includes(path)) rmSync(join(bus, 'dist', path));
for (const path of sources) {
  mkdirSync(dirname(join(bus, 'dist', path)), { recursive: true });
  copyFileSync(join(bus, 'src', path), join(bus, 'dist', path));
}
