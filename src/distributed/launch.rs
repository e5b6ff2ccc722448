//! The launcher that started this process: Open MPI's `mpirun`, MPICH's `mpiexec`, or Slurm's `srun`.

/// The place of this process among those that a launcher started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The number of this process, counted from 0.
    pub rank: usize,
    /// The number of processes; at least 2.
    pub size: usize,
    /// The number of processes on this machine; 1 if the launcher does not tell.
    pub local_size: usize,
}

/// The variables of rank, size, and processes on this machine. `SLURM_NTASKS` is not among them: it is set in a batch
/// script too, which is a single process.
const LAUNCHERS: [[&str; 3]; 3] = [
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"],
];

impl Launch {
    /// Read the environment. Return `None` if this process runs alone.
    pub fn of_environment() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name).and_then(|value| leading_number(&value));
        let mut places = LAUNCHERS
            .iter()
            .filter_map(|[rank, size, local]| Some((number(rank)?, number(size)?, number(local))));
        let (rank, size, local_size) = places.find(|&(rank, size, _)| size > 1 && rank < size)?;
        Some(Self { rank, size, local_size: local_size.unwrap_or(1).clamp(1, size) })
    }
}

/// The number at the beginning of a value: Slurm writes `4(x2),3` for machines with 4, 4 and 3 processes.
fn leading_number(value: &str) -> Option<usize> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Option<Launch> {
        Launch::of(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "3"),
            ("OMPI_COMM_WORLD_SIZE", "8"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "4"),
        ];
        assert_eq!(launch(&open_mpi), Some(Launch { rank: 3, size: 8, local_size: 4 }));
        let mpich = [("PMI_RANK", "0"), ("PMI_SIZE", "2")];
        assert_eq!(launch(&mpich), Some(Launch { rank: 0, size: 2, local_size: 1 }));
        let slurm =
            [("SLURM_PROCID", "5"), ("SLURM_STEP_NUM_TASKS", "6"), ("SLURM_STEP_TASKS_PER_NODE", "4(x1),2")];
        assert_eq!(launch(&slurm), Some(Launch { rank: 5, size: 6, local_size: 4 }));
    }

    #[test]
    fn single_processes_and_batch_scripts_are_not_launched() {
        assert_eq!(launch(&[]), None);
        assert_eq!(launch(&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1")]), None);
        assert_eq!(launch(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "16")]), None);
        assert_eq!(launch(&[("PMI_RANK", "2"), ("PMI_SIZE", "2")]), None, "no such rank");
        assert_eq!(launch(&[("PMI_RANK", "x"), ("PMI_SIZE", "")]), None);
    }
}
