//! Which columns of a table hold what: the label, the id, and every feature of a schema.
//!
//! A numeric or categorical feature stands in the column of its name. In a table of single values a vector or image feature
//! `pixels` stands in the columns `pixels.0`, `pixels.1`, … or, if it is the only feature and the table has just as many
//! columns left, in those in their order. Used by the decoders of tables, and by the client that reads files of them.

use std::collections::HashMap;

use super::place::FaultList;
use super::row::UNKNOWN_FEATURE;
use super::{DecodeError, Table};
use crate::stream::schema::{Feature, FeatureKind, Schema};

/// Where a feature's values stand in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In this column.
    Cell(usize),
    /// Its numbers in these columns, in order.
    Cells(Vec<usize>),
    /// Nowhere: an optional feature that every row lacks.
    Absent,
}

/// The columns of a schema's features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// One for each feature, in order of the schema.
    pub sources: Vec<Source>,
}

/// What is wrong with a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFault {
    /// The column, or the feature that has none.
    pub column: String,
    /// What is wrong.
    pub detail: &'static str,
}

/// What a column of a table can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A number or a text: vectors and images take many columns.
    Cells,
    /// Also a whole vector or image.
    Whole,
}

impl Columns {
    /// Finds the features of a schema among named columns; `taken` are those of label and id.
    ///
    /// # Errors
    /// A feature that is not optional has no column, or none has one.
    pub fn find(schema: &Schema, header: &[String], taken: &[usize], layout: Layout) -> Result<Self, ColumnFault> {
        let places = places(header, taken);
        let source = |feature| match layout {
            Layout::Whole => cell(feature, &places),
            Layout::Cells => source(schema, feature, header, &places),
        };
        let sources: Vec<Source> = schema.features.iter().map(source).collect::<Result<_, _>>()?;
        if sources.iter().all(|source| *source == Source::Absent) {
            return Err(ColumnFault { column: String::new(), detail: "the table has no column for any feature" });
        }
        Ok(Self { sources })
    }

    /// The first column that holds nothing of the schema.
    pub fn unused(&self, columns: usize, taken: &[usize]) -> Option<usize> {
        let mut used = vec![false; columns];
        taken.iter().for_each(|&column| used[column] = true);
        for source in &self.sources {
            match source {
                Source::Cell(column) => used[*column] = true,
                Source::Cells(columns) => columns.iter().for_each(|&column| used[column] = true),
                Source::Absent => {}
            }
        }
        used.iter().position(|used| !used)
    }
}

/// Where label, id and features stand in a table that a request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub label: usize,
    pub id: Option<usize>,
    pub columns: Columns,
}

impl Plan {
    /// Finds everything; every column must hold something.
    pub fn find(schema: &Schema, header: &[String], table: &Table, layout: Layout) -> Result<Self, DecodeError> {
        let position = |name: &str| header.iter().position(|column| column == name);
        let named = |name: &str, detail| position(name).ok_or_else(|| fault(name, detail));
        let label = named(table.label.as_deref().unwrap_or("label"), "the table has no such column for the label")?;
        let is_feature = |name: &str| schema.features.iter().any(|feature| feature.name == name);
        let id = match &table.id {
            Some(name) => Some(named(name, "the table has no such column for the id")?),
            None if is_feature("id") => None,
            None => position("id"),
        };
        if id == Some(label) {
            return Err(fault(&header[label], "one column cannot be both label and id"));
        }
        let mut names = HashMap::with_capacity(header.len());
        if let Some(twice) = header.iter().find(|name| names.insert(name.as_str(), ()).is_some()) {
            return Err(fault(twice, "the column stands there twice"));
        }
        let taken: Vec<usize> = [Some(label), id].into_iter().flatten().collect();
        let columns =
            Columns::find(schema, header, &taken, layout).map_err(|missing| match unknown(schema, header, &taken) {
                // Before a newer schema was asked for nobody can tell which of the two is wrong.
                Some(column) => fault(column, UNKNOWN_FEATURE),
                None => fault(&missing.column, missing.detail),
            })?;
        match columns.unused(header.len(), &taken) {
            Some(column) => Err(fault(&header[column], UNKNOWN_FEATURE)),
            None => Ok(Self { label, id, columns }),
        }
    }
}

/// A fault of a whole column.
pub(super) fn fault(column: &str, detail: &str) -> DecodeError {
    let faults = FaultList::default();
    faults.root().key("columns").key(column).fault(detail);
    DecodeError::Invalid(faults.into_faults())
}

/// A column whose name belongs to no feature.
fn unknown<'h>(schema: &Schema, header: &'h [String], taken: &[usize]) -> Option<&'h str> {
    let names: HashMap<&str, ()> = schema.features.iter().map(|feature| (feature.name.as_str(), ())).collect();
    let belongs = |name: &str| {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        names.contains_key(name) || names.contains_key(stem)
    };
    let mut free = header.iter().enumerate().filter(|(index, _)| !taken.contains(index));
    free.find(|(_, name)| !belongs(name)).map(|(_, name)| name.as_str())
}

fn places<'h>(header: &'h [String], taken: &[usize]) -> HashMap<&'h str, usize> {
    let mut places = HashMap::with_capacity(header.len());
    for (index, name) in header.iter().enumerate() {
        if !taken.contains(&index) {
            places.entry(name.as_str()).or_insert(index);
        }
    }
    places
}

const NO_COLUMN: &str = "the table has no column for this feature";

/// A feature in one column.
fn cell(feature: &Feature, places: &HashMap<&str, usize>) -> Result<Source, ColumnFault> {
    match places.get(feature.name.as_str()) {
        Some(&column) => Ok(Source::Cell(column)),
        None if feature.optional => Ok(Source::Absent),
        None => Err(ColumnFault { column: feature.name.clone(), detail: NO_COLUMN }),
    }
}

fn source(
    schema: &Schema,
    feature: &Feature,
    header: &[String],
    places: &HashMap<&str, usize>,
) -> Result<Source, ColumnFault> {
    let name = &feature.name;
    let missing = |detail| ColumnFault { column: name.clone(), detail };
    let size = match feature.kind {
        FeatureKind::Vector { .. } | FeatureKind::Image { .. } => feature.kind.columns(),
        _ => return cell(feature, places),
    };
    let named: Option<Vec<usize>> =
        (0..size).map(|index| places.get(format!("{name}.{index}").as_str()).copied()).collect();
    if let Some(columns) = named {
        return Ok(Source::Cells(columns));
    }
    if schema.features.len() == 1 && places.len() == size {
        let mut columns: Vec<usize> = places.values().copied().collect();
        columns.sort_unstable();
        return Ok(Source::Cells(columns));
    }
    let begun =
        header.iter().any(|column| column.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')));
    match (begun, feature.optional) {
        (false, true) => Ok(Source::Absent),
        (false, false) => Err(missing(NO_COLUMN)),
        (true, _) => Err(missing("the table has only some of this feature's columns")),
    }
}

/// The delimiter that the first line has most of: comma, semicolon or tab.
pub fn likely_delimiter(start: &[u8]) -> u8 {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or(start);
    let count = |delimiter: u8| line.iter().filter(|&&byte| byte == delimiter).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(error: DecodeError) -> String {
        match error {
            DecodeError::Invalid(faults) => faults[0].pointer.clone(),
            other => panic!("columns are at fault: {other:?}"),
        }
    }

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn vector(size: usize) -> FeatureKind {
        FeatureKind::Vector { size }
    }

    fn schema(features: &[(&str, FeatureKind)]) -> Schema {
        Schema { features: features.iter().map(|(name, kind)| Feature::new(*name, kind.clone())).collect() }
    }

    fn optional(mut schema: Schema, names: &[&str]) -> Schema {
        for feature in &mut schema.features {
            feature.optional = names.contains(&feature.name.as_str());
        }
        schema
    }

    #[test]
    fn features_are_found_by_name_in_any_order() {
        let schema = schema(&[("age", FeatureKind::Numeric), ("v", vector(2))]);
        let found = Columns::find(&schema, &header(&["v.1", "x", "v.0", "age", "y"]), &[4], Layout::Cells).unwrap();
        assert_eq!(found.sources, [Source::Cell(3), Source::Cells(vec![2, 0])]);
        assert_eq!(found.unused(5, &[4]), Some(1));
        assert_eq!(found.unused(5, &[4, 1]), None);
    }

    #[test]
    fn a_table_from_before_a_growth_lacks_what_was_added() {
        let schema = schema(&[("age", FeatureKind::Numeric), ("h", FeatureKind::Numeric), ("v", vector(2))]);
        let schema = optional(schema, &["h", "v"]);
        let found = Columns::find(&schema, &header(&["age", "y"]), &[1], Layout::Cells).unwrap();
        assert_eq!(found.sources, [Source::Cell(0), Source::Absent, Source::Absent]);
        assert_eq!(
            Columns::find(&schema, &header(&["age", "v.0"]), &[], Layout::Cells).unwrap_err().column,
            "v",
            "half a vector"
        );
        assert_eq!(Columns::find(&schema, &header(&["h"]), &[], Layout::Cells).unwrap_err().column, "age");
        let all = optional(schema, &["age", "h", "v"]);
        assert_eq!(Columns::find(&all, &header(&["y"]), &[0], Layout::Cells).unwrap_err().column, "");
    }

    #[test]
    fn one_vector_takes_the_columns_that_are_left_in_order() {
        let schema = schema(&[("x", vector(2))]);
        let found = Columns::find(&schema, &header(&["label", "a", "b"]), &[0], Layout::Cells).unwrap();
        assert_eq!(found.sources, [Source::Cells(vec![1, 2])]);
        assert!(Columns::find(&schema, &header(&["label", "a", "b", "c"]), &[0], Layout::Cells).is_err());
    }

    #[test]
    fn a_column_that_holds_nothing_and_one_that_is_missing_are_pointed_at() {
        let schema = schema(&[("age", FeatureKind::Numeric)]);
        let plan = |names: &[&str], table: Table| Plan::find(&schema, &header(names), &table, Layout::Cells);
        let usual = plan(&["id", "age", "label"], Table::default()).unwrap();
        assert_eq!((usual.label, usual.id), (2, Some(0)));
        assert_eq!(pointer(plan(&["age", "size", "label"], Table::default()).unwrap_err()), "/columns/size");
        assert_eq!(pointer(plan(&["size", "label"], Table::default()).unwrap_err()), "/columns/size");
        assert_eq!(pointer(plan(&["label"], Table::default()).unwrap_err()), "/columns/age");
        assert_eq!(pointer(plan(&["age"], Table::default()).unwrap_err()), "/columns/label");
        assert_eq!(pointer(plan(&["age", "age", "label"], Table::default()).unwrap_err()), "/columns/age");
        let named = |label: &str| Table { label: Some(label.into()), ..Table::default() };
        assert_eq!(plan(&["age", "y"], named("y")).unwrap().label, 1);
        assert_eq!(pointer(plan(&["age", "id"], named("id")).unwrap_err()), "/columns/id");
    }
}
