"""What is in an image, by a file of: vitrail export RUN --to onnx --input uint8 --output topk

onnx_classify.py MODEL.onnx IMAGE          pip install onnxruntime pillow numpy
"""
import json, sys
import numpy as np, onnxruntime
from PIL import Image, ImageOps

run = onnxruntime.InferenceSession(sys.argv[1])
meta = run.get_modelmeta().custom_metadata_map
size, target = int(meta["size"]), int(int(meta["size"]) / float(meta["crop_pct"]))
image = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert({"1": "L", "3": "RGB", "4": "RGBA"}[meta["channels"]])
image = image.resize([target * side // min(image.size) for side in image.size], Image.Resampling[meta["interpolation"].upper()])
left, top = (round((side - size) / 2) for side in image.size)
samples = np.asarray(image.crop((left, top, left + size, top + size))).reshape(1, size, size, -1)
probabilities, classes = run.run(["probabilities", "classes"], {"images": samples})
labels = json.loads(meta["labels"])
for probability, number in zip(probabilities[0], classes[0]):
    print(f"{100 * probability:6.2f} %  {labels[number] if labels else number}")
