//! The `inputs` of a growth order: `{"features": […]}` adds features to the schema, `{"feature": …, "categories": […]}`
//! gives categories of a feature their columns.

use serde_json::{Value, json};

use super::document;
use super::growth_document::{Members, OrderError, fault, list, names};
use crate::stream::decode::Fault;
use crate::stream::schema::category_fault;
use crate::stream::{Feature, Schema};
use crate::training::GrowthOrder;

/// The order behind `/inputs`.
pub(super) fn parse(value: &Value) -> Result<GrowthOrder, OrderError> {
    let members = Members::of(value, "/inputs")?;
    match members.exactly_one(&["features", "feature"])? {
        ("features", features) => {
            members.only(&["features"])?;
            Ok(GrowthOrder::Features { features: self::features(features)? })
        }
        (_, feature) => {
            members.only(&["feature", "categories"])?;
            let (_, categories) = members.exactly_one(&["categories"])?;
            let Some(feature) = feature.as_str() else {
                return fault("/inputs/feature", "must be the name of a feature");
            };
            let categories = names(categories, "/inputs/categories", category_fault)?;
            Ok(GrowthOrder::Inputs { feature: feature.to_owned(), categories })
        }
    }
}

/// New features: each as in the document of a learner, and `optional`, whether it says so or not.
fn features(value: &Value) -> Result<Vec<Feature>, OrderError> {
    let mut features = Vec::new();
    for (index, item) in list(value, "/inputs/features")?.iter().enumerate() {
        let pointer = format!("/inputs/features/{index}");
        if item.get("optional") == Some(&json!(false)) {
            let detail = "must be true: a row that was stored before, or that an older client sends, has no value";
            return fault(&format!("{pointer}/optional"), detail);
        }
        let feature: Feature = document::read(item).map_err(|fault| below(&pointer, fault))?;
        features.push(Feature { optional: true, ..feature });
    }
    let schema = Schema { features };
    match schema.faults().into_iter().next() {
        Some((pointer, detail)) => Err(below("/inputs", Fault { pointer, detail })),
        None => Ok(schema.features),
    }
}

fn below(place: &str, fault: Fault) -> OrderError {
    OrderError::Fault(Fault { pointer: format!("{place}{}", fault.pointer), detail: fault.detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(features: Value) -> String {
        match parse(&json!({ "features": features })) {
            Err(OrderError::Fault(fault)) => fault.pointer,
            other => panic!("{features} gave {other:?}"),
        }
    }

    #[test]
    fn every_feature_of_an_order_may_be_missing() {
        let document = json!({"features": [
            {"name": "a", "kind": "numeric"},
            {"name": "v", "kind": "vector", "size": 4},
            {"name": "i", "kind": "image", "height": 2, "width": 2, "optional": true},
        ]});
        let GrowthOrder::Features { features } = parse(&document).unwrap() else { panic!("it orders features") };
        assert_eq!(features.iter().map(|feature| feature.name.as_str()).collect::<Vec<_>>(), ["a", "v", "i"]);
        assert!(features.iter().all(|feature| feature.optional));
    }

    #[test]
    fn a_fault_of_a_feature_points_at_its_place() {
        let numeric = |name: &str| json!({"name": name, "kind": "numeric"});
        for (features, expected) in [
            (json!([]), "/inputs/features"),
            (json!("humidity"), "/inputs/features"),
            (json!(["humidity"]), "/inputs/features/0"),
            (json!([numeric("a"), numeric("a")]), "/inputs/features/1/name"),
            (json!([numeric("")]), "/inputs/features/0/name"),
            (json!([numeric("a"), {"name": "v", "kind": "vector", "size": 0}]), "/inputs/features/1/size"),
            (json!([{"name": "v", "kind": "vector"}]), "/inputs/features/0"),
            (json!([{"name": "a", "kind": "numeric", "size": 3}]), "/inputs/features/0/size"),
            (json!([{"name": "a", "kind": "smell"}]), "/inputs/features/0/kind"),
            (json!([{"name": "a", "kind": "numeric", "optional": false}]), "/inputs/features/0/optional"),
        ] {
            assert_eq!(pointer(features.clone()), expected, "{features}");
        }
    }

    #[test]
    fn features_and_categories_are_two_orders() {
        for document in [
            json!({}),
            json!({"features": [], "feature": "colour"}),
            json!({"features": [{"name": "a", "kind": "numeric"}], "categories": ["red"]}),
        ] {
            assert!(parse(&document).is_err(), "{document}");
        }
    }
}
