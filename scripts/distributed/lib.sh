# Sourced by the scripts of this folder: Open MPI, and RNN, a program with the feature `mpi`. Installs Open MPI and libclang
# from Debian if they are missing, and builds the program unless RNN names one.
if ! command -v mpirun >/dev/null || ! command -v mpicc >/dev/null || ! compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; then
  env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    libopenmpi-dev openmpi-bin libclang-dev
fi
if [[ -z ${RNN:-} ]]; then
  # A target folder of its own: the features of a build change those of its dependencies.
  cargo build --release --locked --no-default-features --features mpi --target-dir target/mpi
  RNN=$PWD/target/mpi/release/rnn
fi
if [[ $EUID -eq 0 ]]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export PYTHONDONTWRITEBYTECODE=1
