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

/// The variables of rank and size. `SLURM_NTASKS` is not among them: it is set in a batch script too, which is a single
/// process.
const LAUNCHERS: [[&str; 2]; 3] = [
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
    ["PMI_RANK", "PMI_SIZE"],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
];

/// The variables of the number of processes on this machine, of Open MPI and MPICH.
const LOCAL_SIZES: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];

impl Launch {
    /// Read the environment. Return `None` if this process runs alone.
    pub fn of_environment() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.parse::<usize>().ok();
        let mut places = LAUNCHERS.iter().filter_map(|[rank, size]| Some((number(rank)?, number(size)?)));
        let (rank, size) = places.find(|&(rank, size)| size > 1 && rank < size)?;
        // Slurm may start processes that find each other through the interface of MPICH.
        let of_slurm =
            || tasks_of_node(&variable("SLURM_STEP_TASKS_PER_NODE")?, number("SLURM_NODEID").unwrap_or(0));
        let local_size = LOCAL_SIZES.into_iter().find_map(number).or_else(of_slurm);
        Some(Self { rank, size, local_size: local_size.unwrap_or(1).clamp(1, size) })
    }
}

/// The processes on machine number `node`. Slurm writes `4(x2),3` for machines with 4, 4 and 3 processes.
fn tasks_of_node(list: &str, node: usize) -> Option<usize> {
    let mut machines = 0;
    for group in list.split(',') {
        let (tasks, count) = match group.split_once("(x") {
            Some((tasks, count)) => (tasks, count.strip_suffix(')')?.parse().ok()?),
            None => (group, 1),
        };
        machines += count;
        if node < machines {
            return tasks.parse().ok();
        }
    }
    None
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
        for (node, local_size) in [("0", 4), ("1", 4), ("2", 2), ("3", 1)] {
            let slurm = [
                ("SLURM_PROCID", "5"),
                ("SLURM_STEP_NUM_TASKS", "10"),
                ("SLURM_STEP_TASKS_PER_NODE", "4(x2),2"),
                ("SLURM_NODEID", node),
            ];
            assert_eq!(launch(&slurm), Some(Launch { rank: 5, size: 10, local_size }), "{node}");
            let through_pmi = [&[("PMI_RANK", "5"), ("PMI_SIZE", "10")], &slurm[2..]].concat();
            assert_eq!(launch(&through_pmi), Some(Launch { rank: 5, size: 10, local_size }), "{node}");
        }
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
