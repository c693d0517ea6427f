"""The grid of tests/oracles/onnx_parity.cpp in onnxruntime, at every level of its optimiser.

check_onnx_grid.py FOLDER
"""
import pathlib
import sys

import numpy as np
import onnx
import onnx.helper
import onnxruntime
from onnxruntime import GraphOptimizationLevel as Level

from check_onnx import check_file

BATCHES = (1, 3, 64)
LEVELS = {"disabled": Level.ORT_DISABLE_ALL, "basic": Level.ORT_ENABLE_BASIC, "extended": Level.ORT_ENABLE_EXTENDED,
          "all": Level.ORT_ENABLE_ALL}
# Of the largest logit and 1; fp32's is absolute.
LIMITS = {"fp32": 1e-4, "fp16": 1e-2, "int8-dynamic": 0.12, "int8-static": 0.12, "int8-weights": 0.05}


def session(path, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session_, images):
    """All outputs for all images, in runs of the graph's batch where that is fixed."""
    batch = session_.get_inputs()[0].shape[0]
    step = batch if isinstance(batch, int) else len(images)
    parts = [session_.run(None, {"images": images[i:i + step]}) for i in range(0, len(images), step)]
    names = [output.name for output in session_.get_outputs()]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


class Case:
    """Images and the engine's logits of one network."""

    def __init__(self, folder):
        self.folder = folder
        self.shape = None
        for path in sorted(folder.glob("*.onnx")):
            model = onnx.load(path, load_external_data=False)
            if dict((p.key, p.value) for p in model.metadata_props)["input"] == "float":
                self.shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
                break

    def images(self, kind, batch):
        if kind == "float":
            return np.fromfile(self.folder / f"images_{batch}.f32", np.float32).reshape(batch, *self.shape)
        channels, height, width = self.shape
        samples = np.fromfile(self.folder / f"samples_{batch}.u8", np.uint8).reshape(batch, height, width, channels)
        return samples if kind == "nhwc" else np.ascontiguousarray(samples.transpose(0, 3, 1, 2))

    def logits(self, batch):
        return np.fromfile(self.folder / f"logits_{batch}.f32", np.float32).reshape(batch, -1)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def initializer(model, name):
    return next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)


def attention_of(case, batch):
    """The class token's attention in block 0 (or its mean over tokens), from the portable graph's own softmax."""
    model = onnx.load(case.folder / "portable,fp32.onnx")
    name = next(n.output[0] for n in model.graph.node if n.name == "blocks.0/attn/Softmax")
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    found = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        [name], {"images": case.images("float", batch)})[0]
    has_class_token = next((i for i in model.graph.initializer if i.name == "pos_embed.with_prefix"), None) is not None
    return found[:, :, 0] if has_class_token else found.mean(2)


def deviation(case, model, metadata, found, batch):
    """Of the outputs from what the engine's logits say, and whether the first class is the same everywhere."""
    logits = case.logits(batch)
    output = metadata["output"]
    if output in ("logits", "attention"):
        worst = np.abs(found["logits"] - logits).max()
        if output == "attention":
            worst = max(worst, np.abs(found["attention.0"] - attention_of(case, batch)).max())
        return worst, np.array_equal(found["logits"].argmax(-1), logits.argmax(-1))
    probabilities = softmax(logits)
    if output == "probabilities":
        return np.abs(found["probabilities"] - probabilities).max(), np.array_equal(
            found["probabilities"].argmax(-1), logits.argmax(-1))
    if output == "topk":
        order = np.argsort(-probabilities, -1, kind="stable")[:, :found["classes"].shape[1]]
        expected = np.take_along_axis(probabilities, order, -1)
        return np.abs(found["probabilities"] - expected).max(), np.array_equal(found["classes"], order)
    # features: the head's own weights, from another file, must make logits of them.
    plain = onnx.load(case.folder / "portable,fp32.onnx")
    heads = [n.name for n in plain.graph.node if n.op_type == "MatMul" and n.name.startswith("head")]
    names = {i.name for i in plain.graph.initializer}
    if len(heads) > 1:  # of a distilled model the mean of both features is given, which no one head reads
        return 0.0 if np.isfinite(found["features"]).all() else np.inf, True
    bias = initializer(plain, "head.bias") if "head.bias" in names else 0
    made = found["features"] @ initializer(plain, "head.weight.T") + bias
    return np.abs(made - logits).max(), np.array_equal(made.argmax(-1), logits.argmax(-1))


def check_case(path, case, batches, levels):
    model = check_file(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    kind = metadata["layout"] if metadata["input"] == "uint8" else "float"
    dtype = metadata["dtype"]
    worst, same, tested, largest = 0.0, 0, 0, 0.0
    for level in levels:
        session_ = session(path, LEVELS[level])
        for batch in batches:
            found = run(session_, case.images(kind, batch))
            difference, top1 = deviation(case, model, metadata, found, batch)
            worst, same, tested = max(worst, float(difference)), same + bool(top1), tested + 1
            largest = max(largest, float(np.abs(case.logits(batch)).max()))
    limit = LIMITS[dtype] * (1 if dtype == "fp32" else 1 + largest)
    good = worst <= limit and largest > 0.05 and (same == tested or dtype != "fp32")
    return good, worst, dtype, len(model.graph.node)


def grid(folder, batches, levels):
    good, count, worst_by_dtype = True, 0, {}
    for case_folder in sorted(p for p in folder.iterdir() if p.is_dir()):
        case = Case(case_folder)
        for path in sorted(case_folder.glob("*.onnx")):
            some = batches if folder.name == "tiny" or path.stem == "portable" else batches[:2]
            fine, worst, dtype, nodes = check_case(path, case, some, levels)
            count += 1
            good &= fine
            worst_by_dtype[dtype] = max(worst_by_dtype.get(dtype, 0), worst)
            if not fine or folder.name == "real":
                print(f"{'ok  ' if fine else 'FAIL'} {case_folder.name}/{path.stem}: {nodes} nodes, "
                      f"max abs difference {worst:.1e}")
    print(f"{folder.name}: {count} files, batches {batches}, levels {', '.join(levels)}; largest difference "
          + ", ".join(f"{dtype} {worst:.1e}" for dtype, worst in sorted(worst_by_dtype.items())))
    return good and count > 0


def raw(folder):
    """Samples of any size, prepared in the graph. Resize rounds ties otherwise than Pillow's fixed-point numbers."""
    good = True
    for case in sorted(folder.iterdir()):
        check_file(case / "model.onnx")
        session_ = session(case / "model.onnx", LEVELS["all"])
        differences = []
        for path in sorted(case.glob("*.u8")):
            height, width = map(int, path.stem.split("_")[1].split("x"))
            samples = np.fromfile(path, np.uint8).reshape(1, height, width, 3)
            expected = np.fromfile(path.with_suffix(".f32"), np.float32)
            differences.append(float(np.abs(session_.run(None, {"images": samples})[0][0] - expected).max()))
        fine = len(differences) == 100 and max(differences) <= 2e-2 and np.median(differences) <= 5e-3
        print(f"{'ok  ' if fine else 'FAIL'} raw {case.name}: {len(differences)} sizes, "
              f"differences of logits: median {np.median(differences):.1e}, largest {max(differences):.1e}")
        good &= fine
    return good


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1])
    results = [grid(root / "real", (1, 3, 64), ("all",)), grid(root / "tiny", BATCHES, tuple(LEVELS)), raw(root / "raw")]
    sys.exit(0 if all(results) else 1)
