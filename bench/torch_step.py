"""Times one PyTorch training step: torch_step.py MODEL BATCH STEPS [cpu|cuda] [eager|compile] [fp32|bf16]. The peer of
`vitrail bench`: forward, cross-entropy, backward, clip to norm 1, fused AdamW; in bf16 by autocast, the weights in
fp32. One JSON line."""
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {  # img, patch, chans, classes, dim, depth, heads, mlp
    "vit_tiny_patch16_224": (224, 16, 3, 1000, 192, 12, 3, 768),
    "vit_small_patch16_224": (224, 16, 3, 1000, 384, 12, 6, 1536),
    "vit_base_patch16_224": (224, 16, 3, 1000, 768, 12, 12, 3072),
    "vit_large_patch16_224": (224, 16, 3, 1000, 1024, 24, 16, 4096),
    "grey28": (28, 4, 1, 10, 128, 6, 4, 512),
}


class Block(nn.Module):
    def __init__(self, dim, heads, mlp):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, mlp), nn.Linear(mlp, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, img, patch, chans, classes, dim, depth, heads, mlp):
        super().__init__()
        self.patch = nn.Conv2d(chans, dim, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = nn.Parameter(torch.randn(1, (img // patch) ** 2 + 1, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


def main():
    name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    device, mode, dtype = (sys.argv[4:] + ["cpu", "eager", "fp32"][len(sys.argv) - 4:])[:3]
    img, patch, chans, classes, *_ = SIZES[name]
    torch.manual_seed(1)
    net = Vit(*SIZES[name]).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    images = (torch.rand(batch, chans, img, img) * 2 - 1).to(device)
    labels = (torch.arange(batch) % classes).to(device)
    forward = torch.compile(net) if mode == "compile" else net
    times = []
    for step in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16"):
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        if step > 0:
            times.append(time.perf_counter() - start)
    median = statistics.median(times)
    print(json.dumps({"engine": f"torch {torch.__version__} {mode} {dtype}", "model": name, "batch": batch,
                      "seconds": median, "images_per_second": batch / median,
                      "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


main()
