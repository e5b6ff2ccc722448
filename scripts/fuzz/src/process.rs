//! Runs of the command under limits of time and memory.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::case::Case;

/// Resident memory that no run may need, in bytes.
pub const MEMORY: u64 = 2 << 30;
/// Processor time of a run in seconds. It does not depend on what else the machine does.
const CPU_SECONDS: u64 = 20;
/// Time on the clock after which a run that does not compute hangs. Generous, for busy machines.
const WALL: Duration = Duration::from_secs(240);
/// Bytes of output that are read.
const OUTPUT: u64 = 16 << 20;
/// Sets the limits in a shell, then becomes the command. Address space, in KiB: the main thread reserves a stack of
/// 1 GiB, and allocators reserve more than they use; resident memory is measured besides. Files: 200 MB.
const LIMITS: &str = "ulimit -c 0; ulimit -v 5242880; ulimit -f 400000; ulimit -S -t ";

/// The results of a run.
pub struct Run {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// Largest resident memory that was seen, in bytes.
    pub memory: u64,
    /// Whether the run was stopped by the clock.
    pub timed_out: bool,
}

impl Run {
    /// Whether the run exceeded a limit of time or of output.
    pub fn is_hang(&self) -> bool {
        const SIGXCPU: i32 = 24;
        const SIGXFSZ: i32 = 25;
        self.timed_out || [Some(SIGXCPU), Some(SIGXFSZ)].contains(&self.status.signal())
    }
}

/// Runs the command of a case in the folder `place`.
pub fn run(rnn: &Path, case: &Case, place: &Path) -> Result<Run> {
    let (out, err) = (place.with_extension("stdout"), place.with_extension("stderr"));
    let stdin = match &case.stdin {
        Some(name) => Stdio::from(File::open(place.join(name))?),
        None => Stdio::null(),
    };
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("{LIMITS}{CPU_SECONDS}; exec \"$0\" \"$@\""))
        .arg(rnn)
        .args(&case.arguments)
        .current_dir(place)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", place)
        .env("RAYON_NUM_THREADS", "1")
        .env("CANDLE_NUM_THREADS", "1")
        // No run reaches a network.
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .stdin(stdin)
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()?;
    let (status, memory, timed_out) = wait(&mut child)?;
    let run = Run { status, stdout: text(&out)?, stderr: text(&err)?, memory, timed_out };
    fs::remove_file(out)?;
    fs::remove_file(err)?;
    Ok(run)
}

/// Waits for the end of a process. Returns its status, its peak memory, and whether it had to be killed.
fn wait(child: &mut Child) -> Result<(ExitStatus, u64, bool)> {
    let (start, mut memory, mut pause) = (Instant::now(), 0, Duration::from_millis(1));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, memory, false));
        }
        memory = memory.max(resident(child.id()));
        if start.elapsed() > WALL || memory > MEMORY {
            child.kill()?;
            return Ok((child.wait()?, memory, start.elapsed() > WALL));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The peak of resident memory so far in bytes; 0 where the system does not tell.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn text(path: &Path) -> Result<String> {
    let mut bytes = vec![];
    File::open(path)?.take(OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
