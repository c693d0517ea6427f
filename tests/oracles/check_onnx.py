"""Compares exported files with onnxruntime.

check_onnx.py images FOLDER
    makes a small data set of three classes: PNG files of several sizes and shapes.
check_onnx.py predict FILE.onnx PREDICTIONS.json IMAGE...
    the output of `vitrail predict --json` for the images, prepared here with Pillow from the file's metadata.
"""
import json
import math
import pathlib
import sys

import numpy as np
import onnx
import onnx.shape_inference
import onnxruntime
from PIL import Image

MAX_ABS = 1e-4


def check_file(path):
    """The official checker, in full."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    return model


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2  # warnings are printed
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare(name, expected, found):
    """Prints one line; True when they agree and there was something to compare."""
    difference = float(np.abs(expected - found).max())
    good = expected.shape == found.shape and difference <= MAX_ABS and float(np.ptp(expected)) > 0.1
    print(f"{'ok  ' if good else 'FAIL'} {name}: max abs difference {difference:.1e}, "
          f"largest logit {np.abs(expected).max():.2f}, limit {MAX_ABS:.0e}")
    return good


def make_images(folder):
    """Waves in one colour a class, with noise; for train and val."""
    random = np.random.default_rng(3)
    sizes = [(40, 52), (64, 33), (32, 32), (75, 75), (29, 31), (120, 90)]
    for part in ("train", "val"):
        for index, label in enumerate(("red", "green", "sky blue")):
            place = pathlib.Path(folder, part, label)
            place.mkdir(parents=True)
            for number, (height, width) in enumerate(sizes):
                wave = np.sin(np.arange(height)[:, None] / random.uniform(2, 9) + np.arange(width) / random.uniform(2, 9))
                pixels = 60 + 50 * wave[..., None] + random.normal(0, 12, (height, width, 3))
                pixels[..., index] += 70
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number}.png")
    return True


def prepare(path, metadata):
    """As docs/onnx.md says: the short side to floor(size / crop_pct), the centre, scaled and normalised."""
    size, channels = int(metadata["size"]), int(metadata["channels"])
    image = Image.open(path).convert({1: "L", 3: "RGB"}[channels])
    target = math.floor(size / float(metadata["crop_pct"]))
    short = min(image.size)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    image = image.resize([target * side // short for side in image.size], filters[metadata["interpolation"]])
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32).reshape(size, size, channels)
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    return ((pixels / 255 - mean) / std).transpose(2, 0, 1)


def predict(path, predictions, images):
    check_file(path)
    run = session(path)
    metadata = run.get_modelmeta().custom_metadata_map
    labels = json.loads(metadata["labels"])
    document = json.loads(pathlib.Path(predictions).read_text())["images"]
    found = run.run(["logits"], {"images": np.stack([prepare(image, metadata) for image in images])})[0]
    good = len(document) == len(images) > 0
    for image, entry, logits in zip(images, document, found):
        good &= compare(f"predict {pathlib.Path(image).name}", np.array(entry["logits"], np.float32), logits)
        if entry["top"][0]["label"] != labels[int(logits.argmax())]:
            print(f"FAIL predict {image}: {entry['top'][0]['label']} is not {labels[int(logits.argmax())]}")
            good = False
    return good


if __name__ == "__main__":
    commands = {"images": make_images, "predict": lambda f, p, *images: predict(f, p, images)}
    sys.exit(0 if commands[sys.argv[1]](*sys.argv[2:]) else 1)
