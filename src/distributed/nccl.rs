//! Processes whose CUDA devices NCCL connects. All but sums of tensors goes through MPI.

use std::ffi::c_char;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::CudaStream;
use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::{CpuStorage, CudaStorage, DType, Device, InplaceOp1, Layout, Tensor, bail};
use half::bf16;

use super::collect::{any, broadcast};
use super::communicator::{Communicator, Ranks};
use super::device_sum::DeviceSum;
use crate::{Error, Result};

/// Processes of MPI whose devices are connected.
struct Nccl {
    processes: Ranks,
    connection: Mutex<Connection>,
}

/// The thread that owns NCCL's connection, which must not move between threads.
struct Connection {
    /// Tensors to sum; `None` while the connection closes.
    numbers: Option<Sender<Tensor>>,
    /// The result of each.
    done: Receiver<Result<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Connect the devices of the processes. Without a CUDA device in every process they stay unconnected.
///
/// # Errors
/// If NCCL cannot connect them, for instance because two processes have the same one.
pub(super) fn connect(processes: Ranks, device: &Device) -> Result<Ranks> {
    let cuda = device.as_cuda_device().ok();
    if processes.size() == 1 || any(processes.as_ref(), cuda.is_none()) {
        return Ok(processes);
    }
    let Some(cuda) = cuda else { return Ok(processes) };
    let own = match processes.is_first() {
        true => Id::new().map_err(|error| failure(&error))?.internal().map(|byte| byte as u8).to_vec(),
        false => vec![],
    };
    let id = broadcast(processes.as_ref(), own);
    let id = id.try_into().expect("invariant: the first process sends the bytes of an id");
    let (stream, rank, size) = (cuda.cuda_stream(), processes.rank(), processes.size());
    let connection = Connection::open(stream, rank, size, id)?;
    Ok(Arc::new(Nccl { processes, connection: Mutex::new(connection) }))
}

impl Connection {
    /// Connect the stream of rank `rank` with those of the `size` processes that have the same id.
    fn open(stream: Arc<CudaStream>, rank: usize, size: usize, id: [u8; 128]) -> Result<Self> {
        let (numbers, tensors) = channel::<Tensor>();
        let (results, done) = channel();
        let thread = std::thread::spawn(move || {
            let id = Id::uninit(id.map(|byte| byte as c_char));
            let bound = stream.context().bind_to_thread().map_err(|error| Error::Message(error.to_string()));
            let connect = || Comm::from_rank(stream, rank, size, id).map_err(|error| failure(&error));
            let comm = match bound.and_then(|()| connect()) {
                Ok(comm) => comm,
                Err(error) => return drop(results.send(Err(error))),
            };
            let mut result = Ok(());
            // Ends when the processes are left.
            while results.send(result).is_ok() {
                let Ok(tensor) = tensors.recv() else { return };
                result = tensor.inplace_op1(&Sum { comm: &comm }).map_err(Error::from);
            }
        });
        let connection = Self { numbers: Some(numbers), done, thread: Some(thread) };
        connection.wait().map(|()| connection)
    }

    /// Wait for the next result of the thread.
    fn wait(&self) -> Result<()> {
        let ended = |_| Error::Message("the connection of the devices has ended".into());
        self.done.recv().map_err(ended)?
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.numbers.take());
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl DeviceSum for Nccl {
    fn sum(&self, numbers: &Tensor) -> Result<()> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that has ended gives no result.
        let _ = connection.numbers.as_ref().map(|sender| sender.send(numbers.clone()));
        connection.wait()
    }
}

impl Communicator for Nccl {
    fn rank(&self) -> usize {
        self.processes.rank()
    }

    fn size(&self) -> usize {
        self.processes.size()
    }

    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]]) {
        self.processes.exchange(sent, received);
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) {
        self.processes.all_gather(own, all);
    }

    fn barrier(&self) {
        self.processes.barrier();
    }

    fn devices(&self) -> Option<&dyn DeviceSum> {
        Some(self)
    }
}

/// Replaces a tensor by its sum over all ranks.
struct Sum<'a> {
    comm: &'a Comm,
}

impl InplaceOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "sum over the devices of all processes"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        bail!("the tensor is not on a CUDA device")
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> candle_core::Result<()> {
        macro_rules! sum {
            ($number:ty) => {{
                let numbers = storage.as_cuda_slice_mut::<$number>()?;
                if layout.contiguous_offsets() != Some((0, numbers.len())) {
                    bail!("the tensor is not the whole of a buffer");
                }
                self.comm.all_reduce_in_place(numbers, &ReduceOp::Sum)
            }};
        }
        let summed = match storage.dtype() {
            DType::F32 => sum!(f32),
            DType::F64 => sum!(f64),
            DType::BF16 => sum!(bf16),
            dtype => bail!("a tensor of {dtype:?} is not summed"),
        };
        summed.map(drop).map_err(|error| candle_core::Error::Msg(failure(&error).to_string()))
    }
}

fn failure(error: &NcclError) -> Error {
    Error::Message(format!(
        "NCCL has failed: {:?}; expected a CUDA device for each process; with NCCL_DEBUG=WARN NCCL prints the reason",
        error.0
    ))
}
