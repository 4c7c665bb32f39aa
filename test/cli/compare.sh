#!/usr/bin/env bash
# fewstep compare in its smallest form: killed and gone on with, it ends as one left alone; what has changed is
# made again; wrong recipes are refused before anything is trained.
# usage: compare.sh FEWSTEP
set -uo pipefail
fewstep=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
fail() { echo "FAIL $*"; failed=1; }
must() { "$@" >out 2>err || { fail "$*: exit $?"; cat out err; }; }
refused() { # refused TEXT COMMAND...
    local text=$1
    shift
    if "$@" >out 2>err; then fail "$*: not refused"; fi
    grep -qF -- "$text" err || { fail "$*: no '$text' in:"; cat err; }
}

# 96 images of 8x8 in two classes, a teacher of six steps, and its features.
bytes() { printf '%b' "$1"; }
{
    bytes '\0\0\x08\x03\0\0\0\x60\0\0\0\x08\0\0\0\x08'
    for i in $(seq 96); do
        for j in $(seq 8); do bytes "\\x$(printf '%02x' $((i * 2)))\\0\\x40\\xff\\x80\\x10\\x$(printf '%02x' $((j * 20)))\\x01"; done
    done
} >train-images-idx3-ubyte
{ bytes '\0\0\x08\x01\0\0\0\x60'; for i in $(seq 48); do bytes '\0\x01'; done; } >train-labels-idx1-ubyte
must "$fewstep" data pack train-images-idx3-ubyte --class-names dark,light -o d.few
cat >teacher.yaml <<'YAML'
data: { path: d.few, test: d.few }
model: { network: unet, base: 8, multipliers: [1, 2], blocks: 1, attention: [4], groups: 4 }
train: { steps: 6, batch: 8, slice: 4, sample_every: 0, warmup: 2 }
YAML
must "$fewstep" train teacher.yaml -o t
must "$fewstep" eval features d.few --epochs 1 # and compare finds it and these:
cp d.few d-test.few

must "$fewstep" data trajectories t -n 32 --steps 4 --states 2 -o paths.safetensors

for method in mcd mct pd tract cd ct ict ect dsno; do
    printf 'method: { name: %s }\ntrain: { batch: 8, slice: 4, warmup: 2, save_every: 2 }\n' $method >$method.yaml
done
cat >all.yaml <<'YAML'
title: "every way & none <lost>"
teacher: t
data: d.few
images: 60
samples: 24
seeds: [1, 2]
seeded_steps: [1]
students:
  mcd: {config: mcd.yaml, steps: [1, 2]}
  mcd4: {row: mcd, config: mcd.yaml, steps: [4], set: [train.lr=1e-3, method.teacher_step=ddim]}
  mct: {config: mct.yaml, steps: [2]}
  pd: {config: pd.yaml, steps: [2], set: [method.from=4]}
  tract: {config: tract.yaml, steps: [2]}
  cd: {config: cd.yaml, steps: [1], sampled: [1, 2]}
  ct: {config: ct.yaml, steps: [1], sampled: [2]}
  ict: {config: ict.yaml, steps: [1], sampled: [2]}
  ect: {config: ect.yaml, steps: [1], sampled: [2]}
  dsno: {config: dsno.yaml, data: paths.safetensors, steps: [1], set: [method.states=2, method.modes=1]}
samplers:
  ddim: {steps: [2, 4]}
  second: {sampler: heun, steps: [2], set: [grid=time]}
quick: {images: 24, samples: 8, seeds: [3], steps: [1, 2], sampler_steps: [4]}
YAML
must "$fewstep" compare all.yaml -o whole
[ "$(grep -c 'done' whole/compare.tsv)" = 22 ] || { fail "compare.tsv"; cat whole/compare.tsv; }
! grep -q 'to do' whole/compare.tsv || fail "something is left to do"
grep -qF '| evaluations | mcd | mct | pd | tract | cd | ct | ict | ect | dsno |' whole/compare.md || {
    fail "compare.md: a column for each way, and none for mcd4"
    cat whole/compare.md
}
grep -qE '^\| 1 \| [0-9.]+ \([0-9.]+-[0-9.]+\) \|' whole/compare.md || fail "no spread over seeds"
grep -qE '^\| teacher, (ddim, [24]|second, 3): [0-9.]+ \|' whole/compare.md || fail "the teacher has no row"
best() { # of one evaluation: the best, the next, and whether their ranges are apart
    awk -F'\t' '$3 > 0 && $9 == 1 { n[$2]++; sum[$2] += $7; if (!($2 in low) || $7 < low[$2]) low[$2] = $7; if ($7 > high[$2]) high[$2] = $7 }
        END { for (r in n) if (a == "" || sum[r] / n[r] < sum[a] / n[a]) a = r
              for (r in n) if (r != a && (b == "" || sum[r] / n[r] < sum[b] / n[b])) b = r
              print a, b, high[a] < low[b] ? "yes (by chance: 1 in 3)" : "no" }' whole/compare.tsv
}
[ "$(sed -nE 's/^\| 1 \| ([a-z]+) \|[^|]*\| ([a-z]+) \|[^|]*\| ([^|]+) \|$/\1 \2 \3/p' whole/compare.md)" = "$(best)" ] || {
    fail "who is best: $(best)"
    cat whole/compare.md
}
grep -qE '^\| 2 \| .* \| one seed \|$' whole/compare.md || fail "a range of one seed"
grep -qE '^\| teacher, second \| 3 \| [0-9.]+ \|$' whole/compare.md || fail "the list"
grep -q '<svg' whole/compare.html && grep -q '<svg' whole/compare.svg || fail "the plot"
[ "$(grep -oE '^\| teacher, [a-z]+ \| [0-9]+ \| !\[\]\(cells/[a-z]+-[0-9]+\.png\)' whole/compare.md | tr -d ' ')" = \
    '|teacher,ddim|2|![](cells/ddim-2.png)
|teacher,ddim|4|![](cells/ddim-4.png)
|teacher,second|3|![](cells/second-2.png)' ] || fail "the teacher's images"
[ "$(grep -c '!\[\](cells/' whole/compare.md)" = 15 ] || fail "images in compare.md"
[ "$(head -c 4 whole/compare.png | tail -c 3)" = PNG ] || fail "the sheet"
! grep -qE '(src|href)="?(http|//|[a-z]+\.(png|svg))' whole/compare.html || fail "the page loads something"
grep -qE '^2 of 22: mcd-2-seed1, 2 evaluations, FD [0-9.]+(; about [0-9.]+ (min|h) left)?$' err || { fail "what is done"; head -3 err; }
grep -qF 'every way &amp; none &lt;lost&gt;' whole/compare.html || fail "the title"
[ "$(grep -o 'data:image/png' whole/compare.html | wc -l)" = 15 ] || fail "strips of images"

# Every training is of 60 images in batches of 8, and of its own seed.
[ "$(for run in whole/runs/*; do tail -n 1 $run/log.tsv | cut -f 1; done | sort | uniq -c | tr -s ' ')" = ' 17 8' ] || fail "steps of the trainings"
[ "$(awk -F'\t' '$1 ~ /^mcd-1-seed[12]$/ { print $11 }' whole/compare.tsv | sort -u | wc -l)" = 2 ] || fail "two seeds, one training"

# Cells are measured from the same noise: of those that learn nothing one is as good as another.
cat >still.yaml <<'YAML'
teacher: t
data: d.few
images: 8
samples: 24
seeds: [1, 2]
students:
  still: {config: mcd.yaml, steps: [2], set: [train.lr=0]}
  too: {config: mcd.yaml, steps: [2], set: [train.lr=0]}
YAML
must "$fewstep" compare still.yaml -o still
[ "$(cut -f 7 still/compare.tsv | uniq -c | tr -s ' ')" = " 1 fd
 4 $(sed -n 2p still/compare.tsv | cut -f 7)" ] || { fail "noise of its own for each"; cat still/compare.tsv; }

# A student that diverges is left out: weights without a gradient are moved by 0/0.
cat >lost.yaml <<'YAML'
teacher: t
data: d.few
images: 24
samples: 24
students:
  mcd: {config: mcd.yaml, steps: [1]}
  lost: {config: cd.yaml, steps: [1], sampled: [1, 2], set: [train.eps=0, train.rollbacks=0]}
samplers:
  ddim: {steps: [2]}
YAML
diverges() { # diverges RECIPE: and is told
    local code=0
    "$fewstep" compare $1.yaml -o $1 >out 2>err || code=$?
    [ $code = 3 ] || { fail "$1, a student that diverges: exit $code"; cat err; }
    for n in 1 2; do
        grep -q "^warning: lost-1-seed1-in-$n is left out: " err || { fail "$1: who diverged"; cat err; }
    done
}
diverges lost
[ "$(cut -f 1,6 lost/compare.tsv | tail -n +2 | tr '\t\n' ' ;')" = 'mcd-1-seed1 done;lost-1-seed1-in-1 to do;lost-1-seed1-in-2 to do;ddim-2 done;' ] || {
    fail "beside one that diverges"
    cat lost/compare.tsv
}
grep -q '2 of 4 measurements are made' lost/compare.html || fail "a page without the one that diverged"
sed '/^  mcd/d; /^samplers/,$d' lost.yaml >alone.yaml
diverges alone
! grep -q wrote err || { fail "it says that it wrote what is not there"; cat err; }

# Stopped once, as soon as something is done, and killed twice, wherever it is.
"$fewstep" compare all.yaml -o cut >out 2>err &
pid=$!
for _ in $(seq 600); do
    grep -qs 'done' cut/compare.tsv && break
    sleep 0.05
done
kill -INT $pid
code=0
wait $pid || code=$?
[ $code = 130 ] || { fail "a stopped comparison: exit $code"; cat err; }
grep -q 'measurements are made' cut/compare.html || fail "a stopped comparison has no page"
for delay in 0.8 1.3; do
    "$fewstep" compare all.yaml -o cut >out 2>err &
    pid=$!
    sleep $delay
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
must "$fewstep" compare all.yaml -o cut
cmp -s <(cut -f 1-9,11 whole/compare.tsv) <(cut -f 1-9,11 cut/compare.tsv) || {
    fail "what was killed ends otherwise"
    diff whole/compare.tsv cut/compare.tsv
}
cmp -s whole/compare.png cut/compare.png || fail "what was killed draws otherwise"
must "$fewstep" compare all.yaml -o cut --plan
! grep -q 'to do' out || fail "--plan"

# Three at once make what one alone makes, nothing twice.
pids=()
for k in 1 2 3; do
    "$fewstep" compare all.yaml -o shared >out$k 2>err$k &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || fail "one of three: exit $?"; done
must "$fewstep" compare all.yaml -o shared
cmp -s <(cut -f 1-9,11 whole/compare.tsv) <(cut -f 1-9,11 shared/compare.tsv) || {
    fail "what is made by three ends otherwise"
    diff whole/compare.tsv shared/compare.tsv
}
for name in png md svg; do cmp -s {whole,shared}/compare.$name || fail "compare.$name is another one, made by three"; done
[ "$(cat err[123] | grep -cE '^[0-9]+ of 22: ')" = 22 ] || { fail "something is made twice"; cat err[123]; }
[ "$(grep -lE '^[0-9]+ of 22: ' err[123] | wc -l)" -gt 1 ] || fail "one process made everything"

# Elsewhere, without the trainings; a strip that is damaged is told, one that is missing is left out.
mkdir moved
cp -r whole/cells moved
must "$fewstep" compare all.yaml -o moved
[ ! -e moved/runs ] || fail "what was done elsewhere is trained again"
for name in html md png svg tsv; do
    cmp -s {whole,moved}/compare.$name || fail "compare.$name is another one elsewhere"
done
echo nothing >moved/cells/pd-2-seed1.png
rm moved/cells/tract-2-seed1.json
refused "pd-2-seed1.png'" "$fewstep" compare all.yaml -o moved
[ ! -e moved/runs ] || fail "a damaged strip is told after a training only"
cp whole/cells/tract-2-seed1.json moved/cells
grep -qF 'delete the file' err || fail "what to do about a damaged strip"
rm moved/cells/pd-2-seed1.png
must "$fewstep" compare all.yaml -o moved
[ "$(grep -o 'data:image/png' moved/compare.html | wc -l)" = 14 ] || fail "a strip that is missing"

# What a result depends on, but for settings: when that changes nothing is done.
planned() { # planned N EDIT: so many are to do with the recipe as changed by EDIT
    sed "$2" all.yaml >planned.yaml
    must "$fewstep" compare planned.yaml -o moved --plan
    [ "$(grep -c 'to do' out) of $(wc -l <out)" = "$1 of 22" ] || { fail "--plan after $2"; cat out; }
}
must "$fewstep" train teacher.yaml -o other --set train.seed=2
must "$fewstep" eval features d.few --epochs 1 --seed 2 -o other.safetensors
must "$fewstep" data pack train-images-idx3-ubyte --class-names dark,light --max-images 64 -o other.few
planned 0 ''
planned 0 's/^data:.*/&\nfeatures: d-features.safetensors/'
planned 22 's/samples: 24/samples: 25/'
planned 22 's/^teacher:.*/teacher: other/'
planned 22 's/^data:.*/&\nfeatures: other.safetensors/'
planned 22 's/^data:.*/&\ntest: other.few/'
planned 22 's/^data:.*/data: other.few\ntest: d-test.few\nfeatures: d-features.safetensors/'
# The same path with other trajectories.
mv paths.safetensors kept
must "$fewstep" data trajectories t -n 32 --steps 4 --states 2 --seed 2 -o paths.safetensors
planned 2 ''
[ "$(grep -c '^dsno.* to do' out)" = 2 ] || { fail "other trajectories"; cat out; }
mv kept paths.safetensors

# Samplers alone, students alone, and more students than a table is wide.
sed '/^students/,/^samplers/{/^samplers/!d}; /^quick/d' all.yaml >samplers.yaml
must "$fewstep" compare samplers.yaml -o samplers
grep -qF '| sampler, evaluations | 2 | 3 | 4 |' samplers/compare.md || { fail "samplers alone"; cat samplers/compare.md; }
{
    sed '/^students/,$d; s/images: 60/images: 8/; s/samples: 24/samples: 4/' all.yaml
    echo 'students:'
    for k in $(seq 17); do echo "  way$k: {config: mcd.yaml, steps: [1], set: [train.lr=${k}e-5]}"; done
} | sed '/^seed/d' >wide.yaml
must "$fewstep" compare wide.yaml -o wide
grep -qE '^\| way17 \| [0-9.]+ \|$' wide/compare.md || { fail "many students"; cat wide/compare.md; }

# A changed setting: that cell is made again, and its training, which is of another configuration, refused.
sed 's/grid=time/grid=karras/' all.yaml >grid.yaml
must "$fewstep" compare grid.yaml -o cut --plan
[ "$(grep -c 'to do' out)" = 1 ] || { fail "a changed sampler"; cat out; }
sed 's/train.lr=1e-3/train.lr=2e-3/' all.yaml >lr.yaml
refused 'delete the folder' "$fewstep" compare lr.yaml -o cut
grep -qF 'train.lr' err || fail "what has changed"

must "$fewstep" compare all.yaml -o short --quick
[ "$(grep -c 'done' short/compare.tsv)" = 12 ] || { fail "--quick"; cat short/compare.tsv; }

sed 's/images: 60/image: 60/' all.yaml >bad.yaml
refused "did you mean 'images'" "$fewstep" compare bad.yaml -o bad
sed 's/sampler: heun/sampler: hein/' all.yaml >bad.yaml
refused hein "$fewstep" compare bad.yaml -o bad
sed 's/method.from=4/method.form=4/' all.yaml >bad.yaml
refused "did you mean 'from'" "$fewstep" compare bad.yaml -o bad
sed 's/^teacher: t/teacher: none/' all.yaml >bad.yaml
refused none "$fewstep" compare bad.yaml -o bad
sed 's/data: paths/data: missing/' all.yaml >bad.yaml
refused missing.safetensors "$fewstep" compare bad.yaml -o bad
sed 's/config: cd.yaml/config: missing.yaml/' all.yaml >bad.yaml
refused missing.yaml "$fewstep" compare bad.yaml -o bad
sed 's/steps: \[1, 2\]}/steps: [2, 2]}/' all.yaml >bad.yaml
refused twice "$fewstep" compare bad.yaml -o bad
sed 's/row: mcd, config: mcd.yaml, steps: \[4\]/row: mcd, config: mcd.yaml, steps: [2]/' all.yaml >bad.yaml
refused "both row 'mcd' in 2 steps" "$fewstep" compare bad.yaml -o bad
sed '/^quick/d' all.yaml >bad.yaml
refused "section 'quick'" "$fewstep" compare bad.yaml -o bad --quick
[ ! -e bad ] || fail "a refused recipe left a folder"
exit $failed
