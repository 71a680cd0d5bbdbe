//! Devices by name: `cpu`, `cuda:N` where the build has CUDA and the machine a GPU, and `auto`.
//!
//! Opening a device never panics, whatever the machine lacks: a reason comes back instead. A device is opened once a
//! process and its handle cloned, because tensors of two openings do not mix. Used by whoever starts trainers.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

#[cfg(feature = "cuda")]
mod cuda;

/// What a configuration or a flag may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// NVIDIA's GPU of this number, from 0.
    Cuda(usize),
    /// `cuda:0` where it can be used, else `cpu`.
    Auto,
}

/// A device, ready for tensors.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its handle.
    pub device: Device,
    /// Which one it is, never [`DeviceName::Auto`].
    pub name: DeviceName,
    /// Why `auto` took the processor.
    pub fallback: Option<Unusable>,
}

/// A GPU that the driver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// What its maker calls it.
    pub model: String,
    /// Bytes of memory.
    pub memory: usize,
    /// Its compute capability, major and minor.
    pub capability: (i32, i32),
}

/// Why no GPU, or not this one, can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The build has no CUDA.
    #[error("this build has no CUDA; `deploy/cuda/build.sh` makes one that has")]
    NotBuilt,
    /// There is no driver.
    #[error("this machine has no NVIDIA driver ({0} cannot be opened)")]
    NoDriver(&'static str),
    /// The driver does not work.
    #[error("NVIDIA's driver does not start: {0}")]
    Driver(String),
    /// The driver has nothing to drive, or not as much.
    #[error("NVIDIA's driver finds {found} GPUs, so there is no number {index}")]
    NoSuchGpu { index: usize, found: usize },
    /// A library of CUDA is missing.
    #[error(
        "the driver is there, but {0} is not: install CUDA 13, or put the folder of its libraries into LD_LIBRARY_PATH"
    )]
    NoLibrary(&'static str),
    /// Everything is there, and still it does not compute.
    #[error("the GPU does not compute: {0}")]
    Failed(String),
}

/// Why a device cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No such name.
    #[error("there is no device `{0}`; devices are `cpu`, `cuda:N` and `auto`")]
    Unknown(String),
    /// The GPU that was asked for cannot be used.
    #[error(
        "the device `{name}` cannot be used: {reason}. `cpu` always can, and `auto` takes a GPU where one can be used"
    )]
    Unusable { name: DeviceName, reason: Unusable },
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "auto" => Ok(Self::Auto),
            // Digits alone: `parse` would take a sign too.
            _ => match text.strip_prefix("cuda:").filter(|index| index.bytes().all(|byte| byte.is_ascii_digit())) {
                Some(index) => index.parse().map(Self::Cuda).map_err(|_| DeviceError::Unknown(text.to_owned())),
                None => Err(DeviceError::Unknown(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
            Self::Auto => formatter.write_str("auto"),
        }
    }
}

/// Opens a device.
///
/// # Errors
/// A GPU that was asked for by its number and cannot be used. `cpu` and `auto` always open.
pub fn open(name: DeviceName) -> Result<Opened, DeviceError> {
    let cpu = |fallback| Opened { device: Device::Cpu, name: DeviceName::Cpu, fallback };
    let gpu = |device, index| Opened { device, name: DeviceName::Cuda(index), fallback: None };
    match name {
        DeviceName::Cpu => Ok(cpu(None)),
        DeviceName::Cuda(index) => match open_gpu(index) {
            Ok(device) => Ok(gpu(device, index)),
            Err(reason) => Err(DeviceError::Unusable { name, reason }),
        },
        DeviceName::Auto => Ok(match open_gpu(0) {
            Ok(device) => gpu(device, 0),
            Err(reason) => cpu(Some(reason)),
        }),
    }
}

/// The GPUs that the driver knows, in order of their numbers, at least one. That one is known does not say that it opens.
///
/// # Errors
/// Why there are none.
pub fn gpus() -> Result<Vec<Gpu>, Unusable> {
    #[cfg(feature = "cuda")]
    return cuda::gpus();
    #[cfg(not(feature = "cuda"))]
    Err(Unusable::NotBuilt)
}

fn open_gpu(index: usize) -> Result<Device, Unusable> {
    #[cfg(feature = "cuda")]
    return cuda::open(index);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = index;
        Err(Unusable::NotBuilt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for (text, name) in [("cpu", DeviceName::Cpu), ("auto", DeviceName::Auto), ("cuda:3", DeviceName::Cuda(3))] {
            assert_eq!(text.parse::<DeviceName>().unwrap(), name);
            assert_eq!(name.to_string(), text);
        }
        for text in ["", "gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "CPU", "cuda:99999999999999999999"] {
            let error = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("cuda:N"), "{error}");
        }
    }

    #[test]
    fn the_processor_always_opens() {
        let opened = open(DeviceName::Cpu).unwrap();
        assert!(opened.device.is_cpu() && opened.name == DeviceName::Cpu && opened.fallback.is_none());
    }

    #[test]
    fn auto_takes_a_gpu_or_says_why_not() {
        let opened = open(DeviceName::Auto).unwrap();
        assert_eq!(opened.device.is_cpu(), opened.fallback.is_some());
        assert_eq!(opened.device.is_cpu(), opened.name == DeviceName::Cpu);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_what_to_do() {
        let error = open(DeviceName::Cuda(4_000)).unwrap_err().to_string();
        assert!(error.starts_with("the device `cuda:4000` cannot be used: ") && error.contains("`cpu`"), "{error}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_how_to_get_one() {
        assert_eq!(gpus().unwrap_err(), Unusable::NotBuilt);
        assert!(open(DeviceName::Cuda(0)).unwrap_err().to_string().contains("deploy/cuda/build.sh"));
    }
}
