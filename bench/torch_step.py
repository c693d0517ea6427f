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

from torch_vit import SIZES, images_for, network

def main():
    name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    device, mode, dtype = (sys.argv[4:] + ["cpu", "eager", "fp32"][len(sys.argv) - 4:])[:3]
    net = network(name).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    images = images_for(name, batch).to(device)
    labels = (torch.arange(batch) % SIZES[name][3]).to(device)
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
