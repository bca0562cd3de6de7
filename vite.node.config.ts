// The engine without a page, as one program for Node: everything is in it but Dawn, which is a native library.
import { mergeConfig } from 'vite';
import page from './vite.config.ts';

export default mergeConfig(page, {
  build: { ssr: 'src/cli.ts', outDir: 'dist/node', copyPublicDir: false },
  ssr: { noExternal: true, external: ['webgpu'] },
});
