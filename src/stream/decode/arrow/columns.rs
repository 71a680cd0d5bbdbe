//! A column whose values are numbers, and one whose values are lists of numbers or bytes.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow_schema::DataType;

use crate::stream::decode::read::Number;

/// The numbers of one batch.
pub(super) enum Numbers<'a> {
    I8(&'a PrimitiveArray<Int8Type>),
    I16(&'a PrimitiveArray<Int16Type>),
    I32(&'a PrimitiveArray<Int32Type>),
    I64(&'a PrimitiveArray<Int64Type>),
    U8(&'a PrimitiveArray<UInt8Type>),
    U16(&'a PrimitiveArray<UInt16Type>),
    U32(&'a PrimitiveArray<UInt32Type>),
    U64(&'a PrimitiveArray<UInt64Type>),
    F16(&'a PrimitiveArray<Float16Type>),
    F32(&'a PrimitiveArray<Float32Type>),
    F64(&'a PrimitiveArray<Float64Type>),
    Truth(&'a BooleanArray),
}

/// Whether a column of this type can be read as numbers.
pub(super) fn reads_numbers(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || *data_type == DataType::Boolean
}

/// Whether a column of this type can be read as lists of numbers; the length of every list, if the type says it.
pub(super) fn reads_lists(data_type: &DataType) -> Option<Option<usize>> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => reads_numbers(item.data_type()).then_some(None),
        DataType::FixedSizeList(item, size) => reads_numbers(item.data_type()).then_some(usize::try_from(*size).ok()),
        _ => None,
    }
}

/// Whether a column of this type can be read as bytes.
pub(super) fn reads_bytes(data_type: &DataType) -> Option<Option<usize>> {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(None),
        DataType::FixedSizeBinary(size) => Some(usize::try_from(*size).ok()),
        _ => None,
    }
}

impl<'a> Numbers<'a> {
    /// The numbers of a column of a type that [`reads_numbers`].
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Int8 => Self::I8(array.as_primitive_opt()?),
            DataType::Int16 => Self::I16(array.as_primitive_opt()?),
            DataType::Int32 => Self::I32(array.as_primitive_opt()?),
            DataType::Int64 => Self::I64(array.as_primitive_opt()?),
            DataType::UInt8 => Self::U8(array.as_primitive_opt()?),
            DataType::UInt16 => Self::U16(array.as_primitive_opt()?),
            DataType::UInt32 => Self::U32(array.as_primitive_opt()?),
            DataType::UInt64 => Self::U64(array.as_primitive_opt()?),
            DataType::Float16 => Self::F16(array.as_primitive_opt()?),
            DataType::Float32 => Self::F32(array.as_primitive_opt()?),
            DataType::Float64 => Self::F64(array.as_primitive_opt()?),
            DataType::Boolean => Self::Truth(array.as_boolean_opt()?),
            _ => return None,
        })
    }

    /// The number at a place; `None` for null.
    pub fn get(&self, place: usize) -> Option<Number> {
        fn at<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, place: usize) -> Option<T::Native> {
            array.is_valid(place).then(|| array.value(place))
        }
        match self {
            Self::I8(array) => at(array, place).map(|number| Number::Signed(number.into())),
            Self::I16(array) => at(array, place).map(|number| Number::Signed(number.into())),
            Self::I32(array) => at(array, place).map(|number| Number::Signed(number.into())),
            Self::I64(array) => at(array, place).map(Number::Signed),
            Self::U8(array) => at(array, place).map(|number| Number::Unsigned(number.into())),
            Self::U16(array) => at(array, place).map(|number| Number::Unsigned(number.into())),
            Self::U32(array) => at(array, place).map(|number| Number::Unsigned(number.into())),
            Self::U64(array) => at(array, place).map(Number::Unsigned),
            Self::F16(array) => at(array, place).map(|number| Number::Real(number.to_f64())),
            Self::F32(array) => at(array, place).map(|number| Number::Real(number.into())),
            Self::F64(array) => at(array, place).map(Number::Real),
            Self::Truth(array) => array.is_valid(place).then(|| Number::Unsigned(array.value(place).into())),
        }
    }

    /// The bytes from one place to another, if they are bytes and none is null.
    pub fn bytes(&self, from: usize, until: usize) -> Option<&'a [u8]> {
        match self {
            Self::U8(array) if array.null_count() == 0 => array.values().get(from..until),
            _ => None,
        }
    }
}

/// The lists of one batch: all numbers, and where each list begins and ends.
pub(super) struct Lists<'a> {
    pub numbers: Numbers<'a>,
    bounds: Bounds<'a>,
}

enum Bounds<'a> {
    Short(&'a [i32]),
    Long(&'a [i64]),
    Fixed { offset: usize, size: usize },
}

impl<'a> Lists<'a> {
    /// The lists of a column of a type that [`reads_lists`].
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        let (values, bounds) = match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list_opt::<i32>()?;
                (lists.values(), Bounds::Short(lists.value_offsets()))
            }
            DataType::LargeList(_) => {
                let lists = array.as_list_opt::<i64>()?;
                (lists.values(), Bounds::Long(lists.value_offsets()))
            }
            DataType::FixedSizeList(..) => {
                let lists = array.as_fixed_size_list_opt()?;
                let size = usize::try_from(lists.value_length()).ok()?;
                (lists.values(), Bounds::Fixed { offset: lists.value_offset_at(0), size })
            }
            _ => return None,
        };
        Some(Self { numbers: Numbers::of(values.as_ref())?, bounds })
    }

    /// Where the list of a row begins and ends. Arrow has checked that it lies inside the numbers.
    pub fn bounds(&self, row: usize) -> (usize, usize) {
        let place = |offset: i64| usize::try_from(offset).unwrap_or(0);
        match self.bounds {
            Bounds::Short(offsets) => (place(offsets[row].into()), place(offsets[row + 1].into())),
            Bounds::Long(offsets) => (place(offsets[row]), place(offsets[row + 1])),
            Bounds::Fixed { offset, size } => (offset + row * size, offset + (row + 1) * size),
        }
    }
}

/// The bytes of a row of a column of a type that [`reads_bytes`].
pub(super) fn bytes(array: &dyn Array, row: usize) -> Option<&[u8]> {
    match array.data_type() {
        DataType::Binary => Some(array.as_binary_opt::<i32>()?.value(row)),
        DataType::LargeBinary => Some(array.as_binary_opt::<i64>()?.value(row)),
        DataType::BinaryView => Some(array.as_binary_view_opt()?.value(row)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary_opt()?.value(row)),
        _ => None,
    }
}
