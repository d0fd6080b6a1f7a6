// The story through ethers. Usage: CLIENTS=folder node with_ethers.mjs URL METHOD-THAT-MINES
import { blobOf, load, mineMethod, print, story, url } from './document.mjs';

const { JsonRpcProvider, Transaction, Wallet, concat, hexlify } = load('ethers');
// Never the answer of a moment ago.
const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1 });
const wallets = story.keys.map((key) => new Wallet(key, provider));
const [alice, bob, carol, pauper] = wallets;
const maxFeePerGas = BigInt(story.maxFee);
const maxPriorityFeePerGas = BigInt(story.tip);
const value = BigInt(story.value);
const to = story.receiver;
const fees = { type: 2, maxFeePerGas, maxPriorityFeePerGas };
const document = {};

const mine = () => provider.send(mineMethod, []);

// What the library makes of a refusal, and what it was told.
async function refused(attempt) {
  try {
    return { unexpected: await attempt() };
  } catch (error) {
    const told = error.info?.error ?? error.error ?? {};
    return { class: error.code, reason: error.reason, data: error.data, code: told.code, message: told.message };
  }
}

async function mined(wallet, request) {
  const { hash } = await wallet.sendTransaction(request);
  const pending = (await provider.getTransaction(hash)).toJSON();
  const early = await provider.getTransactionReceipt(hash);
  const nonces = [await wallet.getNonce('latest'), await wallet.getNonce('pending')];
  await mine();
  const receipt = await provider.getTransactionReceipt(hash);
  return {
    pending,
    early,
    nonces,
    receipt: receipt.toJSON(),
    raw: await provider.send('eth_getTransactionReceipt', [hash]),
    transaction: (await provider.getTransaction(hash)).toJSON(),
    byIndex: await provider.send('eth_getTransactionByBlockHashAndIndex', [receipt.blockHash, '0x0']),
    block: (await provider.getBlock(receipt.blockNumber, true)).toJSON(),
  };
}

async function reads() {
  const network = await provider.getNetwork();
  document.identity = {
    chainId: network.chainId,
    version: await provider.send('net_version', []),
    syncing: await provider.send('eth_syncing', []),
    height: await provider.getBlockNumber(),
    balance: await provider.getBalance(alice),
    nonce: await alice.getNonce(),
    code: await provider.getCode(alice),
  };
  document.genesis = (await provider.getBlock(0)).toJSON();
  document.nothing = {
    block: await provider.getBlock(9999),
    blockByHash: await provider.getBlock(story.nowhere),
    transaction: await provider.getTransaction(story.nowhere),
    receipt: await provider.getTransactionReceipt(story.nowhere),
  };
}

async function transactions() {
  document.legacy = await mined(alice, { type: 0, to, value, gasPrice: BigInt(story.gasPrice), gasLimit: 21_000 });
  const accessList = [{ address: to, storageKeys: [story.topic] }];
  document.eip2930 = await mined(alice, { type: 1, to, value, accessList, gasPrice: BigInt(story.gasPrice), gasLimit: 30_000 });
  document.deployed = await mined(alice, { ...fees, data: story.contract, gasLimit: 200_000 });
  const contract = document.deployed.receipt.contractAddress;

  const filter = { address: contract, topics: [story.topic] };
  const installed = await provider.send('eth_newFilter', [filter]);
  const blocks = await provider.send('eth_newBlockFilter', []);
  const call = { from: alice.address, to: contract, data: story.word };
  document.before = {
    called: await provider.call(call),
    estimated: await provider.estimateGas(call),
    stored: await provider.getStorage(contract, 0),
    code: await provider.getCode(contract),
  };
  document.called = await mined(alice, { ...fees, to: contract, data: story.word, gasLimit: 100_000 });
  document.after = {
    stored: await provider.getStorage(contract, 0),
    storedBefore: await provider.getStorage(contract, 0, document.called.receipt.blockNumber - 1),
    logs: (await provider.getLogs({ ...filter, fromBlock: 0, toBlock: 'latest' })).map((log) => log.toJSON()),
    noLogs: await provider.getLogs({ address: contract, topics: [story.otherTopic], fromBlock: 0 }),
    changes: await provider.send('eth_getFilterChanges', [installed]),
    noChanges: await provider.send('eth_getFilterChanges', [installed]),
    newBlocks: await provider.send('eth_getFilterChanges', [blocks]),
    uninstalled: await provider.send('eth_uninstallFilter', [installed]),
    proof: await provider.send('eth_getProof', [contract, [story.slot], 'latest']),
    receipts: await provider.send('eth_getBlockReceipts', ['latest']),
    senderBalance: await provider.getBalance(alice),
    receiverBalance: await provider.getBalance(to),
  };
  document.tags = {};
  for (const tag of ['earliest', 'finalized', 'safe', 'latest', 'pending']) {
    document.tags[tag] = (await provider.send('eth_getBlockByNumber', [tag, false])) !== null;
  }
  document.latest = await provider.send('eth_getBlockByNumber', ['latest', true]);
}

async function refusals(contract) {
  const plain = { ...fees, to, gasLimit: 21_000 };
  const known = await bob.signTransaction({ ...plain, chainId: story.chainId, nonce: 0 });
  await provider.broadcastTransaction(known);
  document.refused = {
    nonceTooLow: await refused(() => alice.sendTransaction({ ...plain, nonce: 0 })),
    insufficientFunds: await refused(() => pauper.sendTransaction({ ...plain, value, nonce: 0 })),
    alreadyKnown: await refused(() => provider.broadcastTransaction(known)),
    underpriced: await refused(() => bob.sendTransaction({ ...plain, nonce: 0, maxFeePerGas: (maxFeePerGas * 105n) / 100n })),
    intrinsicGas: await refused(() => alice.sendTransaction({ ...plain, gasLimit: 20_999 })),
    wrongChain: await refused(async () => provider.broadcastTransaction(
      await alice.signTransaction({ ...plain, chainId: 1, nonce: await alice.getNonce() }))),
    nonsense: await refused(() => provider.send('eth_sendRawTransaction', ['0x02c0'])),
    callReverted: await refused(() => provider.call({ to: contract })),
    estimateReverted: await refused(() => provider.estimateGas({ from: alice.address, to: contract })),
    callUnaffordable: await refused(() => provider.call({ from: pauper.address, to, value })),
    unknownMethod: await refused(() => provider.send('eth_nothing', [])),
    badAddress: await refused(() => provider.send('eth_getBalance', ['0x12', 'latest'])),
    futureState: await refused(() => provider.getBalance(alice.address, 9999)),
    badRange: await refused(() => provider.send('eth_getLogs', [{ fromBlock: '0x3', toBlock: '0x1' }])),
  };
  // A replacement that pays enough.
  await bob.sendTransaction({ ...plain, nonce: 0, maxFeePerGas: maxFeePerGas * 2n, maxPriorityFeePerGas: maxPriorityFeePerGas * 2n });
  await mine();
  document.replaced = {
    old: await provider.getTransactionReceipt(Transaction.from(known).hash),
    block: (await provider.getBlock('latest')).toJSON(),
  };
}

// Everything that the library fills in by itself.
async function unaided() {
  const response = await carol.sendTransaction({ to, value });
  await mine();
  const receipt = await response.wait();
  document.unaided = { type: response.type, gasLimit: response.gasLimit, gasUsed: receipt.gasUsed, status: receipt.status };
}

async function blobs() {
  const kzg = await load('kzg-wasm').loadKZG();
  const data = hexlify(blobOf(story.blob));
  const commitment = kzg.blobToKZGCommitment(data);
  const proof = concat(kzg.computeCellsAndKZGProofs(data).proofs);
  const blob = { data, commitment, proof };
  const tx = { ...fees, type: 3, to, gasLimit: 21_000, maxFeePerBlobGas: BigInt(story.maxBlobFee) };
  document.blob = await mined(carol, { ...tx, blobs: [blob], blobWrapperVersion: 1 });
  document.refused.oldSidecar = await refused(() => carol.sendTransaction({ ...tx, blobs: [blobOf(story.blob)], kzg }));
}

await reads();
await transactions();
await refusals(document.deployed.receipt.contractAddress);
await unaided();
await blobs();
print(document);
provider.destroy();
