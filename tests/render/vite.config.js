// SPDX-License-Identifier: Apache-2.0
import react from '@vitejs/plugin-react';

export default {
  plugins: [react()],
  base: './',
  logLevel: 'warn',
  build: { outDir: 'dist', chunkSizeWarningLimit: 20000 },
};
