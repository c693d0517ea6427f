"""Medians and ratios of the JSON lines that compare_torch.sh gathered: report.py FILE."""
import collections
import json
import pathlib
import platform
import statistics
import sys

runs = collections.defaultdict(lambda: collections.defaultdict(list))
shares = {}
for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    run = json.loads(line)
    runs[run["model"], run["batch"]][run["engine"]].append(run)
    if "share" in run:
        shares[run["model"]] = run["share"]
cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
print(f"{cpu}\n\n| model, batch | Vitrail images/s | GF/s | PyTorch images/s | ratio | peak MiB, Vitrail and PyTorch |\n|---|---|---|---|---|---|")
for (model, batch), engines in runs.items():
    ours = engines.pop("vitrail")
    (peer, theirs), = engines.items()
    speed = lambda rs: statistics.median(r["images_per_second"] for r in rs)
    print(f"| {model}, {batch} | {speed(ours):.1f} | {statistics.median(r['gflops'] for r in ours):.0f} | "
          f"{speed(theirs):.1f} | {speed(ours) / speed(theirs):.2f} | {max(r['peak_rss_mib'] for r in ours)}, "
          f"{max(r['peak_rss_mib'] for r in theirs)} |")
print(f"\nPeer: {peer}. Share of the step by op:")
for model, share in shares.items():
    top = sorted(share.items(), key=lambda item: -item[1])[:8]
    print(f"  {model}: " + ", ".join(f"{op} {100 * part:.0f} %" for op, part in top))
