//! The optimizer state as a file: a safetensors file whose entries are `step`, `first/NAME`, `second/NAME`,
//! `average/NAME`, `out_births@AXIS/NAME` and `in_births@AXIS/NAME`, where NAME is that of the parameter.
//!
//! What is read fits together: shapes agree, births lie within them and none is later than the step.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::{AxisBirths, Moments, OptimizerError, OptimizerState};
use crate::compute::tensor_file::{self, Entry};

const STEP: &str = "step";

pub(super) fn to_bytes(state: &OptimizerState) -> Result<Vec<u8>, OptimizerError> {
    let mut entries = BTreeMap::from([(STEP.to_owned(), Entry::Counts(vec![state.step]))]);
    for (name, moments) in &state.moments {
        for (kind, tensor) in [("first", &moments.first), ("second", &moments.second), ("average", &moments.average)] {
            if let Some(tensor) = tensor {
                entries.insert(format!("{kind}/{name}"), Entry::from_tensor(tensor)?);
            }
        }
        for (kind, births) in [("out_births", &moments.out_births), ("in_births", &moments.in_births)] {
            if let Some(births) = births {
                entries.insert(format!("{kind}@{}/{name}", births.axis), Entry::Counts(births.steps.clone()));
            }
        }
    }
    tensor_file::to_bytes(&entries).map_err(OptimizerError::Malformed)
}

pub(super) fn from_bytes(bytes: &[u8], device: &Device) -> Result<OptimizerState, OptimizerError> {
    let mut entries = tensor_file::from_bytes(bytes).map_err(OptimizerError::Malformed)?;
    let step = match entries.remove(STEP) {
        Some(Entry::Counts(counts)) if counts.len() == 1 => counts[0],
        _ => return Err(OptimizerError::Malformed(format!("there is no count `{STEP}`"))),
    };
    let mut state = OptimizerState { step, moments: BTreeMap::new() };
    for (key, entry) in entries {
        let fault = || OptimizerError::Malformed(format!("the entry `{key}` is none of an optimizer state"));
        let (kind, name) = key.split_once('/').ok_or_else(fault)?;
        let moments = state.moments.entry(name.to_owned()).or_insert_with(|| Moments {
            first: None,
            second: None,
            average: None,
            out_births: None,
            in_births: None,
        });
        let (kind, axis) = kind.split_once('@').map_or((kind, None), |(kind, axis)| (kind, Some(axis)));
        match (kind, axis, entry) {
            ("first", None, entry) => moments.first = Some(entry.into_tensor(device).ok_or_else(fault)??),
            ("second", None, entry) => moments.second = Some(squares(entry, device, fault)?),
            ("average", None, entry) => moments.average = Some(entry.into_tensor(device).ok_or_else(fault)??),
            ("out_births" | "in_births", Some(axis), Entry::Counts(steps)) => {
                let births = AxisBirths { axis: axis.parse().map_err(|_| fault())?, steps };
                let side = if kind == "out_births" { &mut moments.out_births } else { &mut moments.in_births };
                if side.replace(births).is_some() {
                    return Err(fault());
                }
            }
            _ => return Err(fault()),
        }
    }
    for (name, moments) in &state.moments {
        check(moments, step).map_err(|reason| OptimizerError::Malformed(format!("`{name}`: {reason}")))?;
    }
    Ok(state)
}

/// Means of squares: a negative one would make a later step not a number.
fn squares(entry: Entry, device: &Device, fault: impl Fn() -> OptimizerError) -> Result<Tensor, OptimizerError> {
    if matches!(&entry, Entry::Numbers { values, .. } if values.iter().any(|&value| value < 0.0)) {
        return Err(fault());
    }
    Ok(entry.into_tensor(device).ok_or_else(fault)??)
}

fn check(moments: &Moments, step: u64) -> Result<(), &'static str> {
    let dims = match (&moments.first, &moments.second) {
        (Some(first), Some(second)) if first.dims() != second.dims() => return Err("its moments differ in shape"),
        (Some(moment), _) | (None, Some(moment)) => moment.dims(),
        (None, None) => return Err("it has birth steps or an average but no moments"),
    };
    if moments.average.as_ref().is_some_and(|average| average.dims() != dims) {
        return Err("its average differs in shape");
    }
    for births in [&moments.out_births, &moments.in_births].into_iter().flatten() {
        if dims.get(births.axis) != Some(&births.steps.len()) {
            return Err("its birth steps do not fit its shape");
        }
        if births.steps.iter().any(|&born| born > step) {
            return Err("a birth step is later than the state's step");
        }
    }
    Ok(())
}
