//! `mlp`: linear layers with ReLU between them.

use super::super::error::NetworkError;
use super::super::ops::dropout::Dropout;
use super::super::ops::flatten::Flatten;
use super::super::ops::linear::Linear;
use super::super::ops::relu::Relu;
use super::super::shape::Shape;
use super::draft::Draft;

/// All but the output layer.
pub(super) fn mlp(draft: &mut Draft, input: &Shape, hidden: &[usize], dropout: f64) -> Result<(), NetworkError> {
    if !(0.0..1.0).contains(&dropout) {
        return Err(NetworkError::Graph("`dropout` is at least 0 and below 1".into()));
    }
    if input.axes().len() > 1 {
        draft.add("flatten", Flatten);
    }
    for (index, &width) in hidden.iter().enumerate() {
        let name = format!("hidden{}", index + 1);
        draft.add(&name, Linear { out: width });
        draft.add(&format!("{name}_relu"), Relu);
        if dropout > 0.0 {
            draft.add(&format!("{name}_dropout"), Dropout { probability: dropout });
        }
    }
    Ok(())
}
