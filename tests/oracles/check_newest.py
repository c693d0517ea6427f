"""The import and the export against timm and transformers themselves: check_newest.py PROGRAM FOLDER.

Random weights, small models; nothing is downloaded. PROGRAM is import_parity. scripts/oracle-newest-pytorch.sh runs it.
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import safetensors.torch
import timm
import torch
import transformers
from timm.models import save_for_hf
from timm.models._manipulate import adapt_input_conv
from timm.models.vision_transformer import checkpoint_filter_fn

from check_import import openai_clip
from import_cases import Case, compare_logits, compare_tensors, random_images, strong_weights

SIZES = dict(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=7)
TIMM = [  # name of the case, architecture, arguments
    ("timm-vit", "vit_tiny_patch16_224", {}),
    ("timm-deit", "deit_tiny_patch16_224", {}),
    ("timm-deit-distilled", "deit_tiny_distilled_patch16_224", {}),
    ("timm-deit3", "deit3_small_patch16_224", {}),
    ("timm-dino", "vit_small_patch16_224", dict(num_classes=0)),
    ("timm-dinov2", "vit_small_patch14_dinov2", {}),
    ("timm-dinov2-registers", "vit_small_patch14_reg4_dinov2", {}),
    ("timm-clip", "vit_base_patch16_clip_224", {}),
    ("timm-clip-quickgelu", "vit_base_patch32_clip_quickgelu_224", {}),
    ("timm-gap", "vit_base_patch16_gap_224", {}),
    ("timm-gap-without-qkv-bias", "vit_medium_patch16_gap_256", {}),
    ("timm-mae-fine-tuned", "vit_base_patch16_224", dict(global_pool="avg")),
    ("timm-tanh", "vit_tiny_patch16_224", dict(act_layer="gelu_tanh")),
]


def timm_model(architecture, **arguments):
    return strong_weights(timm.create_model(architecture, **{**SIZES, **arguments}))


def report(name, error, tensors):
    print(f"{name:28} logits {error:.1e}, {tensors} tensors back byte by byte", flush=True)


def exported(case, name, layout):
    """Of both formats."""
    back = case.exported(layout)
    compare_tensors(name, safetensors.torch.load_file(case.folder / layout / "model.safetensors"), back)
    return back


def check_timm_export(case, name, model, images):
    """The state dict loads strictly, and config.json makes the model again."""
    back = exported(case, name, "timm")
    compare_tensors(name, back, model.state_dict())
    model.load_state_dict(back, strict=True)
    folder = case.folder / "timm"
    again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    compare_logits(f"{name}, made again by timm", again(images), model(images), 1e-6)
    return len(back)


def check_timm(program, folder):
    for name, architecture, arguments in TIMM:
        model, images = timm_model(architecture, **arguments), random_images(4, 3, 32)
        save_for_hf(model, folder / "hub", safe_serialization="both")
        config = json.loads((folder / "hub" / "config.json").read_text())
        hub = folder / "hub"
        case = Case(program, folder / name, hub / "model.safetensors", images, config=config)
        error = compare_logits(name, case.logits(), model(images))
        pt = Case(program, folder / f"{name}-pt", torch.load(hub / "pytorch_model.bin"), images, config=config)
        assert torch.equal(pt.logits(), case.logits()), f"{name}: .pt and .safetensors differ"
        report(name, error, check_timm_export(case, name, model, images))


def check_originals(program, folder):
    """Names of the originals, which timm's own filter reads too."""
    told = dict(num_heads=3)

    def both(name, model, theirs, options, images=random_images(4, 3, 32)):
        fresh = timm_again(model)
        filtered = checkpoint_filter_fn(dict(theirs), fresh, adapt_layer_scale=True)
        fresh.load_state_dict(filtered, strict=True)
        case = Case(program, folder / name, theirs, images, options)
        error = compare_logits(name, case.logits(), fresh.eval()(images))
        back = case.exported("timm")
        compare_tensors(name, back, fresh.state_dict())
        report(name, error, len(back))

    model = timm_model("deit3_small_patch16_224")
    both("original-deit3", model, {n.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): t
                                   for n, t in model.state_dict().items()}, told)
    for architecture in ("vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"):
        model = timm_model(architecture, num_classes=0)
        theirs = {n.replace("reg_token", "register_tokens"): t for n, t in model.state_dict().items()}
        if "reg4" in architecture:
            theirs["pos_embed"] = torch.cat([torch.randn(1, 1, 48), theirs["pos_embed"]], 1)
        both(f"original-{architecture[-12:]}", model, {**theirs, "mask_token": torch.zeros(1, 48)}, told)
    for gelu, architecture in (("erf", "vit_base_patch16_clip_224"), ("quick", "vit_base_patch32_clip_quickgelu_224")):
        model = timm_model(architecture)
        with torch.no_grad():
            model.head.bias.zero_()
        state = model.state_dict()
        bias = state.pop("head.bias")
        both(f"openai-clip-{gelu}", model, openai_clip(state), dict(gelu=gelu, **told))
        trunk = {f"visual.trunk.{n}": t for n, t in state.items() if not n.startswith("head")}
        trunk["visual.head.proj.weight"] = state["head.weight"]
        both(f"open-clip-trunk-{gelu}", model, {**trunk, "logit_scale": bias[0], "text.ln_final.weight": bias},
             dict(gelu=gelu, **told))


def timm_again(model, **arguments):
    kept = {k: v for k, v in model._model_args.items() if k not in arguments}
    return timm.create_model(model.pretrained_cfg["architecture"], **{**kept, **arguments})


def as_jax(state, heads, big_vision=False):
    """timm's state dict as google-research's npz has it: the inverse of timm's _load_weights."""
    get = lambda name: state[name].numpy()
    out = {"cls": get("cls_token"), "embedding/kernel": get("patch_embed.proj.weight").transpose(2, 3, 1, 0),
           "embedding/bias": get("patch_embed.proj.bias"), "head/kernel": get("head.weight").T,
           "head/bias": get("head.bias"), "Transformer/encoder_norm/scale": get("norm.weight"),
           "Transformer/encoder_norm/bias": get("norm.bias"),
           "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding": get("pos_embed")}
    attention, norm2, mlp = (0, 1, 0) if big_vision else (1, 2, 3)
    depth = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("blocks."))
    for i in range(depth):
        ours, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        dim = len(get(ours + "norm1.weight"))
        for number, norm in ((0, "norm1"), (norm2, "norm2")):
            out[f"{theirs}LayerNorm_{number}/scale"] = get(f"{ours}{norm}.weight")
            out[f"{theirs}LayerNorm_{number}/bias"] = get(f"{ours}{norm}.bias")
        for third, part in enumerate(("query", "key", "value")):
            rows = slice(third * dim, (third + 1) * dim)
            key = f"{theirs}MultiHeadDotProductAttention_{attention}/{part}"
            out[key + "/kernel"] = get(ours + "attn.qkv.weight")[rows].T.reshape(dim, heads, -1)
            out[key + "/bias"] = get(ours + "attn.qkv.bias")[rows].reshape(heads, -1)
        key = f"{theirs}MultiHeadDotProductAttention_{attention}/out"
        out[key + "/kernel"] = get(ours + "attn.proj.weight").T.reshape(heads, -1, dim)
        out[key + "/bias"] = get(ours + "attn.proj.bias")
        for number, layer in enumerate(("fc1", "fc2")):
            out[f"{theirs}MlpBlock_{mlp}/Dense_{number}/kernel"] = get(f"{ours}mlp.{layer}.weight").T
            out[f"{theirs}MlpBlock_{mlp}/Dense_{number}/bias"] = get(f"{ours}mlp.{layer}.bias")
    prefix = "params/" if big_vision else ""
    return {prefix + name: np.ascontiguousarray(array) for name, array in out.items()}


def check_jax(program, folder):
    for name, big_vision, options in [("jax", False, {}), ("jax-big-vision", True, {}), ("jax-erf", False, dict(gelu="erf")),
                                      ("jax-larger", False, dict(img_size=48)), ("jax-smaller", False, dict(img_size=24)),
                                      ("jax-patches", False, dict(patch_size=12, img_size=48)),
                                      ("jax-grey", False, dict(in_chans=1))]:
        act = "gelu" if options.get("gelu") == "erf" else "gelu_tanh"
        model = timm_model("vit_tiny_patch16_224", act_layer=act)
        arrays = as_jax(model.state_dict(), 3, big_vision)
        np.savez(folder / "weights.npz", **arrays)
        sizes = {k: v for k, v in options.items() if k != "gelu"}
        fresh = timm_again(model, **sizes)
        fresh.load_pretrained(str(folder / "weights.npz"))
        images = random_images(4, sizes.get("in_chans", 3), sizes.get("img_size", 32))
        case = Case(program, folder / name, folder / "weights.npz", images, options)
        error = compare_logits(name, case.logits(), fresh.eval()(images))
        back = case.exported("timm")
        if sizes:
            print(f"{name:28} logits {error:.1e}", flush=True)
        else:
            compare_tensors(name, back, model.state_dict())
            report(name, error, len(back))


def check_fitting(program, folder):
    told = dict(num_heads=3, normalization="half")
    for architecture in ("vit_tiny_patch16_224", "deit3_small_patch16_224", "vit_small_patch14_dinov2"):
        model = timm_model(architecture)
        state = model.state_dict()
        for options in (dict(img_size=48), dict(img_size=24), dict(img_size=48, patch_size=12),
                        dict(img_size=32, patch_size=4), dict(in_chans=1), dict(in_chans=4), dict(num_classes=3)):
            name = f"fit-{architecture[:10]}-" + "-".join(f"{k}{v}" for k, v in options.items())
            fresh = timm_again(model, **options)
            fitted = checkpoint_filter_fn(dict(state), fresh)
            chans = options.get("in_chans", 3)
            fitted["patch_embed.proj.weight"] = adapt_input_conv(chans, fitted["patch_embed.proj.weight"])
            images = random_images(4, chans, options.get("img_size", 32))
            case = Case(program, folder / name, state, images, {**told, **options})
            if "num_classes" in options:
                back = case.exported("timm")
                for key in ("head.weight", "head.bias"):
                    fitted[key] = back[key]
            fresh.load_state_dict(fitted, strict=True)
            print(f"{name:40} logits {compare_logits(name, case.logits(), fresh.eval()(images)):.1e}", flush=True)


HF_SIZES = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, image_size=32,
                patch_size=8)


def hf_cases():
    """Name, the model, what we shall find, whether its tensors come back byte by byte."""
    t = transformers
    vit = dict(HF_SIZES, num_labels=7)
    dino = dict(HF_SIZES, num_labels=7, mlp_ratio=2)
    logits = lambda model, x: model(x).logits
    features = lambda model, x: model(x).last_hidden_state[:, 0]
    yield "hf-vit", t.ViTForImageClassification(t.ViTConfig(**vit)), logits
    yield ("hf-vit-tanh-eps", t.ViTForImageClassification(
        t.ViTConfig(**vit, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-3)), logits)
    yield "hf-vit-without-qkv-bias", t.ViTForImageClassification(t.ViTConfig(**vit, qkv_bias=False)), logits
    yield "hf-vit-model", t.ViTModel(t.ViTConfig(**vit), add_pooling_layer=False), features
    yield "hf-deit", t.DeiTForImageClassification(t.DeiTConfig(**vit)), logits
    yield "hf-deit-distilled", t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**vit)), logits
    yield "hf-deit-model", t.DeiTModel(t.DeiTConfig(**vit), add_pooling_layer=False), features
    yield "hf-dinov2-model", t.Dinov2Model(t.Dinov2Config(**dino)), lambda m, x: m(x).pooler_output
    for name, model in (("hf-dinov2", t.Dinov2ForImageClassification(t.Dinov2Config(**dino))),
                        ("hf-dinov2-registers",
                         t.Dinov2WithRegistersForImageClassification(t.Dinov2WithRegistersConfig(**dino)))):
        yield name, model, logits
    clip = dict(HF_SIZES, projection_dim=16)
    embeds = lambda model, x: model(x).image_embeds
    yield "hf-clip", t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**clip)), embeds
    yield "hf-clip-erf", t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**clip, hidden_act="gelu")), embeds
    yield "hf-clip-model", t.CLIPVisionModel(t.CLIPVisionConfig(**clip)), lambda m, x: m(x).pooler_output


def expected_back(model, state):
    """What our export must hold: what was read, with what we leave out and what we had to compute put in its place."""
    if "mask_token" in " ".join(state):
        key = next(n for n in state if n.endswith("mask_token"))
        state[key] = torch.zeros_like(state[key])
    if type(model).__name__.startswith("Dinov2WithRegisters"):
        rows = "dinov2_with_registers.embeddings.position_embeddings"
        token = "dinov2_with_registers.embeddings.cls_token"
        state[token] = state[token] + state[rows][:, :1]
        state[rows] = torch.cat([torch.zeros_like(state[rows][:, :1]), state[rows][:, 1:]], 1)
    if type(model).__name__ == "CLIPVisionModel":  # transformers before 5 has this prefix, and 5 reads it
        state = {f"vision_model.{name}": tensor for name, tensor in state.items()}
    return state


def saved_state(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def check_hf(program, folder):
    for name, model, compute in hf_cases():
        strong_weights(model)
        if name.startswith("hf-dinov2") and name != "hf-dinov2-model":
            with torch.no_grad():  # our head reads the class token alone
                model.classifier.weight[:, 48:] = 0
        check_hf_model(program, folder, name, model, compute)
    check_hf_state_dict(program, folder)
    check_hf_mae(program, folder)
    check_hf_whole_clip(program, folder)


def check_hf_model(program, folder, name, model, compute):
    hub = folder / "hub-hf"
    shutil.rmtree(hub, ignore_errors=True)
    model.save_pretrained(hub)
    transformers.BitImageProcessor(size={"shortest_edge": 36}, crop_size=32).save_pretrained(hub)
    config = json.loads((hub / "config.json").read_text())
    preprocessor = json.loads((hub / "preprocessor_config.json").read_text())
    images = random_images(4, 3, 32)
    case = Case(program, folder / name, hub / "model.safetensors", images, {}, config, preprocessor)
    error = compare_logits(name, case.logits(), compute(model, images))
    back = exported(case, name, "hf")
    compare_tensors(name, back, expected_back(model, saved_state(hub)))
    out = case.folder / "hf"
    again, info = type(model).from_pretrained(out, output_loading_info=True)
    strangers = [n for n in info["missing_keys"] | info["unexpected_keys"] if "pooler" not in n]
    if strangers or info["mismatched_keys"]:
        raise SystemExit(f"{name}: from_pretrained does not take the export: {info}")
    compare_logits(f"{name}, loaded again by transformers", compute(again.eval(), images), compute(model, images), 1e-6)
    found = transformers.AutoImageProcessor.from_pretrained(out, use_fast=False).to_dict()
    assert found["size"] == {"shortest_edge": 36} and found["crop_size"] == {"height": 32, "width": 32}, found
    report(name, error, len(back))


def check_hf_state_dict(program, folder):
    """A state dict of transformers 5 as it is in memory, with its new names."""
    for name, model, compute in hf_cases():
        if name not in ("hf-vit", "hf-deit-distilled", "hf-dinov2-model"):
            continue
        strong_weights(model)
        images = random_images(4, 3, 32)
        case = Case(program, folder / f"{name}-in-memory", model.state_dict(), images,
                    dict(normalization="half"), config=model.config.to_dict())
        print(f"{name + '-in-memory':28} logits {compare_logits(name, case.logits(), compute(model, images)):.1e}")


def check_hf_mae(program, folder):
    mae = strong_weights(transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(
        **HF_SIZES, decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=16)))
    hub = folder / "hub-mae"
    mae.save_pretrained(hub)
    encoder = transformers.ViTModel.from_pretrained(hub, add_pooling_layer=False).eval()
    images = random_images(4, 3, 32)
    case = Case(program, folder / "hf-mae", hub / "model.safetensors", images, config=json.loads((hub / "config.json").read_text()))
    error = compare_logits("hf-mae", case.logits(), encoder(images).last_hidden_state[:, 0])
    assert any("the decoder of pre-training" in line for line in case.lines())
    print(f"{'hf-mae':28} features {error:.1e}")


def check_hf_whole_clip(program, folder):
    model = strong_weights(transformers.CLIPModel(transformers.CLIPConfig(
        vision_config=HF_SIZES, projection_dim=16,
        text_config=dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=99,
                         bos_token_id=1, eos_token_id=2))))
    hub = folder / "hub-clip"
    model.save_pretrained(hub)
    images = random_images(4, 3, 32)
    case = Case(program, folder / "hf-clip-whole", hub / "model.safetensors", images,
                config=json.loads((hub / "config.json").read_text()))
    expected = model.visual_projection(model.vision_model(images).pooler_output)
    print(f"{'hf-clip-whole':28} embeddings {compare_logits('hf-clip-whole', case.logits(), expected):.1e}")


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_grad_enabled(False)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    check_timm(program, folder)
    check_originals(program, folder)
    check_jax(program, folder)
    check_fitting(program, folder)
    check_hf(program, folder)
    print(f"families agree: torch {torch.__version__}, timm {timm.__version__}, transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
