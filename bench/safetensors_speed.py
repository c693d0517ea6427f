"""Weights saved and loaded by safetensors_speed and by the safetensors package (NumPy and PyTorch), in turn, with fsync.

    safetensors_speed.py PROGRAM FOLDER ROUNDS [MODEL ...]
"""
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

MODELS = ["vit_base_patch16_224", "vit_large_patch16_224"]
OURS = ["save", "open", "verify", "load"]


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


def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon:"):
            return float(line.split()[1]) / 1024


def saved(save, path):
    path.unlink(missing_ok=True)
    os.sync()
    start = time.perf_counter()
    save(path)
    for name in (path, path.parent):
        descriptor = os.open(name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - start, None


def loaded(load):
    before, start = anonymous(), time.perf_counter()
    tensors = load()
    seconds, more = time.perf_counter() - start, anonymous() - before
    del tensors
    return seconds, more


def measure(binary, folder, rounds, model):
    program = Program(binary, model, folder)
    shapes = program.ask("list")
    arrays = {name: np.random.default_rng(1).random(shape, np.float32) for name, shape in shapes}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    path, ours = folder / "peer.safetensors", folder / "ours.safetensors"
    peers = {
        "save": {"numpy + fsync": lambda: saved(lambda p: safetensors.numpy.save_file(arrays, p), path),
                 "torch + fsync": lambda: saved(lambda p: safetensors.torch.save_file(tensors, p), path)},
        "open": {"torch.load_file": lambda: loaded(lambda: safetensors.torch.load_file(ours))},
        "load": {"numpy.load_file": lambda: loaded(lambda: safetensors.numpy.load_file(ours)),
                 "torch.load_file, clone": lambda: loaded(
                     lambda: {k: v.clone() for k, v in safetensors.torch.load_file(ours).items()})},
    }
    seconds, more = collections.defaultdict(list), collections.defaultdict(float)
    for _ in range(rounds):
        for what in OURS:
            answer = program.ask(what)
            size = answer["bytes"]
            seconds[what, "ours"].append(answer["seconds"])
            more[what, "ours"] = max(more[what, "ours"], answer["more_mib"])
            for name, run in peers.get(what, {}).items():
                took, memory = run()
                seconds[what, name].append(took)
                if memory is not None:
                    more[what, name] = max(more[what, name], memory)
    program.close()
    path.unlink()
    print(f"\n{model}: {size} bytes in {len(shapes)} tensors; medians of {rounds}, from the page cache when loading")
    print("\n| | who | ms | GB/s | times ours | MiB more |\n|---|---|---|---|---|---|")
    for (what, name), times in seconds.items():
        median = statistics.median(times)
        memory = f"{more[what, name]:.0f}" if (what, name) in more else "not measured"
        ratio = median / statistics.median(seconds[what, "ours"])
        print(f"| {what} | {name} | {1000 * median:.2f} | {size / median / 1e9:.2f} | {ratio:.2f} | {memory} |")


def main():
    folder = pathlib.Path(sys.argv[2])
    print(f"safetensors {safetensors.__version__}, torch {torch.__version__}, NumPy {np.__version__}")
    for model in sys.argv[4:] or MODELS:
        measure(sys.argv[1], folder, int(sys.argv[3]), model)


main()
