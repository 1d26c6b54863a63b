#!/usr/bin/env python3
"""From the header of v2 to the verdict, offline, with eth-account. Prints the nanoseconds of one, the
least of many."""

import base64
import json
import time
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_typed_data

FILE = Path(__file__).parent / "../../tests/vectors/sdk.json"
VECTOR = next(v for v in json.loads(FILE.read_text())["vectors"] if v["id"] == "v2-01")
HEADER = VECTOR["outputs"]["header"]["value"]
OFFERED = VECTOR["inputs"]["paymentRequired"]["accepts"][0]
MEMBERS = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
TYPES = {
    "TransferWithAuthorization": [
        dict(zip(("type", "name"), member.split(" "))) for member in MEMBERS.split(",")
    ]
}


def verdict():
    sent = json.loads(base64.b64decode(HEADER))
    accepted, payload = sent["accepted"], sent["payload"]
    terms = payload["authorization"]
    assert all(accepted[key] == OFFERED[key] for key in ("scheme", "network", "amount", "asset"))
    assert terms["to"].lower() == OFFERED["payTo"].lower()
    assert int(terms["value"]) == int(OFFERED["amount"])
    domain = {**accepted["extra"], "chainId": 84532, "verifyingContract": accepted["asset"]}
    numbers = {key: int(terms[key]) for key in ("value", "validAfter", "validBefore")}
    message = {**terms, **numbers, "nonce": bytes.fromhex(terms["nonce"][2:])}
    signable = encode_typed_data(domain, TYPES, message)
    signer = Account.recover_message(signable, signature=payload["signature"])
    assert signer.lower() == terms["from"].lower()


def least(rounds):
    for _ in range(rounds):
        start = time.perf_counter_ns()
        verdict()
        yield time.perf_counter_ns() - start


print(json.dumps({"eth-account": min(least(200))}))
