"""Exported files of one model in OpenVINO beside onnxruntime, and its accuracy on Fashion-MNIST's test images.

onnx_runtimes.py FOLDER DATA     as written by scripts/oracle-onnx-runtimes.sh
"""
import gzip
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

IDX = (pathlib.Path("/usr/share/datasets/fashion-mnist"),)


def idx(name):
    for folder in IDX:
        for path in folder.rglob(f"{name}*"):
            raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(
                np.frombuffer(raw, ">i4", raw[3], 4).astype(int))
    raise SystemExit(f"no {name}: is the package dataset-fashion-mnist installed?")


def batches(array, session_batch):
    step = session_batch if isinstance(session_batch, int) else 100
    return [array[i:i + step] for i in range(0, len(array), step)]


def logits_of(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"images": part})[0]
                           for part in batches(images, session.get_inputs()[0].shape[0])])


def openvino_logits(path, images):
    import openvino
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    fixed = model.input(0).partial_shape[0]
    step = fixed.get_length() if fixed.is_static else None
    return np.concatenate([model([part])[0].copy() for part in batches(images, step)])


def main(folder, data):
    good = True
    files = sorted(pathlib.Path(folder).glob("*.onnx"))
    metadata = {p.key: p.value for p in onnx.load(files[0]).metadata_props}
    size, channels = int(metadata["size"]), int(metadata["channels"])
    random = np.random.default_rng(5).integers(0, 256, (16, size, size, channels), np.uint8)
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    prepare = lambda samples: ((samples / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    for path in files:
        images = random if "uint8" in path.stem else prepare(random)
        here = logits_of(path, images)
        try:
            difference = np.abs(openvino_logits(path, images) - here).max()
            limit = 1e-4 if "fp32" in path.stem or "uint8" in path.stem else 5e-2 * (1 + np.abs(here).max())
            fine = difference <= limit
            print(f"{'ok  ' if fine else 'FAIL'} openvino {path.stem}: {difference:.1e} from onnxruntime")
            good &= bool(fine) or "portable" not in path.stem
        except Exception as error:  # what another runtime does not take is listed, not fatal, but for portable fp32
            print(f"no   openvino {path.stem}: {str(error).splitlines()[0][:150]}")
            good &= path.stem != "portable-fp32"
    if data != "fashion-mnist":
        return good
    samples, labels = idx("t10k-images")[..., None], idx("t10k-labels")
    top1 = json.loads((pathlib.Path(folder) / "eval.json").read_text())["top1"]
    print(f"vitrail eval: {top1:.2f} % of {len(labels)} images")
    for path in files:
        if path.stem.startswith("static"):
            continue
        found = logits_of(path, samples if "uint8" in path.stem else prepare(samples))
        accuracy = 100 * (found.argmax(-1) == labels).mean()
        limit = 0.3 if "int8" in path.stem and "uint8" not in path.stem or "fp16" in path.stem else 1e-9
        fine = abs(accuracy - top1) <= limit
        print(f"{'ok  ' if fine else 'FAIL'} onnxruntime {path.stem}: {accuracy:.2f} %")
        good &= bool(fine)
    return good


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1], sys.argv[2]) else 1)
