import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** Bundles the built client into one ES module for pages without a bundler: `packages/client/dist/browser.js`. */
const at = (path) => fileURLToPath(new URL(`../packages/${path}`, import.meta.url));

await build({
  configFile: false,
  logLevel: 'warn',
  root: at('client'),
  resolve: { conditions: ['browser', 'module', 'import', 'default'] },
  build: {
    outDir: at('client/dist'),
    emptyOutDir: false,
    target: 'es2022',
    modulePreload: false,
    reportCompressedSize: false,
    copyPublicDir: false,
    lib: { entry: at('client/dist/index.js'), formats: ['es'], fileName: () => 'browser.js' },
  },
});
