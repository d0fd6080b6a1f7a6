// slither's findings as lines that stay the same while code moves: detector and function. Argument: its JSON.

import { readFileSync } from 'node:fs';

const { success, error, results } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
if (!success) {
  console.error(`slither failed: ${error}`);
  process.exit(2);
}
const place = ({ name, type_specific_fields: { parent } = {} }) => `${parent?.name ?? ''}.${name}`;
const lines = (results.detectors ?? []).map(({ check, elements: [first] }) => `${check} ${place(first)}`);
console.log([...new Set(lines)].sort().join('\n'));
