#!/usr/bin/env bash
# Training killed at any moment goes on, and ends with the model of a training left alone.
# usage: robust.sh FEWSTEP
set -uo pipefail
fewstep=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
fail() {
    echo "FAIL $*"
    failed=1
}
ok() { # ok WHAT COMMAND...: must succeed
    local what=$1
    shift
    "$@" >out 2>err || { fail "$what: exit $?"; cat out err; }
}
finish() { # finish RUN: take a killed or stopped run to its end; it must have been under way
    ok "going on with $1" "$fewstep" train "$1"
    [ $failed = 0 ] && ! grep -q 'going on from step' err && { fail "$1 did not go on"; cat err; }
    ls "$1/checkpoints" | grep -q '^tmp-' && fail "left-overs in $1/checkpoints"
}
same() { # same RUN: it ended as the one left alone
    for f in model state; do
        cmp "whole/checkpoints/$last/$f.safetensors" "$1/checkpoints/$last/$f.safetensors" || fail "$1 differs"
    done
    cut -f 1 "$1/log.tsv" | cmp - <(cut -f 1 whole/log.tsv) || fail "$1 has another log"
}

# 16 images of 8x8 as IDX, without labels.
{
    printf '\0\0\x08\x03\0\0\0\x10\0\0\0\x08\0\0\0\x08'
    for i in $(seq 64); do printf "\\x$(printf '%02x' $((i * 3)))\\0\\x40\\xff\\x80\\x10\\x$(printf '%02x' $((i % 9 * 20)))\\x01\\x30\\x7f\\0\\xc0\\xff\\xa0\\x20\\x55"; done
} >images-idx3-ubyte
ok pack "$fewstep" data pack images-idx3-ubyte -o d.few

steps=120
last=$(printf 'step-%08d' "$steps")
cat >c.yaml <<YAML
data: { path: d.few, flip: true }
model: { network: unet, base: 8, multipliers: [1, 2], blocks: 1, attention: [4], groups: 4 }
train: { steps: $steps, batch: 8, slice: 4, threads: 1, save_every: 1, sample_every: 0, log_every: 1, warmup: 5, rate: cosine, ema: [0.9, 0.99] }
YAML
begun=$(date +%s%N)
ok "left alone" "$fewstep" train c.yaml -o whole
took=$((($(date +%s%N) - begun) / 1000000))
[ -f "whole/checkpoints/$last/model.safetensors" ] || fail "no model"

# kill -9 at ten moments of one run, after 50 ms to a seventh of the whole run, the same share of
# it in every test. A state is saved at every step, so that most of them hit a save.
RANDOM=7
kills=0
for k in $(seq 10); do
    "$fewstep" train c.yaml -o killed >out 2>err &
    pid=$!
    wait_ms=$((50 + took * (RANDOM % 1000) / 7000))
    sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
    kill -KILL $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
    code=$?
    [ $code = 137 ] || [ $code = 0 ] || { fail "go $k: exit $code"; cat err; }
    grep -q 'passed over' err && { fail "a killed save left a broken state"; cat err; }
done
[ $kills -gt 2 ] || fail "the run ended after $kills kills"
finish killed
same killed

# TERM and INT: the program saves, says how to go on, and exits with 128 and the signal's number.
for signal in TERM:143 INT:130; do
    name=${signal%:*} run=stopped-${signal%:*}
    for go in 1 2; do
        rows=$(cat "$run/log.tsv" 2>/dev/null | wc -l)
        set -m # or INT is ignored in the background
        "$fewstep" train c.yaml -o "$run" --set train.save_every=1000 >out 2>err &
        pid=$!
        set +m
        for i in $(seq 1000); do [ "$(cat "$run/log.tsv" 2>/dev/null | wc -l)" -gt $((rows + 2)) ] && break; sleep 0.01; done
        kill -"$name" $pid
        code=0
        wait $pid || code=$?
        [ $code = "${signal#*:}" ] || { fail "$name: exit $code"; cat err; }
        grep -q 'stopped and saved at step' err || { fail "$name: not saved"; cat err; }
        grep -q "go on with: fewstep train $run" err || { fail "$name: not said how to go on"; cat err; }
    done
    finish "$run"
    same "$run"
done

# A limit on the size of files stands for a full disk: what was there stays, and the reason is told.
full() { # full FILE COMMAND...: cannot write FILE of over 1 KB
    local file=$1 code=0
    shift
    echo old >"$file"
    (trap '' XFSZ; ulimit -f 1; exec "$@") >out 2>err || code=$?
    [ $code = 1 ] || fail "$* on a full disk: exit $code"
    grep -qF "cannot write '$file': File too large" err || { fail "$file: not said why"; cat err; }
    [ "$(cat "$file")" = old ] || fail "$file is lost"
    ls "$(dirname "$file")" | grep -q 'tmp$' && fail "left-overs beside $file"
}
full a.npy "$fewstep" sample whole -n 64 --steps 2 -o a.npy
full a.npy "$fewstep" sample whole -n 64 --steps 2 --to 0.5 --raw -o a.npy
full a.png "$fewstep" sample whole -n 64 --steps 2 -o a.png
full a.safetensors "$fewstep" inspect whole -o a.safetensors --half
full a.few "$fewstep" data pack images-idx3-ubyte -o a.few
[ $failed = 0 ] && echo "all good"
exit $failed
