//! The columns of a stream against the schema of the learner, and its batches as examples.
//!
//! Whether a column's type can hold what its feature wants is decided once, from the stream's schema.

use std::ops::ControlFlow;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema as Fields};

use super::columns::{Lists, Numbers, bytes, reads_bytes, reads_lists, reads_numbers};
use super::text::{self, Texts};
use crate::stream::decode::columns::{Layout, Plan, Source, fault};
use crate::stream::decode::example::Id;
use crate::stream::decode::label::{LabelValue, Labels};
use crate::stream::decode::place::{At, FaultList};
use crate::stream::decode::read::Kind;
use crate::stream::decode::row::FeatureValue;
use crate::stream::decode::{DecodeError, Expected, RowSink, Table};
use crate::stream::example::{Label, NewExample, Value};
use crate::stream::schema::{Feature, FeatureKind, Schema};

/// Where everything stands.
pub(super) struct TablePlan {
    plan: Plan,
}

impl TablePlan {
    /// Finds the columns and checks their types.
    pub fn find(schema: &Schema, fields: &Fields, table: &Table) -> Result<Self, DecodeError> {
        let header: Vec<String> = fields.fields().iter().map(|field| field.name().clone()).collect();
        let data_type = |column: usize| fields.field(column).data_type();
        let plan = Plan::find(schema, &header, table, Layout::Whole)?;
        for (feature, source) in schema.features.iter().zip(&plan.columns.sources) {
            if let Source::Cell(column) = *source
                && let Some(detail) = type_fault(feature, data_type(column))
            {
                return Err(fault(&feature.name, &detail));
            }
        }
        let is_label = |data_type: &DataType| text::reads(data_type) || reads_numbers(data_type);
        if !is_label(data_type(plan.label)) {
            return Err(fault(&header[plan.label], "a column of labels has texts, numbers or booleans"));
        }
        if let Some(id) = plan.id
            && !text::reads(data_type(id))
        {
            return Err(fault(&header[id], "a column of ids has texts or whole numbers"));
        }
        Ok(Self { plan })
    }

    /// Gives the rows of a batch, the first of which has this number.
    pub fn rows(
        &self,
        batch: &RecordBatch,
        first: u64,
        expected: Expected<'_>,
        rows: &mut dyn RowSink,
    ) -> ControlFlow<()> {
        let labels = Labels::of(expected.task);
        let column = |place: usize| batch.column(place).as_ref();
        let features = expected.schema.features.iter().zip(&self.plan.columns.sources);
        let values: Vec<(&Feature, Values<'_>)> = features
            .map(|(feature, source)| {
                let values = match source {
                    Source::Cell(place) => Values::of(feature, column(*place)),
                    Source::Cells(_) | Source::Absent => Values::Absent,
                };
                (feature, values)
            })
            .collect();
        let label = LabelColumn::of(column(self.plan.label));
        let id = self.plan.id.and_then(|place| Texts::of(column(place)).map(|texts| (column(place), texts)));
        for row in 0..batch.num_rows() {
            let number = first + row as u64;
            let faults = FaultList::default();
            let root = faults.root();
            let at = root.index(usize::try_from(number).unwrap_or(usize::MAX));
            let inputs = at.key("inputs");
            let example = NewExample {
                id: id.as_ref().and_then(|(array, texts)| {
                    let is_there = array.is_valid(row);
                    is_there.then(|| texts.read(row, |text| Id.text(at.key("id"), text))).flatten().flatten()
                }),
                row: values
                    .iter()
                    .map(|(feature, values)| values.read(feature, row, inputs.key(&feature.name)))
                    .collect(),
                label: label.read(row, &labels, at.key("label")).unwrap_or(Label::Number(0.0)),
            };
            let found = if faults.is_empty() { Ok(example) } else { Err(DecodeError::Invalid(faults.into_faults())) };
            rows.take(number, found)?;
        }
        ControlFlow::Continue(())
    }
}

/// Why a column of this type cannot hold this feature.
fn type_fault(feature: &Feature, data_type: &DataType) -> Option<String> {
    let elements = feature.kind.columns();
    let is_of = |size: Option<usize>| size.is_none_or(|size| size == elements);
    match feature.kind {
        FeatureKind::Numeric => {
            (!reads_numbers(data_type)).then(|| "a column of whole numbers, floats or booleans is expected".into())
        }
        FeatureKind::Categorical { .. } => (!text::reads(data_type))
            .then(|| "a column of texts, whole numbers or booleans is expected, or a dictionary of such".into()),
        FeatureKind::Text(_) => {
            (!text::reads(data_type)).then(|| "a column of texts is expected, or a dictionary of such".into())
        }
        FeatureKind::Timestamp(_) => (!text::reads(data_type) && !reads_numbers(data_type))
            .then(|| "a column of texts or of seconds since 1970 is expected".into()),
        FeatureKind::Vector { .. } => (!reads_lists(data_type).is_some_and(is_of))
            .then(|| format!("a column of lists of {elements} numbers is expected")),
        FeatureKind::Image { .. } => {
            (!reads_lists(data_type).or(reads_bytes(data_type)).is_some_and(is_of)).then(|| {
                format!("a column of lists of {elements} numbers is expected, or of as many bytes; channels last")
            })
        }
    }
}

/// The values of a feature in one batch.
enum Values<'a> {
    Numbers(Numbers<'a>),
    Texts(&'a dyn Array, Texts<'a>),
    Lists(&'a dyn Array, Lists<'a>),
    Bytes(&'a dyn Array),
    Absent,
}

impl<'a> Values<'a> {
    /// The plan has checked that the type fits; a batch always has the types of its stream's schema.
    fn of(feature: &Feature, array: &'a dyn Array) -> Self {
        let found = match feature.kind {
            FeatureKind::Numeric => Numbers::of(array).map(Self::Numbers),
            FeatureKind::Timestamp(_) if reads_numbers(array.data_type()) => Numbers::of(array).map(Self::Numbers),
            FeatureKind::Categorical { .. } | FeatureKind::Text(_) | FeatureKind::Timestamp(_) => {
                Texts::of(array).map(|texts| Self::Texts(array, texts))
            }
            _ if reads_bytes(array.data_type()).is_some() => Some(Self::Bytes(array)),
            _ => Lists::of(array).map(|lists| Self::Lists(array, lists)),
        };
        found.unwrap_or(Self::Absent)
    }

    fn read(&self, feature: &Feature, row: usize, at: At<'_>) -> Value {
        let value = FeatureValue(feature);
        match self {
            Self::Absent => Value::Missing,
            Self::Numbers(numbers) => match numbers.get(row) {
                Some(number) => value.number(at, number),
                None => value.missing(at),
            },
            Self::Texts(array, texts) => {
                let read = if array.is_null(row) { None } else { texts.read(row, |text| value.text(at, text)) };
                read.unwrap_or_else(|| value.missing(at))
            }
            Self::Lists(array, _) | Self::Bytes(array) if array.is_null(row) => value.missing(at),
            Self::Bytes(array) => match bytes(*array, row) {
                Some(bytes) => value.bytes(at, bytes),
                None => value.missing(at),
            },
            Self::Lists(_, lists) => {
                let (from, until) = lists.bounds(row);
                match (&feature.kind, lists.numbers.bytes(from, until)) {
                    (FeatureKind::Image { .. }, Some(bytes)) => value.bytes(at, bytes),
                    _ => value.numbers(at, (from..until).map(|place| lists.numbers.get(place))),
                }
            }
        }
    }
}

/// The labels of one batch.
enum LabelColumn<'a> {
    Numbers(Numbers<'a>),
    Texts(&'a dyn Array, Texts<'a>),
    None,
}

impl<'a> LabelColumn<'a> {
    fn of(array: &'a dyn Array) -> Self {
        match array.data_type() {
            DataType::Boolean => Texts::of(array).map_or(Self::None, |texts| Self::Texts(array, texts)),
            data_type if reads_numbers(data_type) => Numbers::of(array).map_or(Self::None, Self::Numbers),
            _ => Texts::of(array).map_or(Self::None, |texts| Self::Texts(array, texts)),
        }
    }

    fn read(&self, row: usize, labels: &Labels<'_>, at: At<'_>) -> Option<Label> {
        let label = LabelValue(labels);
        let found = match self {
            Self::Numbers(numbers) => numbers.get(row).map(|number| label.number(at, number)),
            Self::Texts(array, _) if array.is_null(row) => None,
            Self::Texts(_, texts) => texts.read(row, |text| label.text(at, text)),
            Self::None => None,
        };
        found.unwrap_or_else(|| {
            at.fault("the label is missing");
            None
        })
    }
}
