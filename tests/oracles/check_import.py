"""The import against plain PyTorch: check_import.py PROGRAM FOLDER, with import_parity as PROGRAM.

Each family's names are written here by hand, from the sources of those libraries, over the network of check_torch.py.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

from check_torch import Vit
from import_cases import Case, compare_logits, compare_tensors, random_images, strong_weights

BASE = dict(img_size=24, patch_size=8, in_chans=3, num_classes=5, embed_dim=32, depth=3, num_heads=4, mlp_dim=64,
            class_token=True, dist_token=False, reg_tokens=0, no_embed_class=False, pre_norm=False, layer_scale=False,
            global_pool="token", fc_norm=False, gelu="erf", norm_eps=1e-6, patch_bias=True, qkv_bias=True,
            proj_bias=True, head_bias=True)
TOLD = dict(num_heads=4, normalization="half")


def replaced(state, rules):
    """Names by the first rule whose start fits; a function as rule makes several tensors of one."""
    result = {}
    for name, tensor in state.items():
        for start, other in rules:
            if name.startswith(start) or f".{start}" in name:
                if callable(other):
                    result.update(other(name, tensor))
                else:
                    result[name.replace(start, other)] = tensor
                break
        else:
            result[name] = tensor
    return result


def split_qkv(parts):
    def split(name, tensor):
        head, leaf = name.split("attn.qkv.")
        return {f"{head}{part}.{leaf}": piece for part, piece in zip(parts, tensor.chunk(3))}
    return split


def hf_vit(state, prefix="vit.", distilled=False):
    inside = {n: t for n, t in state.items() if not n.startswith("head")}
    inside = replaced(inside, [("attn.qkv.", split_qkv([f"attention.attention.{p}" for p in ("query", "key", "value")])),
                               ("attn.proj", "attention.output.dense"), ("mlp.fc1", "intermediate.dense"),
                               ("mlp.fc2", "output.dense"), ("norm1", "layernorm_before"), ("norm2", "layernorm_after"),
                               ("cls_token", "embeddings.cls_token"), ("dist_token", "embeddings.distillation_token"),
                               ("pos_embed", "embeddings.position_embeddings"), ("norm.", "layernorm."),
                               ("patch_embed.proj", "embeddings.patch_embeddings.projection")])
    result = {prefix + n.replace("blocks.", "encoder.layer."): t for n, t in inside.items()}
    for name, tensor in state.items():
        if name.startswith("head_dist"):
            result[name.replace("head_dist", "distillation_classifier")] = tensor
        elif name.startswith("head"):
            result[name.replace("head", "cls_classifier" if distilled else "classifier")] = tensor
    return result


def hf5_vit(state):
    renames = [("encoder.layer.", "layers."), ("attention.attention.query", "attention.q_proj"),
               ("attention.attention.key", "attention.k_proj"), ("attention.attention.value", "attention.v_proj"),
               ("attention.output.dense", "attention.o_proj"), ("intermediate.dense", "mlp.fc1"),
               ("output.dense", "mlp.fc2")]
    result = {}
    for name, tensor in hf_vit(state).items():
        for old, new in renames:
            name = name.replace(old, new)
        result[name] = tensor
    return result


def hf_dinov2(state):
    """Without a head; with registers and the class token's position split off again."""
    inside = {n: t for n, t in state.items() if not n.startswith("head")}
    inside = replaced(inside, [("attn.qkv.", split_qkv([f"attention.attention.{p}" for p in ("query", "key", "value")])),
                               ("attn.proj", "attention.output.dense"), ("ls1.gamma", "layer_scale1.lambda1"),
                               ("ls2.gamma", "layer_scale2.lambda1"), ("cls_token", "embeddings.cls_token"),
                               ("reg_token", "embeddings.register_tokens"), ("norm.", "layernorm."),
                               ("pos_embed", "embeddings.position_embeddings"),
                               ("patch_embed.proj", "embeddings.patch_embeddings.projection")])
    inside["embeddings.mask_token"] = torch.zeros(1, 32)
    return {n.replace("blocks.", "encoder.layer."): t for n, t in inside.items()}


def hf_clip(state):
    inside = replaced(state, [("attn.qkv.", split_qkv([f"self_attn.{p}" for p in ("q_proj", "k_proj", "v_proj")])),
                              ("attn.proj", "self_attn.out_proj"), ("norm1", "layer_norm1"), ("norm2", "layer_norm2"),
                              ("norm_pre", "pre_layrnorm"), ("norm.", "post_layernorm."),
                              ("cls_token", "embeddings.class_embedding"),
                              ("pos_embed", "embeddings.position_embedding.weight"),
                              ("patch_embed.proj", "embeddings.patch_embedding")])
    result = {"visual_projection.weight": inside.pop("head.weight")}
    for name, tensor in inside.items():
        if name == "embeddings.class_embedding":
            tensor = tensor.flatten()
        if name == "embeddings.position_embedding.weight":
            tensor = tensor[0]
        result["vision_model." + name.replace("blocks.", "encoder.layers.")] = tensor
    result["logit_scale"] = torch.tensor(1.0)
    result["text_model.final_layer_norm.weight"] = torch.ones(4)
    return result


def openai_clip(state):
    result = {}
    names = [("blocks.", "transformer.resblocks."), ("norm1", "ln_1"), ("norm2", "ln_2"), ("norm_pre", "ln_pre"),
             ("attn.qkv.weight", "attn.in_proj_weight"), ("attn.qkv.bias", "attn.in_proj_bias"),
             ("attn.proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
             ("patch_embed.proj", "conv1"), ("cls_token", "class_embedding"), ("pos_embed", "positional_embedding")]
    for name, tensor in state.items():
        if name.startswith("norm."):
            name = name.replace("norm.", "ln_post.")
        for old, new in names:
            name = name.replace(old, new)
        if name in ("class_embedding", "positional_embedding"):
            tensor = tensor[0, 0] if name == "class_embedding" else tensor[0]
        if name == "head.weight":
            name, tensor = "proj", tensor.T
        result["visual." + name] = tensor
    result["positional_embedding"] = torch.zeros(7, 4)
    result["transformer.resblocks.0.ln_1.weight"] = torch.zeros(4)
    return result


def deit3_original(state):
    return {n.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): t for n, t in state.items()}


def dinov2_original(state):
    result = {n.replace("reg_token", "register_tokens").replace("blocks.", "blocks.0."): t for n, t in state.items()}
    result["mask_token"] = torch.zeros(1, 32)
    return result


def hf_config(c, **more):
    return dict(hidden_act={"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}[c["gelu"]],
                layer_norm_eps=c["norm_eps"], num_attention_heads=c["num_heads"], image_size=c["img_size"], **more)


def without_head(state):
    return {n: t for n, t in state.items() if not n.startswith("head")}


FAMILIES = [  # name, changes to the network, names, options, whether config.json is there
    ("timm", {}, dict, TOLD, None),
    ("deit-distilled", dict(dist_token=True), dict, dict(num_heads=4), None),
    ("deit3", dict(layer_scale=True, no_embed_class=True), deit3_original, dict(num_heads=4), None),
    ("dinov2", dict(layer_scale=True, reg_tokens=4, no_embed_class=True), dinov2_original, dict(num_heads=4), None),
    ("gap", dict(class_token=False, global_pool="avg", qkv_bias=False), dict, dict(gelu="erf", **TOLD), None),
    ("mae-fine-tuned", dict(global_pool="avg", fc_norm=True), dict, TOLD, None),
    ("hf-vit", dict(norm_eps=1e-2), hf_vit, dict(normalization="half"), {}),
    ("hf5-vit", dict(gelu="tanh"), hf5_vit, dict(normalization="half"), {}),
    ("hf-deit-distilled", dict(dist_token=True), lambda s: hf_vit(s, "deit.", True), {}, {}),
    ("hf-clip", dict(pre_norm=True, patch_bias=False, head_bias=False, norm_eps=1e-5, gelu="quick"), hf_clip, {},
     dict(model_type="clip_vision_model")),
    ("openai-clip", dict(pre_norm=True, patch_bias=False, head_bias=False, norm_eps=1e-5, gelu="quick"), openai_clip,
     dict(num_heads=4, gelu="quick"), None),
]


def network(changes, seed=1):
    c = {**BASE, **changes}
    return c, strong_weights(Vit(c), seed)


def check_families(program, folder):
    for name, changes, rename, options, config in FAMILIES:
        c, net = network(changes)
        state, images = net.state_dict(), random_images(4, 3, 24)
        config = None if config is None else hf_config(c, **config)
        case = Case(program, folder / name, rename(state), images, options, config)
        error = compare_logits(name, case.logits(), net(images))
        back = case.exported("timm")
        if not c["head_bias"]:
            assert not back.pop("head.bias").any(), "timm's head gets a bias of zeros"
        compare_tensors(name, back, state)
        net.load_state_dict(back, strict=True)
        print(f"{name:22} logits {error:.1e}, {len(state)} tensors back byte by byte")


def check_headless(program, folder):
    """Features are the output; a class token's position beside registers goes into the token."""
    c, net = network(dict(layer_scale=True, reg_tokens=4, no_embed_class=True))
    net.head = torch.nn.Identity()
    state, images = net.state_dict(), random_images(4, 3, 24)
    split = dict(state)
    position = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(3))
    split["cls_token"] = state["cls_token"] - position
    split["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
    for name, theirs in (("hf-dinov2", hf_dinov2(split)), ("dinov2-original", dinov2_original(split))):
        case = Case(program, folder / name, theirs, images, config=hf_config(c))
        error = compare_logits(name, case.logits(), net(images))
        back = case.exported("timm")
        torch.testing.assert_close(back.pop("cls_token"), state["cls_token"], rtol=1e-6, atol=1e-6)
        compare_tensors(name, back, {n: t for n, t in state.items() if n != "cls_token"})
        print(f"{name:22} features {error:.1e}")


def resized_positions(rows, prefix, size):
    grid = int((rows.shape[1] - prefix) ** 0.5)
    table = rows[:, prefix:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    table = F.interpolate(table, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([rows[:, :prefix], table.permute(0, 2, 3, 1).reshape(1, size * size, -1)], 1)


def resized_patches(kernels, size):
    old = kernels.shape[-1]
    basis = torch.eye(old * old, dtype=torch.float64).reshape(-1, 1, old, old)
    matrix = F.interpolate(basis.float(), size=(size, size), mode="bicubic", antialias=True,
                           align_corners=False).double().reshape(old * old, size * size)
    flat = kernels.double().reshape(-1, old * old) @ torch.linalg.pinv(matrix).T
    return flat.reshape(*kernels.shape[:2], size, size).float()


def check_fitting(program, folder):
    c, net = network({})
    state = net.state_dict()
    for name, options, changes in [
            ("larger images", dict(img_size=40), {"pos_embed": resized_positions(state["pos_embed"], 1, 5)}),
            ("smaller images", dict(img_size=16), {"pos_embed": resized_positions(state["pos_embed"], 1, 2)}),
            ("larger patches", dict(patch_size=12, img_size=36),
             {"patch_embed.proj.weight": resized_patches(state["patch_embed.proj.weight"], 12)}),
            ("smaller patches", dict(patch_size=6, img_size=18),
             {"patch_embed.proj.weight": resized_patches(state["patch_embed.proj.weight"], 6)}),
            ("grey", dict(in_chans=1),
             {"patch_embed.proj.weight": state["patch_embed.proj.weight"].sum(1, keepdim=True)}),
            ("four channels", dict(in_chans=4),
             {"patch_embed.proj.weight": state["patch_embed.proj.weight"].repeat(1, 2, 1, 1)[:, :4] * 0.75})]:
        fitted = Vit({**c, **options})
        fitted.load_state_dict({**state, **changes})
        images = random_images(4, options.get("in_chans", 3), options.get("img_size", 24))
        case = Case(program, folder / name.replace(" ", "-"), state, images, {**TOLD, **options})
        print(f"{name:22} logits {compare_logits(name, case.logits(), fitted(images)):.1e}")


def check_dtypes(program, folder):
    c, net = network({})
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        state = {n: t.to(dtype) for n, t in net.state_dict().items()}
        net.load_state_dict({n: t.float() for n, t in state.items()})
        images = random_images(4, 3, 24)
        case = Case(program, folder / str(dtype), state, images, TOLD)
        compare_tensors(str(dtype), case.exported("timm"), net.state_dict())
        print(f"{dtype!s:22} logits {compare_logits(str(dtype), case.logits(), net(images)):.1e}")


def check_mistakes_show(program, folder):
    """The weights and the tolerance are such that a wrong number of the config is seen."""
    c, net = network({})
    state, images = net.state_dict(), random_images(4, 3, 24)
    for name, wrong in (("gelu", dict(gelu="tanh")), ("epsilon", dict(norm_eps=1e-3)), ("heads", dict(num_heads=2))):
        case = Case(program, folder / f"wrong-{name}", state, images, {**TOLD, **wrong})
        error = float((case.logits() - net(images)).norm() / net(images).norm())
        if error < 5e-5:
            raise SystemExit(f"a wrong {name} changes the logits by {error:.1e} only")
        print(f"a wrong {name:14} logits {error:.1e}")


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    torch.set_grad_enabled(False)
    check_families(program, folder)
    check_headless(program, folder)
    check_fitting(program, folder)
    check_dtypes(program, folder)
    check_mistakes_show(program, folder)
    print(f"imported weights agree with PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
