#!/usr/bin/env python3
"""fewstep against PyTorch on this machine: training, distillation and sampling, interleaved.

  run.py --model a --config bench/models/a.yaml --precision bf16 --out build/vs_pytorch.tsv

1. Every candidate setting of PyTorch (SETTINGS) runs each measure briefly, alone; the fastest is
   the peer of that measure. Then the winners start, warm up and stay alive.
2. Rounds alternate: one call of `fewstep bench step CONFIG --json`, then the peers, and so on, so
   that both sides see the same neighbours. A round's ratio is fewstep / PyTorch; the median counts.
3. One TSV row a round and measure is appended to --out; a table of medians is printed.

Figures are images per second (for sampling: images through one network evaluation). The machine
should be idle: a busy neighbour halves most of them, and not equally. Peak memory is that of
processes that train, distil or sample only (sampling: up to the largest batch), started before the
rounds; importing PyTorch alone takes pytorch_import_rss, more in a wheel with CUDA. Run it with the
Python whose packages tools/requirements.txt lists; bench/README.md says how with Debian's PyTorch.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# name: arguments of peer.py. "pure" settings only sample, the others do everything.
SETTINGS = {
    "f32": {
        "nchw": ["--layout", "nchw"],
        "nhwc": ["--layout", "channels_last"],
        "nhwc-compile": ["--layout", "channels_last", "--mode", "compile"],
        "nhwc-one-thread": ["--layout", "channels_last", "--threads", "1"],
    },
    "bf16": {
        "nchw": ["--layout", "nchw"],
        "nchw-one-thread": ["--layout", "nchw", "--threads", "1"],
        "nhwc": ["--layout", "channels_last"],
        "nhwc-norm32": ["--layout", "channels_last", "--norm", "f32"],
        "nhwc-norm32-compile": ["--layout", "channels_last", "--norm", "f32", "--mode", "compile"],
        "pure": ["--layout", "nchw", "--pure"],
        "pure-compile": ["--layout", "nchw", "--pure", "--mode", "compile"],
    },
}
COLUMNS = ("time", "model", "precision", "measure", "batch", "round", "fewstep", "pytorch", "ratio",
           "setting", "fewstep_peak_rss", "pytorch_peak_rss", "pytorch_import_rss", "torch")


def progress(text):
    print(text, file=sys.stderr, flush=True)


def measures_of(args):
    """name -> (command of peer.py less its count, batch, how to find it in fewstep's answer)."""
    all_of_them = {"train": ("train", args.batch, lambda a: a.get("train_images_per_second")),
                   "distill": ("distill", args.batch, lambda a: a.get("distill_images_per_second"))}
    for b in (1, 16, 64):
        all_of_them[f"sample-{b}"] = (
            f"sample {b}", b, lambda a, b=b: a.get("sample_images_per_second", {}).get(str(b)))
    return {k: v for k, v in all_of_them.items() if k in args.measures}


class Peer:
    """A peer.py process that stays alive."""

    def __init__(self, args, name, measures):
        self.name = name
        pure = name.startswith("pure")
        self.measures = [m for m in measures if m.startswith("sample") or not pure]
        warm = ",".join(f"{measures[m][0]} 1" for m in self.measures)
        command = [sys.executable, os.path.join(HERE, "peer.py"), "--model", args.model,
                   "--precision", args.precision, "--batch", str(args.batch), "--threads",
                   str(args.threads), "--warm", warm, *SETTINGS[args.precision][name]]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL if args.quiet else None,
                                        text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise SystemExit(f"run.py: PyTorch '{name}' did not start")
        self.about = json.loads(line[len("ready "):])
        if self.about["config"]["allocator"] == "glibc":
            progress("run.py: PyTorch runs without jemalloc, which costs it up to a third: "
                     "install libjemalloc2")

    def run(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended"}
        if "error" in answer:
            raise SystemExit(f"run.py: PyTorch '{self.name}', '{command}': {answer['error']}")
        return answer

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def call_fewstep(args, only="all", repeat=None):
    command = [args.fewstep, "bench", "step", args.config, "--json", "--precision", args.precision,
               "--batch", str(args.batch), "--threads", str(args.threads), "--only", only]
    if args.model == "a":
        command += ["--channels", "1"]  # where the data are not there
    if repeat or args.repeat:
        command += ["--repeat", str(repeat or args.repeat)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"run.py: '{' '.join(command)}' exited with {done.returncode}")
    answer = json.loads(done.stdout)
    if answer.get("precision", args.precision) != args.precision:
        raise SystemExit(f"run.py: asked for {args.precision}, fewstep ran {answer['precision']}")
    return answer


def choose(args, measures):
    """The fastest peer of each measure, with the steps that take about --seconds."""
    best = {}
    names = args.settings or list(SETTINGS[args.precision])
    for name in names:
        progress(f"trying PyTorch {name}")
        peer = Peer(args, name, measures)
        for m in peer.measures:
            command, batch, _ = measures[m]
            rate = peer.run(f"{command} 1")["images_per_second"]
            steps = max(1, math.ceil(args.trial_seconds * rate / batch))
            rate = peer.run(f"{command} {steps}")["images_per_second"]
            progress(f"  {m}: {rate:.1f} images/s")
            if m not in best or rate > best[m][1]:
                best[m] = (name, rate, max(3, math.ceil(args.seconds * rate / batch)))
        peer.stop()
    return best


def peak_memory(args, measures, best):
    """measure -> bytes of (fewstep, PyTorch) in processes that train, distil or sample only."""
    peaks = {}
    for kind in ("train", "distill", "sample"):
        of_kind = [m for m in measures if m.startswith(kind)]
        if not of_kind:
            continue
        progress(f"memory: {kind}")
        largest = of_kind[-1]
        ours = call_fewstep(args, only=kind, repeat=1)["peak_rss_bytes"]
        peer = Peer(args, best[largest][0], {largest: measures[largest]})
        theirs = peer.run(f"{measures[largest][0]} 2")["peak_rss_bytes"]
        peer.stop()
        peaks.update({m: (ours, theirs) for m in of_kind})
    return peaks


def median_row(measure, rows):
    ratios = [r["ratio"] for r in rows]
    middle = lambda key: statistics.median(r[key] for r in rows)
    ours, theirs = rows[-1]["fewstep_peak_rss"], rows[-1]["pytorch_peak_rss"]
    return [measure, f"{middle('fewstep'):.1f}", f"{middle('pytorch'):.1f}",
            f"{statistics.median(ratios):.2f}x", f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{ours / 1e6:.0f}", f"{theirs / 1e6:.0f}", f"{ours / theirs:.2f}",
            rows[-1]["setting"]]


def print_table(rows):
    head = ["measure", "fewstep/s", "PyTorch/s", "ratio", "range", "MB", "PyTorch MB", "of it",
            "setting"]
    lines = [head] + [median_row(m, [r for r in rows if r["measure"] == m])
                      for m in dict.fromkeys(r["measure"] for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(word.ljust(w) for word, w in zip(line, widths)).rstrip())


def append_tsv(path, rows):
    new = not os.path.exists(path) or os.path.getsize(path) == 0
    with open(path, "a") as f:
        if new:
            f.write("\t".join(COLUMNS) + "\n")
        for r in rows:
            f.write("\t".join("" if r[c] is None else
                              f"{r[c]:.6g}" if isinstance(r[c], float) else str(r[c])
                              for c in COLUMNS) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", choices="abc", default="a", help="the peer's network")
    p.add_argument("--config", required=True, help="fewstep's configuration of the same network")
    p.add_argument("--fewstep", default=os.path.join(HERE, "..", "..", "build", "fewstep"))
    p.add_argument("--precision", choices=SETTINGS, default="bf16")
    p.add_argument("--batch", type=int, default=64, help="of train and distill")
    p.add_argument("--threads", type=int, default=2, help="of both")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=5, help="of a peer's measure in a round")
    p.add_argument("--trial-seconds", type=float, default=2, help="of a measure, choosing settings")
    p.add_argument("--repeat", type=int, help="handed to fewstep")
    p.add_argument("--measures", default="train,distill,sample-1,sample-16,sample-64",
                   type=lambda s: s.split(","))
    p.add_argument("--settings", type=lambda s: s.split(","), help="only these of PyTorch's")
    p.add_argument("--out", help="TSV to append to")
    p.add_argument("--quiet", action="store_true", help="drop what PyTorch writes to stderr")
    args = p.parse_args()
    for s in args.settings or []:
        if s not in SETTINGS[args.precision]:
            p.error(f"setting '{s}' is not one of {', '.join(SETTINGS[args.precision])}")
    measures = measures_of(args)
    if len(measures) != len(args.measures):
        p.error(f"unknown measure in '{','.join(args.measures)}'")
    load = os.getloadavg()[0]
    if load > 0.5:
        progress(f"run.py: the load is {load:.1f}: the figures will not be worth much")

    # Asked first: a peer of what fewstep does not do need not be found.
    answer = call_fewstep(args)
    measures = {m: v for m, v in measures.items() if v[2](answer) is not None}
    if not measures:
        raise SystemExit("run.py: fewstep answered none of the measures")
    best = choose(args, measures)
    measures = {m: v for m, v in measures.items() if m in best}
    peaks = peak_memory(args, measures, best)
    peers = {name: Peer(args, name, {m: measures[m] for m in measures if best[m][0] == name})
             for name in sorted({b[0] for b in best.values()})}
    rows = []
    for i in range(args.rounds):
        answer = call_fewstep(args)
        of_round = []
        for m, (command, batch, find) in measures.items():
            name, _, steps = best[m]
            rate = peers[name].run(f"{command} {steps}")["images_per_second"]
            ours, theirs = peaks[m]
            of_round.append(dict(
                time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), model=args.model,
                precision=args.precision, measure=m, batch=batch, round=i + 1,
                fewstep=float(find(answer)), pytorch=rate, ratio=find(answer) / rate, setting=name,
                fewstep_peak_rss=ours, pytorch_peak_rss=theirs,
                pytorch_import_rss=peers[name].about["import_rss_bytes"],
                torch=peers[name].about["torch"]))
        ratios = ", ".join(f"{r['measure']} {r['ratio']:.2f}" for r in of_round)
        progress(f"round {i + 1}/{args.rounds}: {ratios}")
        if args.out:
            append_tsv(args.out, of_round)
        rows += of_round
    for peer in peers.values():
        peer.stop()
    print_table(rows)


if __name__ == "__main__":
    main()
