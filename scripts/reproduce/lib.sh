# Shared by the scripts beside it: the program, the corpora, a folder for the results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo build --release --quiet
rnn=$PWD/target/release/rnn
runs=${RNN_ZOO_RUNS:-$PWD/target/reproduce}
mkdir -p "$runs"

# The path of a corpus under RNN_ZOO_DATA; ends the script, kindly, where it is missing.
corpus() {
  local path=${RNN_ZOO_DATA:-data}/$1
  if [[ ! -e $path ]]; then
    echo "skipped: there is no $path; README.md, \"Corpora\", says where to get it (or set RNN_ZOO_DATA)" >&2
    exit 0
  fi
  realpath "$path"
}
