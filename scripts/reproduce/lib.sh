# Shared by the scripts beside it: the program, the corpora, a folder for the results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo build --release --quiet
rnn=$PWD/target/release/rnn
runs=${RNN_ZOO_RUNS:-$PWD/target/reproduce}
mkdir -p "$runs"

# The path of a corpus under RNN_ZOO_DATA. Where it is missing: says so and fails, for `x=$(corpus NAME) || exit 0`.
corpus() {
  local path=${RNN_ZOO_DATA:-data}/$1
  if [[ ! -e $path ]]; then
    echo "skipped: there is no $path; README.md, \"Corpora\", says where to get it (or set RNN_ZOO_DATA)" >&2
    return 1
  fi
  realpath "$path"
}
