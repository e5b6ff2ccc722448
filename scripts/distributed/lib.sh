# Sourced by the scripts of this folder: Open MPI, and RNN, a program with the feature `mpi`, which is built unless RNN
# names one.
scripts/distributed/install
if [[ -z ${RNN:-} ]]; then
  # A target folder of its own, so that the program of others stays as it is.
  cargo build --release --locked --no-default-features --features mpi --target-dir target/mpi
  RNN=$PWD/target/mpi/release/rnn
fi
if [[ $EUID -eq 0 ]]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export PYTHONDONTWRITEBYTECODE=1
