# For the scripts in this folder: the program ($rnn), the folder of the results ($runs) and the corpora.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo build --release --quiet
rnn=$PWD/target/release/rnn
runs=${RNN_ZOO_RUNS:-$PWD/target/reproduce}
mkdir -p "$runs"

# Make the folder conll2000 in $runs, whose validation split is the last tenth of the training sentences.
chunks() {
  local from
  from=$(corpus conll2000) || return 1
  mkdir -p "$runs/conll2000"
  awk -v RS= -v ORS='\n\n' -v folder="$runs/conll2000" '
    { sentences[NR] = $0 }
    END {
      first = NR - int(NR / 10)
      for (i = 1; i <= NR; i++) print sentences[i] > (folder (i <= first ? "/train.txt" : "/valid.txt"))
    }' "$from/train.txt"
  cp --no-preserve=mode "$from/test.txt" "$runs/conll2000/test.txt"
}

# Print the path of a corpus under RNN_ZOO_DATA. If it is missing, say so and fail: `x=$(corpus NAME) || exit 0`.
corpus() {
  local path=${RNN_ZOO_DATA:-data}/$1
  if [[ ! -e $path ]]; then
    echo "skipped: there is no $path; docs/corpora.md says where to get it (or set RNN_ZOO_DATA)" >&2
    return 1
  fi
  realpath "$path"
}
