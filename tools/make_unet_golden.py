#!/usr/bin/env python3
"""Write test/golden/unet_*.safetensors: small UNet2DModel networks of diffusers with random
weights, one input batch, the output and every gradient, computed in double, stored in float32.

Tensors   param.<name>  every tensor of the state dict
          in.x          [N,C,H,W]
          in.t          [N] the time input of the network as float32 (whole numbers for "learned")
          in.label      [N] int32, or [N,4*C0] float32 for class_embed_type "identity"; or absent
          out, dout     [N,C,H,W] the output, and the random cotangent the gradients belong to
          grad.<name>   of sum(out * dout) for every trainable parameter; grad.x for the input
Metadata  config        the network's config.json

Parameters and inputs are rounded to float32 first: a reader in double sees just what was used.
diffusers computes positional embeddings in float32 whatever the model's type, and log(label) of an
integer label as well; here both run in double (Positional below, labels passed as double), and a
dispatch hook refuses every tensor op that touches a floating type other than double. What the
float32 embedding of stock diffusers would have changed is printed.

make_unet_golden.py [--out FOLDER]      writes the files
make_unet_golden.py --check [--out ..]  recomputes the stored networks and compares
"""
import argparse
import json
import math
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import diffusers
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

diffusers.logging.set_verbosity_error()
UNet2DModel = diffusers.UNet2DModel

# What each file is for is the first entry; "full" says whether config.json spells out the defaults.
CASES = {
    "a": dict(
        about="as trained here: class table, plain time shift, whole-width attention head",
        full=True, size=(16, 16), t=[1023.0, 255.0, 37.625], label="table",
        config=dict(
            sample_size=16, in_channels=1, out_channels=1, flip_sin_to_cos=True, freq_shift=0,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"), block_out_channels=(8, 16),
            layers_per_block=2, downsample_padding=1, attention_head_dim=None, norm_num_groups=4,
            norm_eps=1e-5, num_class_embeds=11)),
    "b": dict(
        about="as the CIFAR DDPM: sin first, freq_shift 1, one-sided padding, no class, "
              "no attention in the middle, scaled middle, a picture that is not square",
        full=True, size=(16, 8), t=[999.0, 3.0], label=None,
        config=dict(
            sample_size=None, in_channels=3, out_channels=3, flip_sin_to_cos=False, freq_shift=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(8, 12, 20), layers_per_block=1, downsample_padding=0,
            attention_head_dim=4, norm_num_groups=4, norm_eps=1e-6, add_attention=False,
            mid_block_scale_factor=1.25, dropout=0.0)),
    "c": dict(
        about="as the ImageNet64 consistency model: Fourier time, scale-shift, centred input, "
              "resampling inside residual blocks, group norm of the middle attention asked for, "
              "the label embedded as a time",
        full=True, size=(16, 16), t=[0.375, 2.5], label="time",
        config=dict(
            sample_size=16, in_channels=3, out_channels=3, center_input_sample=True,
            time_embedding_type="fourier",
            down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
            block_out_channels=(8, 8, 16), layers_per_block=1, downsample_type="resnet",
            upsample_type="resnet", attention_head_dim=8, norm_num_groups=4,
            attn_norm_num_groups=2, norm_eps=1e-5, resnet_time_scale_shift="scale_shift",
            class_embed_type="timestep", mid_block_scale_factor=math.sqrt(2.0))),
    "d": dict(
        about="learned time table, scale-shift without group norm in the middle attention, "
              "embedding given by the caller, conv down and resnet up, head of 4",
        full=True, size=(8, 8), t=[0.0, 5.0, 31.0], label="identity",
        config=dict(
            sample_size=8, in_channels=1, out_channels=2, time_embedding_type="learned",
            num_train_timesteps=32, down_block_types=("AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D"), block_out_channels=(8, 20),
            layers_per_block=1, downsample_type="conv", upsample_type="resnet",
            attention_head_dim=4, norm_num_groups=4, norm_eps=1e-6,
            resnet_time_scale_shift="scale_shift", class_embed_type="identity")),
    "e": dict(
        about="no middle block, own width of the time embedding, a config.json without defaults",
        full=False, size=(4, 8), t=[-1.0, 640.5], label=None,
        config=dict(
            in_channels=2, out_channels=1, time_embedding_dim=40, mid_block_type=None,
            down_block_types=("DownBlock2D", "ResnetDownsampleBlock2D"),
            up_block_types=("ResnetUpsampleBlock2D", "UpBlock2D"), block_out_channels=(16, 24),
            layers_per_block=1, norm_num_groups=8)),
}


class Positional(torch.nn.Module):
    """What diffusers' Timesteps computes, in double."""

    def __init__(self, channels, cos_first, freq_shift):
        super().__init__()
        self.half, self.cos_first, self.freq_shift = channels // 2, cos_first, freq_shift

    def forward(self, t):
        k = torch.arange(self.half, dtype=torch.float64)
        u = t.double()[:, None] * torch.exp(-math.log(10000.0) * k / (self.half - self.freq_shift))
        pair = (torch.cos(u), torch.sin(u)) if self.cos_first else (torch.sin(u), torch.cos(u))
        return torch.cat(pair, dim=1)


class OnlyDouble(TorchDispatchMode):
    """Raises when an op reads or writes a floating tensor that is not double."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves((args, out)):
            if torch.is_tensor(x) and x.is_floating_point() and x.dtype != torch.float64:
                raise AssertionError(f"{func} touches {x.dtype}")
        return out


def randomize(model, g):
    """Every parameter random and of a size that keeps activations near 1; rounded to float32."""
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=g, dtype=torch.float64)
        if name == "time_proj.weight":  # Fourier: initialised at 16, smaller keeps float32 honest
            r = r * 2.0 if p.dim() == 1 else r
        elif p.dim() == 1:
            r = r * 0.2 + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        elif name == "class_embedding.weight":
            r = r * 0.5
        else:
            r = r * p[0].numel() ** -0.5
        p.data = r.float().double()


def build(config):
    model = UNet2DModel.from_config(dict(config)).double().eval()
    if model.config.time_embedding_type == "positional":
        model.time_proj = Positional(model.config.block_out_channels[0],
                                     model.config.flip_sin_to_cos, model.config.freq_shift)
    return model


def call(model, x, t, label):
    """The network, its time and label given in the type that each embedding wants."""
    if model.config.time_embedding_type == "learned":
        t = t.long()
    if label is not None and not label.is_floating_point():
        label = label.double() if model.config.class_embed_type == "timestep" else label.long()
    return model(x, t, class_labels=label, return_dict=False)[0]


def gradients(model, x, t, label, dout):
    x = x.clone().requires_grad_()
    with OnlyDouble():
        out = call(model, x, t, label)
        out.backward(dout)
    grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return out.detach(), {**grads, "x": x.grad}


def check_gradients(model, x, t, label, dout, grads, g):
    """The gradients along one random direction, against a central difference."""
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    params = dict(model.named_parameters())
    step = {n: torch.randn(grads[n].shape, generator=g, dtype=torch.float64) for n in grads}
    h, value = 2e-6, []
    with torch.no_grad():
        for sign in (1.0, -1.0):
            for n in names:
                params[n] += sign * h * step[n]
            value.append((call(model, x + sign * h * step["x"], t, label) * dout).sum())
            for n in names:
                params[n] -= sign * h * step[n]
    measured = float((value[0] - value[1]) / (2 * h))
    exact = sum(float((grads[n] * step[n]).sum()) for n in grads)
    error = abs(measured - exact) / abs(exact)
    assert error < 1e-6, f"gradients are off by {error:.1e}"
    return error


def stock_error(model, x, t, label, out):
    """How far the network is from diffusers as it comes, with its float32 positional embedding."""
    if model.config.time_embedding_type != "positional":
        return "(not compared: no positional embedding)"
    mine = model.time_proj
    model.time_proj = diffusers.models.embeddings.Timesteps(
        model.config.block_out_channels[0], model.config.flip_sin_to_cos, model.config.freq_shift)
    with torch.no_grad():
        theirs = call(model, x, t, label)
    model.time_proj = mine
    return f"{float((theirs - out).abs().max()):.1e}"


def config_json(model, case):
    if case["full"]:
        return model.to_json_string()
    keys = ["_class_name", "_diffusers_version", *case["config"]]
    full = json.loads(model.to_json_string())
    return json.dumps({k: full[k] for k in keys}, indent=2, sort_keys=True) + "\n"


def make(name, case, folder):
    g = torch.Generator().manual_seed(1000 + ord(name))
    normal = lambda *shape: torch.randn(shape, generator=g, dtype=torch.float64).float().double()
    model = build(case["config"])
    randomize(model, g)
    n, c0 = len(case["t"]), model.config.block_out_channels[0]
    x, t = normal(n, model.config.in_channels, *case["size"]), torch.tensor(case["t"]).double()
    dout = normal(n, model.config.out_channels, *case["size"])
    label = {"table": torch.tensor([10, 3, 0][:n]), "time": torch.tensor([3, 500][:n]),
             "identity": normal(n, 4 * c0), None: None}[case["label"]]
    out, grads = gradients(model, x, t, label, dout)
    error = check_gradients(model, x, t, label, dout, grads, g)

    tensors = {"in.x": x, "in.t": t, "out": out, "dout": dout}
    tensors.update({f"param.{k}": v for k, v in model.state_dict().items()})
    tensors.update({f"grad.{k}": v for k, v in grads.items()})
    tensors = {k: v.float().contiguous() for k, v in tensors.items()}
    if label is not None:
        tensors["in.label"] = label.float() if label.is_floating_point() else label.int()
    for k, v in tensors.items():
        constant = k.startswith("param.") and bool(((v == 0) | (v == 1)).any())
        assert v.isfinite().all() and not constant, f"{k} has a value that tests nothing"
    size = sum(v.numel() * 4 for v in tensors.values())
    assert size < 680_000, f"unet_{name} would take {size} bytes"
    path = os.path.join(folder, f"unet_{name}.safetensors")
    save_file(tensors, path, metadata={"config": config_json(model, case)})
    os.chmod(path, 0o644)
    print(f"{path}: {sum(p.numel() for p in model.parameters())} parameters, "
          f"{os.path.getsize(path)} bytes, "
          f"out rms {out.square().mean().sqrt():.3f}, gradient check {error:.1e}, "
          f"stock diffusers differs by {stock_error(model, x, t, label, out)}")


def check(name, folder):
    """Recompute a stored file; the state dict also goes through diffusers' strict loading."""
    path = os.path.join(folder, f"unet_{name}.safetensors")
    with safe_open(path, "pt") as f:
        stored = {k: f.get_tensor(k) for k in f.keys()}
        model = build(json.loads(f.metadata()["config"]))
    model.load_state_dict({k[6:]: v for k, v in stored.items() if k.startswith("param.")})
    label = stored.get("in.label")
    if label is not None and label.is_floating_point():
        label = label.double()
    out, grads = gradients(model, stored["in.x"].double(), stored["in.t"].double(), label,
                           stored["dout"].double())
    found = {"out": out, **{f"grad.{k}": v for k, v in grads.items()}}
    assert set(found) == {k for k in stored if k == "out" or k.startswith("grad.")}, path
    # The floor is for the gradients that are zero but for rounding: to_k.bias under a softmax.
    worst = max(float((v - stored[k]).norm() / (v.norm() + 1e-6)) for k, v in found.items())
    print(f"{path}: worst relative difference {worst:.1e} over {len(found)} tensors")
    return worst < 1e-6


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--out", default=os.path.join(here, "..", "test", "golden"))
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    folder = os.path.relpath(args.out)
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}")
    if args.check:
        return 0 if all([check(name, folder) for name in CASES]) else 1
    for name, case in CASES.items():
        make(name, case, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
