"""Makes the files of this folder again, with NumPy and the safetensors package: small, valid, seeds of the fuzzers.

    make_foreign.py FOLDER
"""
import pathlib
import sys

import numpy as np
import safetensors.numpy

folder = pathlib.Path(sys.argv[1])
grid = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
np.savez(folder / "stored.npz", **{"a/b": grid, "c": np.float64(2.5), "d": np.zeros((0, 3), np.int64)})
np.savez_compressed(folder / "deflated.npz", grid=grid, ones=np.ones((40, 5), np.float16))
np.savez(folder / "fortran.npz", grid=np.asfortranarray(grid), row=np.asfortranarray(np.arange(5, dtype=np.int16)))
np.savez_compressed(folder / "types.npz", **{t: np.arange(3).astype(t) for t in
                    ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16")})
np.savez(folder / "bfloat16.npz", x=np.array([0x3F80, 0xC000], np.uint16).view("V2"))
np.savez(folder / "big-endian.npz", x=np.arange(3, dtype=">f4"))
np.savez(folder / "objects.npz", x=np.array([None, "text"], dtype=object))
np.savez(folder / "text.npz", x=np.array(["a", "bc"]))
np.savez(folder / "structure.npz", x=np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
safetensors.numpy.save_file({"a": grid, "b": np.zeros((0, 2), np.int64), "c": np.array(3, np.float16)},
                            folder / "several.safetensors", {"format": "np"})
safetensors.numpy.save_file({}, folder / "none.safetensors")
