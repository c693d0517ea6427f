"""The training figures of scripts/gpu-check.sh as a Markdown table: gpu_report.py FILE F32_TFLOPS BF16_TFLOPS
FILE has JSON documents of `vitrail bench --json` and of torch_step.py, one behind the other; what is none of them is
left out. MFU: three times the forward's products, as a share of the peak of the dtype; a peak of 0 is not known."""
import json
import sys


def documents(text):
    """The JSON objects in the text."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
            yield value
        except json.JSONDecodeError:
            at += 1


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(documents(file.read()))
    peaks = {"f32": float(sys.argv[2]), "bf16": float(sys.argv[3])}
    rows, flops_of = [], {}  # FLOPs of an image in training, by model
    for value in (v for v in found if "train" in v):
        train = value["train"]
        flops_of[value["model"]] = 1e9 * train["gflops_per_second"] / train["images_per_second"]
        rows.append((value["model"], value["batch"], value["dtype"], "vitrail", train["images_per_second"]))
    for value in (v for v in found if "engine" in v):
        dtype = "bf16" if value["engine"].endswith("bf16") else "f32"
        rows.append((value["model"], value["batch"], dtype, value["engine"], value["images_per_second"]))
    print("| model | batch | dtype | engine | img/s | MFU |\n|---|--:|---|---|--:|--:|")
    for model, batch, dtype, engine, rate in sorted(rows):
        peak = peaks[dtype]
        mfu = f"{100 * rate * flops_of[model] / (1e12 * peak):.1f} %" if peak and model in flops_of else "not known"
        print(f"| {model} | {batch} | {dtype} | {engine} | {rate:.1f} | {mfu} |")


main()
