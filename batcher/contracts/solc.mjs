#!/usr/bin/env node
// The face of a native solc that forge needs, over the npm package: a version line, and standard JSON on stdin.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';

const root = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);

if (args.includes('--version')) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (args.includes('--standard-json')) {
  const read = (path) => {
    try {
      return { contents: readFileSync(join(root, path), 'utf8') };
    } catch (error) {
      return { error: error.message };
    }
  };
  process.stdout.write(solc.compile(readFileSync(0, 'utf8'), { import: read }));
} else {
  console.error(`solc.mjs understands --version and --standard-json, not: ${args.join(' ')}`);
  process.exit(1);
}
