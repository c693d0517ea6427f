"""Reads and verifies .vitrail files, version 1 of the format (SPEC.md in the folder above; "V08" is a rule of its
section 7). A second implementation, made from that page alone.

    import vitrail_reader
    with vitrail_reader.Container("last.vitrail") as file:
        file.root[8][9]                          # the tree of sections: schedule, steps done
        file["head.weight"]                      # a parameter: read-only array that shares the mapped file's memory
        file.tensor("head.weight", role=16)      # its first moment

On the command line: python -m vitrail_reader FILE [--full] [--json]. Exit code 4: the file is damaged or none.
"""
import argparse
import json
import math
import mmap
import os
import struct
import sys
from dataclasses import dataclass

import numpy as np
import xxhash

from vitrail_format import (TYPES, Message, Object, Scalar, VitrailError, align, byte_count, check_shape, require,
                            structs)
from vitrail_sets import check_index, check_shard

MAGIC = b"\x89VTL\r\n\x1a\n"
KINDS = {1: "weights", 2: "model", 3: "checkpoint", 4: "shard", 5: "shard index"}
ROLES = {0: "parameter", 1: "buffer", 2: "EMA parameter", 3: "EMA buffer", 16: "first moment", 17: "second moment",
         18: "largest second moment", 19: "momentum", 20: "master weight", 32: "accumulated gradient"}
ENTRY = np.dtype([("name", "<u4"), ("role", "<u2"), ("type", "u1"), ("rank", "u1"), ("flags", "<u4"), ("link", "<u4"),
                  ("offset", "<u8"), ("bytes", "<u8"), ("extents", "<u8", 8), ("hash", "V16"), ("first_chunk", "<u4"),
                  ("chunks", "<u4"), ("reserved", "<u8")])
CHUNK = 4 << 20
TABLES = {2: "table", 13: "table"}
REQUIRED = {2: TABLES, 3: {**TABLES, 7: "table", 8: "table", 10: "vector", 11: "table"}}  # sections by kind of file


def hash64(data):
    return xxhash.xxh3_64_intdigest(data)


def hash128(data):
    return xxhash.xxh3_128_intdigest(data).to_bytes(16, "little")  # the low word first


def show(digest):
    return digest[::-1].hex()


@dataclass(frozen=True)
class Tensor:
    """One entry of the directory; shape in elements."""
    name: str
    role: int
    type: str
    shape: tuple
    offset: int
    bytes: int
    hash: bytes
    first_chunk: int
    chunks: int
    owner: "Tensor"  # whose bytes an alias shares; else None
    bits: int  # of an element; None for a type of a later version
    dtype: str

    def __str__(self):
        return f"{self.name} ({ROLES.get(self.role, f'role {self.role}')})"


class Container:
    """A file, checked at level "open" (V01 to V33) and mapped; with full=True everything is checked. Tensors are
    checked before they are first handed out. Raises VitrailError, or OSError where there is no file to read."""

    def __init__(self, path, full=False):
        self.path = os.fspath(path)
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            require(file.read(8) == MAGIC, "V02", "not a .vitrail file")
            require(size >= 4096, "V01", f"{size} bytes are too few")
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data = memoryview(self.map)
        self.verified = set()
        self._prologue(size)
        self.root = Message(self.data[128:128 + self.meta_bytes]).root
        self._directory()
        if full:
            self.verify()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Arrays that share the file's memory keep it mapped."""
        self.data = self.map = None

    def _prologue(self, size):
        head = self.data[:128]
        require(hash64(head[:120]) == int.from_bytes(head[120:], "little"), "V03", "prologue: hash")
        (major, self.minor, length, file_bytes, meta_offset, self.meta_bytes, self.data_offset, data_bytes, features,
         self.optional_features, kind, hash_alg) = struct.unpack_from("<HHIQQQQQQQII", head, 8)
        self.meta_hash, self.content_id, reserved = bytes(head[80:96]), bytes(head[96:112]), any(head[112:120])
        require(major == 1, "V04", f"format {major} file; this reader reads format 1")
        require(file_bytes == size, "V01", f"{size} bytes, {file_bytes} expected")
        require(length == 128 and meta_offset == 128 and hash_alg == 1 and file_bytes % 4096 == 0
                and self.meta_bytes % 8 == 0 and self.meta_bytes <= min(256 << 20, file_bytes - 192)
                and self.data_offset == align(128 + self.meta_bytes, 4096)
                and self.data_offset + data_bytes == file_bytes - 64 and kind in KINDS
                and not (reserved and self.minor == 0), "V05", "prologue: fixed fields")
        require(features == 0, "V06", f"required features {features:#x} are unknown")
        self.kind, end = kind, self.data_offset
        foot = self.data[file_bytes - 64:]
        require(foot[:8] == b"VTLEND\r\n" and hash64(foot[:56]) == int.from_bytes(foot[56:], "little")
                and foot[8:16] == head[16:24] and foot[16:32] == head[96:112] and foot[32:48] == head[80:96]
                and foot[48:56] == head[120:], "V07", "footer: the file was not finished, or is damaged")
        meta_end = 128 + self.meta_bytes
        found = hash128(self.data[128:meta_end])
        require(found == self.meta_hash, "V08", f"metadata: hash {show(found)}, not {show(self.meta_hash)}")
        require(not any(self.data[meta_end:end]), "V09", "bytes behind the metadata")

    def _directory(self):
        root, newer = self.root, self.minor > 0
        require(isinstance(root.get(1), str), "V20", "root field 1, producer: no text")
        require(isinstance(root.get(3), list), "V20", "root field 3, names: no strings")
        self.producer, self.names = root[1], root[3]
        rows = structs(root, 4, ENTRY.itemsize, "V20", newer)
        self.chunk_hashes = structs(root, 5, 16, "V20").tobytes()
        roles = structs(root, 6, 48, "V20", newer)
        entries = np.ascontiguousarray(rows[:, :ENTRY.itemsize]).view(ENTRY).reshape(-1)
        require(len(entries) <= 1 << 20, "V20", f"{len(entries)} tensors")
        names = check_names(self.names)
        self.tensors, used, chunks, cursor, last, identity = [], set(), 0, self.data_offset, (-1, -1), []
        for entry in entries:
            tensor = self._entry(entry, last, chunks, cursor)
            last = tensor.role, int(entry["name"])
            used.add(last[1])
            if tensor.owner is None:
                cursor, chunks = tensor.offset + tensor.bytes, chunks + tensor.chunks
            self.tensors.append(tensor)
            name = names[last[1]]
            identity.append(struct.pack("<HBBI", tensor.role, entry["type"], len(tensor.shape), len(name)) + name
                            + struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape) + tensor.hash)
        require(len(used) == len(names), "V21", "a name without a tensor")
        require(len(self.chunk_hashes) == 16 * chunks, "V27", f"{len(self.chunk_hashes) // 16} chunks, not {chunks}")
        require(len(self.data) == align(cursor + 64, 4096), "V26", f"the tensors end at {cursor}")
        found = hash128(b"".join(identity))
        require(found == self.content_id, "V30", f"content id {show(self.content_id)}, not {show(found)}")
        check_roles(roles, self.tensors, newer)
        self.by_key = {(t.name, t.role): t for t in self.tensors}
        self._sections()

    def _entry(self, entry, last, chunks, cursor):
        """One tensor of the directory; last, chunks, cursor: what the entries before it come to."""
        index, role, kind, rank, flags, link, offset, size, first_chunk, count, reserved = (
            int(entry[k]) for k in ("name", "role", "type", "rank", "flags", "link", "offset", "bytes", "first_chunk",
                                    "chunks", "reserved"))
        require(index < len(self.names), "V21", f"a tensor with name {index} of {len(self.names)}")
        name = self.names[index]
        require((role, index) > last, "V22", f"{name}: out of order")
        require(flags <= 1 and (flags == 1 or link == 0), "V28", f"{name}: flags {flags}, link {link}")
        require(reserved == 0 or self.minor > 0, "V05", f"{name}: reserved bytes")
        shape = check_shape(name, rank, entry["extents"].tolist())
        require(kind in TYPES or self.minor > 0, "V23", f"{name}: element type {kind}")
        type_name, bits, dtype = TYPES.get(kind, (f"type {kind}", None, None))
        expected = size if bits is None else byte_count(name, bits, shape)
        require(size == expected and size <= 1 << 50, "V24", f"{name}: {size} bytes for {shape} {type_name}")
        found = Tensor(name, role, type_name, shape, offset, size, bytes(entry["hash"]), first_chunk, count,
                       self.tensors[link] if flags and link < len(self.tensors) else None, bits, dtype)
        if flags:
            require(found.owner and found.owner.owner is None and all(
                getattr(found, k) == getattr(found.owner, k)
                for k in ("role", "type", "offset", "bytes", "hash", "first_chunk", "chunks"))
                and math.prod(shape) == math.prod(found.owner.shape), "V28", f"{name}: not like the owner of its bytes")
            return found
        require(offset == align(cursor, 4096 if size >= 65536 else 64) and offset + size <= len(self.data) - 64, "V25",
                f"{name}: offset {offset}")
        require(first_chunk == chunks and count == (-(-size // CHUNK) if size > CHUNK else 0), "V27",
                f"{name}: chunk numbers")
        return found

    def _sections(self):
        """V31 to V33."""
        kind = self.kind
        if kind == 4:
            check_shard(self.root, self.tensors)
        if kind == 5:
            require(not self.tensors, "V31", "an index with tensors of its own")
            kind = check_index(self.root)
        for number, wanted in REQUIRED.get(kind, {}).items():
            value = self.root.get(number)
            vector = isinstance(value, np.ndarray) or isinstance(value, Object) and value.field_type == 17
            require(vector if wanted == "vector" else isinstance(value, dict), "V33",
                    f"{KINDS[kind]}: root field {number}: no {wanted}")
        if self.kind == 3:
            self._check_optimizer()

    def _check_optimizer(self):
        groups, seen = self.root[7].get(7, {}), set()
        require(isinstance(groups, dict) and all(isinstance(g, dict) for g in groups.values()), "V32",
                "optimizer groups: no tables")
        for indices in (group[3] for group in groups.values() if 3 in group):
            require(isinstance(indices, np.ndarray) and indices.dtype == np.dtype("<u8"), "V32",
                    "names of an optimizer group: no vector of u64")
            for index in indices.tolist():
                require(index < len(self.names) and (self.names[index], 0) in self.by_key and index not in seen, "V32",
                        f"an optimizer group names {index}, which is no parameter, or one twice")
                seen.add(index)
        for tensor in self.tensors:
            if 16 <= tensor.role <= 19:
                parameter = self.by_key.get((tensor.name, 0))
                require(parameter and parameter.shape == tensor.shape, "V32", f"{tensor}: not as its parameter")

    def verify(self):
        """Everything that opening leaves out: V40 to V42 for all tensors."""
        cursor = self.data_offset
        for tensor in (t for t in self.tensors if t.owner is None):
            require(not any(self.data[cursor:tensor.offset]), "V41", f"bytes before {tensor}")
            self.check(tensor)
            cursor = tensor.offset + tensor.bytes
        require(not any(self.data[cursor:len(self.data) - 64]), "V41", "bytes behind the last tensor")

    def check(self, tensor):
        """V40 and V42 for one tensor, once."""
        if tensor in self.verified:
            return
        data = self.data[tensor.offset:tensor.offset + tensor.bytes]
        for i in range(tensor.chunks):
            expected = bytes(self.chunk_hashes[16 * (tensor.first_chunk + i):][:16])
            found = hash128(data[i * CHUNK:(i + 1) * CHUNK])
            require(found == expected, "V40", f"{tensor}: chunk {i}: hash {show(found)}, not {show(expected)}")
        hashed = self.chunk_hashes[16 * tensor.first_chunk:][:16 * tensor.chunks] if tensor.chunks else data
        found = hash128(hashed)
        require(found == tensor.hash, "V40", f"{tensor}: hash {show(found)}, not {show(tensor.hash)}")
        require(tensor.type != "bool" or not np.any(np.frombuffer(data, "u1") > 1), "V42", f"{tensor}: a bool above 1")
        self.verified.add(tensor)

    def tensor(self, name, role=0):
        """A verified read-only array over the mapped file. bf16, f8 and 4-bit types come as their bits, two elements of
        4 bits in a byte; `find` has the type's name. Raises KeyError where there is no such tensor."""
        tensor = self.find(name, role)
        require(tensor.bits, "V23", f"{tensor}: elements of a later version, {tensor.type}")
        self.check(tensor)
        shape = tensor.shape if tensor.bits >= 8 else (*tensor.shape[:-1], tensor.shape[-1] // 2)
        return np.frombuffer(self.data[tensor.offset:tensor.offset + tensor.bytes], tensor.dtype).reshape(shape)

    __getitem__ = tensor

    def find(self, name, role=0):
        return self.by_key[name, role]


def check_names(names):
    encoded = [name.encode() for name in names]
    require(len(names) <= 1 << 20 and all(1 <= len(name) <= 1024 for name in encoded)
            and all(a < b for a, b in zip(encoded, encoded[1:])), "V21", "names: number, length or order")
    return encoded


def check_roles(rows, tensors, newer):
    first = row = 0
    while first < len(tensors):
        last = first
        while last < len(tensors) and tensors[last].role == tensors[first].role:
            last += 1
        require(row < len(rows), "V29", "roles: too few rows")
        group = tensors[first:last]
        end = [t.offset + t.bytes for t in group if t.owner is None][-1]
        found = bytearray(rows[row, :48].tobytes())
        if newer:
            found[2:4], found[12:16] = bytes(2), bytes(4)
        expected = struct.pack("<HHIIIQQ", group[0].role, 0, first, len(group), 0, group[0].offset, end)
        require(found == expected + hash128(b"".join(t.hash for t in group)), "V29", f"roles: row {row}")
        first, row = last, row + 1
    require(row == len(rows), "V29", "roles: too many rows")


def plain(value):
    """A value of the tree as JSON has it; what JSON cannot hold is described."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Object):
        return {"type": value.field_type, "kind": value.kind, "elem_type": value.elem_type, "count": value.count,
                "stride": value.stride, "body": value.body.hex()}
    if isinstance(value, Scalar):
        return {"type": value.type, "bits": value.bits}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def describe(file):
    """What `main` prints of a file, for JSON; fields 3 to 6 of the root are told as tensors."""
    tensors = [{"name": t.name, "role": t.role, "type": t.type, "shape": t.shape, "offset": t.offset, "bytes": t.bytes,
                "hash": show(t.hash)} for t in file.tensors]
    return {"kind": KINDS[file.kind], "minor": file.minor, "content_id": show(file.content_id), "tensors": tensors,
            "root": {k: v for k, v in plain(file.root).items() if k not in ("3", "4", "5", "6")}}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="vitrail_reader", description="Verifies and lists a .vitrail file.")
    parser.add_argument("file")
    parser.add_argument("--full", action="store_true", help="verify the tensors too")
    parser.add_argument("--json", action="store_true", help="everything but the tensors' data, as JSON")
    args = parser.parse_args(arguments)
    try:
        report = describe(Container(args.file, args.full))
    except VitrailError as error:
        print(json.dumps({"code": error.code, "error": str(error)}) if args.json else f"{args.file}: {error}",
              file=sys.stdout if args.json else sys.stderr)
        return 4
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report, allow_nan=False))
        return 0
    for tensor in report["tensors"]:
        print(f"{ROLES.get(tensor['role'], tensor['role']):<22} {tensor['type']:<11} {tensor['shape']!s:<22} "
              f"{tensor['name']}")
    print(f"{args.file}: {report['kind']}, content {report['content_id']}, "
          f"{'everything' if args.full else 'metadata'} verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
