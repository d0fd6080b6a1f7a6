// Compiles the contracts into artifacts/, so that nobody who only runs cargo needs a Solidity compiler.
//
//   node build.mjs           writes the artifacts
//   node build.mjs --check   compiles, compares with the checked-in artifacts, exits 1 on any difference

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';

const root = dirname(fileURLToPath(import.meta.url));

/** What is shipped: contract name → source file. The harness is for tests that run without forge. */
const contracts = {
  SequencerInbox: 'src/SequencerInbox.sol',
  ValidatorRegistry: 'src/ValidatorRegistry.sol',
  FrostVerifierHarness: 'test/FrostVerifierHarness.sol',
};

// foundry.toml repeats these: the tests must judge the code that is shipped.
const settings = {
  evmVersion: 'osaka',
  viaIR: true,
  optimizer: { enabled: true, runs: 1_000_000 },
  // Without a metadata hash the bytecode depends on code alone: no comments, no paths.
  metadata: { bytecodeHash: 'none', appendCBOR: false },
};

function compile() {
  const read = (path) => ({ contents: readFileSync(join(root, path), 'utf8') });
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(Object.values(contracts).map((path) => [path, { content: read(path).contents }])),
    settings: { ...settings, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  // A warning is an error: there is none to get used to.
  const complaints = (output.errors ?? []).map((error) => error.formattedMessage);
  if (complaints.length > 0) {
    fail(complaints.join('\n'));
  }
  return output.contracts;
}

/** The checked-in form: stable key order, one trailing newline. */
function artifact(name, compiled) {
  const { abi, evm } = compiled;
  return `${JSON.stringify(
    {
      contractName: name,
      compiler: solc.version(),
      abi,
      bytecode: `0x${evm.bytecode.object}`,
      deployedBytecode: `0x${evm.deployedBytecode.object}`,
    },
    null,
    2,
  )}\n`;
}

function readOrEmpty(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const unknown = process.argv.slice(2).filter((argument) => argument !== '--check');
if (unknown.length > 0) {
  fail(`unknown argument ${unknown[0]}; usage: node build.mjs [--check]`);
}
const check = process.argv.includes('--check');

const compiled = compile();
const stale = [];
for (const [name, source] of Object.entries(contracts)) {
  const path = join(root, 'artifacts', `${name}.json`);
  const text = artifact(name, compiled[source][name]);
  if (check) {
    if (readOrEmpty(path) !== text) stale.push(`artifacts/${name}.json`);
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const size = compiled[source][name].evm.deployedBytecode.object.length / 2;
  console.log(`${name}: ${size} bytes on chain (solc ${solc.version()})`);
}
if (stale.length > 0) {
  fail(`${stale.join(', ')}: not what the sources compile to. Run "npm run build" in batcher/contracts and commit the result.`);
}
console.log(check ? 'artifacts are what the sources compile to' : 'artifacts written');
