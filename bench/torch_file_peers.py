"""Loading and saving state dicts of ViTs by torch_file_speed and by PyTorch in turn, one process each.

    torch_file_peers.py TORCH_FILE_SPEED FOLDER ROUNDS
"""
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch

# Tensors of timm's models: width, depth; 1000 classes.
MODELS = {"ViT-B/16": (768, 12), "ViT-L/16": (1024, 24)}


def state_dict(dim, depth):
    shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, 197, dim), "patch_embed.proj.weight": (dim, 3, 16, 16),
              "patch_embed.proj.bias": (dim,)}
    for i in range(depth):
        block = {"norm1.weight": (dim,), "norm1.bias": (dim,), "attn.qkv.weight": (3 * dim, dim),
                 "attn.qkv.bias": (3 * dim,), "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,),
                 "norm2.weight": (dim,), "norm2.bias": (dim,), "mlp.fc1.weight": (4 * dim, dim),
                 "mlp.fc1.bias": (4 * dim,), "mlp.fc2.weight": (dim, 4 * dim), "mlp.fc2.bias": (dim,)}
        shapes.update({f"blocks.{i}.{name}": shape for name, shape in block.items()})
    shapes.update({"norm.weight": (dim,), "norm.bias": (dim,), "head.weight": (1000, dim), "head.bias": (1000,)})
    return {name: torch.rand(shape) for name, shape in shapes.items()}


class Ours:
    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, what, path):
        self.process.stdin.write(f"{what} {path}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def memory(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024


def forced(path):
    """What torch.save leaves out: the file and its name on the disk."""
    for name in (path, path.parent):
        descriptor = os.open(name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def measured(action):
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before, start = memory("VmRSS"), time.perf_counter()
    result = action()
    return {"seconds": time.perf_counter() - start, "more_mib": memory("VmHWM") - before}, result


def copied(source, target):
    for name, tensor in source.items():
        target[name].copy_(tensor)


def saved(state, path):
    torch.save(state, path)
    forced(path)


def bench(name, dim, depth, binary, folder, rounds):
    state = state_dict(dim, depth)
    target = {key: torch.empty_like(value).fill_(1) for key, value in state.items()}
    path, out = folder / "bench.pt", folder / "out.pt"
    torch.save(state, path)
    ours = Ours(binary)
    held = ours.ask("hold", path)["held_mib"]
    results = collections.defaultdict(list)
    for _ in range(rounds):
        results["Vitrail, views, structure checked"].append(ours.ask("open", path))
        results["torch.load mmap"].append(measured(lambda: torch.load(path, mmap=True, weights_only=True))[0])
        results["Vitrail, views, CRCs checked"].append(ours.ask("check", path))
        results["torch.load"].append(measured(lambda: torch.load(path, weights_only=True))[0])
        results["Vitrail, CRCs checked, copied into a model"].append(ours.ask("load", path))
        results["torch.load mmap, copied into a model"].append(
            measured(lambda: copied(torch.load(path, mmap=True, weights_only=True), target))[0])
        results["torch.load, copied into a model"].append(
            measured(lambda: copied(torch.load(path, weights_only=True), target))[0])
        for what, save in (("Vitrail, saved durably", lambda: ours.ask("save", out)),
                           ("torch.save + fsync", lambda: measured(lambda: saved(state, out))[0])):
            out.unlink(missing_ok=True)
            os.sync()
            results[what].append(save())
    ours.process.stdin.close()
    ours.process.wait()
    for file in (path, out):
        file.unlink(missing_ok=True)
    middle = {what: statistics.median(r["seconds"] for r in rows) for what, rows in results.items()}
    print(f"\n{name}: {held:.0f} MiB in {len(state)} tensors; file in the page cache; medians of {rounds}\n")
    print("| what | ms | MiB more at the peak |\n|---|---|---|")
    for what, rows in results.items():
        print(f"| {what} | {1000 * middle[what]:.1f} | {max(r['more_mib'] for r in rows):.0f} |")
    for mine, peer in (("Vitrail, views, structure checked", "torch.load mmap"),
                       ("Vitrail, views, CRCs checked", "torch.load"),
                       ("Vitrail, CRCs checked, copied into a model", "torch.load mmap, copied into a model"),
                       ("Vitrail, CRCs checked, copied into a model", "torch.load, copied into a model"),
                       ("Vitrail, saved durably", "torch.save + fsync")):
        print(f"- {peer}: {middle[peer] / middle[mine]:.2f} times the time of '{mine}'")


def main():
    binary, folder, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    print(f"torch {torch.__version__}, {os.cpu_count()} CPUs")
    for name, (dim, depth) in MODELS.items():
        bench(name, dim, depth, binary, folder, rounds)


main()
