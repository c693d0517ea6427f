"""One measurement of a peer, as one JSON line: compare_peers.py train|infer MODEL BATCH STEPS ENGINE DTYPE FOLDER

ENGINE: eager | compile (PyTorch), onnxruntime (infer only). DTYPE: f32 | bf16 (autocast) | int8 (onnxruntime, dynamic).
A training step is forward, cross-entropy, backward, clip to norm 1 and fused AdamW, as `vitrail bench` does it."""
import json
import pathlib
import resource
import statistics
import sys
import time

SIZES = {  # img, patch, chans, classes, dim, depth, heads, mlp
    "vit_tiny_patch16_224": (224, 16, 3, 1000, 192, 12, 3, 768),
    "vit_small_patch16_224": (224, 16, 3, 1000, 384, 12, 6, 1536),
    "vit_base_patch16_224": (224, 16, 3, 1000, 768, 12, 12, 3072),
    "vit_large_patch16_224": (224, 16, 3, 1000, 1024, 24, 16, 4096),
    "grey28": (28, 4, 1, 10, 128, 6, 4, 512),
}


def network(model):
    import torch
    import torch.nn.functional as F
    from torch import nn
    img, patch, chans, classes, dim, depth, heads, mlp = SIZES[model]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
            self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
            self.fc1, self.fc2 = nn.Linear(dim, mlp), nn.Linear(mlp, dim)

        def forward(self, x):
            b, n, d = x.shape
            q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)
            x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
            return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(chans, dim, patch, patch)
            self.cls = nn.Parameter(torch.zeros(1, 1, dim))
            self.pos = nn.Parameter(torch.randn(1, (img // patch) ** 2 + 1, dim) * 0.02)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
            return self.head(self.norm(self.blocks(x))[:, 0])

    torch.manual_seed(1)
    return Vit()


def timed(run, steps, warm):
    """Median seconds; the first `warm` runs are not counted."""
    times = []
    for step in range(warm + steps):
        start = time.perf_counter()
        run()
        if step >= warm:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch_train(model, batch, steps, engine, dtype):
    import torch
    net = network(model)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    img, _, chans, classes, *_ = SIZES[model]
    images, labels = torch.rand(batch, chans, img, img) * 2 - 1, torch.arange(batch) % classes
    forward = torch.compile(net) if engine == "compile" else net

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return f"torch {torch.__version__}", timed(step, steps, 2 if engine == "compile" else 1)


def torch_infer(model, batch, steps, engine, dtype):
    import torch
    net = network(model).eval()
    img, _, chans, *_ = SIZES[model]
    images = torch.rand(batch, chans, img, img) * 2 - 1
    forward = torch.compile(net) if engine == "compile" else net

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            forward(images)

    return f"torch {torch.__version__}", timed(run, steps, 2)


def onnx_file(model, dtype, folder):
    """The network as PyTorch exports it; int8: quantised by onnxruntime's own dynamic quantisation."""
    import torch
    path = pathlib.Path(folder) / f"{model}.onnx"
    if not path.exists():
        img, _, chans, *_ = SIZES[model]
        torch.onnx.export(network(model).eval(), (torch.zeros(2, chans, img, img),), str(path), input_names=["images"],
                          dynamo=False, dynamic_axes={"images": {0: "batch"}})
    if dtype == "f32":
        return path
    quantised = pathlib.Path(folder) / f"{model}-int8.onnx"
    if not quantised.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(path, quantised, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    return quantised


def onnxruntime_infer(model, batch, steps, dtype, folder):
    import numpy
    import onnxruntime
    session = onnxruntime.InferenceSession(str(onnx_file(model, dtype, folder)), providers=["CPUExecutionProvider"])
    img, _, chans, *_ = SIZES[model]
    images = numpy.random.default_rng(1).random((batch, chans, img, img), numpy.float32)
    seconds = timed(lambda: session.run(None, {"images": images}), steps, 2)
    return f"onnxruntime {onnxruntime.__version__}", seconds


def main():
    what, model, batch, steps, engine, dtype, folder = sys.argv[1:8]
    batch, steps = int(batch), int(steps)
    if engine == "onnxruntime":
        version, seconds = onnxruntime_infer(model, batch, steps, dtype, folder)
    else:
        version, seconds = (torch_train if what == "train" else torch_infer)(model, batch, steps, engine, dtype)
    print(json.dumps({"what": what, "model": model, "batch": batch, "engine": engine, "dtype": dtype, "version": version,
                      "images_per_second": batch / seconds,
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


main()
