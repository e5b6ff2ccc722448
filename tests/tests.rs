//! The integration tests, one binary.
#![allow(missing_docs, clippy::unwrap_used)]

#[cfg(feature = "capi")]
mod capi;
mod cli;
mod corpora;
mod docs;
mod forecaster;
mod formats;
mod golden;
mod gradients;
mod hub;
mod imports;
mod keras;
mod kernels;
mod old_bundles;
mod onnx;
mod optim;
mod properties;
mod pytorch;
mod random_layer;
#[cfg(feature = "serve")]
mod serve;
mod training;
mod weights;

use candle_core::Device;
use rnn_zoo::device::DeviceChoice;

/// The processor, and a GPU where the build and the machine have one that opens.
fn devices() -> Vec<Device> {
    let gpu = DeviceChoice::Cuda(0).open().ok();
    std::iter::once(Device::Cpu).chain(gpu).collect()
}
