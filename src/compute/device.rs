//! Devices by name: `cpu`, and `cuda:0` where the build has CUDA.

use candle_core::Device;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No such name.
    #[error("there is no device `{0}`; devices are `cpu` and `cuda:N`")]
    Unknown(String),
    /// The build has no CUDA.
    #[error("the device `{0}` needs a build with the feature `cuda`; this one has none, use `cpu`")]
    NotBuilt(String),
}

/// Opens a device.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" => Ok(Device::Cpu),
        _ if name.strip_prefix("cuda:").is_some_and(|index| index.parse::<usize>().is_ok()) => {
            Err(DeviceError::NotBuilt(name.to_owned()))
        }
        _ => Err(DeviceError::Unknown(name.to_owned())),
    }
}
