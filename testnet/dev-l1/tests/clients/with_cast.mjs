// The story through cast, a program. Usage: CLIENTS=folder node with_cast.mjs URL METHOD-THAT-MINES
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mineMethod, print, story, url } from './document.mjs';

// The binary itself: npm's launcher names platforms that not every registry has. Elsewhere it is to be on the path.
const installed = join(process.env.CLIENTS, 'node_modules/@foundry-rs/cast-linux-amd64/bin/cast');
const program = existsSync(installed) ? installed : 'cast';
const [alice, bob, carol, pauper] = story.keys;
const [to, value] = [story.receiver, story.value];
const fees = ['--gas-price', story.maxFee, '--priority-gas-price', story.tip];
const document = {};

const env = { ...process.env, ETH_RPC_URL: url, NO_COLOR: '1' };
const cast = (...args) => execFileSync(program, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const seen = (...args) => JSON.parse(cast(...args, '--json'));
const rpc = (method, ...params) => JSON.parse(cast('rpc', method, ...params.map((param) => JSON.stringify(param))));
const mine = () => rpc(mineMethod);
const address = (key) => cast('wallet', 'address', '--private-key', key);

// What the program says of a refusal.
function refused(...args) {
  try {
    return { unexpected: cast(...args) };
  } catch (error) {
    const [, code, message] = /server returned an error response: error code (-?\d+): ([^\n]*)/.exec(error.stderr) ?? [];
    return { status: error.status, code, message: message ?? error.stderr.trim().split('\n').at(-1) };
  }
}

// Signed here and published, so that it can be looked at before it is mined.
function mined(...args) {
  const raw = cast('mktx', ...args);
  const hash = cast('publish', '--async', raw);
  const pending = rpc('eth_getTransactionByHash', hash);
  const early = rpc('eth_getTransactionReceipt', hash);
  mine();
  const receipt = seen('receipt', hash);
  return {
    pending,
    early,
    receipt,
    transaction: seen('tx', hash),
    decoded: seen('decode-transaction', raw),
    block: seen('block', String(Number(receipt.blockNumber))),
  };
}

function reads() {
  document.identity = {
    chainId: cast('chain-id'),
    height: cast('block-number'),
    balance: cast('balance', address(alice)),
    nonce: cast('nonce', address(alice)),
    code: cast('code', address(alice)),
    gasPrice: cast('gas-price'),
    baseFee: cast('base-fee'),
  };
  document.genesis = seen('block', '0');
  document.nothing = { block: refused('block', '9999'), transaction: refused('tx', story.nowhere) };
}

function transactions() {
  const priced = ['--legacy', '--gas-price', story.gasPrice];
  document.legacy = mined(to, '--value', value, '--gas-limit', '21000', '--private-key', alice, ...priced);
  const access = JSON.stringify([{ address: to, storageKeys: [story.topic] }]);
  document.eip2930 = mined(to, '--value', value, '--gas-limit', '30000', '--private-key', alice, '--access-list', access, ...fees);
  document.deployed = mined('--gas-limit', '200000', '--private-key', alice, ...fees, '--create', story.contract);
  const contract = document.deployed.receipt.contractAddress;
  document.before = {
    called: cast('call', contract, story.word, '--from', address(alice)),
    estimated: cast('estimate', contract, story.word, '--from', address(alice)),
    stored: cast('storage', contract, '0'),
    code: cast('code', contract),
    codeSize: cast('codesize', contract),
  };
  document.called = mined(contract, story.word, '--gas-limit', '100000', '--private-key', alice, ...fees);
  document.after = {
    stored: cast('storage', contract, '0'),
    storedBefore: cast('storage', contract, '0', '--block', String(Number(document.called.receipt.blockNumber) - 1)),
    logs: seen('logs', '--from-block', '0', '--address', contract, story.topic),
    noLogs: seen('logs', '--from-block', '0', '--address', contract, story.otherTopic),
    proof: seen('proof', contract, story.slot),
    implementation: cast('nonce', contract),
    receiverBalance: cast('balance', to),
    senderBalance: cast('balance', address(alice)),
    age: cast('find-block', '1') !== '',
  };
}

function refusals(contract) {
  const plain = [to, '--async', '--gas-limit', '21000', ...fees];
  // No receipt is waited for: whoever takes what should be refused shows it by a hash.
  const known = cast('mktx', to, '--gas-limit', '21000', ...fees, '--nonce', '0', '--private-key', bob);
  cast('publish', '--async', known);
  const dearer = ['--gas-price', String((BigInt(story.maxFee) * 105n) / 100n), '--priority-gas-price', story.tip];
  document.refused = {
    nonceTooLow: refused('send', ...plain, '--nonce', '0', '--private-key', alice),
    insufficientFunds: refused('send', ...plain, '--value', value, '--private-key', pauper),
    alreadyKnown: refused('publish', '--async', known),
    underpriced: refused('send', to, '--async', '--gas-limit', '21000', ...dearer, '--nonce', '0', '--private-key', bob),
    intrinsicGas: refused('send', to, '--async', ...fees, '--gas-limit', '20999', '--private-key', alice),
    callReverted: refused('call', contract),
    estimateReverted: refused('estimate', contract, '--from', address(alice)),
    unknownMethod: refused('rpc', 'eth_nothing'),
    badAddress: refused('rpc', 'eth_getBalance', '0x12', 'latest'),
    futureState: refused('balance', to, '--block', '9999'),
  };
  // A replacement that pays enough.
  const twice = (wei) => String(BigInt(wei) * 2n);
  const enough = ['--gas-price', twice(story.maxFee), '--priority-gas-price', twice(story.tip)];
  cast('send', to, '--async', '--gas-limit', '21000', ...enough, '--nonce', '0', '--private-key', bob);
  mine();
  document.replaced = seen('block', 'latest');
}

// Everything that the program fills in by itself.
function unaided() {
  const hash = cast('send', to, '--value', value, '--private-key', carol, '--async');
  mine();
  const receipt = seen('receipt', hash);
  document.unaided = { type: receipt.type, gasUsed: receipt.gasUsed, status: receipt.status };
}

function blobs() {
  const folder = mkdtempSync(join(tmpdir(), 'story-'));
  const path = join(folder, 'blob');
  writeFileSync(path, story.blob);
  const blob = ['--blob', '--path', path, '--blob-gas-price', story.maxBlobFee];
  const hash = cast('send', to, '--gas-limit', '21000', ...fees, ...blob, '--private-key', carol, '--async');
  mine();
  document.blob = { receipt: seen('receipt', hash), transaction: rpc('eth_getTransactionByHash', hash) };
  document.refused.oldSidecar = refused('send', to, '--gas-limit', '21000', ...fees, ...blob, '--eip4844', '--private-key', carol, '--async');
  rmSync(folder, { recursive: true });
}

reads();
transactions();
refusals(document.deployed.receipt.contractAddress);
unaided();
blobs();
print(document);
