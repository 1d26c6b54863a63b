#!/usr/bin/env python3
"""Chooses what is committed of what a fuzzer has found: the inputs that reach most, at most so many.

    minimise.py PROGRAM FOLDER... CORPUS [--most 40]

libFuzzer's own merge keeps an input for every count of every edge, which is hundreds of files. Here an
input counts for the edges that those before it do not reach, the largest gain first. What is named
keep-… stays whatever it reaches. CORPUS is read too, and replaced.
"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile


def edges_of(program, folders):
    """The edges that each input reaches, by the name of its file."""
    with tempfile.TemporaryDirectory() as out:
        control = pathlib.Path(out) / "control"
        merged = pathlib.Path(out) / "merged"
        merged.mkdir()
        command = [program, "-set_cover_merge=1", f"-merge_control_file={control}", merged, *folders]
        subprocess.run(command, check=True, capture_output=True)
        lines = control.read_text(errors="replace").splitlines()
    names = lines[2 : 2 + int(lines[0])]
    edges = {}
    for line in lines:
        if line.startswith("FT "):
            _, index, *features = line.split()
            # A feature is an edge and how often it was taken, in eight steps.
            edges[names[int(index)]] = {int(feature) // 8 for feature in features}
    return edges


def choose(edges, most, kept):
    reached, chosen = set(), list(kept)
    while len(chosen) < most + len(kept):
        gain = lambda name: (len(edges[name] - reached), -pathlib.Path(name).stat().st_size)
        best = max(edges, key=gain, default=None)
        if best is None or not edges[best] - reached:
            break
        reached |= edges.pop(best)
        chosen.append(best)
    return chosen, len(reached)


def main(arguments):
    most = 40
    if "--most" in arguments:
        at = arguments.index("--most")
        most = int(arguments[at + 1])
        del arguments[at : at + 2]
    program, *folders = arguments
    corpus = pathlib.Path(folders[-1])
    corpus.mkdir(parents=True, exist_ok=True)
    edges = edges_of(program, folders)
    total = len(set().union(*edges.values()))
    kept = [name for folder in folders for name in pathlib.Path(folder).glob("keep-*")]
    chosen, reached = choose(edges, most, kept)
    contents = [pathlib.Path(name).read_bytes() for name in chosen]
    shutil.rmtree(corpus)
    corpus.mkdir()
    for content in contents:
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
    size = sum(map(len, contents))
    print(f"{corpus}: {len(contents)} inputs, {size} bytes, {reached} of {total} edges")


main(sys.argv[1:])
