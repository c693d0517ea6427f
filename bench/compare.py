"""Runs Vitrail and its peers in turn and writes the tables: see compare_torch.sh, which makes what it needs.

Every measurement is a process of its own, so that its peak memory is its own; a round runs each of them once, so that
what the machine does meanwhile falls on all of them alike."""
import argparse
import json
import pathlib
import subprocess
import sys

import report

HERE = pathlib.Path(__file__).parent
MODELS = {"grey28": ("grey28", 128, 8), "tiny": ("vit_tiny_patch16_224", 32, 5),
          "small": ("vit_small_patch16_224", 16, 4), "base": ("vit_base_patch16_224", 8, 3)}
GREY28 = ["custom", "model.img_size=28", "model.patch_size=4", "model.in_chans=1", "model.num_classes=10", "model.dim=128",
          "model.depth=6", "model.heads=4", "model.mlp_dim=512"]
INFERENCE = [("vit_base_patch16_224", 1, 12), ("vit_base_patch16_224", 8, 5)]
TRAIN_PEERS = [(engine, dtype) for dtype in ("f32", "bf16") for engine in ("eager", "compile")]
INFER_PEERS = TRAIN_PEERS + [("onnxruntime", "f32"), ("onnxruntime", "int8")]


def vitrail(program, what, model, batch, steps, dtype):
    """None where this build has no such dtype."""
    sizes = GREY28 if model == "grey28" else [model]
    run = subprocess.run([program, "bench", *sizes, f"batch={batch}", f"steps={steps}", f"dtype={dtype}", "--only", what,
                          "--json"], capture_output=True, text=True)
    if run.returncode == 2 and dtype != "f32":
        return None
    if run.returncode != 0:
        sys.exit(f"vitrail bench: {run.stderr}")
    result = json.loads(run.stdout)
    part = result["train" if what == "train" else "inference"]
    return {"what": what, "model": model, "batch": batch, "engine": "vitrail", "dtype": dtype, "version": "vitrail",
            "images_per_second": part["images_per_second"], "gflops": part["gflops_per_second"],
            "times_products": part["times_products"], "peak_mib": result["memory"]["peak_resident_bytes"] >> 20}


def peer(what, model, batch, steps, engine, dtype, folder):
    run = subprocess.run([sys.executable, HERE / "compare_peers.py", what, model, str(batch), str(steps), engine, dtype,
                          folder], capture_output=True, text=True)
    if run.returncode != 0:
        print(f"{engine} {dtype}, {model}: failed: {run.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(run.stdout.splitlines()[-1])


def measurements(options):
    """What one round runs, as functions that return a line or None."""
    without = set(options.without.split(","))
    cases = [("train", *MODELS[name]) for name in options.models.split(",") if name]
    if options.infer:
        cases += [("infer", *case) for case in INFERENCE]
    for what, model, batch, steps in cases:
        for dtype in ("f32", "bf16") if what == "train" else ("f32", "bf16", "int8"):
            if not {dtype, "vitrail"} & without:
                yield lambda c=(what, model, batch, steps, dtype): vitrail(options.vitrail, *c)
        for engine, dtype in TRAIN_PEERS if what == "train" else INFER_PEERS:
            if not {dtype, engine} & without:
                yield lambda c=(what, model, batch, steps, engine, dtype): peer(*c, options.folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vitrail", default="build/release/vitrail")
    parser.add_argument("--folder", default="build/bench", help="for the lines of JSON and the peers' ONNX files")
    parser.add_argument("--models", default=",".join(MODELS), help="to train; default %(default)s; '' for none")
    parser.add_argument("--infer", action="store_true", help="inference of ViT-B/16 at batch 1 and 8 too")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without", default="", help="any of eager, compile, onnxruntime, vitrail, f32, bf16, int8")
    options = parser.parse_args()
    pathlib.Path(options.folder).mkdir(parents=True, exist_ok=True)
    lines = pathlib.Path(options.folder) / "compare.jsonl"
    with open(lines, "w") as out:
        for _ in range(options.rounds):
            for measure in measurements(options):
                line = measure()
                if line is not None:
                    print(json.dumps(line), file=out, flush=True)
                    print(f"{line['what']} {line['model']} batch {line['batch']} {line['engine']} {line['dtype']}: "
                          f"{line['images_per_second']:.2f} images/s", file=sys.stderr)
    print(report.tables(lines))


main()
