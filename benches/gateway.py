#!/usr/bin/env python3
"""The gateway as a process: paid requests, and what more work costs.

    gateway.py paid     paid requests per second, settled later, with a ledger in a file, over 32 and 128
                        connections: results/paid.md, which the table shows
    gateway.py growth   memory, and time on a processor, by routes, by connections and by payments in
                        the ledger; the plots are results/memory.svg and results/time.svg

$X402 names the program, $PEERS the folder with `paid` and `ledger` (benches/peers, built for release).
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from running import Processes, busy, free_port, resident

X402 = os.environ["X402"]
HERE = Path(__file__).parent
# The first account of the development chain, which has the gas.
SETTLER = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


class Shop(Processes):
    """A development chain, a server behind, and the gateway."""

    def __init__(self, folder, routes):
        super().__init__()
        self.folder = folder
        chain, self.port = free_port(), free_port()
        self.start([X402, "devnet", "--port", str(chain)], chain)
        upstream = "127.0.0.1:1"
        if peers := os.environ.get("PEERS"):
            behind = subprocess.Popen([f"{peers}/paid", "--upstream"], stdout=subprocess.PIPE, text=True)
            self.all.append(behind)
            upstream = behind.stdout.readline().strip()
        key = folder / "settler.key"
        key.write_text(SETTLER)
        key.chmod(0o600)
        config = folder / "x402.yaml"
        config.write_text(f"""
listen: 127.0.0.1:{self.port}
upstream: http://{upstream}
pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
network: ethereum
asset: USDC
chain: {{rpc: "http://127.0.0.1:{chain}", key_file: {key}}}
ledger: {folder}/x402.redb
later: {{max_batch: 100, max_delay: 1, max_owed: "100000"}}
routes:
  - {{path: /paid, settle: later, pricing: {{model: "per_request", amount: "0.0001", currency: "USDC"}}}}
  - {{path: /health, pricing: free}}
{routes}""")
        serve = [X402, "serve", "--config", str(config), "--allow-dev-key"]
        self.gateway = self.start(serve, self.port, {"X402_LOG": "error"})

    def memory(self):
        return resident(self.gateway)

    def busy(self):
        return busy(self.gateway)

    def __exit__(self, *rest):
        super().__exit__(*rest)
        shutil.rmtree(self.folder)


def shop(routes=""):
    folder = tempfile.mkdtemp(prefix="x402-bench-")
    return Shop(Path(folder), routes)


RUNS = 3


def paid():
    count = sys.argv[2] if len(sys.argv) > 2 else "5000"
    rows = ["| paid requests, settled later | per second | p99, ms | µs of the gateway each |", "|---|---:|---:|---:|"]
    for connections in ("32", "128"):
        best = max(runs(count, connections), key=lambda run: run["rate"])
        rows.append(f"| {connections} connections | {best['rate']:,} | {best['p99']:.0f} | {best['us']:.0f} |")
    (HERE / "results/paid.md").write_text("\n".join(rows) + "\n")
    print(*rows, sep="\n")


def runs(count, connections):
    with shop() as open_shop:
        address = f"127.0.0.1:{open_shop.port}"
        command = [f"{os.environ['PEERS']}/paid", address, count, connections]
        for _ in range(RUNS):
            before = open_shop.busy()
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
            run = json.loads(done.stdout)
            if run["failed"]:
                sys.exit(f"{run['failed']} payments were not served")
            run["us"] = (open_shop.busy() - before) / int(count) * 1e6
            print(run, f"{open_shop.memory():.1f} MB", file=sys.stderr)
            yield run


def route(index):
    pricing = '{model: "per_request", amount: "0.01", currency: "USDC"}'
    return f"  - {{path: /route/{index}, pricing: {pricing}}}\n"


def connect(port):
    return socket.create_connection(("127.0.0.1", port))


def ask(connection, path):
    """Asks without a payment, and reads the 402."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, body = answer.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 402"):
        sys.exit(f"not a 402: {head[:80]!r}")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += connection.recv(65536)


# Requests over which the time of one is taken.
MEASURED = 5000


def cost(open_shop, connections, path):
    """Megabytes, and microseconds of the gateway for a 402."""
    before = open_shop.busy()
    for index in range(MEASURED):
        ask(connections[index % len(connections)], path)
    each = (open_shop.busy() - before) / MEASURED * 1e6
    return open_shop.memory(), each


def by_routes(count):
    with shop("".join(map(route, range(count)))) as open_shop:
        return cost(open_shop, [connect(open_shop.port)], f"/route/{count - 1}")


def by_connections(counts):
    connections = []
    with shop() as open_shop:
        for count in counts:
            while len(connections) < count:
                connections.append(connect(open_shop.port))
                ask(connections[-1], "/paid")
            yield cost(open_shop, connections, "/paid")


def by_payments():
    """What a claim costs, and a process with the ledger alone."""
    with tempfile.TemporaryDirectory(prefix="x402-bench-") as folder:
        command = [f"{os.environ['PEERS']}/ledger", f"{folder}/x402.redb", "1000000"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    rows = map(json.loads, done.stdout.splitlines())
    return [(row["mb"], row["us"]) for row in rows]


def plot(unit, series):
    """Curves over powers of ten, from nothing up, as SVG."""
    top = max(max(values) for _, values in series) * 1.1
    parts, colours = [], ["#1f77b4", "#d62728", "#2ca02c"]
    for (name, values), colour in zip(series, colours):
        last = len(values) - 1
        points = [(60 + 500 * i / last, 260 - 220 * v / top) for i, v in enumerate(values)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        x, y = points[-1]
        parts.append(f'<text x="{x + 5:.0f}" y="{y + 4:.0f}" fill="{colour}">{name}</text>')
    for step in range(5):
        value, y = top * step / 4, 260 - 220 * step / 4
        parts.append(f'<line x1="60" x2="560" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="5" y="{y + 4}">{value:.0f} {unit}</text>')
    labels = enumerate(("1 (10³ payments)", "10 (10⁴)", "100 (10⁵)", "1,000 (10⁶)"))
    parts += [f'<text x="{60 + 500 * i / 3 - 8:.0f}" y="280">{label}</text>' for i, label in labels]
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="300" font-family="sans-serif" font-size="12">'
    return head + '<rect width="760" height="300" fill="white"/>' + "\n".join(parts) + "</svg>\n"


def growth():
    counts = [1, 10, 100, 1000]
    rows = [
        ("402: routes", [by_routes(count) for count in counts]),
        ("402: connections", list(by_connections(counts))),
        ("claim: payments in the ledger", by_payments()),
    ]
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    for index, (name, unit) in enumerate([("memory", "MB"), ("time", "µs")]):
        series = [(row, [both[index] for both in values]) for row, values in rows]
        for row, values in series:
            print(f"{name}, {row}:", *(f"{value:.1f} {unit}" for value in values))
        (results / f"{name}.svg").write_text(plot(unit, series))


if __name__ == "__main__":
    {"paid": paid, "growth": growth}[sys.argv[1]]()
