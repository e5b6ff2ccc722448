//! The cores of the machine that a process of several may use.

use super::launch::Launch;

/// The cores that processes may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Those of this process.
    pub own: usize,
    /// Those of the launcher, which are those of all its processes on this machine.
    pub launcher: usize,
    /// The processes on this machine.
    pub processes: usize,
}

impl Cores {
    /// Return the cores of a process that a launcher started.
    pub fn of(launch: Launch) -> Self {
        let own = std::thread::available_parallelism().map_or(1, usize::from);
        Self { own, launcher: of_launcher().unwrap_or(own).max(own), processes: launch.local_size }
    }

    /// The threads of this process: its own cores if the launcher bound it to a part of them, otherwise its share.
    pub fn threads(self) -> usize {
        match self.is_bound() {
            true => self.own,
            false => self.share(),
        }
    }

    /// The cores divided by the processes, at least 1.
    pub fn share(self) -> usize {
        (self.launcher / self.processes).max(1)
    }

    /// Whether the launcher bound this process to fewer cores than its share, so that others are idle.
    pub fn leaves_idle(self) -> bool {
        self.is_bound() && self.own < self.share()
    }

    fn is_bound(self) -> bool {
        self.own < self.launcher
    }
}

/// The cores that the parent of this process may run on; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn of_launcher() -> Option<usize> {
    let parent = std::os::unix::process::parent_id();
    let [launcher, own] = [format!("/proc/{parent}/status"), "/proc/self/status".into()]
        .map(|path| cores_of_status(&std::fs::read_to_string(path).ok()?));
    // Equal sets say nothing about limits of a container, which `available_parallelism` knows.
    (launcher > own).then_some(launcher?)
}

/// The cores that the parent of this process may run on; `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
fn of_launcher() -> Option<usize> {
    None
}

/// Count the cores of a line such as `Cpus_allowed_list: 0-3,8`.
#[cfg(any(target_os = "linux", test))]
fn cores_of_status(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let count = |range: &str| match range.split_once('-') {
        Some((first, last)) => Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => range.parse::<usize>().ok().map(|_| 1),
    };
    list.trim().split(',').map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_divide_the_cores_unless_they_are_bound() {
        for (own, launcher, processes, threads, idle) in [
            (16, 16, 4, 4, false),
            (2, 2, 4, 1, false),
            (1, 16, 4, 1, true),
            (4, 16, 4, 4, false),
            (8, 16, 1, 8, true),
        ] {
            let cores = Cores { own, launcher, processes };
            assert_eq!((cores.threads(), cores.leaves_idle()), (threads, idle), "{cores:?}");
        }
    }

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!(cores_of_status("Name:\trnn\nCpus_allowed_list:\t0-3,8,10-11\n"), Some(7));
        assert_eq!(cores_of_status("Cpus_allowed_list:\t5\n"), Some(1));
        assert_eq!(cores_of_status("Cpus_allowed_list:\tx\n"), None);
        assert_eq!(cores_of_status("Name:\trnn\n"), None);
    }
}
