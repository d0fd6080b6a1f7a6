// The story through viem. Usage: CLIENTS=folder node with_viem.mjs URL METHOD-THAT-MINES
import { load, mineMethod, print, story, url } from './document.mjs';

const { createPublicClient, createWalletClient, defineChain, http, keccak256 } = load('viem');
const { privateKeyToAccount } = load('viem/accounts');
const chain = defineChain({
  id: story.chainId,
  name: 'development',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const transport = http(url);
const client = createPublicClient({ chain, transport, cacheTime: 0 });
const [alice, bob, carol, pauper] = story.keys.map((key) =>
  createWalletClient({ account: privateKeyToAccount(key), chain, transport }));
const maxFeePerGas = BigInt(story.maxFee);
const maxPriorityFeePerGas = BigInt(story.tip);
const value = BigInt(story.value);
const to = story.receiver;
const fees = { type: 'eip1559', maxFeePerGas, maxPriorityFeePerGas };
const document = {};

const mine = () => client.request({ method: mineMethod, params: [] });

// The classes that the library makes of a refusal, outermost first, and what it was told.
async function refused(attempt) {
  try {
    return { unexpected: await attempt() };
  } catch (error) {
    const classes = [];
    let told;
    for (let at = error; at; at = at.cause) {
      if (at.name) classes.push(at.name);
      if (typeof at.code === 'number') told = at;
    }
    return { classes, code: told?.code, message: told?.message?.startsWith('{') ? undefined : told?.details ?? told?.message, data: told?.data };
  }
}

async function mined(wallet, request) {
  const nonce = await client.getTransactionCount({ address: wallet.account.address });
  const hash = await wallet.sendTransaction({ nonce, ...request });
  const pending = await client.getTransaction({ hash });
  const early = await refused(() => client.getTransactionReceipt({ hash }));
  const nonces = [];
  for (const blockTag of ['latest', 'pending']) {
    nonces.push(await client.getTransactionCount({ address: wallet.account.address, blockTag }));
  }
  await mine();
  const receipt = await client.getTransactionReceipt({ hash });
  return {
    pending,
    early,
    nonces,
    receipt,
    transaction: await client.getTransaction({ hash }),
    byIndex: await client.getTransaction({ blockNumber: receipt.blockNumber, index: 0 }),
    block: await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true }),
    confirmations: await client.getTransactionConfirmations({ hash }),
  };
}

async function reads() {
  const address = alice.account.address;
  document.identity = {
    chainId: await client.getChainId(),
    version: await client.request({ method: 'net_version' }),
    height: await client.getBlockNumber(),
    balance: await client.getBalance({ address }),
    nonce: await client.getTransactionCount({ address }),
    code: await client.getCode({ address }),
  };
  document.genesis = await client.getBlock({ blockNumber: 0n });
  document.nothing = {
    block: await refused(() => client.getBlock({ blockNumber: 9999n })),
    transaction: await refused(() => client.getTransaction({ hash: story.nowhere })),
    receipt: await refused(() => client.getTransactionReceipt({ hash: story.nowhere })),
  };
}

async function transactions() {
  document.legacy = await mined(alice, { type: 'legacy', to, value, gasPrice: BigInt(story.gasPrice), gas: 21_000n });
  const accessList = [{ address: to, storageKeys: [story.topic] }];
  document.eip2930 = await mined(alice, { type: 'eip2930', to, value, accessList, gasPrice: BigInt(story.gasPrice), gas: 30_000n });
  document.deployed = await mined(alice, { ...fees, data: story.contract, gas: 200_000n });
  const address = document.deployed.receipt.contractAddress;
  document.history = await client.getFeeHistory({ blockCount: 2, blockNumber: 3n, rewardPercentiles: [10, 90] });

  const filter = await client.createEventFilter({ address });
  const blocks = await client.createBlockFilter();
  const slot = story.slot;
  const call = { account: alice.account, to: address, data: story.word };
  document.before = {
    called: await client.call(call),
    estimated: await client.estimateGas(call),
    stored: await client.getStorageAt({ address, slot }),
    code: await client.getCode({ address }),
  };
  document.called = await mined(alice, { ...fees, to: address, data: story.word, gas: 100_000n });
  document.after = {
    stored: await client.getStorageAt({ address, slot }),
    storedBefore: await client.getStorageAt({ address, slot, blockNumber: document.called.receipt.blockNumber - 1n }),
    logs: await client.getLogs({ address, fromBlock: 0n, toBlock: 'latest' }),
    changes: await client.getFilterChanges({ filter }),
    noChanges: await client.getFilterChanges({ filter }),
    newBlocks: await client.getFilterChanges({ filter: blocks }),
    uninstalled: await client.uninstallFilter({ filter }),
    proof: await client.getProof({ address, storageKeys: [slot] }),
    count: await client.getBlockTransactionCount(),
    senderBalance: await client.getBalance({ address: alice.account.address }),
    receiverBalance: await client.getBalance({ address: to }),
  };
}

async function refusals(contract) {
  const plain = { ...fees, to, gas: 21_000n };
  const known = await bob.signTransaction({ ...plain, nonce: 0 });
  await client.sendRawTransaction({ serializedTransaction: known });
  const nonce = await client.getTransactionCount({ address: alice.account.address });
  document.refused = {
    nonceTooLow: await refused(() => alice.sendTransaction({ ...plain, nonce: 0 })),
    insufficientFunds: await refused(() => pauper.sendTransaction({ ...plain, value, nonce: 0 })),
    alreadyKnown: await refused(() => client.sendRawTransaction({ serializedTransaction: known })),
    underpriced: await refused(() => bob.sendTransaction({ ...plain, nonce: 0, maxFeePerGas: (maxFeePerGas * 105n) / 100n })),
    intrinsicGas: await refused(() => alice.sendTransaction({ ...plain, nonce, gas: 20_999n })),
    nonsense: await refused(() => client.sendRawTransaction({ serializedTransaction: '0x02c0' })),
    callReverted: await refused(() => client.call({ to: contract })),
    estimateReverted: await refused(() => client.estimateGas({ account: alice.account, to: contract })),
    callUnaffordable: await refused(() => client.call({ account: pauper.account, to, value })),
    unknownMethod: await refused(() => client.request({ method: 'eth_nothing' })),
    badAddress: await refused(() => client.request({ method: 'eth_getBalance', params: ['0x12', 'latest'] })),
    futureState: await refused(() => client.getBalance({ address: to, blockNumber: 9999n })),
  };
  // A replacement that pays enough.
  await bob.sendTransaction({ ...plain, nonce: 0, maxFeePerGas: maxFeePerGas * 2n, maxPriorityFeePerGas: maxPriorityFeePerGas * 2n });
  await mine();
  document.replaced = {
    old: await refused(() => client.getTransactionReceipt({ hash: keccak256(known) })),
    block: await client.getBlock(),
  };
}

// Everything that the library fills in by itself.
async function unaided() {
  const hash = await carol.sendTransaction({ to, value });
  await mine();
  const receipt = await client.waitForTransactionReceipt({ hash });
  document.unaided = { type: receipt.type, gasUsed: receipt.gasUsed, status: receipt.status };
}

// This version of viem wraps blobs as before Osaka, and a node with Osaka's rules refuses them.
async function blobs() {
  // The zero polynomial's commitment and proof are the point at infinity: no arithmetic is needed for a true one.
  const infinity = new Uint8Array(48);
  infinity[0] = 0xc0;
  const kzg = { blobToKzgCommitment: () => infinity, computeBlobKzgProof: () => infinity };
  // Signed and sent apart: sendTransaction would have the node fill in what is missing, at which anvil 1.7.1 crashes.
  const serializedTransaction = await carol.signTransaction({
    ...fees, type: 'eip4844', to, blobs: [new Uint8Array(131_072)], kzg, gas: 21_000n, nonce: 1, maxFeePerBlobGas: BigInt(story.maxBlobFee),
  });
  document.refused.oldSidecar = await refused(() => client.sendRawTransaction({ serializedTransaction }));
}

await reads();
await transactions();
await refusals(document.deployed.receipt.contractAddress);
await unaided();
await blobs();
print(document);
