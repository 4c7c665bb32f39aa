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
same() { # same RUN WHOLE: it ended as the one left alone
    for f in model state; do
        cmp "$2/checkpoints/$last/$f.safetensors" "$1/checkpoints/$last/$f.safetensors" || fail "$1 differs"
    done
    cut -f 1 "$1/log.tsv" | cmp - <(cut -f 1 "$2/log.tsv") || fail "$1 has another log"
}
killed_well() { # killed_well WHAT PID: after kill -9
    local code=0
    wait "$2" 2>/dev/null || code=$?
    [ $code = 137 ] || [ $code = 0 ] || { fail "$1: exit $code"; cat err; }
    grep -q 'passed over' err && { fail "$1: a killed save left a broken state"; cat err; }
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
    killed_well "go $k" $pid
done
[ $kills -gt 2 ] || fail "the run ended after $kills kills"
finish killed
same killed whole

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
    cp -r "$run" cores
    ok "with two cores" "$fewstep" train cores --threads 2
    grep -q 'trained by 1 core in .*, now by 2 in' err || { fail "another number of cores is not told"; cat err; }
    rm -rf cores
    finish "$run"
    grep -q 'trained by' err && { fail "told of the same number of cores"; cat err; }
    same "$run" whole
done

# Every method, killed twice in each half of its run. Of pd and tract another student begins with the
# second half, whose teacher is the first.
kill_at() { # kill_at RUN STEP COMMAND...: when this step is done
    local run=$1 step=$2 pid rows
    shift 2
    "$@" -o "$run" >out 2>err &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        rows=()
        [ -f "$run/log.tsv" ] && mapfile -t rows <"$run/log.tsv"
        [ ${#rows[@]} -gt "$step" ] && break
        sleep 0.002
    done
    sleep 0.0$((RANDOM % 3))$((RANDOM % 10)) # into its save, or the next step
    kill -KILL $pid 2>/dev/null
    killed_well "$run at step $step" $pid
}
newest() { # newest RUN: the step of its last state
    local name
    name=$(ls "$1/checkpoints" 2>/dev/null | grep '^step-' | tail -1)
    echo $((10#0${name#step-}))
}
methods=$("$fewstep" list methods | sed -n 's/^  \([a-z_0-9]*\) .*/\1/p')
[ "$(wc -w <<<"$methods")" -ge 10 ] || fail "no list of methods: $methods"
ok trajectories "$fewstep" data trajectories whole -n 24 --steps 4 --states 2 -o paths.safetensors
steps=40
last=$(printf 'step-%08d' "$steps")
for method in $methods; do
    more='' data=d.few train=("$fewstep" distill whole --config m.yaml --steps 2)
    case $method in
    diffusion) train=("$fewstep" train m.yaml) ;;
    cd | ct | ict | ect) train[-1]=1 ;;
    dsno) train[-1]=1 more=', states: 2' data=paths.safetensors ;;
    pd) more=', from: 4' ;;
    tract) more=', phases: [8, 4]' ;;
    esac
    cat >m.yaml <<YAML
data: { path: $data }
method: { name: $method$more }
model: { network: unet, base: 8, multipliers: [1, 2], blocks: 1, attention: [4], groups: 4 }
train: { steps: $steps, batch: 4, slice: 4, threads: 1, save_every: 1, sample_every: 0, log_every: 1, warmup: 5, rate: linear, ema: [0.9] }
YAML
    ok "$method left alone" "${train[@]}" -o "$method-whole" --set train.save_every=1000
    halves=0
    for go in 1 2 3 4 5; do # again where a busy machine let a run get too far
        rm -rf "$method-killed"
        kill_at "$method-killed" 4 "${train[@]}"
        kill_at "$method-killed" 10 "${train[@]}"
        first=$(newest "$method-killed")
        kill_at "$method-killed" 22 "${train[@]}"
        kill_at "$method-killed" 29 "${train[@]}"
        second=$(newest "$method-killed")
        [ "$first" -gt 0 ] && [ "$first" -lt $((steps / 2)) ] && [ "$second" -gt $((steps / 2)) ] && [ "$second" -lt $steps ] && halves=1 && break
    done
    [ $halves = 1 ] || fail "$method: last killed at steps $first and $second of $steps, not in both halves"
    finish "$method-killed"
    same "$method-killed" "$method-whole"
    rm -rf "$method-killed" "$method-whole"
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

# What makes one file at its end and is stopped before leaves the old one, and says so.
stopped() { # stopped FILE COMMAND...
    local file=$1 code=0 pid caught
    shift
    echo old >"$file"
    set -m # or INT is ignored in the background
    "$@" >out 2>err &
    pid=$!
    set +m
    for i in $(seq 1000); do # until it catches INT
        caught=$(sed -n 's/^SigCgt:\t0*//p' "/proc/$pid/status")
        [ $((16#${caught:-0} & 2)) = 2 ] && break
        sleep 0.01
    done
    sleep 0.05
    kill -INT $pid
    wait $pid || code=$?
    [ $code = 130 ] || { fail "$* stopped: exit $code"; cat err; }
    grep -q '^stopped; nothing is written$' err || { fail "$*: not said that it stopped"; cat err; }
    [ "$(cat "$file")" = old ] || fail "$file is lost"
    ls | grep -q 'tmp$' && fail "left-overs beside $file"
}
stopped a.npy "$fewstep" sample whole -n 4096 --steps 1000 -o a.npy
stopped a.safetensors "$fewstep" eval features d.few --epochs 1000 -o a.safetensors
stopped a.safetensors "$fewstep" data trajectories whole -n 4096 --steps 1024 --states 2 -o a.safetensors
[ $failed = 0 ] && echo "all good"
exit $failed
