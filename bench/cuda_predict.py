"""What a training step of ViT-B/16 should take on a GPU, on paper: for each op the larger of its FLOPs at an assumed
share of the peak and its bytes at an assumed share of the bandwidth, and its launches. Nothing is measured here.
  cuda_predict.py [BATCH]     Markdown tables for A100 and H100, in bf16 and f32; BATCH is 256
Ops, kernels and their traffic are those of kernels/cuda; the residual stream, the statistics and the optimizer are f32
in both. MFU counts three times the forward's products (no recomputation, no padding) against the dense bf16 peak; in
f32 against the f32 peak, since TF32 is not used."""
import math
import sys

GPUS = {  # data sheets, SXM: TF/s of dense bf16 and of f32 without tensor cores, GB/s
    "A100 80 GB": {"bf16": 312.0, "f32": 19.5, "bandwidth": 2039.0},
    "H100": {"bf16": 989.4, "f32": 66.9, "bandwidth": 3352.0},
}
# products; a plain mma.sync kernel, not Hopper's wgmma.
LIKELY = {"products": {"A100 80 GB": {"bf16": 0.78, "f32": 0.85}, "H100": {"bf16": 0.65, "f32": 0.75}},
          "attention": {"A100 80 GB": {"bf16": 0.40, "f32": 0.50}, "H100": {"bf16": 0.25, "f32": 0.45}},
          "bandwidth": 0.85, "launch_us": 2.0}

IMAGE, PATCH, DIM, DEPTH, HEADS, MLP, CLASSES = 224, 16, 768, 12, 12, 3072, 1000
PATCHES = (IMAGE // PATCH) ** 2
TOKENS, HEAD_DIM, PIXELS = PATCHES + 1, DIM // HEADS, 3 * PATCH * PATCH
BLOCK = 4 * DIM * DIM + 2 * DIM * MLP + 9 * DIM + MLP
PARAMETERS = PIXELS * DIM + DIM + DIM + TOKENS * DIM + DEPTH * BLOCK + 2 * DIM + DIM * CLASSES + CLASSES


def product(m, n, k, c, out=None):
    """(FLOPs, bytes) of (m, k) · (k, n)"""
    return 2 * m * n * k, c * (m * k + k * n) + (c if out is None else out) * m * n


def ops_of(batch, c, fused=False):
    """name, kind of FLOPs, FLOPs, bytes, launches; of a whole step. c: bytes of a number in the compute dtype.
    fused: GELU in the products, the rounding of the residual's gradient in the kernel that writes it."""
    rows, patch_rows, pairs = batch * TOKENS, batch * PATCHES, batch * HEADS
    x, hidden = rows * DIM, rows * MLP  # numbers in a tensor
    if c == 2:  # a warp has 32 queries (16 keys in the pass for dk and dv), and takes 16 of the others at a time
        whole = math.ceil(TOKENS / 16) * 16
        by_query, by_key = math.ceil(TOKENS / 32) * 32 * whole, whole * whole
    else:
        by_query = by_key = math.ceil(TOKENS / 64) * 64 * math.ceil(TOKENS / 32) * 32
    ops = []

    def add(name, kind, times, flops, size, launches):
        ops.append((name, kind, times * flops, times * size, times * launches))

    # The residual is the product's C, and both are f32; a bias is rounded first where the result is bf16.
    def linear(name, n, k, times=DEPTH, residual=False):
        add(f"{name}: y", "products", times, *product(rows, n, k, c, 8 if residual else c),
            2 if c == 2 and not residual else 1)
        add(f"{name}: dx", "products", times, *product(rows, k, n, c), 1)
        add(f"{name}: dW, db", "products", times, *product(n, k, rows, c, 8), 2)

    add("patches: cut, y", "products", 1, product(patch_rows, DIM, PIXELS, c, 4)[0],
        4 * patch_rows * PIXELS + c * 2 * patch_rows * PIXELS + 4 * patch_rows * DIM, 2)
    flops, size = product(DIM, PIXELS, patch_rows, c, 8)
    rounding = (4 + c) * patch_rows * DIM if c == 2 else 0  # of dy, which is f32
    add("patches: dW, db", "products", 1, flops, size + rounding, 3 if c == 2 else 2)
    add("tokens, position", "none", 1, 0, 8 * x + 12 * x, 8)
    linear("qkv", 3 * DIM, DIM)
    linear("proj", DIM, DIM, residual=True)
    linear("fc1", MLP, DIM)
    linear("fc2", DIM, MLP, residual=True)
    norms = 2 * DEPTH + 1
    add("LayerNorm: y", "none", norms, 0, (4 + c) * x, 1)
    add("LayerNorm: dx, dW, db", "none", norms, 0, (c + 12) * x, 3)
    if c == 2:
        add("residual's gradient rounded", "none", 2 * DEPTH, 0, (c if fused else 4 + c) * x, 0 if fused else 1)
    add("GELU", "none", DEPTH, 0, (1 if fused else 2) * c * hidden, 0 if fused else 1)
    add("GELU's gradient", "none", DEPTH, 0, (1 if fused else 3) * c * hidden, 0 if fused else 1)
    add("attention", "attention", DEPTH, 4 * pairs * by_query * HEAD_DIM, 4 * c * x, 1)
    add("attention's gradient", "attention", DEPTH, pairs * (6 * by_query + 8 * by_key) * HEAD_DIM,
        12 * c * x + 16 * pairs * math.ceil(TOKENS / 64) * 64 if c == 2 else 13 * c * x, 2 if c == 2 else 3)
    add("head, loss", "products", 1, 6 * batch * DIM * CLASSES, 12 * DIM * CLASSES, 8)
    add("norm, AdamW, zeros", "none", 1, 0, (4 + 4 + 28 + (2 if c == 2 else 0)) * PARAMETERS, 5)
    return ops


def model_flops(batch):
    layer = 2 * TOKENS * (4 * DIM * DIM + 2 * DIM * MLP) + 4 * TOKENS * TOKENS * DIM
    return 3 * batch * (DEPTH * layer + 2 * PATCHES * PIXELS * DIM + 2 * DIM * CLASSES)


def times(gpu, dtype, batch, likely, fused=False):
    """name, FLOPs, bytes, launches, ms, what bounds it: of each op"""
    peaks, rows = GPUS[gpu], []
    for name, kind, flops, size, launches in ops_of(batch, 2 if dtype == "bf16" else 4, fused):
        compute = flops / (peaks[dtype] * 1e9 * likely[kind][gpu][dtype]) if kind != "none" else 0
        memory = size / (peaks["bandwidth"] * 1e6 * likely["bandwidth"])
        launch = launches * likely["launch_us"] / 1e3
        rows.append((name, flops, size, launches, max(compute, memory) + launch,
                     "FLOPs" if compute > memory else "bytes"))
    return rows


def step_ms(gpu, dtype, batch, likely, fused=False):
    return sum(row[4] for row in times(gpu, dtype, batch, likely, fused))


def mfu(gpu, dtype, batch, ms):
    return model_flops(batch) / (ms * 1e9 * GPUS[gpu][dtype])


def scaled(name, factor):
    changed = dict(LIKELY)
    if name in ("bandwidth", "launch_us"):
        changed[name] = LIKELY[name] * factor
    else:
        changed[name] = {g: {d: share * factor for d, share in of.items()} for g, of in LIKELY[name].items()}
    return changed


def main():
    batch = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    for dtype in ("bf16", "f32"):
        columns = {gpu: times(gpu, dtype, batch, LIKELY) for gpu in GPUS}
        print(f"\n{dtype}, batch {batch}:\n")
        print("| op, whole step | GFLOP | GB | launches | " + " | ".join(f"{gpu}, ms | by" for gpu in GPUS) + " |")
        print("|---|--:|--:|--:|" + "--:|---|" * len(GPUS))
        for rows in zip(*columns.values()):
            name, flops, size, launches = rows[0][:4]
            cells = " | ".join(f"{row[4]:.2f} | {row[5]}" for row in rows)
            print(f"| {name} | {flops / 1e9:.0f} | {size / 1e9:.2f} | {launches} | {cells} |")
        total = [sum(row[i] for row in next(iter(columns.values()))) for i in (1, 2, 3)]
        step = {gpu: step_ms(gpu, dtype, batch, LIKELY) for gpu in GPUS}
        print(f"| **step** | {total[0] / 1e9:.0f} | {total[1] / 1e9:.1f} | {total[2]} | "
              + " | ".join(f"**{ms:.1f}** |" for ms in step.values()) + " |")
        print("| images/s | | | | " + " | ".join(f"{1e3 * batch / ms:.0f} |" for ms in step.values()) + " |")
        print("| MFU | | | | "
              + " | ".join(f"{100 * mfu(gpu, dtype, batch, ms):.1f} % |" for gpu, ms in step.items()) + " |")
    print("\nbf16, one thing other than assumed at a time:\n")
    print("| | " + " | ".join(f"{gpu}: step, MFU" for gpu in GPUS) + " |")
    print("|---|" + "--:|" * len(GPUS))
    others = [("as above", LIKELY, False), ("products at 0.75 of what is assumed", scaled("products", 0.75), False),
              ("attention at a third", scaled("attention", 1 / 3), False),
              ("bandwidth at 0.75", scaled("bandwidth", 0.75), False),
              ("launches at 6 µs (no graph)", scaled("launch_us", 3), False),
              ("as above, but fused as far as it goes", LIKELY, True)]
    for name, likely, fused in others:
        steps = {gpu: step_ms(gpu, "bf16", batch, likely, fused) for gpu in GPUS}
        print(f"| {name} | " + " | ".join(f"{ms:.1f} ms, {100 * mfu(gpu, 'bf16', batch, ms):.1f} %"
                                          for gpu, ms in steps.items()) + " |")


if __name__ == "__main__":
    main()
