#!/usr/bin/env python3
"""PyTorch doing what `fewstep bench step` does, in one setting, timed on command.

Prints `ready {...}` after warming up, then answers each line of standard input with a JSON line:
  train N       N training steps: noise, v-prediction loss, backward, fused Adam, EMA
  distill N     N multistep consistency distillation steps: teacher forward, student forward without
                gradient, target, student forward and backward, fused Adam, EMA
  sample B N    N network evaluations at batch B, each with its DDIM combination
  quit
`images_per_second` is batch * N / seconds: one image through one step, for sampling one evaluation.

The network is diffusers' UNet2DModel with two of its habits undone that cost channels_last and
batches of 64 extra copies: it stays in eval mode (there is no dropout), where residual blocks do
not call contiguous(), and Upsample2D does not call it either. Training under bf16 is autocast with
f32 weights; --pure is for sampling only. --norm f32 casts to float32 around group norm, whose bf16
channels_last kernel is several times slower. Where jemalloc is installed the process starts itself
again under it with huge pages: glibc's allocator costs PyTorch 13-40 %.
"""
import argparse
import contextlib
import copy
import json
import math
import os
import resource
import statistics
import sys
import time
import warnings

JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
JEMALLOC_CONF = "thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1"

# 32x32 pictures, 2 residual blocks a level, one attention head, 4 channels to a group, scale-shift
# time, 10 classes and none.
MODELS = {
    "a": dict(channels=1, widths=(32, 64, 64), attention=(2,)),
    "b": dict(channels=3, widths=(64, 128, 128, 128), attention=(1,)),
    "c": dict(channels=3, widths=(128, 256, 256, 256), attention=(1,)),
}
SIZE, CLASSES, TIME_SCALE, STUDENT_STEPS = 32, 10, 1024, 4


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", choices=MODELS, default="a")
    p.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    p.add_argument("--layout", choices=("nchw", "channels_last"), default="channels_last")
    p.add_argument("--mode", choices=("eager", "compile"), default="eager")
    p.add_argument("--norm", choices=("same", "f32"), default="same")
    p.add_argument("--pure", action="store_true", help="bf16 weights; only sample then")
    p.add_argument("--batch", type=int, default=64, help="of train and distill")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--warm", default="train 2", metavar="LIST",
                   help="commands run before `ready`, separated by commas; '' for none")
    p.add_argument("--allocator", choices=("auto", "glibc"), default="auto")
    args = p.parse_args()
    if args.pure and args.precision != "bf16":
        p.error("--pure goes with --precision bf16")
    return args


def use_jemalloc(args):
    """Start again under jemalloc. Returns the allocator's name when there is nothing to do."""
    if "jemalloc" in os.environ.get("LD_PRELOAD", ""):
        return "jemalloc " + os.environ.get("MALLOC_CONF", "")
    if args.allocator == "glibc" or not os.path.exists(JEMALLOC):
        return "glibc"
    os.environ.update(LD_PRELOAD=JEMALLOC, MALLOC_CONF=JEMALLOC_CONF)
    os.execv(sys.executable, [sys.executable, *sys.argv])


ARGS = parse_args()
ALLOCATOR = use_jemalloc(ARGS)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", str(ARGS.threads))
warnings.filterwarnings("ignore")

import diffusers
import torch
import torch.nn.functional as F
from diffusers.models.upsampling import Upsample2D

diffusers.logging.set_verbosity_error()


def rss():
    """Bytes now and at most."""
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def norm_in_f32(self, x):
    y = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
    return y.to(x.dtype)


def upsample(self, x, output_size=None):
    return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def build_model(args):
    spec = MODELS[args.model]
    levels = range(len(spec["widths"]))
    kind = lambda name: [f"Attn{name}" if i in spec["attention"] else name for i in levels]
    if args.norm == "f32":
        torch.nn.GroupNorm.forward = norm_in_f32
    Upsample2D.forward = upsample
    model = diffusers.UNet2DModel(
        sample_size=SIZE, in_channels=spec["channels"], out_channels=spec["channels"],
        block_out_channels=spec["widths"], layers_per_block=2, attention_head_dim=None,
        down_block_types=kind("DownBlock2D"), up_block_types=kind("UpBlock2D")[::-1],
        norm_num_groups=min(32, spec["widths"][0] // 4), resnet_time_scale_shift="scale_shift",
        num_class_embeds=CLASSES + 1).eval()
    if args.pure:
        model = model.to(torch.bfloat16)
    if args.layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    return model


def make_adam(params):
    """The fused one; PyTorch 1.13 has none on a CPU."""
    if int(torch.__version__.split(".")[0]) < 2:
        return torch.optim.Adam(params, lr=1e-4, foreach=True)
    return torch.optim.Adam(params, lr=1e-4, fused=True)


def angle(t):
    """phi of the cosine schedule with log-SNR in [-15, 15]; alpha = cos phi, sigma = sin phi."""
    b = math.atan(math.exp(-7.5))
    return (math.atan(math.exp(7.5)) - b) * t + b


def column(x):
    return x[:, None, None, None]


class Peer:
    def __init__(self, args):
        self.args, self.dtype = args, torch.bfloat16 if args.pure else torch.float32
        self.model = build_model(args)
        self.params = list(self.model.parameters())
        self.teacher = None
        compiled = args.mode == "compile"
        self.network = torch.compile(self.model, dynamic=False) if compiled else self.model
        if not args.pure:
            self.ema = [p.detach().clone() for p in self.params]
            self.adam = make_adam(self.params)
        self.images = self.normal(args.batch).clamp(-1, 1)
        self.labels = torch.arange(args.batch) % CLASSES

    def normal(self, n):
        x = torch.randn(n, MODELS[self.args.model]["channels"], SIZE, SIZE, dtype=self.dtype)
        return x.contiguous(memory_format=torch.channels_last
                            if self.args.layout == "channels_last" else torch.contiguous_format)

    def autocast(self):
        if self.args.precision == "bf16" and not self.args.pure:
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()

    def predict_v(self, network, z, t, labels):
        with self.autocast():
            return network(z, TIME_SCALE * t - 1, class_labels=labels, return_dict=False)[0]

    def predict_x(self, network, z, t, labels):
        phi = column(angle(t))
        return phi.cos() * z - phi.sin() * self.predict_v(network, z, t, labels).to(self.dtype)

    def update(self, loss):
        loss.backward()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            if hasattr(torch, "_foreach_lerp_"):
                torch._foreach_lerp_(self.ema, self.params, 1e-4)
            else:
                torch._foreach_mul_(self.ema, 1 - 1e-4)
                torch._foreach_add_(self.ema, self.params, alpha=1e-4)

    def train_step(self):
        t, eps = torch.rand(self.args.batch), self.normal(self.args.batch)
        phi = column(angle(t))
        z = phi.cos() * self.images + phi.sin() * eps
        v = self.predict_v(self.network, z, t, self.labels)
        self.update(F.mse_loss(v.float(), phi.cos() * eps - phi.sin() * self.images))

    def distill_step(self, n_seg=16):
        """Algorithm 1 of arXiv:2403.06807 with the target in closed form and DDIM as the step."""
        total = STUDENT_STEPS * n_seg
        step = torch.randint(0, STUDENT_STEPS, (self.args.batch,))
        rel = torch.randint(1, n_seg + 1, (self.args.batch,))
        t, s = (step * n_seg + rel) / total, (step * n_seg + rel - 1) / total
        pt, ps, pb = (column(angle(u)) for u in (t, s, step / STUDENT_STEPS))
        z = pt.cos() * self.images + pt.sin() * self.normal(self.args.batch)
        with torch.no_grad():
            x_t = self.predict_x(self.teacher, z, t, self.labels)
            z_s = (pt - ps).sin() / pt.sin() * x_t + ps.sin() / pt.sin() * z
            x_s = self.predict_x(self.network, z_s, s, self.labels)
            w = pb.sin() * (pt - ps).sin() / (ps.sin() * (pt - pb).sin())
            target = w * x_t + (1 - w) * x_s
        x = self.predict_x(self.network, z, t, self.labels)
        self.update((((x - target) / pt.sin()).square().mean((1, 2, 3)) + 1e-8).sqrt().mean())

    def sample(self, batch, n):
        z, labels = self.normal(batch), torch.arange(batch) % CLASSES
        with torch.no_grad():
            for i in range(n):
                t = torch.full((batch,), (n - i) / n)
                pt, ps = column(angle(t)), column(angle(t - 1 / n))
                x = self.predict_x(self.network, z, t, labels).to(self.dtype)
                z = ((pt - ps).sin() / pt.sin() * x + ps.sin() / pt.sin() * z).to(self.dtype)

    def command(self, words):
        """Run one command; the number of images that went through."""
        name, numbers = words[0], [int(w) for w in words[1:]]
        if name == "sample" and len(numbers) == 2:
            self.sample(*numbers)
            return numbers[0] * numbers[1]
        if name not in ("train", "distill") or len(numbers) != 1 or self.args.pure:
            raise ValueError(f"cannot do '{' '.join(words)}'")
        if name == "distill" and self.teacher is None:
            self.teacher = copy.deepcopy(self.model).requires_grad_(False)
            if self.args.mode == "compile":
                self.teacher = torch.compile(self.teacher, dynamic=False)
        for _ in range(numbers[0]):
            self.train_step() if name == "train" else self.distill_step()
        return numbers[0] * self.args.batch

    def measure(self, words):
        """Median images/s of the parts of a command, after one that is not counted: as fewstep's."""
        count, part = int(words[-1]), 4 if words[0] == "sample" else 1
        each = words[:-1] + [str(part)]
        rates = []
        for k in range(-1, math.ceil(count / part)):
            start = time.perf_counter()
            images = self.command(each)
            if k >= 0:
                rates.append(images / (time.perf_counter() - start))
        return statistics.median(rates)


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing that a library prints may get among the answers
    imported = rss()[0]
    torch.manual_seed(0)
    torch.set_num_threads(ARGS.threads)
    torch.set_flush_denormal(True)
    peer = Peer(ARGS)
    warm = [w.split() for w in ARGS.warm.split(",") if w.strip()]
    if ARGS.pure:
        warm = [w for w in warm if w[0] == "sample"]
    for words in warm:
        peer.command(words)
    now, peak = rss()
    answers.write("ready " + json.dumps({
        "config": {**vars(ARGS), "allocator": ALLOCATOR},
        "parameters": sum(p.numel() for p in peer.params), "torch": torch.__version__,
        "diffusers": diffusers.__version__, "import_rss_bytes": imported, "rss_bytes": now,
        "peak_rss_bytes": peak}) + "\n")
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        if words[0] == "quit":
            break
        try:
            reply = {"images_per_second": peer.measure(words)}
        except (ValueError, RuntimeError) as e:
            reply = {"error": str(e)}
        now, peak = rss()
        reply.update(command=" ".join(words), rss_bytes=now, peak_rss_bytes=peak)
        answers.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
