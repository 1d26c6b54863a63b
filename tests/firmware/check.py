#!/usr/bin/env python3
"""Runs the images in QEMU and holds them to what is promised.

    check.py figures       flash, stack and instructions against budgets.json; the table on stdout
    check.py readme        the same, and puts the table into README.md
    check.py vectors       the known answers on the device's own arithmetic
    check.py suite         every document of JSONTestSuite, and a bounded stack
    check.py logs          what the core's types say in logs, decoded by $DEFMT_PRINT
    check.py panics        who may panic: nobody but the tests' own output
    check.py trade         the images pay, and are paid by, the program that $X402 names

Images are those that `tests/run firmware` builds, in $CARGO_TARGET_DIR.
"""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
TARGET_DIR = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target"))
ARM, RISCV, M0 = "thumbv7em-none-eabi", "riscv32imac-unknown-none-elf", "thumbv6m-none-eabi"
SEMIHOSTING = ["-semihosting-config", "enable=on,target=native"]
QEMU = {
    ARM: ["qemu-system-arm", "-machine", "mps2-an386"],
    RISCV: ["qemu-system-riscv32", "-machine", "virt", "-bios", "none"],
}


# By what stands in brackets behind a name: what is optimised for size alone, or made with C.
PROFILES = {"z": "small", "libsecp256k1": "libsecp", "log": "logged"}


def image(target, name):
    name, _, variant = name.partition(" (")
    return TARGET_DIR / target / PROFILES.get(variant.rstrip(")"), "release") / name


# Where an image looks for 48 random bytes: `RANDOM` of src/board.rs.
RANDOM_AT = {ARM: 0x2100_0000, RISCV: 0x8700_0000}


def randomness(target):
    """What leaves random bytes in the board's memory; odd ones, for a zero means that there are none."""
    for offset in range(0, 48, 8):
        number = int.from_bytes(os.urandom(8), "little") | 1
        yield from ("-device", f"loader,addr={RANDOM_AT[target] + offset:#x},data={number:#x},data-len=8")


def emulator(target, name, serial="none", is_counted=True):
    command = [*QEMU[target], "-nographic", "-monitor", "none", "-serial", serial, *SEMIHOSTING]
    command += randomness(target)
    if is_counted:
        command += ["-icount", "shift=0"]
    return [*command, "-kernel", str(image(target, name))]


def run_for_bytes(target, name):
    """What an image says, which ends with success."""
    command = emulator(target, name)
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        sys.exit(f"{name} on {target} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def run(target, name):
    return run_for_bytes(target, name).decode()


# --- Figures -------------------------------------------------------------------------------------


def flash(elf):
    """The bytes of all sections that are in the image when it is flashed."""
    return sum(length for kind, _, length in sections(elf) if kind != NOBITS)


def ram(elf):
    """The bytes of all sections that are written to, the stack not among them."""
    return sum(length for _, flags, length in sections(elf) if flags & WRITE)


NOBITS, WRITE, ALLOC = 8, 1, 2


def sections(elf):
    """Kind, flags and length of those that are in memory."""
    data = elf.read_bytes()
    (offset,) = struct.unpack_from("<I", data, 32)
    size, count = struct.unpack_from("<HH", data, 46)
    for index in range(count):
        _, kind, flags, _, _, length = struct.unpack_from("<6I", data, offset + index * size)
        if flags & ALLOC:
            yield kind, flags, length


def measured(target, image):
    """Instructions and stack by step."""
    figures, dialect = {}, ""
    for line in run(target, image).splitlines():
        words = line.split()
        if words[0] == "dialect":
            dialect = f" ({words[1]})"
        elif words[0] == "measure":
            figures[words[1] + dialect] = (int(words[2]), int(words[3]))
    return figures


def all_measured(target):
    """As `measured`, of all images that measure."""
    steps = measured(target, "measure") | suite_of(target)
    with_c = "measure (libsecp256k1)"
    if target == ARM:
        others = measured(target, with_c)
        steps |= {f"{name} (libsecp256k1)": value for name, value in others.items()}
    return steps


def above(value, promise):
    """By how much a promise is not kept, where it is not."""
    return f" (+{100 * value // promise - 100} %)" if promise and value > promise else ""


def figures():
    """The table, once every figure is within its budget."""
    budgets = json.loads((HERE / "budgets.json").read_text())
    promised = budgets.pop("promised")
    failures, rows = [], {}
    for column, (target, budget) in enumerate(budgets.items()):
        steps = all_measured(target)
        of_kind = {
            "flash": lambda name: flash(image(target, name)),
            "static RAM": lambda name: ram(image(target, name)),
            "stack": lambda name: steps[name][1],
            "instructions": lambda name: steps[name][0],
        }
        for kind, limits in budget.items():
            for name, limit in limits.items():
                value = of_kind[kind](name)
                promise = promised[kind].get(name) if target == ARM else None
                cells = rows.setdefault((kind, name), [""] * len(budgets))
                cells[column] = f"{value:,}{above(value, promise)}"
                if value > limit:
                    failures.append(f"{target}: {kind}, {name}: {value:,} is above {limit:,}")
    lines = ["| | promised | " + " | ".join(budgets) + " |", "|---|---:|" + "---:|" * len(budgets)]
    for (kind, name), cells in rows.items():
        promise = promised[kind].get(name)
        promise = "" if promise is None else f"{promise:,}"
        lines.append(f"| {kind}, {name} | {promise} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    print(table)
    if failures:
        sys.exit("\n".join(failures))
    return table


def readme():
    path, begin, end = HERE / "../../README.md", "<!-- figures -->\n", "\n<!-- /figures -->"
    head, rest = path.read_text().split(begin)
    _, tail = rest.split(end)
    path.write_text(head + begin + figures() + end + tail)


def vectors():
    for target in QEMU:
        print(f"{target}: {run(target, 'vectors').strip()}")
        parse(target)


def parse(target):
    """The image that reads alone is told what the official SDK sends."""
    sdk = json.loads((HERE / "../vectors/sdk.json").read_text())["vectors"]
    sale = next(vector for vector in sdk if vector["id"] == "v2-03")["outputs"]
    fields = [sale["paymentRequiredHeader"]["value"], sale["header"]["value"]]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serial = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        device = subprocess.Popen(emulator(target, "parse", serial, is_counted=False))
        port, _ = listener.accept()
        with port:
            port.sendall("".join(f"{field}\n" for field in fields).encode())
            if device.wait(timeout=60) != 0:
                sys.exit(f"parse on {target} does not read what the SDK sends")
    print(f"{target}: the offer and the payment of the SDK are read, {len(fields[1])} bytes")


def suite_of(target):
    """The stack that all documents of the suite take, once each was judged rightly."""
    said = run(target, "suite")
    return {"suite": (0, int(re.search(r"suite 316 of 316 stack (\d+)", said)[1]))}


def suite():
    for target in QEMU:
        print(f"{target}: 316 documents are judged rightly, in {suite_of(target)['suite'][1]} bytes of stack")


# --- Logs ----------------------------------------------------------------------------------------

LOGGED = [
    "INFO offers 0.01 USDC on eip155:1 to 0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "WARN refuses: Payment(Missing)",
    "INFO CombSigner(..) signs for 0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "INFO signed: Signature(..)",
    "ERROR does not pay: Policy(Recipient)",
]


def logs():
    frames = run_for_bytes(ARM, "logs (log)")
    elf = image(ARM, "logs (log)")
    command = [os.environ.get("DEFMT_PRINT", "defmt-print"), "--log-format", "{L} {s}", "-e", elf]
    done = subprocess.run(command, input=frames, capture_output=True, timeout=60, check=False)
    lines = [" ".join(line.split()) for line in done.stdout.decode().splitlines()]
    print("\n".join(lines))
    if done.returncode != 0 or lines != LOGGED:
        sys.exit(f"that is not what is to be logged: {done.stderr.decode()}")


# --- Panics --------------------------------------------------------------------------------------

# What is not the core's: the tests' own output.
MAY_PANIC = r"semihosting"


def callers(elf):
    """Who calls core::panicking, and what of it."""
    command = ["llvm-objdump", "-d", "--demangle", "--no-show-raw-insn", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inside = ""
    for line in text.splitlines():
        if begin := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            # Marks between instructions and data have names, too.
            inside = inside if begin[1].startswith("$") else begin[1]
        elif call := re.search(r"\t(?:bl|b|b\.w)\s.*<(.*?)(?:\+0x[0-9a-f]+)?>", line):
            if re.search(r"panic|unwrap_failed|expect_failed|slice_\w*fail", call[1]):
                yield inside, call[1]


def panics():
    # k256's own signing may, which is there to be measured.
    if not any(callers(image(ARM, "measure"))):
        sys.exit("nothing can panic, k256 included: the disassembly is not understood")
    for name in ("buyer", "seller", "both", "buyer-v2", "seller-v2", "both-v2"):
        found = {pair for pair in callers(image(ARM, name)) if pair[0] != pair[1]}
        # What panicking itself is made of is reached from elsewhere only.
        ours = {pair for pair in found if not re.match(rf"core::|__rustc|<core|_\$LT\$.*core\.\.|.*(?:{MAY_PANIC})", pair[0])}
        for caller, how in sorted(ours):
            print(f"{name}: {caller} <- {how}", file=sys.stderr)
        if ours:
            sys.exit(f"{name} may panic")
        print(f"{name}: nothing panics but the tests' own output: {len(found)} calls")


# --- Trade ---------------------------------------------------------------------------------------

INTEROP = HERE / "../interop"
FETCH = INTEROP / "node_modules/@x402/fetch"

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
BUYER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
SETTLER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


class World:
    """A chain, and what runs beside it until the end."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.program = os.environ.get("X402") or sys.exit("X402 does not name the program")
        self.processes, self.gateway = [], None
        chain = self.start([self.program, "devnet", "--port", "0"])
        self.rpc = re.search(r"http://\S+", chain.stdout.readline())[0]

    def start(self, command):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    def call(self, method, *params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.rpc, body, headers)) as answer:
            reply = json.load(answer)
        return reply.get("result")

    def balance(self, owner):
        data = "0x70a08231" + owner[2:].lower().rjust(64, "0")
        return int(self.call("eth_call", {"to": USDC, "data": data}, "latest"), 16)

    def import_lines(self, ledger, lines):
        records = self.file("handed-out", "\n".join(lines))
        command = [self.program, "ledger", "import", records, "--config", self.config(free_port(), 1)]
        return output_of([*command, "--ledger", str(self.folder / ledger)])

    def serve(self):
        """The gateway, before a server that tells the temperature."""
        behind = HERE / "reading.py"
        upstream = self.start([sys.executable, str(behind)])
        port = free_port()
        config = self.config(port, upstream.stdout.readline().strip())
        self.start([self.program, "serve", "--config", config])
        wait_for(port)
        return port

    def config(self, port, upstream):
        """The file of a gateway on a port, before a server on another."""
        text = f"""
listen: 127.0.0.1:{port}
upstream: http://127.0.0.1:{upstream}
pay_to: "{PAYEE}"
network: ethereum
asset: USDC
chain: {{rpc: "{self.rpc}", key_file: {self.file("settler.key", SETTLER_KEY)}}}
ledger: memory
routes:
  - {{path: /reading, pricing: {{model: "per_request", amount: "0.01", currency: "USDC"}}}}
"""
        return self.file("x402.yaml", text)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing listens on port {port}")


def device_buys(world, target, name, dialect, stripped):
    """The serial port of the buyer is a connection to the gateway, through a bridge that strips the 402
    of some fields."""
    bridge, before = Bridge(world.gateway, stripped), world.balance(PAYEE)
    done = output_of(emulator(target, name, f"tcp:127.0.0.1:{bridge.port}", is_counted=False))
    moved = world.balance(PAYEE) - before
    print(f"{target}: {name} buys in {dialect}: {done.stdout.strip()!r}, {moved} units moved")
    if done.returncode != 0 or moved != 10_000 or "21.5" not in done.stdout:
        sys.exit(f"the device did not buy: {done.stderr}")
    if PAID_BY[dialect] not in bridge.paid.lower():
        sys.exit(f"the device did not pay in {dialect}: {bridge.paid}")


# The field by which a payment is known, and those of a 402 without which there is no other dialect.
PAID_BY = {"headers": "x-payment-signature:", "v1": "x-payment:", "v2": "payment-signature:"}
HEADERS, V2 = "x-payment-required:", "payment-required:"


class Bridge:
    """Carries one connection to a server, without some fields of its answers."""

    def __init__(self, port, stripped):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.server, self.stripped = self.listener.getsockname()[1], port, stripped
        self.paid = ""
        threading.Thread(target=self.carry, daemon=True).start()

    def carry(self):
        device, _ = self.listener.accept()
        with device, device.makefile("rb") as requests:
            server = socket.create_connection(("127.0.0.1", self.server))
            with server, server.makefile("rb") as answers:
                while request := head_of(requests):
                    self.paid = "".join(request)
                    server.sendall("".join(request).encode())
                    answer = head_of(answers)
                    kept = [line for line in answer if not line.lower().startswith(self.stripped)]
                    lengths = [line for line in kept if line.lower().startswith("content-length:")]
                    body = answers.read(int(lengths[0].split(":")[1]))
                    device.sendall("".join(kept).encode() + body)


def head_of(stream):
    """The lines of a head, the empty one included."""
    lines = []
    while line := stream.readline().decode():
        lines.append(line)
        if line == "\r\n":
            break
    return lines


def pay(dialect):
    """The program, in a dialect."""

    def buy(world, url):
        key = world.file("buyer.key", BUYER_KEY)
        command = [world.program, "pay", url, "--max", "0.05", "--key-file", key]
        done = output_of([*command, "--dialect", dialect])
        # 6: answered, and the seller names no transaction, for it has no chain.
        if done.returncode != 6 or "21.5" not in done.stdout:
            sys.exit(f"x402 pay ({dialect}): {done.returncode} {done.stdout} {done.stderr}")

    return buy


def fetch(_, url):
    """The official client, where `npm ci` has been run for the interop tests."""
    variables = {"PRIVATE_KEY": BUYER_KEY, "NETWORK": "eip155:1", "URL": url}
    done = output_of(["node", "buyers/fetch.mjs"], cwd=INTEROP, env=os.environ | variables)
    if done.returncode != 0 or "21.5" not in done.stdout:
        sys.exit(f"@x402/fetch: {done.returncode} {done.stdout} {done.stderr}")
    print("@x402/fetch pays the device")


def output_of(command, **options):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


def device_sells(world, target, name, dialects):
    """Whoever connects to the serial port of the seller buys."""
    port = free_port()
    serial = f"tcp:127.0.0.1:{port},server=on,wait=off"
    seller = world.start(emulator(target, name, serial, is_counted=False))
    wait_for(port)
    url = f"http://127.0.0.1:{port}/reading"
    for buy in (*[pay(dialect) for dialect in dialects], fetch if FETCH.exists() else pay("v2")):
        buy(world, url)
    output, _ = seller.communicate(timeout=60)
    records = re.findall(r"^0x[0-9a-f]+$", output, re.MULTILINE)
    if seller.returncode != 0 or len(records) != 3:
        sys.exit(f"the seller ended with {seller.returncode}: {output}")
    settle(world, f"{target}, {name}", records)


def settle(world, seller, records):
    """What the device handed out is settled, once; with a forgery among it, nothing is."""
    # With another digit of s it is nobody's signature.
    last = records[-1]
    forged = last[:-3] + ("0" if last[-3] != "0" else "1") + last[-2:]
    for lines, code, units, what in [
        ([*records, forged], 2, 0, "nothing is imported"),
        (records, 0, 30_000, ": settled by 0x"),
        (records, 0, 0, ": imported before, settled by 0x"),
    ]:
        before = world.balance(PAYEE)
        done = world.import_lines(f"{seller}.redb", lines)
        moved = world.balance(PAYEE) - before
        if (done.returncode, moved) != (code, units) or what not in done.stdout + done.stderr:
            sys.exit(f"x402 ledger import: {moved} units moved, {done}")
        if code == 0 and done.stdout.count(what) != len(records):
            sys.exit(f"x402 ledger import: {done}")
    print(f"{seller} sells: what it handed out for 3 payments is settled, 30000 units moved")


def trade():
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        try:
            world.gateway = world.serve()
            for target in QEMU:
                device_buys(world, target, "buyer", "headers", ())
                device_buys(world, target, "buyer", "v2", (HEADERS,))
                device_buys(world, target, "buyer", "v1", (HEADERS, V2))
                device_buys(world, target, "buyer-v2", "v2", ())
                device_sells(world, target, "seller", ("headers", "v1"))
                device_sells(world, target, "seller-v2", ("v2", "v2"))
        finally:
            world.stop()


if __name__ == "__main__":
    checks = (figures, readme, vectors, suite, logs, panics, trade)
    commands = {check.__name__: check for check in checks}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
