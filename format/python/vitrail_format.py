"""What stands in a .vitrail file: errors, element types, and the metadata message (SPEC.md, section 2)."""
import math
import struct
from dataclasses import dataclass

import numpy as np

MIB = 1 << 20
# Element types: name, bits, the numpy type of a view. Types unknown to numpy are shown as their bits, those of half a
# byte two by two.
TYPES = {1: ("bool", 8, "?"), 2: ("u8", 8, "u1"), 3: ("i8", 8, "i1"), 4: ("u16", 16, "<u2"), 5: ("i16", 16, "<i2"),
         6: ("u32", 32, "<u4"), 7: ("i32", 32, "<i4"), 8: ("u64", 64, "<u8"), 9: ("i64", 64, "<i8"),
         16: ("f16", 16, "<f2"), 17: ("bf16", 16, "<u2"), 18: ("f32", 32, "<f4"), 19: ("f64", 64, "<f8"),
         24: ("f8_e4m3fn", 8, "u1"), 25: ("f8_e5m2", 8, "u1"), 26: ("f8_e4m3fnuz", 8, "u1"),
         27: ("f8_e5m2fnuz", 8, "u1"), 28: ("f8_e8m0fnu", 8, "u1"), 32: ("c64", 64, "<c8"), 33: ("c128", 128, "<c16"),
         40: ("i4", 4, "u1"), 41: ("u4", 4, "u1"), 42: ("f4_e2m1", 4, "u1")}
# Elements of a vector: bytes and numpy type.
ELEMENTS = {1: (1, "u1"), 2: (2, "<u2"), 3: (4, "<u4"), 4: (8, "<u8"), 5: (1, "i1"), 6: (2, "<i2"), 7: (4, "<i4"),
            8: (8, "<i8"), 9: (4, "<f4"), 10: (8, "<f8")}


class VitrailError(Exception):
    """A file refused: `code` is the rule it breaks ("V08"), the text says what is wrong."""

    def __init__(self, code, message):
        super().__init__(f"{message} [{code}]")
        self.code = code


@dataclass(frozen=True)
class Scalar:
    """A scalar of a type that a later version brought: its 64 bits."""
    type: int
    bits: int


@dataclass(frozen=True)
class Object:
    """An object as it stands: a vector of structs, or of a kind or type that a later version brought."""
    field_type: int
    kind: int
    elem_type: int
    count: int
    stride: int
    body: memoryview


def align(x, a):
    return -(-x // a) * a


def require(condition, code, message):
    if not condition:
        raise VitrailError(code, message)


class Message:
    """The metadata block, read in one pass; `root` is its tree, a dict of field values for each table."""

    def __init__(self, block):
        self.block, self.end, self.objects = block, 0, 0
        self.root = self.read(None, 1)
        self.padding(align(self.end, 8))
        require(align(self.end, 8) == len(block), "V17", f"metadata: the last object ends at {self.end}")

    def padding(self, end):
        require(not any(self.block[self.end:end]), "V15", f"metadata: bytes behind the object that ends at {self.end}")

    def read(self, field_type, depth):
        """The object at the only place where it may stand; field_type is that of the field, None for the root."""
        start, block = align(self.end, 8), self.block
        self.padding(start)
        self.objects += 1
        require(self.objects <= 1 << 20, "V16", "metadata: more than 1,048,576 objects")
        require(start + 16 <= len(block), "V10", f"metadata: object at {start} begins behind the end")
        kind, elem_type, count, stride, total = struct.unpack_from("<HHIII", block, start)
        require(16 <= total <= len(block) - start, "V10", f"metadata: object at {start} with {total} bytes")
        self.end, body = start + total, total - 16
        fits = {0: False, 1: elem_type == 0 and stride == 16 and body == 16 * count,
                2: stride >= 1 and body == count * stride, 3: elem_type == 0 and stride == 4 and body >= 4 * count}
        require(fits.get(kind, True), "V10", f"metadata: head of the object at {start} contradicts itself")
        matches = {None: kind == 1, 16: kind == 1, 17: kind == 2 and elem_type != 33, 18: kind == 3,
                   19: kind == 2 and elem_type == 33 and stride == 1}
        require(matches.get(field_type, kind != 1), "V13", f"metadata: object at {start} is not what its field says")
        if kind == 1:
            return self.table(start + 16, count, depth)
        data = block[start + 16:self.end]
        if field_type == 18:
            return strings(data, count, start)
        if field_type == 19:
            return text(bytes(data), start)
        size, dtype = ELEMENTS.get(elem_type, (0, None))
        numbers = field_type == 17 and stride == size
        return np.frombuffer(data, dtype) if numbers else Object(field_type, kind, elem_type, count, stride, data)

    def table(self, start, count, depth):
        require(depth <= 8, "V16", "metadata: more than 8 tables inside one another")
        require(count <= 1024, "V16", f"metadata: a table with {count} fields")
        fields, last = {}, -1
        records = self.block[start:start + 16 * count]
        for number, field_type, flags, zero, value in struct.iter_unpack("<HBBIQ", records):
            require(number > last and flags <= 1 and zero == 0, "V12", f"metadata: field {number}, table at {start}")
            require(flags == 0, "V18", f"field {number} must be understood, and this reader does not know it")
            require(1 <= field_type <= 31, "V13", f"metadata: field {number} has type {field_type}")
            last = number
            if field_type >= 16:
                at = align(self.end, 8)
                require(value == at, "V11", f"metadata: object of field {number} at {value}, not at {at}")
                fields[number] = self.read(field_type, depth + 1)
            elif field_type == 4:
                require(value <= 1, "V13", f"metadata: field {number} is a bool of {value}")
                fields[number] = bool(value)
            elif field_type <= 3:
                fields[number] = struct.unpack("<" + " Qqd"[field_type], struct.pack("<Q", value))[0]
            else:
                fields[number] = Scalar(field_type, value)
        return fields


def text(data, where):
    require(len(data) <= MIB, "V16", f"metadata: a text of {len(data)} bytes at {where}")
    require(0 not in data, "V14", f"metadata: NUL in the text at {where}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise VitrailError("V14", f"metadata: the text at {where} is not UTF-8") from None


def strings(data, count, where):
    characters, begin, found = bytes(data[4 * count:]), 0, []
    for end in np.frombuffer(data[:4 * count], "<u4").tolist():
        require(begin <= end <= len(characters), "V14", f"metadata: ends of the strings at {where}")
        found.append(text(characters[begin:end], where))
        begin = end
    require(begin == len(characters), "V14", f"metadata: characters behind the strings at {where}")
    return found


def structs(table, number, stride, code, may_grow=False):
    """The rows of a vector of structs, as a matrix of bytes; of a later version perhaps longer ones."""
    value = table.get(number)
    require(isinstance(value, Object) and value.field_type == 17 and value.elem_type == 32 and
            (value.stride == stride or may_grow and value.stride > stride), code,
            f"field {number}: no structs of {stride} bytes")
    return np.frombuffer(value.body, "u1").reshape(value.count, value.stride)


def check_shape(name, rank, extents, code="V23"):
    require(rank <= 8 and not any(extents[rank:]) and max(extents) <= 1 << 48, code, f"{name}: rank {rank}, {extents}")
    elements = 1
    for extent in extents[:rank]:
        elements *= extent
        require(elements <= 1 << 48, code, f"{name}: shape {extents}")
    return tuple(extents[:rank])


def byte_count(name, bits, shape):
    """Bytes of a dense tensor; two elements of 4 bits share one, and none reaches into the next row."""
    require((bits >= 8 or shape and shape[-1] % 2 == 0) and math.prod(shape) * bits <= 1 << 53, "V23",
            f"{name}: shape {shape} for elements of {bits} bits")
    return math.prod(shape) * bits // 8
