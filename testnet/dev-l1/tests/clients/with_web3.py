"""The story through web3.py. Usage: python with_web3.py URL METHOD-THAT-MINES"""

import json
import pathlib
import sys

from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3RPCError

story = json.loads((pathlib.Path(__file__).parent / "story.json").read_text())
url, mine_method = sys.argv[1:]
w3 = Web3(HTTPProvider(url))
alice, bob, carol, pauper = (Account.from_key(key) for key in story["keys"])
max_fee, tip, value = (int(story[name]) for name in ("maxFee", "tip", "value"))
to = story["receiver"]
fees = {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": tip, "chainId": story["chainId"]}
document = {}


def mine():
    raw(mine_method)


def raw(method, *params):
    """The answer as it came."""
    answer = w3.provider.make_request(method, list(params))
    if "error" in answer:
        raise Web3RPCError(str(answer["error"]), rpc_response=answer)
    return answer["result"]


def plain(seen):
    if isinstance(seen, (bytes, bytearray)):
        return "0x" + seen.hex()
    if isinstance(seen, (list, tuple)):
        return [plain(inner) for inner in seen]
    if hasattr(seen, "items"):
        return {key: plain(inner) for key, inner in seen.items()}
    # Beyond what every JSON reader takes for a whole number.
    if isinstance(seen, int) and not isinstance(seen, bool) and abs(seen) >= 2**53:
        return str(seen)
    return seen


def refused(attempt):
    """The class that the library makes of a refusal, and what it was told."""
    try:
        return {"unexpected": attempt()}
    except Exception as error:  # whatever the library raises is what is compared
        told = getattr(error, "rpc_response", None) or {}
        told = told.get("error", {})
        return {
            "class": type(error).__name__,
            "code": told.get("code"),
            "message": told.get("message") or getattr(error, "message", None),
            "data": getattr(error, "data", None),
        }


def sign(account, request, blobs=None):
    nonce = w3.eth.get_transaction_count(account.address)
    return account.sign_transaction({"nonce": nonce, **request}, **({"blobs": blobs} if blobs else {})).raw_transaction


def send(account, request, blobs=None):
    return w3.eth.send_raw_transaction(sign(account, request, blobs))


def mined(account, request, blobs=None):
    sent = send(account, request, blobs)
    pending = w3.eth.get_transaction(sent)
    early = refused(lambda: w3.eth.get_transaction_receipt(sent))
    nonces = [w3.eth.get_transaction_count(account.address, tag) for tag in ("latest", "pending")]
    mine()
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=20)
    return {
        "pending": pending,
        "early": early,
        "nonces": nonces,
        "receipt": receipt,
        "transaction": w3.eth.get_transaction(sent),
        "byIndex": w3.eth.get_transaction_by_block(receipt["blockNumber"], 0),
        "raw": raw("eth_getTransactionByHash", "0x" + bytes(sent).hex()),
        "block": w3.eth.get_block(receipt["blockHash"], full_transactions=True),
    }


def reads():
    document["identity"] = {
        "connected": w3.is_connected(),
        "chainId": w3.eth.chain_id,
        "version": w3.net.version,
        "listening": w3.net.listening,
        "syncing": w3.eth.syncing,
        "height": w3.eth.block_number,
        "balance": w3.eth.get_balance(alice.address),
        "nonce": w3.eth.get_transaction_count(alice.address),
        "code": w3.eth.get_code(alice.address),
    }
    document["genesis"] = w3.eth.get_block(0)
    document["nothing"] = {
        "block": refused(lambda: w3.eth.get_block(9999)),
        "transaction": refused(lambda: w3.eth.get_transaction(story["nowhere"])),
        "receipt": refused(lambda: w3.eth.get_transaction_receipt(story["nowhere"])),
    }


def transactions():
    gas_price, chain_id = int(story["gasPrice"]), story["chainId"]
    legacy = {"to": to, "value": value, "gasPrice": gas_price, "gas": 21_000, "chainId": chain_id}
    document["legacy"] = mined(alice, legacy)
    access_list = [{"address": to, "storageKeys": [story["topic"]]}]
    document["eip2930"] = mined(alice, {**legacy, "type": 1, "accessList": access_list, "gas": 30_000})
    document["deployed"] = mined(alice, {**fees, "data": story["contract"], "gas": 200_000, "value": 0})
    contract = document["deployed"]["receipt"]["contractAddress"]
    document["history"] = w3.eth.fee_history(2, 3, [10, 90])

    installed = w3.eth.filter({"address": contract, "topics": [story["topic"]]})
    blocks = w3.eth.filter("latest")
    call = {"from": alice.address, "to": contract, "data": story["word"]}
    document["before"] = {
        "called": w3.eth.call(call),
        "estimated": w3.eth.estimate_gas(call),
        "stored": w3.eth.get_storage_at(contract, 0),
        "code": w3.eth.get_code(contract),
    }
    document["called"] = mined(alice, {**fees, "to": contract, "data": story["word"], "gas": 100_000, "value": 0})
    before = document["called"]["receipt"]["blockNumber"] - 1
    document["after"] = {
        "stored": w3.eth.get_storage_at(contract, 0),
        "storedBefore": w3.eth.get_storage_at(contract, 0, before),
        "logs": w3.eth.get_logs({"address": contract, "fromBlock": 0, "topics": [story["topic"]]}),
        "noLogs": w3.eth.get_logs({"address": contract, "fromBlock": 0, "topics": [story["otherTopic"]]}),
        "changes": installed.get_new_entries(),
        "noChanges": installed.get_new_entries(),
        "all": installed.get_all_entries(),
        "newBlocks": blocks.get_new_entries(),
        "uninstalled": w3.eth.uninstall_filter(installed.filter_id),
        "proof": w3.eth.get_proof(contract, [story["slot"]], "latest"),
        "receipts": w3.eth.get_block_receipts("latest"),
        "senderBalance": w3.eth.get_balance(alice.address),
        "receiverBalance": w3.eth.get_balance(to),
    }
    document["tags"] = {tag: w3.eth.get_block(tag) is not None for tag in ("earliest", "finalized", "safe", "latest")}


def refusals(contract):
    simple = {**fees, "to": to, "gas": 21_000, "value": 0}
    known = sign(bob, {**simple, "nonce": 0})
    w3.eth.send_raw_transaction(known)
    document["refused"] = {
        "nonceTooLow": refused(lambda: send(alice, {**simple, "nonce": 0})),
        "insufficientFunds": refused(lambda: send(pauper, {**simple, "value": value})),
        "alreadyKnown": refused(lambda: w3.eth.send_raw_transaction(known)),
        "underpriced": refused(lambda: send(bob, {**simple, "nonce": 0, "maxFeePerGas": max_fee * 105 // 100})),
        "intrinsicGas": refused(lambda: send(alice, {**simple, "gas": 20_999})),
        "wrongChain": refused(lambda: send(alice, {**simple, "chainId": 1})),
        "nonsense": refused(lambda: w3.eth.send_raw_transaction("0x02c0")),
        "callReverted": refused(lambda: w3.eth.call({"to": contract})),
        "estimateReverted": refused(lambda: w3.eth.estimate_gas({"from": alice.address, "to": contract})),
        "callUnaffordable": refused(lambda: w3.eth.call({"from": pauper.address, "to": to, "value": value})),
        "unknownMethod": refused(lambda: raw("eth_nothing")),
        "badAddress": refused(lambda: raw("eth_getBalance", "0x12", "latest")),
        "futureState": refused(lambda: w3.eth.get_balance(to, 9999)),
    }
    # A replacement that pays enough.
    send(bob, {**simple, "nonce": 0, "maxFeePerGas": max_fee * 2, "maxPriorityFeePerGas": tip * 2})
    mine()
    document["replaced"] = {
        "old": refused(lambda: w3.eth.get_transaction_receipt(Web3.keccak(known))),
        "block": w3.eth.get_block("latest"),
    }


def unaided():
    """Everything that the library fills in by itself."""
    from web3.middleware import SignAndSendRawMiddlewareBuilder

    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(carol), layer=0)
    sent = w3.eth.send_transaction({"from": carol.address, "to": to, "value": value})
    mine()
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=20)
    document["unaided"] = {name: receipt[name] for name in ("type", "gasUsed", "status")}


def blobs():
    blob = (b"\0" + story["blob"].encode()).ljust(131_072, b"\0")
    request = {**fees, "type": 3, "to": to, "gas": 21_000, "value": 0, "maxFeePerBlobGas": int(story["maxBlobFee"])}
    document["blob"] = mined(carol, request, [blob])


reads()
transactions()
refusals(document["deployed"]["receipt"]["contractAddress"])
unaided()
blobs()
print(json.dumps(plain(document), sort_keys=True))
