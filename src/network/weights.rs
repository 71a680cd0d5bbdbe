//! The weights file: safetensors, one f32 tensor for every parameter under its name.

use candle_core::Device;

use super::error::NetworkError;
use super::graph::Network;
use super::parameter::Parameters;

/// The file of these parameters: the same bytes for the same values.
pub fn to_bytes(parameters: &Parameters) -> Result<Vec<u8>, NetworkError> {
    let _ = parameters;
    unimplemented!("helper A1")
}

/// Reads the file of `network`'s parameters: every one present, of its shape and f32, none besides, all finite.
pub fn from_bytes(bytes: &[u8], network: &Network, device: &Device) -> Result<Parameters, NetworkError> {
    let _ = (bytes, network, device);
    unimplemented!("helper A1")
}
