"""safetensors and npz as we read and write them, beside the safetensors package and NumPy.

    check_weight_formats.py PROGRAM FOLDER
"""
import json
import pathlib
import random
import shutil
import subprocess
import sys

import numpy as np
import safetensors
import safetensors.numpy
import xxhash

SPEC = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
        "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
        "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
        "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz"}


def hashed(data):
    return xxhash.xxh3_128_hexdigest(bytes(data))


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program, "read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, path):
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def tensors(self, path):
        found = self.read(path)
        assert "error" not in found, found
        return {name: (t["dtype"], t["shape"], t["hash"]) for name, t in found["tensors"].items()}


def theirs(data):
    """The reference's tensors, or None where it refuses the file."""
    try:
        return {name: (t["dtype"], list(t["shape"]), hashed(t["data"])) for name, t in safetensors.deserialize(data)}
    except (safetensors.SafetensorError, ValueError, TypeError):
        return None


def split(data):
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8:8 + size]), data[8 + size:]


def check_written(ours, folder):
    data = (folder / "ours.safetensors").read_bytes()
    found = theirs(data)
    assert found == ours.tensors(folder / "ours.safetensors"), "our file is read differently"
    header, payload = split(data)
    assert header["__metadata__"]["note"] == "é \"\n" and header["__metadata__"]["format"] == "pt"
    # The reference makes the same header, but for the metadata and the spaces at the end, and the same data.
    specs, kept = {}, []
    for name, tensor in safetensors.deserialize(data):
        if tensor["dtype"] not in SPEC:
            continue
        kept.append(np.frombuffer(bytes(tensor["data"]) or b"\0", np.uint8))
        specs[name] = safetensors.TensorSpec(dtype=SPEC[tensor["dtype"]], shape=list(tensor["shape"]),
                                             data_ptr=kept[-1].ctypes.data, data_len=len(tensor["data"]))
    other = bytes(safetensors.serialize(specs, {"a": "b"}))
    (folder / "theirs.safetensors").write_bytes(other)
    assert ours.tensors(folder / "theirs.safetensors") == {n: t for n, t in found.items() if t[0] in SPEC}
    other_header, _ = split(other)
    order = [name for name in header if name in specs]
    assert order == [name for name in other_header if name in specs], "the tensors stand in another order"
    print(f"written: {len(found)} tensors read by the reference, {len(specs)} written by it and read by us")


def check_tied(ours, folder):
    whole = theirs((folder / "tied.safetensors").read_bytes())
    found = ours.tensors(folder / "tied.safetensors")
    assert set(found) - set(whole) == {"tied"} and found["tied"][2] == found["large"][2]
    index = json.loads((folder / "set.safetensors.index.json").read_text())
    parts = {}
    for file in sorted(set(index["weight_map"].values())):
        shard = theirs((folder / file).read_bytes())
        assert all(index["weight_map"][name] == file for name in shard)
        parts.update(shard)
    assert parts == whole and ours.tensors(folder / "set.safetensors.index.json") == found
    size = sum((folder / file).stat().st_size for file in set(index["weight_map"].values()))
    assert 0 < index["metadata"]["total_size"] < size
    print(f"tied and in {len(set(index['weight_map'].values()))} shards: the same")


def check_bad(folder):
    lax = refused = 0
    for path in sorted((folder / "bad").iterdir()):
        accepted = theirs(path.read_bytes()) is not None
        assert accepted == path.name.startswith("lax-"), f"{path.name}: the reference {'accepts' if accepted else 'refuses'} it"
        lax, refused = lax + accepted, refused + (not accepted)
    print(f"wrong files: {refused} refused by both, {lax} by us alone")


def mutants(seeds, count):
    pieces = [b"-1", b"0", b"4", b"8", b"1.0", b"1e1", b"null", b"[]", b"{}", b"\"F32\"", b"\"U8\"", b"\"F16\"", b",", b":",
              b"\"", b" ", b"\xff", b"\\u0041", b"18446744073709551616", b"[2,2]", b"[0,4]", b"[4,8]"]
    for i in range(count):
        data = bytearray(random.choice(seeds))
        for _ in range(random.choice((1, 1, 2, 3))):
            at = random.randrange(8, len(data)) if random.random() < 0.95 else random.randrange(8)
            what = random.random()
            if what < 0.3:
                data[at] = random.choice(b"0123456789[]{},:\"-. aU8F32\x00\xff")
            elif what < 0.5:
                del data[at:at + random.randrange(1, 4)]
            elif what < 0.8:
                data[at:at + random.randrange(0, 3)] = random.choice(pieces)
            else:
                other = random.randrange(8, len(data))
                data[at:at] = data[other:other + random.randrange(1, 40)]
        if random.random() < 0.8:  # else the length is wrong too
            end = data.rfind(b"}") + 1
            data[:8] = max(end - 8, 0).to_bytes(8, "little")
        yield bytes(data)


def slip(value):
    """Mostly the same."""
    return value if random.random() < 0.93 else random.choice((0, 1, value + 1, value - 1, 2 * value, float(value), str(value), None, []))


def random_file():
    """A right file with a few things wrong."""
    at, entries, sizes = 0, [], {"U8": 1, "BF16": 2, "F32": 4, "I64": 8, "C64": 8}
    for i in range(random.randrange(1, 5)):
        dtype, shape = random.choice(list(sizes)), [random.randrange(0, 4) for _ in range(random.randrange(0, 4))]
        end = at + sizes[dtype] * int(np.prod(shape, dtype=np.int64))
        entry = {"dtype": dtype, "shape": [slip(n) for n in shape], "data_offsets": [slip(at), slip(end)]}
        if random.random() < 0.03:
            entry["more"] = 1
        if random.random() < 0.03:
            del entry[random.choice(list(entry))]
        entries.append((f"t{i if random.random() < 0.97 else 0}", entry))
        at = max(0, end + (random.choice((-1, 1, 2)) if random.random() < 0.05 else 0))  # an overlap, a hole
    random.shuffle(entries)
    if random.random() < 0.3:
        entries.append(("__metadata__", {"a": random.choice((1, None, {}, [])) if random.random() < 0.1 else "b"}))
    text = ",".join(f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in entries)
    header = ("{" + text + "}" + " " * random.randrange(9)).encode()
    data = bytes(at if random.random() < 0.95 else at + random.choice((-1, 1)) if at else 1)
    return len(header).to_bytes(8, "little") + header + data


def check_verdicts(ours, folder, files):
    path, counts = folder / "mutant", [0, 0, 0]
    for data in files:
        path.write_bytes(data)
        reference, found = theirs(data), ours.read(path)
        if "error" in found:
            counts[1 if reference is not None else 2] += 1
            continue
        (folder / "accepted").write_bytes(data)
        assert reference is not None, f"the reference refuses what we accept: {folder / 'accepted'}"
        mine = {name: (t["dtype"], t["shape"], t["hash"]) for name, t in found["tensors"].items() if not t["alias_of"]}
        assert mine == reference, f"read differently: {folder / 'accepted'}"
        counts[0] += 1
    return counts


def check_mutants(ours, folder, count):
    entry = b'{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]}}'
    meta = b'{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"z":{"dtype":"I8","shape":[0],"data_offsets":[8,8]}}'
    seeds = [len(h).to_bytes(8, "little") + h + bytes(8) for h in (entry, meta)]
    for name, files in (("mutants", mutants(seeds, count)), ("random files", (random_file() for _ in range(count)))):
        alike, alone, both = check_verdicts(ours, folder, files)
        assert alike > count // 50 and both > count // 10, "too few of one kind to prove anything"
        print(f"{name}: {alike} read alike, {both} refused by both, {alone} by us alone")


def check_npz(ours, folder):
    generator = np.random.default_rng(5)
    shapes = [(), (1,), (7,), (3, 5), (2, 3, 4), (1, 4, 1, 3), (0, 3), (2, 2, 2, 2, 2)]
    names = {np.dtype(t): n for n, t in (("BOOL", "bool"), ("U8", "u1"), ("I8", "i1"), ("U16", "u2"), ("I16", "i2"),
             ("U32", "u4"), ("I32", "i4"), ("U64", "u8"), ("I64", "i8"), ("F16", "f2"), ("F32", "f4"), ("F64", "f8"),
             ("C64", "c8"), ("C128", "c16"))}
    arrays = {}
    for dtype in names:
        for shape in shapes:
            array = (generator.random(shape) * 100).astype(dtype)
            arrays[f"{dtype}/{'x'.join(map(str, shape))}"] = np.asfortranarray(array) if generator.random() < 0.5 else array
    arrays["view"] = np.arange(60, dtype=np.float32).reshape(3, 4, 5).transpose(2, 0, 1)
    expected = {name: (names[a.dtype], list(a.shape), hashed(np.ascontiguousarray(a).tobytes())) for name, a in arrays.items()}
    for save in (np.savez, np.savez_compressed):
        save(folder / "arrays.npz", **arrays)
        assert ours.tensors(folder / "arrays.npz") == expected, save.__name__
    print(f"npz: {len(arrays)} arrays, stored and deflated")


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random.seed(7)
    subprocess.run([program, "write", folder], check=True)
    ours = Ours(program)
    print(f"safetensors {safetensors.__version__}, NumPy {np.__version__}")
    check_written(ours, folder)
    check_tied(ours, folder)
    check_bad(folder)
    check_mutants(ours, folder, 2000)
    check_npz(ours, folder)


main()
