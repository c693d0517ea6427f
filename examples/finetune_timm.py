"""The Python side of finetune_timm.sh.

weights OUT                          random weights of vit_tiny_patch16_224 under timm's names
pictures FOLDER                      three classes of small PNG pictures
check TUNED CHECKPOINT PREDICTION    loads what Vitrail has exported, and compares logits where timm is installed
"""
import json
import math
import pathlib
import struct
import sys
import zlib

import torch

DIM, DEPTH, PATCH, SIZE = 192, 12, 16, 224


def shapes(classes):
    """timm's state dict of vit_tiny_patch16_224."""
    yield "cls_token", (1, 1, DIM)
    yield "pos_embed", (1, (SIZE // PATCH) ** 2 + 1, DIM)
    yield "patch_embed.proj.weight", (DIM, 3, PATCH, PATCH)
    yield "patch_embed.proj.bias", (DIM,)
    for i in range(DEPTH):
        for name, shape in (("norm1", ()), ("attn.qkv", (3 * DIM, DIM)), ("attn.proj", (DIM, DIM)), ("norm2", ()),
                            ("mlp.fc1", (4 * DIM, DIM)), ("mlp.fc2", (DIM, 4 * DIM))):
            yield f"blocks.{i}.{name}.weight", shape or (DIM,)
            yield f"blocks.{i}.{name}.bias", (shape[0] if shape else DIM,)
    yield "norm.weight", (DIM,)
    yield "norm.bias", (DIM,)
    yield "head.weight", (classes, DIM)
    yield "head.bias", (classes,)


def weights(out):
    torch.manual_seed(0)
    state = {name: torch.ones(shape) if "norm" in name and name.endswith("weight") else 0.02 * torch.randn(shape)
             for name, shape in shapes(1000)}
    torch.save(state, out)
    print(f"{out}: random weights, {len(state)} tensors")


def write_png(path, size, pixel):
    rows = b"".join(b"\0" + bytes(v for x in range(size) for v in pixel(x, y)) for y in range(size))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) +
                     chunk(b"IEND", b""))


def pictures(folder):
    kinds = {"across": lambda x, y, n: y // (3 + n % 4), "down": lambda x, y, n: x // (3 + n % 4),
             "rings": lambda x, y, n: int(math.hypot(x - 32, y - 32)) // (3 + n % 4)}
    for kind, stripe in kinds.items():
        for n in range(32):
            part = pathlib.Path(folder) / ("val" if n % 4 == 0 else "train") / kind
            part.mkdir(parents=True, exist_ok=True)
            light, dark = (200 + n, 180 - n, 60 + 4 * n), (20 + 2 * n, 40, 90 - n)
            write_png(part / f"{n:03}.png", 64, lambda x, y: light if stripe(x, y, n) % 2 else dark)
    print(f"{folder}: 96 pictures of 3 classes")


def load(path):
    new = int(torch.__version__.split(".")[0]) >= 2
    return torch.load(path, weights_only=True) if new else torch.load(path)


def check(tuned, checkpoint, prediction):
    state = load(tuned)
    classes = state["head.bias"].shape[0]
    assert {n: tuple(t.shape) for n, t in state.items()} == dict(shapes(classes))
    print(f"{tuned}: {len(state)} tensors, {classes} classes")

    full = load(checkpoint)
    params = {n: torch.nn.Parameter(t.clone()) for n, t in full["model"].items()}
    groups = [{"params": [params[n] for n in g["param_names"]]} for g in full["optimizer"]["param_groups"]]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    optimizer.load_state_dict(full["optimizer"])
    step = int(next(iter(optimizer.state.values()))["step"])
    print(f"{checkpoint}: AdamW goes on from step {step}, in {len(groups)} groups")

    try:
        import timm
        from PIL import Image
    except ImportError:
        print("timm is not installed: its model is not run")
        return
    model = timm.create_model("vit_tiny_patch16_224", num_classes=classes).eval()
    model.load_state_dict(state, strict=True)
    found = json.loads(pathlib.Path(prediction).read_text())["images"][0]
    transform = timm.data.create_transform(input_size=(3, SIZE, SIZE), interpolation="bicubic", crop_pct=0.9,
                                           mean=(0.5,) * 3, std=(0.5,) * 3)
    with torch.no_grad():
        logits = model(transform(Image.open(found["image"]).convert("RGB"))[None])[0]
    difference = float((logits - torch.tensor(found["logits"])).abs().max())
    print(f"logits of {found['image']} in timm and in Vitrail differ by at most {difference:.1e}")
    assert difference < 1e-3


if __name__ == "__main__":
    {"weights": weights, "pictures": pictures, "check": check}[sys.argv[1]](*sys.argv[2:])
