"""Compares the engine with PyTorch: check_torch.py FOLDER, as written by torch_parity.

The network is plain PyTorch modules under timm's parameter names, loaded strictly: so the names are checked too.
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["num_heads"]
        self.qkv = nn.Linear(c["embed_dim"], 3 * c["embed_dim"], bias=c["qkv_bias"])
        self.proj = nn.Linear(c["embed_dim"], c["embed_dim"], bias=c["proj_bias"])

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        p = (q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)).softmax(-1)
        return self.proj((p @ v).transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.kind = c["gelu"]
        self.fc1 = nn.Linear(c["embed_dim"], c["mlp_dim"], bias=c["proj_bias"])
        self.fc2 = nn.Linear(c["mlp_dim"], c["embed_dim"], bias=c["proj_bias"])

    def forward(self, x):
        x = self.fc1(x)
        if self.kind == "quick":
            return self.fc2(x * torch.sigmoid(1.702 * x))
        return self.fc2(F.gelu(x, approximate="tanh" if self.kind == "tanh" else "none"))


class LayerScale(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, scaled = c["embed_dim"], c["layer_scale"]
        self.norm1 = nn.LayerNorm(dim, eps=c["norm_eps"])
        self.attn = Attention(c)
        self.ls1 = LayerScale(dim) if scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=c["norm_eps"])
        self.mlp = Mlp(c)
        self.ls2 = LayerScale(dim) if scaled else nn.Identity()

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self, c):
        super().__init__()
        p = c["patch_size"]
        self.proj = nn.Conv2d(c["in_chans"], c["embed_dim"], p, p, bias=c["patch_bias"])

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Vit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        dim, patches = c["embed_dim"], (c["img_size"] // c["patch_size"]) ** 2
        self.prefix = c["class_token"] + c["dist_token"] + c["reg_tokens"]
        token = lambda count: nn.Parameter(torch.zeros(1, count, dim))
        if c["class_token"]:
            self.cls_token = token(1)
        if c["reg_tokens"]:
            self.reg_token = token(c["reg_tokens"])
        self.pos_embed = token(patches if c["no_embed_class"] else patches + self.prefix)
        if c["dist_token"]:
            self.dist_token = token(1)
        norm = lambda: nn.LayerNorm(dim, eps=c["norm_eps"])
        self.patch_embed = PatchEmbed(c)
        self.norm_pre = norm() if c["pre_norm"] else nn.Identity()
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        self.norm = nn.Identity() if c["fc_norm"] else norm()
        self.fc_norm = norm() if c["fc_norm"] else nn.Identity()
        self.head = nn.Linear(dim, c["num_classes"], bias=c["head_bias"])
        if c["dist_token"]:
            self.head_dist = nn.Linear(dim, c["num_classes"], bias=c["head_bias"])

    def tokens(self, images):
        x = self.patch_embed(images)
        if self.c["no_embed_class"]:
            x = x + self.pos_embed
        prefix = [getattr(self, n) for n in ("cls_token", "dist_token", "reg_token") if hasattr(self, n)]
        x = torch.cat([t.expand(len(x), -1, -1) for t in prefix] + [x], 1)
        return x if self.c["no_embed_class"] else x + self.pos_embed

    def forward(self, images):
        x = self.norm_pre(self.tokens(images))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        if self.c["dist_token"]:
            return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2
        x = x[:, self.prefix:].mean(1) if self.c["global_pool"] == "avg" else x[:, 0]
        return self.head(self.fc_norm(x))


class Case:
    def __init__(self, folder):
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.data = (folder / "data.bin").read_bytes()
        self.dtype = torch.float64 if self.manifest["dtype"] == "f64" else torch.float32
        self.worst = {}

    def tensor(self, name):
        t = self.manifest["tensors"][name]
        kind = np.float64 if t["bytes"] == 8 else np.float32
        count = math.prod(t["shape"])
        return torch.from_numpy(np.frombuffer(self.data, kind, count, t["offset"]).copy()).reshape(t["shape"])

    def group(self, prefix):
        return {n[len(prefix):]: self.tensor(n) for n in self.manifest["tensors"] if n.startswith(prefix)}

    def compare(self, what, found, expected, tolerance, floor=0.0):
        """Norm of the difference, relative to the norm of what PyTorch has (and at least floor)."""
        found, expected = (torch.as_tensor(t, dtype=torch.float64) for t in (found, expected))
        error = float((found - expected).norm() / max(float(expected.norm()), floor, 1e-300))
        kind = what.split(" ")[0]
        self.worst[kind] = max(self.worst.get(kind, 0), error)
        if not error <= tolerance:
            raise SystemExit(f"{what}: relative difference {error:.2e}, allowed {tolerance:.0e}")


def learning_rate(o, step):
    if step < o["warmup_steps"]:
        return o["lr"] * (step + 1) / o["warmup_steps"]
    progress = (step - o["warmup_steps"]) / (o["steps"] - o["warmup_steps"])
    return o["min_lr"] + (o["lr"] - o["min_lr"]) * 0.5 * (1 + math.cos(math.pi * progress))


def layer_of(name, depth):
    """timm's layers (group_matcher of VisionTransformer): the stem, the blocks with the norms beside them, the head."""
    if name.startswith(("cls_token", "reg_token", "dist_token", "pos_embed", "patch_embed", "norm_pre")):
        return 0
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return depth if name.startswith("norm") else depth + 1


def parameter_groups(net, depth, o, no_decay):
    """One group for each parameter: how they are grouped changes nothing."""
    scale = lambda n: o["layer_decay"] ** (depth + 1 - layer_of(n, depth))
    decays = lambda n: o["decay_all"] or n not in no_decay
    return [{"params": [p], "weight_decay": o["weight_decay"] if decays(n) else 0.0, "lr_scale": scale(n)}
            for n, p in net.named_parameters()]


def without_key_bias(name, tensor, f32):
    """The loss does not depend on the key's bias: its gradient is rounding noise, which Adam in f32 makes a step of."""
    if not (f32 and name.endswith("qkv.bias")):
        return tensor
    dim = len(tensor) // 3
    return torch.cat([tensor[:dim], tensor[2 * dim:]])


def check(folder):
    case = Case(folder)
    m, o, f32 = case.manifest, case.manifest["optimizer"], case.dtype == torch.float32
    net = Vit(m["config"]).to(case.dtype)
    net.load_state_dict(case.group("weight."), strict=True)
    assert list(net.state_dict()) == list(case.group("weight.")), "order of parameters"
    no_decay = set(m["no_weight_decay"])
    assert no_decay == {n for n, p in net.named_parameters()
                        if p.ndim <= 1 or n in ("cls_token", "dist_token", "reg_token", "pos_embed")}
    kind = torch.optim.Adam if o["kind"] == "adam" else torch.optim.AdamW
    optimizer = kind(parameter_groups(net, m["config"]["depth"], o, no_decay), lr=o["lr"])
    images, targets = case.tensor("images"), case.tensor("targets")
    for step in range(o["steps"]):
        logits = net(images)
        loss = F.cross_entropy(logits, targets, label_smoothing=m["label_smoothing"])
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            case.compare("logits", case.tensor("logits"), logits.detach(), 1e-4)
            total = math.sqrt(sum(float(p.grad.double().square().sum()) for p in net.parameters()))
            for name, p in net.named_parameters():
                case.compare(f"gradient {name}", case.tensor("grad." + name), p.grad, 1e-4, 1e-3 * total)
        case.compare(f"loss at step {step}", m["losses"][step], loss.detach(), 1e-5)
        norm = nn.utils.clip_grad_norm_(net.parameters(), o["clip_norm"])
        case.compare(f"norm at step {step}", m["grad_norms"][step], norm, 1e-4)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(o, step) * group["lr_scale"]
        optimizer.step()
    for name, p in net.named_parameters():
        trim = lambda t: without_key_bias(name, t, f32)
        case.compare(f"weights after ten steps: {name}", trim(case.tensor("after." + name)), trim(p.detach()), 1e-5)
        state = optimizer.state[p]
        for key, theirs in (("first_moment.", "exp_avg"), ("second_moment.", "exp_avg_sq")):
            case.compare(f"moments {name}", trim(case.tensor(key + name)), trim(state[theirs]), 1e-4, 1e-9)
    print(f"{folder.name:32}", "  ".join(f"{k} {v:.1e}" for k, v in case.worst.items()))


def main():
    folders = sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir())
    if len(folders) < 24:
        raise SystemExit(f"expected 24 cases, found {len(folders)}")
    for folder in folders:
        check(folder)
    print(f"{len(folders)} cases agree with PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
