//! NVIDIA's GPUs: what must be there is opened and asked one by one, before candle is called.
//!
//! candle's CUDA layer panics where a library or a function in it is missing, so nothing of it runs before the driver
//! and the libraries are proven to be there. Used by [`super`] only.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::cuda_backend::cudarc::driver::result::{self, device};
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute;
use candle_core::{Device, Tensor};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use super::{Gpu, Unusable};

/// What the driver is opened by.
const DRIVER: &str = "libcuda.so.1";

/// What candle opens when a device is made, a library before those that need it.
const LIBRARIES: [&str; 3] = ["libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"];

/// Where CUDA's own installer puts its libraries, which is not always a place that the loader looks at.
const INSTALLED: &str = "/usr/local/cuda/lib64";

/// See [`super::gpus`].
pub(super) fn gpus() -> Result<Vec<Gpu>, Unusable> {
    let count = start_driver()?;
    if count == 0 {
        return Err(Unusable::NoSuchGpu { index: 0, found: 0 });
    }
    (0..count).map(|index| gpu(index).map_err(driver_fault)).collect()
}

/// The device of this number, after it has computed something.
pub(super) fn open(index: usize) -> Result<Device, Unusable> {
    let found = start_driver()?;
    if index >= found {
        return Err(Unusable::NoSuchGpu { index, found });
    }
    if let Some(missing) = LIBRARIES.into_iter().find(|name| !load(name)) {
        return Err(Unusable::NoLibrary(missing));
    }
    // A library of another version may lack a function, which is a panic where it is first wanted.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let device = Device::new_cuda(index)?;
        prove(&device)?;
        Ok(device)
    }));
    match opened {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(Unusable::Failed(first_line(&candle_core::Error::to_string(&error)))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(Unusable::Failed(first_line(text.unwrap_or("a panic without a message"))))
        }
    }
}

/// Opens the driver and says how many GPUs it has.
fn start_driver() -> Result<usize, Unusable> {
    if !load(DRIVER) {
        return Err(Unusable::NoDriver(DRIVER));
    }
    let count = catch_unwind(|| {
        result::init()?;
        device::get_count()
    });
    let count = count.map_err(|_| Unusable::Driver("it lacks a function that this build calls".into()))?;
    count.map_err(driver_fault).map(|count| usize::try_from(count).unwrap_or(0))
}

fn gpu(index: usize) -> Result<Gpu, result::DriverError> {
    let handle = device::get(c_int::try_from(index).unwrap_or(c_int::MAX))?;
    let model = device::get_name(handle)?;
    // SAFETY: the handle is the driver's own, for a number below its count.
    unsafe {
        let attribute = |attribute| device::get_attribute(handle, attribute);
        Ok(Gpu {
            model,
            memory: device::total_mem(handle)?,
            capability: (
                attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
        })
    }
}

/// A product, a kernel and the way back: a driver that is too old for the kernels refuses them here and not in the
/// middle of a learner's first step.
fn prove(device: &Device) -> candle_core::Result<()> {
    let numbers = Tensor::new(&[[1.0f32, 2.0], [3.0, 4.0]], device)?;
    let answer: Vec<Vec<f32>> = numbers.matmul(&numbers)?.affine(2.0, 1.0)?.to_vec2()?;
    if answer == [[15.0, 21.0], [31.0, 45.0]] {
        return Ok(());
    }
    candle_core::bail!("a product of two small matrices comes out as {answer:?}")
}

/// Opens a library for the life of the process; whoever opens the same name later gets this one.
fn load(name: &str) -> bool {
    let installed = format!("{INSTALLED}/{name}");
    [name, installed.as_str()].into_iter().any(|path| {
        // SAFETY: these are NVIDIA's libraries, whose initialisers expect nothing of the process that opens them.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
        library.map(std::mem::forget).is_ok()
    })
}

fn driver_fault(error: result::DriverError) -> Unusable {
    Unusable::Driver(first_line(&error.to_string()))
}

/// candle adds a backtrace to what went wrong.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
