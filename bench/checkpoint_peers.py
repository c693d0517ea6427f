"""Saves of one training state by checkpoint_io, torch.save and safetensors in turn, the last two with fsync.

    checkpoint_peers.py CHECKPOINT_IO FOLDER ROUNDS
"""
import collections
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

import safetensors.torch
import torch

MODEL = "vit_base_patch16_224"
OURS = ["raw io_uring", "raw threads", "save automatic", "save io_uring", "save buffered"]
READS = ["read -", "verify map", "verify read", "load -", "open -"]


class Program:
    def __init__(self, binary, model, folder):
        self.process = subprocess.Popen([binary, model, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def forced(path):
    """What both peers leave out: the file and its name on the disk."""
    for name in (path, path.parent):
        descriptor = os.open(name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def timed(save, path):
    path.unlink(missing_ok=True)
    os.sync()
    start = time.perf_counter()
    save(path)
    forced(path)
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def row(name, seconds, bytes_, raw):
    speed = bytes_ / statistics.median(seconds) / 1e9
    print(f"| {name} | {statistics.median(seconds):.3f} | {speed:.2f} | {100 * speed / raw:.0f} % |")
    return speed


def main():
    binary, folder, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    random.seed(0)
    program = Program(binary, MODEL, folder)
    state = {name: torch.rand(shape) for name, shape in program.ask("list -")}
    peers = {"torch.save + fsync": lambda path: torch.save(state, path),
             "safetensors + fsync": lambda path: safetensors.torch.save_file(state, path)}
    seconds, more, used = collections.defaultdict(list), collections.defaultdict(float), {}
    for _ in range(rounds):
        # In another order each time: what a disk has just done, it has not quite finished.
        for command in random.sample(OURS, len(OURS)) + random.sample(READS, len(READS)):
            answer = program.ask(command)
            seconds[command].append(answer["seconds"])
            more[command] = max(more[command], answer["more_mib"])
            used[command] = answer["how"]
            bytes_ = answer["bytes"]
        for name, save in peers.items():
            seconds[name].append(timed(save, folder / "peer"))
    program.close()

    raw = max(bytes_ / statistics.median(seconds[name]) / 1e9 for name in OURS if name.startswith("raw"))
    print(f"{bytes_} bytes in {len(state)} tensors; torch {torch.__version__}; medians of {rounds}")
    print("\n| written, durable | s | GB/s | of raw |\n|---|---|---|---|")
    for name in OURS + list(peers):
        row(f"{name} ({more[name]:.0f} MiB more)" if name.startswith("save") else name, seconds[name], bytes_, raw)
    reading = bytes_ / statistics.median(seconds["read -"]) / 1e9
    print("\n| read, cold | s | GB/s | of raw |\n|---|---|---|---|")
    for name in READS[:-1]:
        row(f"{name} ({more[name]:.0f} MiB more)" if name.startswith("verify") else name, seconds[name], bytes_, reading)
    print(f"\nload: {used['load -']}; automatic: {used['save automatic']}")
    print("\n| open with all structural rules, warm | payload | ms |\n|---|---|---|")
    for model in ("vit_tiny_patch16_224", "vit_small_patch16_224", MODEL):
        small = Program(binary, model, folder)
        small.ask("save automatic")
        answer = small.ask("open -")
        small.close()
        print(f"| {model} | {answer['bytes'] / 1e6:.0f} MB | {1000 * answer['seconds']:.3f} |")


main()
