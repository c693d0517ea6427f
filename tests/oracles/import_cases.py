"""Cases for import_parity: written, run, read back. For check_import.py and check_newest.py."""
import json
import pathlib
import shutil
import subprocess

import numpy as np
import torch


def strong_weights(module, seed=1):
    """Random weights of a size at which every mistake shows: initial ones leave LayerScale and tokens near zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith(("pos_embed", "position_embeddings", "positional_embedding", "position_embedding.weight")):
                p.copy_(noise)
            elif p.ndim >= 2 and p.shape[-1] > 1 and p.shape[0] > 1:
                p.copy_(noise * (1.5 / p[0].numel() ** 0.5))
            elif name.endswith(".weight") and p.ndim == 1:  # of norms
                p.copy_(1 + 0.3 * noise)
            else:
                p.copy_(0.5 * noise)
    return module.eval()


def random_images(count, chans, size, seed=2):
    return torch.randn(count, chans, size, size, generator=torch.Generator().manual_seed(seed))


class Case:
    """`state` is a state dict, or the path of a file, model.safetensors or weights.npz."""

    def __init__(self, program, folder, state, images, options=None, config=None, preprocessor=None):
        self.folder = pathlib.Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if isinstance(state, pathlib.Path):
            shutil.copy(state, self.folder)
        else:
            torch.save({name: t.detach().clone().contiguous() for name, t in state.items()}, self.folder / "weights.pt")
        images.numpy().astype(np.float32).tofile(self.folder / "images.bin")
        self._write("case.json", {"options": options or {}, "images": len(images)})
        if config is not None:
            self._write("config.json", config)
        if preprocessor is not None:
            self._write("preprocessor_config.json", preprocessor)
        self.count = len(images)
        done = subprocess.run([program, str(self.folder)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{self.folder.name}: {done.stderr}")

    def _write(self, name, document):
        (self.folder / name).write_text(json.dumps(document))

    def lines(self):
        return (self.folder / "lines.txt").read_text().splitlines()

    def logits(self):
        return torch.from_numpy(np.fromfile(self.folder / "logits.bin", np.float32)).reshape(self.count, -1)

    def exported(self, layout):
        """Of weights.pt; model.safetensors holds the same."""
        error = self.folder / layout / "error.txt"
        if error.exists():
            raise SystemExit(f"{self.folder.name}, {layout}: {error.read_text()}")
        return torch.load(self.folder / layout / "weights.pt")


# Well below the effect of the smallest mistake, one kind of GELU for another, under strong_weights().
def compare_logits(name, found, expected, tolerance=1e-5):
    error = float((found.double() - expected.detach().double()).norm() / expected.detach().double().norm())
    if not error <= tolerance:
        raise SystemExit(f"{name}: logits differ by {error:.2e} of their norm, allowed {tolerance:.0e}")
    return error


def compare_tensors(name, found, expected):
    """Byte by byte."""
    if set(found) != set(expected):
        raise SystemExit(f"{name}: only in the export {sorted(set(found) - set(expected))}, "
                         f"only in the original {sorted(set(expected) - set(found))}")
    for key, tensor in expected.items():
        if tensor.shape != found[key].shape or tensor.numpy().tobytes() != found[key].numpy().tobytes():
            raise SystemExit(f"{name}: {key} is not what it was")
