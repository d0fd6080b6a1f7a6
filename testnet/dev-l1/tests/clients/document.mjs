// What the stories that run on Node.js share: the plot, and how a document is printed.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// The clients are installed in the folder that CLIENTS names, not beside these files.
export const load = createRequire(`${process.env.CLIENTS}/`);
export const story = JSON.parse(readFileSync(new URL('story.json', import.meta.url), 'utf8'));
export const [url, mineMethod] = process.argv.slice(2);

// A blob with the text behind the first byte: field elements must stay below the modulus.
export function blobOf(text) {
  const blob = new Uint8Array(131_072);
  blob.set(new TextEncoder().encode(text), 1);
  return blob;
}

function plain(value) {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return `0x${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined && typeof inner !== 'function');
    return Object.fromEntries(entries.map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
}

// One line of JSON on standard output: what the client saw.
export function print(document) {
  process.stdout.write(`${JSON.stringify(plain(document))}\n`);
}
