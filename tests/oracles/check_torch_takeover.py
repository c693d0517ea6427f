"""Trainings that move between PyTorch and Vitrail: check_torch_takeover.py first|second FOLDER.

first:  ten steps in PyTorch from start.pt are the reference; five more from Vitrail's ours-5.pt must equal them;
        theirs-5.pt is saved for Vitrail, each case in another of the ways in which people save.
second: Vitrail's ours-10.pt must equal the reference.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

from check_torch import Vit, layer_of, without_key_bias

NEW = int(torch.__version__.split(".")[0]) >= 2
TOLERANCE = 1e-5


def load(path):
    """Newer torch loads everything of ours with its restricted unpickler; 1.13's refuses even its own floats."""
    return torch.load(path, weights_only=True) if NEW else torch.load(path)


class Training:
    def __init__(self, folder):
        self.folder, self.m = folder, json.loads((folder / "manifest.json").read_text())
        start = load(folder / "start.pt")
        self.images, self.targets = start["images"], start["targets"]
        self.net = Vit(self.m["config"])
        self.net.load_state_dict(start["model"], strict=True)
        kind = torch.optim.Adam if self.m["kind"] == "adam" else torch.optim.AdamW
        self.optimizer = kind(self.groups(), lr=self.m["lr"], weight_decay=self.m["weight_decay"])

    def groups(self):
        """As timm makes them: by layer and weight decay, in the order in which the parameters come."""
        groups = {}
        for name, p in self.net.named_parameters():
            token = name in ("cls_token", "dist_token", "reg_token", "pos_embed")
            decay = self.m["decay_all"] or (p.ndim > 1 and not token)
            depth, factor = self.m["config"]["depth"], self.m["layer_decay"]
            layer = layer_of(name, depth) if factor != 1 else depth + 1
            group = groups.setdefault((layer, decay), {
                "params": [], "names": [], "lr": self.m["lr"] * factor ** (depth + 1 - layer),
                "weight_decay": self.m["weight_decay"] if decay else 0.0})
            group["params"].append(p)
            group["names"].append(name)
        return list(groups.values())

    def steps(self, count):
        for _ in range(count):
            loss = F.cross_entropy(self.net(self.images), self.targets, label_smoothing=self.m["label_smoothing"])
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), self.m["clip_norm"])
            self.optimizer.step()
        return self

    def compare(self, what, found):
        worst = 0
        for name, expected in self.net.state_dict().items():
            a, b = (without_key_bias(name, t.double(), True) for t in (found[name], expected))
            error = float((a - b).norm() / b.norm())
            worst = max(worst, error)
            if not error <= TOLERANCE:
                raise SystemExit(f"{self.folder.name}, {what}: {name} differs by {error:.2e} of its norm")
        print(f"{self.folder.name:12} {what:32} {worst:.1e}")


def without_names(state):
    for group in state["param_groups"]:
        group.pop("names")
    return state


def save_ours(training, path):
    """What Vitrail gets: names in the file or not, groups in another order, a wrapped model."""
    style = training.folder.name
    model, state = training.net.state_dict(), training.optimizer.state_dict()
    if style == "names":
        for group in state["param_groups"]:
            group["param_names"] = group["names"]
        state["param_groups"].reverse()
    if style == "wrapped":
        model = {"module." + name: tensor for name, tensor in model.items()}
    if style == "adam":
        for one in state["state"].values():
            one["step"] = int(one["step"])
    if style == "one_group":
        torch.save({"model_state_dict": model, "optimizer_state_dict": without_names(state)}, path)
    else:
        torch.save({"epoch": 0, "model": model, "optimizer": without_names(state)}, path)


def check_timm(training, groups):
    """timm's own groups for its own model of the same shape: where timm is installed, and has the rule."""
    try:
        from timm.models.vision_transformer import VisionTransformer
        from timm.optim import param_groups_layer_decay
    except ImportError:
        return
    c = training.m["config"]
    if c["dist_token"] or training.m["layer_decay"] == 1:
        return
    model = VisionTransformer(
        img_size=c["img_size"], patch_size=c["patch_size"], in_chans=c["in_chans"], num_classes=c["num_classes"],
        embed_dim=c["embed_dim"], depth=c["depth"], num_heads=c["num_heads"], mlp_ratio=c["mlp_dim"] / c["embed_dim"],
        class_token=c["class_token"], reg_tokens=c["reg_tokens"], no_embed_class=c["no_embed_class"],
        pre_norm=c["pre_norm"], init_values=1e-5 if c["layer_scale"] else None, global_pool=c["global_pool"],
        fc_norm=c["fc_norm"], qkv_bias=c["qkv_bias"], proj_bias=c["proj_bias"])
    names = {p: n for n, p in model.named_parameters()}
    theirs = param_groups_layer_decay(model, weight_decay=training.m["weight_decay"],
                                      no_weight_decay_list=model.no_weight_decay(),
                                      layer_decay=training.m["layer_decay"])
    ours = [(g["param_names"], g["weight_decay"], round(g["lr_scale"], 12)) for g in groups]
    known = {name for names_here, _, _ in ours for name in names_here}  # timm's head always has a bias
    timms = [([names[p] for p in g["params"] if names[p] in known], g["weight_decay"], round(g["lr_scale"], 12))
             for g in theirs]
    assert ours == [group for group in timms if group[0]]
    print(f"{training.folder.name:12} {len(ours)} groups are timm's")


def first(folder):
    reference = Training(folder).steps(10)
    torch.save(reference.net.state_dict(), folder / "reference.pt")
    save_ours(Training(folder).steps(5), folder / "theirs-5.pt")
    taken, ours = Training(folder), load(folder / "ours-5.pt")
    taken.net.load_state_dict(ours["model"], strict=True)
    taken.optimizer.load_state_dict(ours["optimizer"])
    assert ours["scheduler"]["last_epoch"] == 5
    for group, saved in zip(taken.groups(), ours["optimizer"]["param_groups"]):
        assert group["names"] == saved["param_names"] and list(saved)[-1] == "params"
    check_timm(taken, ours["optimizer"]["param_groups"])
    taken.steps(5)
    reference.compare("5 steps in Vitrail, 5 in PyTorch", taken.net.state_dict())


def second(folder):
    training = Training(folder)
    training.net.load_state_dict(load(folder / "reference.pt"))
    training.compare("5 steps in PyTorch, 5 in Vitrail", load(folder / "ours-10.pt"))


def main():
    check = {"first": first, "second": second}[sys.argv[1]]
    folders = sorted(p for p in pathlib.Path(sys.argv[2]).iterdir() if p.is_dir())
    if len(folders) != 6:
        raise SystemExit(f"expected 6 cases, found {len(folders)}")
    for folder in folders:
        check(folder)
    print(f"{len(folders)} trainings equal ten steps of PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
