"""Images of odd sizes and every EXIF orientation: `vitrail predict` beside the exported file, whose input is made
here by Pillow from the file's metadata alone.

check_preprocessing.py images FOLDER
    100 photographs, PNG and JPEG, grey and colour, of sides from 1 to 700 pixels, of all eight orientations.
check_preprocessing.py compare FILE.onnx PREDICTIONS.json FOLDER
"""
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

COUNT = 100
MAX_ABS = 1e-4


def make_images(folder):
    random = np.random.default_rng(11)
    pathlib.Path(folder).mkdir(parents=True)
    for number in range(COUNT):
        width, height = (int(side) for side in random.integers(1, 120, 2) * random.choice([1, 1, 6], 2) % 701 + 1)
        across, down = np.linspace(0, random.uniform(2, 40), width), np.linspace(0, random.uniform(2, 40), height)
        # Nothing in it is symmetric, so that a wrong turn shows.
        waves = [np.sin(across[None, :] * scale + down[:, None] + shift) * 90 + np.linspace(0, 60, height)[:, None] + 60
                 for scale, shift in zip(random.uniform(0.3, 1, 3), random.uniform(0, 6, 3))]
        pixels = (np.stack(waves, -1) + random.normal(0, 9, (height, width, 3))).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(pixels).convert("L" if number % 9 == 0 else "RGB")
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        kind = "png" if number % 3 == 0 else "jpg"
        # JPEG without subsampling: decoders agree on colour planes, not on how they are enlarged.
        more = {} if kind == "png" else {"quality": 92, "subsampling": 0}
        image.save(pathlib.Path(folder, f"{number:03}.{kind}"), exif=exif, **more)
    return True


def prepare(path, metadata):
    """docs/onnx.md, "Preparing an image"."""
    size, channels = int(metadata["size"]), int(metadata["channels"])
    image = ImageOps.exif_transpose(Image.open(path)).convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    target = int(size / float(metadata["crop_pct"]))
    short = min(image.size)
    width, height = (target * side // short for side in image.size)
    kind = Image.Resampling[metadata["interpolation"].upper()]
    # One axis after the other: Pillow 13 takes the vertical one first where it shrinks more, all others the horizontal.
    image = image.resize((width, image.height), kind).resize((width, height), kind)
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32).reshape(size, size, channels) / 255
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    return ((pixels - mean) / std).transpose(2, 0, 1)


def compare(path, predictions, folder):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    expected = {pathlib.Path(entry["image"]).name: entry["logits"] for entry in json.loads(pathlib.Path(predictions).read_text())["images"]}
    worst, spread, seen = 0.0, [], 0
    for image in sorted(pathlib.Path(folder).iterdir()):
        found = session.run(None, {"images": prepare(image, metadata)[None]})[0][0]
        off = float(np.abs(found - np.array(expected[image.name], np.float32)).max())
        if off > MAX_ABS:
            print(f"FAIL {image.name} {Image.open(image).size}: {off:.1e} off")
        worst, seen = max(worst, off), seen + 1
        spread.append(found)
    # The images must matter, or nothing is shown.
    telling = float(np.ptp(np.stack(spread), axis=0).max()) > 0.1
    print(f"{seen} images, {worst:.1e} off at most, limit {MAX_ABS:.0e}; logits differ by {np.ptp(np.stack(spread), axis=0).max():.2f} among them")
    return seen == COUNT and worst <= MAX_ABS and telling


if __name__ == "__main__":
    sys.exit(0 if {"images": make_images, "compare": compare}[sys.argv[1]](*sys.argv[2:]) else 1)
