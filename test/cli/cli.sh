#!/usr/bin/env bash
# The program as a person uses it: pack, train, interrupt, go on, distil, sample, inspect, messages.
# usage: cli.sh FEWSTEP EXAMPLE
set -uo pipefail
fewstep=$(realpath "$1") example=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
ok() { # ok WHAT COMMAND...: must succeed
    local what=$1
    shift
    "$@" >out 2>err || { echo "FAIL $what: exit $?"; cat out err; failed=1; }
}
refused() { # refused CODE TEXT COMMAND...: exit code and part of the message
    local code=$1 text=$2 got=0
    shift 2
    "$@" >out 2>err || got=$?
    [ $got = "$code" ] || { echo "FAIL $*: exit $got, wanted $code"; cat out err; failed=1; }
    grep -qF -- "$text" err || { echo "FAIL $*: no '$text' in:"; cat err; failed=1; }
}
has() { # has FILE TEXT
    grep -qF -- "$2" "$1" || { echo "FAIL no '$2' in $1:"; cat "$1"; failed=1; }
}

same() { # same WHAT FILE OTHER
    cmp -s "$2" "$3" || { echo "FAIL $1: $2 and $3 differ"; failed=1; }
}
differ() { # differ WHAT FILE OTHER
    ! cmp -s "$2" "$3" || { echo "FAIL $1: $2 and $3 are the same"; failed=1; }
}
leaves() { # leaves FILE VALUES: whether one of as many f32 at its end is beyond 1 by more than a last step's noise
    tail -c $((4 * $2)) "$1" | LC_ALL=C od -An -v -tf4 |
        LC_ALL=C awk '{ for (i = 1; i <= NF; i++) n += !($i >= -1.01 && $i <= 1.01) } END { exit !n }'
}

keys() { # keys KEY...: of the JSON that was printed
    local key
    for key; do has out "\"$key\":"; done
}

# 96 images of 8x8 in two classes, as IDX.
bytes() { printf '%b' "$1"; }
{
    bytes '\0\0\x08\x03\0\0\0\x60\0\0\0\x08\0\0\0\x08'
    for i in $(seq 96); do
        for j in $(seq 8); do bytes "\\x$(printf '%02x' $((i * 2)))\\0\\x40\\xff\\x80\\x10\\x$(printf '%02x' $((j * 20)))\\x01"; done
    done
} >train-images-idx3-ubyte
{ bytes '\0\0\x08\x01\0\0\0\x60'; for i in $(seq 48); do bytes '\0\x01'; done; } >train-labels-idx1-ubyte

ok pack "$fewstep" data pack train-images-idx3-ubyte --class-names dark,light -o d.few
ok info "$fewstep" data info d.few --verify
has out "light"
ok sheet "$fewstep" data sheet d.few -n 9 -o sheet.png
[ "$(head -c 4 sheet.png | tail -c 3)" = PNG ] || { echo "FAIL sheet.png is no PNG"; failed=1; }

cat >c.yaml <<'YAML'
data: { path: d.few, test: d.few }
model: { network: unet, base: 8, multipliers: [1, 2], blocks: 1, attention: [4], groups: 4 }
train: { steps: 6, batch: 8, slice: 4, save_every: 3, sample_every: 3, samples: 4, sample_steps: 2, log_every: 1, warmup: 2, label_drop: 0.1 }
YAML
ok plan "$fewstep" plan c.yaml --json
keys parameters flops_per_image bytes_moved_per_training_image arena_bytes roofline_seconds_per_training_image
ok train "$fewstep" train c.yaml -o t
[ "$(wc -l <t/log.tsv)" = 7 ] || { echo "FAIL log.tsv has $(wc -l <t/log.tsv) lines, not 7"; failed=1; }
[ -f t/config.yaml ] && [ -f t/samples/step-00000006.png ] || { echo "FAIL run folder"; failed=1; }
ok "train again does nothing" "$fewstep" train c.yaml -o t
refused 1 'train.lr' "$fewstep" train c.yaml -o t --set train.lr=0.5
refused 2 "'true' is an argument too many" "$fewstep" train c.yaml -o t --fresh true
refused 1 'add --yes' "$fewstep" train c.yaml -o t --fresh </dev/null
mkdir elsewhere && echo mine >elsewhere/kept && ln -s "$PWD/elsewhere" t/link
ok fresh "$fewstep" train c.yaml -o t --fresh --yes
[ "$(cat elsewhere/kept)" = mine ] || { echo "FAIL --fresh deletes where a link leads"; failed=1; }
[ ! -e t/link ] || { echo "FAIL --fresh leaves a link"; failed=1; }
cp t/log.tsv log.tsv # a page, with an empty line at its end
{ cat log.tsv; head -c $((4095 - $(wc -c <log.tsv))) /dev/zero | tr '\0' x; echo; } | head -c 4094 >t/log.tsv
printf '\n\n' >>t/log.tsv
ok "an odd log" "$fewstep" train c.yaml -o t
cp log.tsv t/log.tsv
long=$(printf 'Ж%.0s' $(seq 40))
cp d.few "$long.few"
ok "a long name" "$fewstep" train c.yaml -o named --set "data.path=$long.few,train.steps=1,train.sample_every=0"

# A slice of 0 is chosen to fit the memory and to give every core one, once for a run.
refused 1 'train.memory' "$fewstep" train c.yaml -o m --set train.slice=0,train.memory=1
ok "chosen slice" "$fewstep" train c.yaml -o m --set train.slice=0,train.threads=2
grep -q 'slice: 4' m/config.yaml || { echo "FAIL the chosen slice is not kept"; failed=1; }
ok "chosen slice again" "$fewstep" train c.yaml -o m --set train.slice=0,train.threads=1
ok "slice for one core" "$fewstep" train c.yaml -o one --set train.slice=0,train.threads=1
grep -q 'slice: 8' one/config.yaml || { echo "FAIL one core has no slice of 8"; failed=1; }
ok "cores as busy" "$fewstep" train c.yaml -o busy --set train.slice=0,train.threads=2,train.batch=24,train.steps=1,train.sample_every=0
grep -q 'slice: 4' busy/config.yaml || { echo "FAIL of three slices of 8 one core has two"; failed=1; }
ok "another memory" "$fewstep" train c.yaml -o m --set "" --set train.slice=0 --set train.memory=5000

# An interrupt saves; the same command goes on to the end.
"$fewstep" train c.yaml -o long --set train.steps=100000,train.save_every=100000 >out 2>err &
pid=$!
for i in $(seq 100); do [ -s long/log.tsv ] && [ "$(wc -l <long/log.tsv)" -gt 3 ] && break; sleep 0.1; done
kill -INT $pid
code=0
wait $pid || code=$?
[ $code = 130 ] || { echo "FAIL interrupt: exit $code"; cat err; failed=1; }
has err 'go on with: fewstep train long'
[ -f "$(echo long/checkpoints/step-*/manifest.json | awk '{print $NF}')" ] || { echo "FAIL nothing saved"; failed=1; }

ok distill "$fewstep" distill t --steps 2 -o s --set train.steps=3,train.batch=8,train.slice=4,train.sample_every=0
! grep -q '^model:' s/config.yaml || { echo "FAIL a student's configuration names another model"; failed=1; }
printf 'model: { base: 64 }\n' >w.yaml
ok "a student with a model section" "$fewstep" distill t --config w.yaml --steps 2 -o s5 --set train.steps=1,train.batch=8,train.slice=4,train.sample_every=0
ok "and again" "$fewstep" distill t --config w.yaml --steps 2 -o s5 --set train.steps=1,train.batch=8,train.slice=4,train.sample_every=0
ok "distill mct" "$fewstep" distill t --method mct --steps 2 -o s2 --set train.steps=2,train.batch=8,train.slice=4,train.sample_every=0

# Naming the method again keeps the file's settings for it; naming another one is refused.
cat >m.yaml <<'YAML'
method: { name: mcd, teacher_step: ddim, teacher_to: 96 }
train: { steps: 1, batch: 8, slice: 4, sample_every: 0 }
YAML
ok trajectories "$fewstep" data trajectories t -n 24 --steps 4 --states 2 -o p.safetensors
ok "distill dsno" "$fewstep" distill t --method dsno --steps 1 --data p.safetensors -o o --set method.states=2,train.steps=2,train.batch=8,train.slice=4,train.sample_every=0
ok "sample dsno" "$fewstep" sample o -n 4 -o o.npy
refused 1 'one evaluation' "$fewstep" sample o -n 4 --sampler renoise --steps 2 -o o.npy
refused 1 'trajectories' "$fewstep" distill t --method dsno --steps 1 --data d.few -o o2
refused 1 'wants trajectories' "$fewstep" distill t --method dsno --steps 1 --data p.safetensors -o o2 --set train.batch=8
refused 1 'of 1 step, not 2' "$fewstep" distill t --method dsno --steps 2 --data p.safetensors -o o2 --set method.states=2,train.batch=8
refused 1 'divide' "$fewstep" data trajectories t -n 24 --steps 5 --states 2 -o q.safetensors
ok "distill pd" "$fewstep" distill t --method pd --steps 2 -o pd --set method.from=4,train.steps=4,train.batch=8,train.slice=4,train.sample_every=2,train.save_every=2
ok "sample pd" "$fewstep" sample pd -n 4 -o pd.npy
refused 1 'progressive distillation' "$fewstep" sample pd -n 4 --steps 4 -o pd.npy
ok "distill cd" "$fewstep" distill t --method cd --steps 1 -o cd --set train.steps=2,train.batch=8,train.slice=4,train.sample_every=2
ok "sample cd" "$fewstep" sample cd -n 4 -o cd.npy
ok "sample cd in 2" "$fewstep" sample cd -n 4 --steps 2 -o cd.npy
refused 1 'renoise' "$fewstep" sample cd -n 4 --sampler multistep -o cd.npy
refused 1 "'renoise' with 1 step" "$fewstep" sample cd -n 4 --sampler ddim -o cd.npy
refused 1 'trained up to' "$fewstep" sample cd -n 4 --set grid=list,times=1 --steps 1 -o cd.npy
refused 1 'renoise' "$fewstep" distill t --method ct --steps 2 -o ct --set train.batch=8
ok "distill by a file" "$fewstep" distill t --method mcd --steps 2 --config m.yaml -o s3
grep -q 'teacher_step: ddim' s3/config.yaml && grep -q 'teacher_to: 96' s3/config.yaml || {
    echo "FAIL --method mcd lost the file's settings of mcd"
    failed=1
}
printf 'data: { path: d.few, test: d-kept.few }\n' | cat - m.yaml >dm.yaml
cp d.few other.few
ok "distill on other data" "$fewstep" distill t --config dm.yaml --data other.few --steps 2 -o s6
! grep -q 'd-kept' s6/config.yaml || { echo "FAIL --data keeps the test images of another pack"; failed=1; }
ok "distill on the file's data" "$fewstep" distill t --config dm.yaml --data d.few --steps 2 -o s7
grep -q 'test: d-kept.few' s7/config.yaml || { echo "FAIL --data of the same pack loses its test images"; failed=1; }
ok "a teacher with labels alone" "$fewstep" train c.yaml -o labels --set train.steps=1,train.label_drop=0,train.sample_every=0
refused 1 'train.label_drop' "$fewstep" distill labels --config m.yaml --steps 2 -o s8 --set method.guidance=1
ok "plan of a student" "$fewstep" plan m.yaml
has err 'no student.teacher'
refused 1 'unknown method' "$fewstep" distill t --method mcdd --steps 2 -o s4
refused 1 "written for method 'mcd'" "$fewstep" distill t --method mct --steps 2 --config m.yaml -o s4

# A student begins where another one ended: a rate of 0 leaves it there.
weights() { "$fewstep" inspect "$1" --json | grep '^ "hash"'; }
ok "distill from a student" "$fewstep" distill t --steps 1 --init s -o i --set train.steps=1,train.lr=0,train.batch=8,train.slice=4,train.sample_every=0
[ -n "$(weights s)" ] && [ "$(weights i)" = "$(weights s)" ] || { echo "FAIL --init: not that student's weights"; failed=1; }
[ "$(weights i)" != "$(weights t)" ] || { echo "FAIL --init: the teacher's weights"; failed=1; }
"$fewstep" inspect i --json >out
has out '"init": "'
ok "and goes on" "$fewstep" train i
refused 1 'exclude each other' "$fewstep" distill t --steps 1 --init s -o j --set student.from_scratch=true
sed 's/base: 8/base: 16/' c.yaml >wide.yaml
ok "another network" "$fewstep" train wide.yaml -o wide --set train.steps=1,train.sample_every=0
refused 1 "its 'unet' is not that of" "$fewstep" distill t --steps 1 --init wide -o j

ok "sample png" "$fewstep" sample s -n 4 -o a.png
ok "sample npy" "$fewstep" sample s -n 4 -o a.npy
ok "sample raw" "$fewstep" sample s -n 4 --raw -o r.npy --json
has out '"nfe": 2'
ok "sample folder" "$fewstep" sample s -n 3 -o dir/
[ "$(ls dir | wc -l)" = 3 ] || { echo "FAIL folder of samples"; failed=1; }
ok "sample class" "$fewstep" sample t -n 2 --steps 4 --class light --guidance 0.5 -o c.png
# A class by its name, in any case, or by its number; without one, all by turns.
for class in dark light LIGHT 0 1; do
    ok "sample $class" "$fewstep" sample t -n 4 --steps 2 --class $class --raw -o class-$class.npy
done
same "a class by name or number" class-dark.npy class-0.npy
same "a class by name or number" class-light.npy class-1.npy
same "a class in capitals" class-light.npy class-LIGHT.npy
differ "two classes" class-dark.npy class-light.npy
ok "sample all classes" "$fewstep" sample t -n 4 --steps 2 --raw -o class-all.npy
part() { tail -c $((1024 - 256 * $2)) "class-$1.npy" | head -c 256; } # part CLASS IMAGE
{ part dark 0 && part light 1 && part dark 2 && part light 3; } >by-turns
tail -c 1024 class-all.npy >all
same "classes by turns" by-turns all
refused 1 "unknown class 'lihgt', did you mean 'light'" "$fewstep" sample t -n 4 --class lihgt -o x.npy
refused 1 "unknown class 'purple'; 0 to 1, or a name" "$fewstep" sample t -n 4 --class purple -o x.npy
for class in 2 -1 1x; do
    refused 1 "unknown class '$class'" "$fewstep" sample t -n 4 --class $class -o x.npy
done
# An untrained network leaves half of the noise, of which a value in twenty is outside [-1, 1].
ok "sample clipped" "$fewstep" sample t -n 4 --steps 2 --raw --clip -o clipped.npy
! leaves clipped.npy 256 || { echo "FAIL --clip: values outside [-1, 1]"; failed=1; }
leaves class-all.npy 256 || { echo "FAIL nothing to clip"; failed=1; }
ok "sample from noise" "$fewstep" sample s --noise r.npy --raw -o n.npy
ok "sample to a time" "$fewstep" sample t -n 4 --steps 4 --to 0.25 --raw -o m.npy
ok "sample from a time" "$fewstep" sample t --steps 4 --noise m.npy --from 0.25 -o m4.npy --json
has out '"nfe": 1'
ok "sample in one" "$fewstep" sample t -n 4 --steps 4 -o w4.npy
cmp -s m4.npy w4.npy || { echo "FAIL a chain in two parts is not the chain"; failed=1; }
refused 1 "nearest time is 0.25" "$fewstep" sample t --steps 4 --noise m.npy --from 0.3 -o x.npy
refused 1 "needs --noise" "$fewstep" sample t --steps 4 --from 0.25 -o x.npy
ok "sampler settings" "$fewstep" sample t -n 2 --steps 4 --sampler addim --set x_frac=0,last=x_hat -o 0.png
ok "other settings" "$fewstep" sample t -n 2 --steps 4 --sampler addim --set x_frac=0.5 -o 5.png
! cmp -s 0.png 5.png || { echo "FAIL x_frac changes nothing"; failed=1; }
ok "settings in two parts" "$fewstep" sample t -n 2 --steps 4 --sampler addim --set x_frac=0 --set last=x_hat -o 0b.png
cmp -s 0.png 0b.png || { echo "FAIL of two --set only one counts"; failed=1; }
ok "a list among settings" "$fewstep" sample t -n 2 --steps 3 --set grid=list,times=1,0.7,0.3,eta=0 -o list.png
ok "other times" "$fewstep" sample t -n 2 --steps 3 --set grid=list --set times=1,0.6,0.3 -o list2.png
! cmp -s list.png list2.png || { echo "FAIL times change nothing"; failed=1; }
refused 1 "2 times for 3 steps" "$fewstep" sample t -n 2 --steps 3 --set grid=list,times=1,0.7 -o x.png
refused 1 "is not KEY=VALUE" "$fewstep" sample t -n 2 --steps 3 --set times -o x.png
ok "averages by --set" "$fewstep" train c.yaml -o two --set train.steps=1,train.ema=0.9,0.99,train.sample_every=0
grep -q 'ema: \[0.9, *0.99\]' two/config.yaml || { echo "FAIL two averages by --set"; grep ema two/config.yaml; failed=1; }
ok "json is escaped" "$fewstep" sample s -n 1 -o 'a"b.png' --json
has out 'a\"b.png'
ok "sample again" "$fewstep" -q sample s -n 4 -o b.png
cmp -s a.png b.png || { echo "FAIL the same seed gave other images"; failed=1; }
ok example "$example" "$(echo s/checkpoints/step-*3/model.safetensors)" e.png
[ -s e.png ] || { echo "FAIL example wrote nothing"; failed=1; }

ok features "$fewstep" eval features d.few --reference d.few --epochs 1 --seed 3 -o f.safetensors
ok eval "$fewstep" eval t s --samples 16 --steps 4 --features f.safetensors --reference d.few --train d.few --report r.html --json
keys fd floor samples nfe images_per_second
has r.html '<svg'
mkdir -p runs/data
cp d.few runs/data/d.few
cp d.few runs/data/d-test.few
ok "eval of a student by trajectories" "$fewstep" eval o --samples 8 --features f.safetensors --json
keys fd floor
ok "noise to a time" "$fewstep" sample t -n 16 --steps 4 --to 0.5 --raw -o m.npy
ok "eval of a chain" "$fewstep" eval t --samples 16 --steps 4 --features f.safetensors --reference d.few --json
grep '"fd"' out >fd
ok "eval from a time" "$fewstep" eval t --samples 16 --steps 4 --noise m.npy --from 0.5 --features f.safetensors --reference d.few --json
has out "$(cat fd)"
has out '"from": 0.5'
has out '"nfe": 2'
refused 1 "holds noise for 16" "$fewstep" eval t --samples 17 --noise m.npy --features f.safetensors --reference d.few
refused 1 "not with --noise" "$fewstep" eval t --samples 16 --noise m.npy --features f.safetensors --reference d.few --report x.html
ok "errors by time" "$fewstep" eval xvar t --train d.few --samples 32 --times 8 -o tabled.safetensors --json
has out '"x_error": ['
refused 1 "eval xvar" "$fewstep" sample t -n 2 --steps 4 --sampler addim --set x_var=table -o x.png
ok "a table is used" "$fewstep" sample tabled.safetensors -n 2 --steps 4 --sampler addim --set x_var=table -o tabled.png
ok "and not" "$fewstep" sample tabled.safetensors -n 2 --steps 4 --sampler addim -o formula.png
! cmp -s tabled.png formula.png || { echo "FAIL the table changes nothing"; failed=1; }
refused 1 "eval xvar" "$fewstep" distill t --steps 2 -o j --set method.x_var=table
ok "distil with a table" "$fewstep" distill tabled.safetensors --steps 2 -o tabled --data d.few --set method.x_var=table,train.steps=1,train.batch=8,train.slice=4,train.sample_every=0
"$fewstep" inspect tabled --json >out
! grep -q x_error out || { echo "FAIL a student keeps its teacher's table"; failed=1; }
refused 1 "take its teacher" "$fewstep" eval xvar s --train d.few -o x.safetensors
refused 1 "-o FILE is missing" "$fewstep" eval xvar t
ok "eval two students" "$fewstep" eval s s2 --samples 8 --steps 1 --features f.safetensors --json
[ "$(grep -c '"nfe": 1\b' out)" = 2 ] || { echo "FAIL --steps of two students"; cat out; failed=1; }
ok "eval beside a teacher" "$fewstep" eval t s --samples 8 --steps 3 --features f.safetensors --json
[ "$(grep '"nfe"' out | tr -d ' ,' | tr '\n' ' ')" = '"nfe":3 "nfe":2 ' ] || { echo "FAIL --steps is the teacher's"; cat out; failed=1; }
ok "eval as a table" "$fewstep" eval t s --samples 8 --steps 3 --features f.safetensors
awk 'table { n++; if (n == 1) first = $(NF - 2); d = $(NF - 1) - $(NF - 2) / first; if (d > 0.006 || d < -0.006) n = -9 }
    / ratio +images/ { table = 1 } END { exit n != 2 }' out || { echo "FAIL FD over that of the first"; cat out; failed=1; }
refused 1 "s2/checkpoints" "$fewstep" eval s2 s --samples 8 --sampler ddim --features f.safetensors
ok "eval one" "$fewstep" eval s --samples 8 --features f.safetensors --json
keys fd floor samples nfe images_per_second guidance set
has out '"clip": false'
ok "eval clipped" "$fewstep" eval s --clip --samples 8 --features f.safetensors --json
has out '"clip": true'
refused 1 "null class" "$fewstep" eval s --samples 8 --features f.safetensors --guidance 1
ok "eval guided" "$fewstep" eval t --samples 8 --steps 4 --features f.safetensors --guidance 1 --json
has out '"guidance": 1'
refused 1 "cannot read" "$fewstep" eval s --samples 8 --features f.safetensors --train missing.few
# Images without labels: some kept apart, features by turns, and everything found beside the pack.
cp train-images-idx3-ubyte own-images-idx3-ubyte
ok "keep some apart" "$fewstep" data pack own-images-idx3-ubyte --test 0.25 -o own.few
ok "those are a pack" "$fewstep" data info own-test.few --verify
has out unlabelled
sed 's/ path: d.few, test: d.few/ path: own.few/' c.yaml >own.yaml
ok "train on one's own" "$fewstep" train own.yaml -o own --set train.steps=1,train.sample_every=0
refused 1 "'fewstep eval features own.few' makes one" "$fewstep" eval own --samples 8 --steps 2
ok "features without labels" "$fewstep" eval features own.few --epochs 1 --json
has out '"task": "lessons"'
ok "eval with what is beside" "$fewstep" eval own --samples 8 --steps 2
has out "FD-own: 8 samples"
ok "another pack" "$fewstep" train c.yaml -o other --set data.path=own.few,train.steps=1,train.sample_every=0
! grep -q 'test: d.few' other/config.yaml || { echo "FAIL test images of another pack"; failed=1; }
ok "its own test images" "$fewstep" eval other --samples 8 --steps 2
has out "FD-own: 8 samples"
ok "both named" "$fewstep" train c.yaml -o both --set data.test=d.few,data.path=own.few,train.steps=1,train.sample_every=0
has both/config.yaml 'test: d.few'
ok "eval without a floor" "$fewstep" eval own --samples 8 --steps 2 --train none
ok "a pack of few" "$fewstep" data pack own-images-idx3-ubyte --max-images 10 -o ten.few
refused 1 "10 images are too few" "$fewstep" eval features ten.few
mv own-test.few moved.few
refused 1 "at 'own-test.few'" "$fewstep" eval own --samples 8 --steps 2
ok "report without a floor" "$fewstep" eval s --samples 8 --features f.safetensors --train none --report f.html
! grep -q 'The floor\|nan' f.html || { echo "FAIL a report without a floor tells it"; failed=1; }
ok "inspect json" "$fewstep" inspect s --json
keys revision version
has out '"steps": 2'
ok inspect "$fewstep" inspect s
ok "bench step" "$fewstep" bench step c.yaml --json --batch 8 --repeat 1
keys train_images_per_second distill_images_per_second sample_images_per_second 1 16 64 peak_rss_bytes precision
ok "bench step of one" "$fewstep" bench step c.yaml --json --batch 8 --repeat 1 --only sample
keys sample_images_per_second peak_rss_bytes precision
! grep -q train_images out || { echo "FAIL bench step --only sample trains"; failed=1; }
ok list "$fewstep" list
ok "list json" "$fewstep" list samplers --json
has out '"multistep"'
ok "list with settings" "$fewstep" list samplers
has out 'x_frac=0.1'
ok doctor "$fewstep" doctor
ok "doctor json" "$fewstep" doctor --json
keys cpu kernels precision threads oneDNN OpenBLAS self-check
ok "data info json" "$fewstep" data info d.few --json
keys count classes
for c in train distill sample eval data inspect plan list bench doctor help; do ok "$c --help" "$fewstep" $c --help; done
ok help "$fewstep" help sample
ok version "$fewstep" --version

refused 2 "did you mean 'sample'" "$fewstep" sampel
refused 2 "steps" "$fewstep" sample s --stps 3 -o a.png
refused 2 "-o" "$fewstep" sample s
refused 2 "argument is missing" "$fewstep" sample
refused 1 "made for 2 steps" "$fewstep" sample s --steps 3 -o x.png
refused 1 "multistep" "$fewstep" sample s --sampler ddim -o x.png
refused 1 "has no settings" "$fewstep" sample s --set x_frac=1 -o x.png
refused 1 "x_frac" "$fewstep" sample t --sampler addim --set x_farc=1 -o x.png
refused 1 "x_frac" "$fewstep" sample t --sampler addim --set x_frac=2 -o x.png
refused 1 "null class" "$fewstep" sample s --guidance 1 -o x.png
refused 1 "nothing.few" "$fewstep" data info nothing.few
refused 1 "neither a checkpoint file nor a run folder" "$fewstep" sample nothing -o x.png
refused 1 "no run" "$fewstep" train .
refused 1 "c.yaml" "$fewstep" inspect c.yaml
printf 'train: { stesp: 5 }\n' >bad.yaml
refused 1 "bad.yaml:1" "$fewstep" train bad.yaml
has err "steps"
printf 'method: { name: mct }\n' >bad.yaml
refused 1 "data.path" "$fewstep" train bad.yaml
mkdir empty && cp t/config.yaml empty/
refused 1 "no checkpoint" "$fewstep" train empty
ok "a run begins again" "$fewstep" train t --fresh --yes
ok "and is whole" "$fewstep" train t
rm -r t/checkpoints
refused 1 "no checkpoint" "$fewstep" train c.yaml -o t

# Without Adam's epsilon the first step divides 0 by 0: numbers that are not finite, and code 3.
refused 3 "not finite" "$fewstep" train c.yaml -o spoilt --set train.eps=0,train.bad_steps=1,train.rollbacks=1
[ $failed = 0 ] && echo "all good"
exit $failed
