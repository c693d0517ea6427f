"""Compares reading and writing `.pt` with PyTorch: check_torch_files.py FOLDER PROGRAM.

PyTorch saves files of every kind into FOLDER/theirs; PROGRAM (torch_files) reads them and writes them again; what it
read must be what PyTorch reads, and PyTorch must read from ours what it reads from its own. Runs under PyTorch 1.13 and
under the newest.
"""
import collections
import io
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import torch
from torch import nn

VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
NEW = VERSION >= (2, 6)
# Codes of format/SPEC.md, "Element types".
CODES = {"bool": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "uint32": 6, "int32": 7, "uint64": 8, "int64": 9,
         "float16": 16, "bfloat16": 17, "float32": 18, "float64": 19, "float8_e4m3fn": 24, "float8_e5m2": 25,
         "float8_e4m3fnuz": 26, "float8_e5m2fnuz": 27, "float8_e8m0fnu": 28, "complex64": 32, "complex128": 33}


def raw(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def every_dtype():
    bits = torch.randint(0, 256, (240,), dtype=torch.uint8)
    tensors = {}
    for name in CODES:
        dtype = getattr(torch, name, None)
        if dtype is not None:
            tensors[name] = bits > 127 if dtype == torch.bool else bits.view(dtype).clone()
    return tensors


def strided():
    base = torch.randn(6, 4, 5)
    row = torch.arange(12.0)
    return {"base": base, "transposed": base.transpose(0, 2), "slice": base[1:5:2, :, 3], "step": row[1::3],
            "row": row[4:8], "row again": row[4:8], "whole": row, "other shape": row.view(3, 4),
            "expanded": torch.ones(1, 3).expand(4, 3), "scalar": torch.tensor(7.5), "empty": torch.empty(0, 3),
            "one": base[2:3, :, :1], "bools": torch.tensor([[True, False], [False, True]]).t(),
            "bytes": torch.arange(9, dtype=torch.uint8)[3:]}


def odd_values():
    return {"none": None, "yes": True, "no": False, "text": "grüße ✓", "empty": "", "tuple": (1, (2.5, None), ()),
            "list": [[], [1], [1, 2, "x"]], "ints": [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -2**31, 2**31, 2**62, -2**63],
            "floats": [0.0, -0.0, 1e-300, float("inf"), float("-inf"), 0.1], 7: "seven", -3: {}, "size": torch.Size([2, 3]),
            "device": torch.device("cpu"), "dtype": torch.bfloat16, "ordered": collections.OrderedDict(a=1, b=2),
            "counter": collections.Counter({3: 1, 6: 2}), "many": list(range(2500)),
            "dict of many": {f"key {i}": i for i in range(2500)}}


def net(seed=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))


def training(model, optimizer, steps, scheduler=None):
    torch.manual_seed(11)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 6)).square().sum().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()


def checkpoint():
    model = net()
    decay, rest = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0}], lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    training(model, optimizer, 3, scheduler)
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
            "epoch": 3, "rng": torch.get_rng_state()}


def tied():
    model = net()
    model[2].weight = nn.Parameter(torch.randn(3, 8))
    weight = torch.randn(4, 4)
    return collections.OrderedDict([("embed.weight", weight), ("head.weight", weight.detach()), ("norm.bias", weight[0])])


def cases():
    torch.manual_seed(0)
    yield "state_dict", net().state_dict(), True
    yield "dtypes", every_dtype(), True
    yield "strided", strided(), True
    yield "tied", tied(), True
    yield "parameters", dict(net().named_parameters()), True
    yield "bare", torch.randn(3, 2), True
    yield "nested", {"state_dict": {"module." + k: v for k, v in net().state_dict().items()}, "ema": [net(5).state_dict()]}, True
    yield "large", {"a": torch.randn(1 << 20), "b": torch.randn(3, 1 << 18)}, True
    yield "values", odd_values(), False
    yield "checkpoint", checkpoint(), False
    yield "empty", {}, True


def save_all(folder):
    """Name -> whether it holds weights alone, which the restricted reader of 1.13 takes."""
    weights = {}
    for name, value, plain in cases():
        torch.save(value, folder / f"{name}.pt")
        weights[name] = plain
        if name == "dtypes" and NEW:  # float8 in its old form PyTorch writes, but cannot read itself
            continue
        torch.save(value, folder / f"legacy_{name}.pt", _use_new_zipfile_serialization=False)
        weights[f"legacy_{name}"] = plain
    stream = io.BytesIO()
    torch.save(net().state_dict(), stream)
    (folder / "stream.pt").write_bytes(stream.getvalue())
    weights["stream"] = True
    return weights


class Read:
    """What the program says it found."""

    def __init__(self, folder, name):
        told = json.loads((folder / f"{name}.json").read_text())
        data, at = (folder / f"{name}.bin").read_bytes(), 0
        self.root, self.tensors = told["root"], told["tensors"]
        for tensor in self.tensors:
            tensor["data"] = data[at:at + tensor["bytes"]]
            at += tensor["bytes"]
        assert at == len(data)

    def compare(self, found, expected, where):
        if isinstance(expected, torch.Tensor):
            tensor = self.tensors[found["tensor"]]
            assert tensor["shape"] == list(expected.shape), where
            assert tensor["type"] == CODES[str(expected.dtype).split(".")[1]], where
            assert tensor["data"] == raw(expected), f"{where}: bytes differ"
        elif isinstance(expected, dict):
            assert len(found["dict"]) == len(expected), where
            for (key, value), (their_key, their_value) in zip(found["dict"], expected.items()):
                assert key == their_key and type(key) is type(their_key), (where, key)
                self.compare(value, their_value, f"{where}.{key}")
        elif isinstance(expected, (list, tuple)):
            items = found["list" if isinstance(expected, list) else "tuple"]
            assert len(items) == len(expected), where
            for i, (value, their_value) in enumerate(zip(items, expected)):
                self.compare(value, their_value, f"{where}[{i}]")
        elif isinstance(expected, float):
            assert float.fromhex(found["float"]).hex() == expected.hex(), where
        elif isinstance(expected, (torch.device, torch.dtype)):
            assert found == str(expected), where
        else:
            assert found == expected and type(found) is type(expected), (where, found, expected)


def same(ours, theirs, where):
    """ours was read by PyTorch from our file."""
    if isinstance(theirs, torch.Tensor):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype and raw(ours) == raw(theirs), where
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs) and isinstance(ours, list) == isinstance(theirs, list), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            same(a, b, f"{where}[{i}]")
    elif isinstance(theirs, (torch.device, torch.dtype)):
        assert ours == str(theirs), where
    else:
        assert ours == theirs and type(ours) is type(theirs), (where, ours, theirs)


def load(path, **options):
    if NEW:
        options.setdefault("weights_only", False)
    return torch.load(path, map_location="cpu", **options)


def ways_to_load(path, weights):
    yield "plainly", load(path)
    if weights or NEW:
        yield "with weights_only", load(path, weights_only=True)
    if NEW:
        yield "mapped", load(path, weights_only=True, mmap=True)
        from torch.utils.serialization import config
        config.load.calculate_storage_offsets = True
        yield "with computed offsets", load(path, weights_only=True, mmap=True)
        config.load.calculate_storage_offsets = False


def check_layout(path, folder):
    """Our archive is, to the byte, what torch's own writer makes of its records."""
    archive = zipfile.ZipFile(path)
    assert archive.testzip() is None
    names = archive.namelist()
    assert names[:4] == ["archive/" + n for n in ("data.pkl", ".format_version", ".storage_alignment", "byteorder")]
    assert names[-2:] == ["archive/version", "archive/.data/serialization_id"]
    assert names[4:-2] == [f"archive/data/{i}" for i in range(len(names) - 6)]
    writer = torch._C.PyTorchFileWriter(str(folder / "archive.pt"))
    for name in names[:-2]:
        content = archive.read(name)
        writer.write_record(name.split("/", 1)[1], content, len(content))
    writer.write_end_of_file()
    ours, theirs = path.read_bytes(), (folder / "archive.pt").read_bytes()
    last = archive.getinfo(names[-1])
    assert ours[:last.header_offset] == theirs[:last.header_offset], f"{path.name}: not torch's layout"
    if NEW:  # of the serialization id only place and length are the same
        assert len(ours) == len(theirs)
        theirs_last = zipfile.ZipFile(folder / "archive.pt").getinfo(names[-1])
        crc = lambda info: info.CRC.to_bytes(4, "little")
        content = archive.read(names[-1])
        theirs = theirs.replace(zipfile.ZipFile(folder / "archive.pt").read(names[-1]), content)
        assert ours == theirs.replace(crc(theirs_last), crc(last)), f"{path.name}: not torch's end"


def check_training_goes_on(theirs, ours):
    results = []
    for path in (theirs, ours):
        state, model = load(path), net()
        optimizer = torch.optim.AdamW([{"params": [p for p in model.parameters() if p.ndim > 1]},
                                       {"params": [p for p in model.parameters() if p.ndim <= 1]}])
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
        model.load_state_dict(state["model"], strict=True)
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        training(model, optimizer, 3, scheduler)
        results.append(model.state_dict())
    same(results[1], results[0], "three steps after loading our file")


def main():
    folder, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "theirs").mkdir(parents=True)
    weights = save_all(folder / "theirs")
    subprocess.run([program, str(folder)], check=True)
    (folder / "written by torch").mkdir()
    loads = 0
    for name, plain in weights.items():
        theirs, ours = folder / "theirs" / f"{name}.pt", folder / "ours" / f"{name}.pt"
        expected = load(theirs)
        read = Read(folder / "read", name)
        read.compare(read.root, expected, name)
        for how, found in ways_to_load(ours, plain):
            same(found, expected, f"{name} {how}")
            loads += 1
        check_layout(ours, folder / "written by torch")
    tied_tensors = load(folder / "ours" / "tied.pt")
    assert tied_tensors["embed.weight"].data_ptr() == tied_tensors["head.weight"].data_ptr(), "tied weights"
    aliases = {t["name"]: t["alias_of"] for t in Read(folder / "read", "tied").tensors}
    assert aliases == {"embed.weight": "", "head.weight": "embed.weight", "norm.bias": ""}, aliases
    check_training_goes_on(folder / "theirs" / "checkpoint.pt", folder / "ours" / "checkpoint.pt")
    print(f"{len(weights)} files of PyTorch {torch.__version__} read and written again, loaded in {loads} ways")


if __name__ == "__main__":
    main()
