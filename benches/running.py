"""Programs that are measured: started, waited for, and ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# How long a program may take to listen, in seconds.
LIMIT = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def busy(process):
    """The seconds that a process was on a processor."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process):
    """The memory of a process, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Processes:
    """Those that were started, which end with this. With $LOG they say what they have to say."""

    def __init__(self):
        self.all = []

    def start(self, command, port, environment=None):
        """Starts a program, and returns when it listens."""
        out = subprocess.DEVNULL if "LOG" not in os.environ else None
        environment = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out, env=environment)
        self.all.append(process)
        for _ in range(LIMIT * 20):
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended with {process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return process
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{command[0]} does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.all):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
