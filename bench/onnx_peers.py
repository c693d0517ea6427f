"""torch.onnx.export beside our exporter: time and nodes, then latency of all files in onnxruntime.

onnx_peers.py export MODEL FOLDER      torch.onnx.export, both exporters, of a ViT of the same sizes: two lines of JSON
onnx_peers.py latency MODEL FOLDER     every FOLDER/MODEL-*.onnx at batch 1 and 8, in turn: a line of JSON each
"""
import json
import pathlib
import statistics
import sys
import time

SIZES = {"vit_tiny_patch16_224": (192, 12, 3), "vit_small_patch16_224": (384, 12, 6),
         "vit_base_patch16_224": (768, 12, 12), "vit_large_patch16_224": (1024, 24, 16)}
ROUNDS = 7


def build(model):
    import torch
    from torch import nn
    dim, depth, heads = SIZES[model]

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

        def forward(self, x):
            batch, tokens, _ = x.shape
            q, k, v = self.qkv(x).reshape(batch, tokens, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
            y = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.proj(y.transpose(1, 2).reshape(batch, tokens, dim))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
            self.attn = Attention()
            self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, dim, 16, 16)
            self.cls = nn.Parameter(torch.zeros(1, 1, dim))
            self.pos = nn.Parameter(torch.randn(1, 197, dim) * 0.02)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(dim, 1e-6), nn.Linear(dim, 1000)

        def forward(self, images):
            x = self.patch(images).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
            return self.head(self.norm(self.blocks(x))[:, 0])

    torch.manual_seed(1)
    return Vit().eval()


def export(model, folder):
    import onnx
    import torch
    network, images = build(model), torch.randn(2, 3, 224, 224)
    for name, dynamo in (("torch_script", False), ("torch_dynamo", True)):
        path = pathlib.Path(folder) / f"{model}-{name}.onnx"
        batch = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if dynamo else {
            "dynamic_axes": {"images": {0: "batch"}}}
        begin = time.perf_counter()
        torch.onnx.export(network, (images,), str(path), input_names=["images"], output_names=["logits"], dynamo=dynamo,
                          **batch)
        seconds = time.perf_counter() - begin
        print(json.dumps({"model": model, "exporter": name, "torch": torch.__version__, "export_s": round(seconds, 2),
                          "nodes": len(onnx.load(path, load_external_data=False).graph.node)}), flush=True)


def latency(model, folder):
    import numpy as np
    import onnxruntime
    paths = sorted(pathlib.Path(folder).glob(f"{model}-*.onnx"))
    sessions = {path.stem: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in paths}
    images = {batch: np.random.default_rng(1).standard_normal((batch, 3, 224, 224), np.float32) for batch in (1, 8)}
    times = {(name, batch): [] for name in sessions for batch in images}
    for round_ in range(ROUNDS + 2):
        for (name, batch), seconds in times.items():
            if batch == 8 and name.endswith("-static"):  # made for batch 1
                continue
            begin = time.perf_counter()
            sessions[name].run(None, {"images": images[batch]})
            if round_ >= 2:
                seconds.append(time.perf_counter() - begin)
    for name in sessions:
        line = {"file": name, "onnxruntime": onnxruntime.__version__}
        for batch in images:
            if times[name, batch]:
                line[f"ms_batch_{batch}"] = round(1000 * statistics.median(times[name, batch]), 2)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    {"export": export, "latency": latency}[sys.argv[1]](sys.argv[2], sys.argv[3])
