"""The ViT that Vitrail is timed beside, in plain PyTorch modules, for torch_step.py and compare_peers.py."""
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
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
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
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


def network(model):
    """With the random weights of one seed."""
    torch.manual_seed(1)
    return Vit(*SIZES[model])


def images_for(model, batch):
    """(batch, chans, img, img) in [-1, 1]."""
    img, _, chans, *_ = SIZES[model]
    return torch.rand(batch, chans, img, img) * 2 - 1
