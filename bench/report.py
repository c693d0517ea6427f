"""Tables, in Markdown, of the lines of JSON that compare.py gathered: medians over the rounds, and ratios.

report.py FILE"""
import collections
import json
import pathlib
import platform
import statistics
import sys


def processor():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def gather(path):
    runs = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in pathlib.Path(path).read_text().splitlines():
        run = json.loads(line)
        runs[run["what"], run["model"], run["batch"]][run["engine"], run["dtype"]].append(run)
    return runs


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def ratio(engines, dtypes):
    """Our best over the best of the peers, in these dtypes."""
    speed = {key: median(runs, "images_per_second") for key, runs in engines.items() if key[1] in dtypes}
    ours = [value for (engine, _), value in speed.items() if engine == "vitrail"]
    theirs = [value for (engine, _), value in speed.items() if engine != "vitrail"]
    return f"{max(ours) / max(theirs):.2f}" if ours and theirs else "–"


def table(cases, title):
    columns = sorted({key for engines in cases.values() for key in engines},
                     key=lambda key: (["vitrail", "eager", "compile", "onnxruntime"].index(key[0]), key[1] == "int8", key[1] == "bf16"))
    dtypes = [dtype for dtype in ("f32", "bf16", "int8") if any(key[1] == dtype for key in columns)]
    heads = [title] + [" ".join(key) for key in columns] + [f"ratio {dtype}" for dtype in dtypes] + ["best to best", "peak MiB"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for (_, model, batch), engines in cases.items():
        cells = [f"{model}, {batch}"]
        cells += [f"{median(engines[key], 'images_per_second'):.2f}" if key in engines else "–" for key in columns]
        cells += [ratio(engines, {dtype}) for dtype in dtypes] + [ratio(engines, set(dtypes))]
        peaks = [f"{' '.join(key)} {max(run['peak_mib'] for run in engines[key])}" for key in
                 (("vitrail", "f32"), ("vitrail", "bf16"), ("eager", "f32"), ("eager", "bf16")) if key in engines]
        lines.append("| " + " | ".join(cells + [", ".join(peaks)]) + " |")
    return lines


def tables(path):
    runs = gather(path)
    versions = sorted({run["version"] for engines in runs.values() for rs in engines.values() for run in rs} - {"vitrail"})
    rounds = max(len(rs) for engines in runs.values() for rs in engines.values())
    lines = [f"{processor()}; {', '.join(versions)}; images a second, medians of {rounds} rounds in turn.", ""]
    for what, title in (("train", "training: model, batch"), ("infer", "inference: model, batch")):
        cases = {key: engines for key, engines in runs.items() if key[0] == what}
        if cases:
            lines += table(cases, title) + [""]
    for (what, model, _), engines in runs.items():
        for (engine, dtype), rs in engines.items():
            if engine == "vitrail":
                lines.append(f"{what} {model} {dtype}: {median(rs, 'gflops'):.0f} GF/s in matrix products, "
                             f"{median(rs, 'times_products'):.2f} times the products alone")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables(sys.argv[1]))
