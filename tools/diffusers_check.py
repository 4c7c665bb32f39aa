#!/usr/bin/env python3
"""Sample a fewstep checkpoint with diffusers' own UNet2DModel and DDIMScheduler, and compare.

A student of S steps is a stock diffusers pipeline: its time input time_scale*t - 1 is the integer
timestep k of a scheduler with num_train_timesteps = time_scale whose alphas_cumprod[k] is
alpha^2((k+1)/time_scale). Trailing spacing then gives t = S/S, (S-1)/S, ..., 1/S whenever S divides
time_scale, and the last step goes to alpha = 1, that is, it returns x_hat.

  fewstep sample student.safetensors --noise noise.npy --raw -o images.npy
  diffusers_check.py student.safetensors noise.npy images.npy [--steps S] [--json] [--max-rms R]
  diffusers_check.py --self-test

Both .npy files are float32 [N,H,W,C]; image i has class i mod classes. Prints the largest absolute
difference and the RMS difference over the RMS of diffusers' images; with --max-rms, exits with 1
when that is larger than R.
"""
import argparse
import json
import math
import os
import sys
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import diffusers
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

diffusers.logging.set_verbosity_error()

PREDICTION = {"v": "v_prediction", "eps": "epsilon", "x": "sample"}


class Refused(Exception):
    """What cannot be compared, in words."""


def log_snr(schedule, t):
    """lambda(t) for t in (0,1], double."""
    name = schedule.get("name", "cosine")
    lo, hi = float(schedule.get("logsnr_min", -15)), float(schedule.get("logsnr_max", 15))

    def cosine(u, lo, hi):
        b = math.atan(math.exp(-hi / 2))
        return -2 * np.log(np.tan((math.atan(math.exp(-lo / 2)) - b) * u + b))

    def shifted(u, noise_d):
        shift = 2 * math.log(float(noise_d) / float(schedule["image_d"]))
        keep = shift if schedule.get("keep_limits") else 0.0
        return cosine(u, lo - keep, hi - keep) + shift

    t = np.asarray(t, np.float64)
    if name == "cosine":
        return cosine(t, lo, hi)
    if name == "shifted":
        return shifted(t, schedule["noise_d"])
    if name == "interpolated":
        return (t * shifted(t, schedule["noise_d_low"]) +
                (1 - t) * shifted(t, schedule["noise_d_high"]))
    raise Refused(f"schedule '{name}' is not one of cosine, shifted, interpolated")


def angle(schedule, t):
    """phi with alpha = cos phi, sigma = sin phi."""
    return np.arctan(np.exp(-log_snr(schedule, t) / 2))


def scheduler_config(schedule, parameterization, time_scale, clip=False):
    """The constructor arguments of a DDIMScheduler that walks `schedule`."""
    if parameterization not in PREDICTION:
        raise Refused(f"parameterization '{parameterization}' has no counterpart in DDIMScheduler")
    alpha2 = np.cos(angle(schedule, np.arange(1, time_scale + 1) / time_scale)) ** 2
    betas = 1 - alpha2 / np.concatenate([[1.0], alpha2[:-1]])
    return dict(num_train_timesteps=time_scale, trained_betas=betas.tolist(),
                prediction_type=PREDICTION[parameterization], timestep_spacing="trailing",
                set_alpha_to_one=True, clip_sample=clip)


def sample(scheduler, network, z, steps):
    """`network(z, k)` at the scheduler's timesteps k, from the noise z to images."""
    if scheduler.config.num_train_timesteps % steps:
        raise Refused(f"{steps} steps do not divide {scheduler.config.num_train_timesteps}")
    scheduler.set_timesteps(steps)
    for k in scheduler.timesteps:
        z = scheduler.step(network(z, k), k, z,
                           use_clipped_model_output=scheduler.config.clip_sample).prev_sample
    return z


def read_checkpoint(path):
    """The metadata `fewstep` and the loaded network."""
    with safe_open(path, "pt") as f:
        text = (f.metadata() or {}).get("fewstep")
        if text is None:
            raise Refused(f"'{path}' has no metadata key 'fewstep'")
        tensors = {k: f.get_tensor(k).float() for k in f.keys()}
    meta = json.loads(text)
    if "unet" not in meta:
        raise Refused(f"the model of '{path}' is not a U-Net")
    if "sigma_max" in meta:
        raise Refused(f"'{path}' is a consistency model, which starts at sigma_max and has a boundary of its own; "
                      "DDIMScheduler knows neither")
    config = {k: v for k, v in meta["unet"].items() if not k.startswith("_")}
    model = diffusers.UNet2DModel.from_config(config).eval()
    missing, extra = model.load_state_dict(tensors, strict=False)
    if missing or extra:
        raise Refused(f"'{path}' and UNet2DModel disagree: missing {missing[:4]} "
                      f"({len(missing)}), unexpected {extra[:4]} ({len(extra)})")
    return meta, model


def class_labels(meta, model, n):
    if model.class_embedding is None:
        return None
    classes = meta.get("classes") or meta.get("n_classes") or model.config.num_class_embeds - 1
    classes = len(classes) if isinstance(classes, (list, dict)) else int(classes)
    return torch.arange(n) % classes


def sample_checkpoint(path, noise, steps=None, batch=16):
    """Images [N,H,W,C] that diffusers makes of `noise`."""
    meta, model = read_checkpoint(path)
    steps = steps or int(meta.get("steps") or 0)
    if steps < 1:
        raise Refused(f"'{path}' does not say for how many steps it is; give --steps")
    scheduler = diffusers.DDIMScheduler(**scheduler_config(
        meta.get("schedule", {}), meta.get("parameterization", "v"),
        int(meta.get("time_scale", 1024)), bool(meta.get("clip"))))
    z = torch.from_numpy(np.ascontiguousarray(noise, np.float32)).permute(0, 3, 1, 2)
    labels = class_labels(meta, model, len(z))
    images = []
    with torch.no_grad():
        for i in range(0, len(z), batch):
            some = None if labels is None else labels[i:i + batch]
            network = lambda z, k: model(z, k, class_labels=some, return_dict=False)[0]
            images.append(sample(scheduler, network, z[i:i + batch], steps))
    return torch.cat(images).permute(0, 2, 3, 1).numpy(), meta, steps


def difference(images, reference):
    """Largest absolute and relative RMS difference, in double."""
    d = images.astype(np.float64) - reference
    rms = math.sqrt(np.mean(np.square(reference.astype(np.float64))))
    return float(np.abs(d).max()), float(math.sqrt(np.mean(d * d)) / max(rms, 1e-30))


# Self-test: the scheduler against the closed form z_s = D x_hat + r z_t in angles, and a whole
# checkpoint file against a loop written down here.

def closed_form(schedule, parameterization, network, z, steps):
    """Multistep consistency sampling in double; network(z, t)."""
    for k in range(steps, 0, -1):
        t, s = k / steps, (k - 1) / steps
        a, b = angle(schedule, t), angle(schedule, s)
        out = network(z, t)
        x = {"v": math.cos(a) * z - math.sin(a) * out, "x": out,
             "eps": (z - math.sin(a) * out) / math.cos(a)}[parameterization]
        z = x if k == 1 else math.sin(a - b) / math.sin(a) * x + math.sin(b) / math.sin(a) * z
    return z


def self_test():
    schedules = [{"name": "cosine", "logsnr_min": -15, "logsnr_max": 15},
                 {"name": "cosine", "logsnr_min": -20, "logsnr_max": 20},
                 {"name": "shifted", "image_d": 64, "noise_d": 32},
                 {"name": "interpolated", "image_d": 128, "noise_d_low": 32, "noise_d_high": 128}]
    g = torch.Generator().manual_seed(7)
    noise = torch.randn(4, 3, 8, 8, generator=g, dtype=torch.float64)
    mix = torch.randn(3, 3, generator=g, dtype=torch.float64) * 0.5
    mixed = lambda z: torch.einsum("ij,njhw->nihw", mix, z)
    fake = lambda z, t: torch.tanh(mixed(z) + math.sin(5 * t)) - 0.3 * z
    failed, passed = 0, 0

    def expect(what, error, limit):
        nonlocal failed, passed
        ok = error < limit
        failed, passed = failed + (not ok), passed + ok
        print(f"{'ok  ' if ok else 'FAIL'} {what}: {error:.2e} (limit {limit:.0e})")

    def expect_refusal(what, call):
        try:
            call()
            expect(f"{what} is refused", math.inf, 1)
        except Refused:
            expect(f"{what} is refused", 0.0, 1)

    # Rows 1, 3, 6, 9, 12 of the table of test vectors in the specification.
    c20, image64 = schedules[1], {"name": "interpolated", "image_d": 64, "noise_d_low": 32,
                                  "noise_d_high": 64, "logsnr_min": -20, "logsnr_max": 20}
    image128 = {**schedules[3], "logsnr_min": -20, "logsnr_max": 20}
    for schedule, t, value in ((c20, 0.25, 1.76261876656), (c20, 0.75, -1.76261876656),
                               (schedules[0], 1.0, -15.0), (image64, 0.25, 1.41604517628),
                               (image128, 0.25, 1.069471586)):
        expect(f"lambda({t}) {schedule['name']}", abs(float(log_snr(schedule, t)) - value), 1e-10)

    for schedule in schedules:
        for parameterization in ("v", "x"):
            config = scheduler_config(schedule, parameterization, 1024)
            stock = diffusers.DDIMScheduler(**config)
            exact = diffusers.DDIMScheduler(**config)  # the same, its float32 tables in double
            exact.alphas_cumprod = torch.from_numpy(
                np.cumprod(1 - np.asarray(config["trained_betas"])))
            exact.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
            worst = {"stock": 0.0, "exact": 0.0}
            for steps in (1, 2, 4, 8, 16, 32, 64):
                want = closed_form(schedule, parameterization, fake, noise, steps)
                for name, scheduler in (("stock", stock), ("exact", exact)):
                    network = lambda z, k: fake(z, (float(k) + 1) / 1024)
                    got = sample(scheduler, network, noise, steps)
                    worst[name] = max(worst[name], float((got - want).abs().max()))
            limit = schedule.get("logsnr_max", 15)
            what = f"{schedule['name']} {limit} {parameterization}, 1..64 steps"
            expect(f"{what}, tables in double", worst["exact"], 1e-10)
            expect(f"{what}, stock float32 tables", worst["stock"], 1e-5)

    thousand = diffusers.DDIMScheduler(**scheduler_config(schedules[0], "v", 1000))
    expect_refusal("16 steps of 1000", lambda: sample(thousand, lambda z, k: z, noise, 16))

    config = dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=[16, 32],
                  layers_per_block=1, down_block_types=["DownBlock2D", "AttnDownBlock2D"],
                  up_block_types=["AttnUpBlock2D", "UpBlock2D"], norm_num_groups=8,
                  num_class_embeds=4)
    torch.manual_seed(11)
    model = diffusers.UNet2DModel.from_config(config).eval()
    meta = {"format_version": 1, "kind": "mcd", "unet": config, "schedule": schedules[0],
            "parameterization": "v", "steps": 4, "time_scale": 1024}
    noise = np.random.default_rng(5).standard_normal((7, 8, 8, 1)).astype(np.float32)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = os.path.join(folder, "student.safetensors")
        save_file(model.state_dict(), path, metadata={"fewstep": json.dumps(meta)})
        got = sample_checkpoint(path, noise, batch=3)[0]
        network = lambda z, t: model(z.float(), 1024 * t - 1 + torch.zeros(7), labels)[0].double()
        want = closed_form(meta["schedule"], "v", network,
                           torch.from_numpy(noise).permute(0, 3, 1, 2).double(), 4)
        want = want.permute(0, 2, 3, 1).numpy()
        expect("a checkpoint of 4 steps, relative RMS", difference(got, want)[1], 1e-5)
        del meta["unet"]["num_class_embeds"]
        save_file(model.state_dict(), path, metadata={"fewstep": json.dumps(meta)})
        expect_refusal("a tensor that the config does not have",
                       lambda: sample_checkpoint(path, noise))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("checkpoint", nargs="?")
    p.add_argument("noise", nargs="?", help="float32 [N,H,W,C] .npy")
    p.add_argument("images", nargs="?", help="float32 [N,H,W,C] .npy of `fewstep sample --raw`")
    p.add_argument("--steps", type=int, help="instead of the checkpoint's own number")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--save", metavar="NPY", help="write diffusers' images")
    p.add_argument("--max-rms", type=float, help="exit with 1 above this relative RMS difference")
    p.add_argument("--json", action="store_true")
    p.add_argument("--self-test", action="store_true")
    args = p.parse_args()
    if args.self_test:
        return self_test()
    if not args.images:
        p.error("give CHECKPOINT NOISE IMAGES, or --self-test")
    try:
        noise, images = np.load(args.noise), np.load(args.images)
        reference, meta, steps = sample_checkpoint(args.checkpoint, noise, args.steps, args.batch)
        if images.shape != reference.shape:
            raise Refused(f"the images are {images.shape}, diffusers made {reference.shape}")
    except Refused as e:
        print(f"diffusers_check: {e}", file=sys.stderr)
        return 1
    if args.save:
        np.save(args.save, reference)
    largest, rms = difference(images, reference)
    if args.json:
        print(json.dumps({"checkpoint": args.checkpoint, "kind": meta.get("kind"), "steps": steps,
                          "images": len(images), "max_difference": largest,
                          "relative_rms_difference": rms, "torch": torch.__version__,
                          "diffusers": diffusers.__version__}))
    else:
        print(f"{len(images)} images, {steps} steps: largest difference {largest:.3e}, "
              f"relative RMS {rms:.3e}")
    return 1 if args.max_rms is not None and not rms <= args.max_rms else 0


if __name__ == "__main__":
    sys.exit(main())
