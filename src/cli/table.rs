//! Tables and numbers for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

/// An empty table with these columns; those of `numbers` are aligned to the right.
pub fn table(columns: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.to_vec());
    for &index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A whole number with thousands apart: 12 345.
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A whole number of a document, or a dash.
pub fn whole_at(document: &Value, pointer: &str) -> String {
    document.pointer(pointer).and_then(Value::as_u64).map_or_else(|| "–".into(), whole)
}

/// A share or loss with four digits, or a dash.
pub fn real_at(document: &Value, pointer: &str) -> String {
    document.pointer(pointer).and_then(Value::as_f64).map_or_else(|| "–".into(), |number| format!("{number:.4}"))
}

/// A text of a document, or a dash.
pub fn text_at(document: &Value, pointer: &str) -> String {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or("–").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts: Vec<String> = [0, 999, 1_000, 1_234_567].into_iter().map(whole).collect();
        assert_eq!(texts, ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn what_is_absent_is_a_dash() {
        let document = serde_json::json!({"a": {"b": 3, "c": 0.5}});
        assert_eq!(whole_at(&document, "/a/b"), "3");
        assert_eq!(real_at(&document, "/a/c"), "0.5000");
        assert_eq!(text_at(&document, "/a/d"), "–");
    }
}
