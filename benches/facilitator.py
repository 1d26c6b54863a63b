#!/usr/bin/env python3
"""Facilitators as processes, each beside a node of its own (anvil): ours, x402-rs, and those of the
official SDKs for TypeScript and Python.

    facilitator.py verify   verdicts per second
    facilitator.py settle   verdict and settlement per second, on a node that makes a block for each
                            transaction, on one that answers when the transaction is in its block, and
                            on one with a block every 100 ms

$X402 names the program, $PEERS the folder with `load`, `inclusion` and `x402_rs` (benches/peers, built
for release), $PYTHON an interpreter that has tests/interop/requirements.txt; tests/interop has the node
and the SDK for TypeScript. What is measured goes to results/facilitator.json, which the table reads.

$CONNECTIONS (1,8,32), $SECONDS (10), $ROUNDS (3), $ONLY and $MODES (names, by semicolon) say how much of it.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from running import Processes, busy, free_port

HERE = Path(__file__).parent
ROOT = HERE.parent
X402, PEERS = os.environ["X402"], Path(os.environ["PEERS"])
PYTHON = os.environ.get("PYTHON", "python3")
CONNECTIONS = [int(count) for count in os.environ.get("CONNECTIONS", "1,8,32").split(",")]
SECONDS = os.environ.get("SECONDS", "10")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
ONLY = os.environ.get("ONLY")
LIMIT = 60

NETWORK = "eip155:84532"
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
# The first of the node's accounts, unlocked, owns the token; the third pays the gas.
OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SETTLER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
# What x402-rs looks for when it starts; no plain EIP-3009 payment comes near them.
BESIDE = {
    "0x000000000022D473030F116dDEE9F6B43aC78BA3": "Permit2",
    "0x402085c248EeA27D92E8b30b2C58ed07f9E20001": "ExactProxy",
    "0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B": "ExactProxy",
}
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"

MODES = {
    "automine": ([], False),
    "automine, answered in a block": ([], True),
    "100 ms blocks": (["--block-time", "0.1"], False),
}


def anvil():
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "amd64"
    folder = f"anvil-{sys.platform}-{machine}"
    return ROOT / "tests/interop/node_modules/@foundry-rs" / folder / "bin/anvil"


class Node:
    """A fresh chain that stands for Base Sepolia, with the token of tests/contracts at USDC's address."""

    def __init__(self, processes, options):
        self.port = free_port()
        command = [str(anvil()), "--port", str(self.port), "--chain-id", "84532", *options]
        self.process = processes.start(command, self.port)
        bytecode = ROOT / "x402-std/src/devnet/bytecode"
        code = (bytecode / "Token.creation.hex").read_text().strip().removeprefix("0x")
        deployed = self.sent({"data": f"0x{code}{constructor('USDC', 'USDC', '2', 6)}"})
        deployed = deployed["contractAddress"]
        self.ask("anvil_setCode", USDC, self.ask("eth_getCode", deployed, "latest"))
        for slot in range(16):
            value = self.ask("eth_getStorageAt", deployed, hex(slot), "latest")
            self.ask("anvil_setStorageAt", USDC, f"0x{slot:064x}", value)
        multicall = (bytecode / "Multicall3.runtime.hex").read_text().strip()
        self.ask("anvil_setCode", MULTICALL3, f"0x{multicall.removeprefix('0x')}")
        for address, name in BESIDE.items():
            code = (ROOT / f"tests/contracts/bytecode/{name}.runtime.hex").read_text().strip()
            self.ask("anvil_setCode", address, f"0x{code}")
        payers = subprocess.run([PEERS / "load"], capture_output=True, text=True, check=True)
        # mint(address,uint256)
        minted = [f"0x40c10f19{word(payer)}{10**12:064x}" for payer in payers.stdout.split()]
        hashes = [self.send({"to": USDC, "data": data}) for data in minted]
        assert all(self.receipt(known)["status"] == "0x1" for known in hashes)

    def ask(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}", body.encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer = json.load(answer)
        if "error" in answer:
            sys.exit(f"{method}: {answer['error']}")
        return answer["result"]

    def send(self, transaction):
        return self.ask("eth_sendTransaction", {"from": OWNER, "gas": "0x989680", **transaction})

    def receipt(self, known):
        for _ in range(LIMIT * 100):
            if receipt := self.ask("eth_getTransactionReceipt", known):
                return receipt
            time.sleep(0.01)
        sys.exit(f"no receipt of {known}")

    def sent(self, transaction):
        return self.receipt(self.send(transaction))

    def received(self):
        """What the payee has, in atomic units."""
        call = {"to": USDC, "data": f"0x70a08231{word(PAY_TO)}"}
        return int(self.ask("eth_call", call, "latest"), 16)


def word(address):
    return address.removeprefix("0x").lower().rjust(64, "0")


def constructor(name, symbol, version, decimals):
    """ABI of (string, string, string, uint8), for texts of at most 31 bytes."""
    head = "".join(f"{number:064x}" for number in (0x80, 0xC0, 0x100, decimals))
    texts = (f"{len(text):064x}{text.encode().hex():0<64}" for text in (name, symbol, version))
    return head + "".join(texts)


def ours(processes, rpc, port, options):
    folder = Path(tempfile.mkdtemp(prefix="x402-bench-"))
    key = folder / "settler.key"
    key.write_text(SETTLER_KEY)
    key.chmod(0o600)
    config = folder / "facilitator.yaml"
    chain = f'{{network: base-sepolia, rpc: "http://127.0.0.1:{rpc}", key_file: {key}, assets: [USDC]}}'
    ledger = os.environ.get("LEDGER", f"{folder}/ledger.redb")
    lines = [f"listen: 127.0.0.1:{port}", f"ledger: {ledger}", *options, "chains:", f"  - {chain}"]
    config.write_text("\n".join(lines) + "\n")
    command = [X402, "facilitator", "--config", str(config)]
    return processes.start(command, port, {"X402_LOG": os.environ.get("X402_LOG", "error")})


def peer(command, **more):
    def start(processes, rpc, port):
        url = f"http://127.0.0.1:{rpc}"
        environment = {"PORT": str(port), "RPC_URL": url, "PRIVATE_KEY": SETTLER_KEY}
        environment |= {"NETWORK": NETWORK, **more}
        return processes.start([str(part) for part in command], port, environment)

    return start


def own(*options):
    return lambda processes, rpc, port: ours(processes, rpc, port, options)


SDK = ROOT / "tests/interop/facilitators/core.mjs"
OURS = {"x402": own(), "x402, one by one": own("max_batch: 1")}
THEIRS = {
    "x402-rs 2.0.2": peer([PEERS / "x402_rs"]),
    "@x402/evm 2.27.0, viem's nonce manager": peer(["node", SDK], POLL="", NONCES="1"),
    "x402 2.25.0 (Python)": peer([PYTHON, HERE / "peers/facilitator_sdk.py"]),
}
# The same with a receipt asked for more often than they would on such a chain.
IMPATIENT = {
    "x402-rs 2.0.2, receipts every 50 ms": peer([PEERS / "x402_rs"], POLL="50"),
    "@x402/evm 2.27.0, receipts every 50 ms": peer(["node", SDK], POLL="50", NONCES="1"),
}


def measure(what, start, mode, connections):
    options, is_included = MODES[mode]
    with Processes() as processes:
        node = Node(processes, options)
        rpc = node.port
        if is_included:
            rpc = free_port()
            processes.start([str(PEERS / "inclusion"), str(rpc), str(node.port)], rpc)
        port = free_port()
        server = start(processes, rpc, port)
        load = [str(PEERS / "load"), what, f"127.0.0.1:{port}", str(connections)]
        # What is done once is done before: connections, code that is compiled when it is needed.
        subprocess.run([*load, "1"], capture_output=True, check=True, timeout=LIMIT * 5)
        before, received = [busy(server), busy(node.process)], node.received()
        command = [*load, SECONDS]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
        seen = json.loads(done.stdout)
        after = [busy(server), busy(node.process)]
        answered = max(seen["answered"], 1)
        server, chain = ((now - then) / answered * 1e6 for now, then in zip(after, before))
        if node.received() - received != seen["moved"]:
            seen["example"] = f"{node.received() - received} moved, not {seen['moved']}"
            seen["failed"] += 1
        return {**seen, "cpu": server, "node": chain}


def run(what, facilitators, modes):
    """All of them in turn, so many rounds; the median of each."""
    facilitators = {name: s for name, s in facilitators.items() if not ONLY or name in ONLY.split(";")}
    rows = []
    for mode in modes:
        for connections in CONNECTIONS:
            seen = {name: [] for name in facilitators}
            for _ in range(ROUNDS):
                for name, start in facilitators.items():
                    one = measure(what, start, mode, connections)
                    print(mode, connections, name, json.dumps(one), file=sys.stderr, flush=True)
                    seen[name].append(one)
            for name, all_of_it in seen.items():
                middle = {key: median(one[key] for one in all_of_it) for key in ("rate", "cpu", "node", "p50")}
                failed = sum(one["failed"] for one in all_of_it)
                rows.append({"mode": mode, "connections": connections, "name": name, "peer": name in THEIRS, "failed": failed, **middle})
    return rows


def show(rows):
    print("| | connections | per second | µs of a processor each | of the node | failed |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        what = f"{row['mode']}: {row['name']}"
        figures = [f"{row[key]:,.0f}" for key in ("connections", "rate", "cpu", "node", "failed")]
        print(f"| {what} | {' | '.join(figures)} |")


def keep(what, rows):
    """Beside what was measured before, each in its place."""
    file = HERE / "results/facilitator.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    of = lambda row: (row["mode"], row["connections"], row["name"])
    known = {of(row): row for row in kept.get(what, [])}
    for row in rows:
        known[of(row)] = {k: round(v, 1) if isinstance(v, float) else v for k, v in row.items()}
    file.write_text(json.dumps({**kept, what: list(known.values())}, indent=1) + "\n")


def main():
    what = sys.argv[1]
    if what == "verify":
        rows = run(what, {"x402": OURS["x402"], **THEIRS}, ["automine"])
    else:
        modes = os.environ["MODES"].split(";") if "MODES" in os.environ else list(MODES)
        rows = run(what, OURS | THEIRS | IMPATIENT, modes)
    show(rows)
    keep(what, rows)


if __name__ == "__main__":
    main()
