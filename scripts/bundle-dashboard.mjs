import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** Builds the static files of the dashboard, as part of the server's build: `packages/server/dist/dashboard`. */
const at = (path) => fileURLToPath(new URL(`../packages/${path}`, import.meta.url));

await build({
  configFile: false,
  logLevel: 'warn',
  root: at('dashboard'),
  // Relative URLs: a proxy may serve the page under any prefix.
  base: './',
  resolve: { conditions: ['browser', 'module', 'import', 'default'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: at('server/dist/dashboard'),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    reportCompressedSize: false,
    // Nothing is inlined: the page's policy allows only styles and scripts from files.
    assetsInlineLimit: 0,
  },
});
