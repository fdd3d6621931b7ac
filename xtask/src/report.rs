//! Measurements: the lines that a benchmark prints, the report they end in, the table shown to a person.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Result;

/// One line of a benchmark's standard output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    value: f64,
    unit: String,
    #[serde(default)]
    details: Map<String, Value>,
}

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measure {
    value: f64,
    unit: String,
    details: Map<String, Value>,
}

/// All measures by name; what `report.json` holds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Report(BTreeMap<String, Measure>);

impl Report {
    /// Takes in what one benchmark printed. Each line is a measure, whose details gain those of `origin`.
    pub(crate) fn add_output(&mut self, output: &str, origin: &Map<String, Value>) -> Result {
        for (number, text) in output.lines().enumerate() {
            let Line { name, value, unit, mut details } = serde_json::from_str(text)
                .map_err(|error| format!("line {} is no measure ({error}): {text}", number + 1))?;
            details.extend(origin.clone());
            match self.0.entry(name) {
                Slot::Occupied(slot) => return Err(format!("`{}` was measured twice", slot.key()).into()),
                Slot::Vacant(slot) => slot.insert(Measure { value, unit, details }),
            };
        }
        Ok(())
    }

    /// Replaces the measures that `newer` has too, and adds the rest of it.
    pub(crate) fn update(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }

    /// The measures as aligned columns: name, value, unit, spread.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![["name", "value", "unit", "spread"].map(str::to_owned)];
        rows.extend(self.0.iter().map(|(name, measure)| {
            let spread =
                measure.details.get("spread").map(|spread| spread.as_f64().map_or(spread.to_string(), rounded));
            [name.clone(), rounded(measure.value), measure.unit.clone(), spread.unwrap_or_default()]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (names, values, units) = (width(0), width(1), width(2));
        let mut table = String::new();
        for [name, value, unit, spread] in &rows {
            let row = format!("{name:names$}  {value:>values$}  {unit:units$}  {spread}");
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{}", row.trim_end());
        }
        table
    }
}

/// A number with as many places as a reader wants.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin() -> Map<String, Value> {
        Map::from_iter([("commit".to_owned(), json!("abc")), ("tree_clean".to_owned(), json!(true))])
    }

    fn report(output: &str) -> Result<Report> {
        let mut report = Report::default();
        report.add_output(output, &origin()).map(|()| report)
    }

    #[test]
    fn the_report_has_the_measures_at_the_top_and_the_origin_in_each() {
        let report = report(
            "{\"name\":\"b\",\"value\":2,\"unit\":\"ratio\"}\n{\"name\":\"a\",\"value\":1.5,\"unit\":\"ns\",\"details\":{\"rounds\":5}}\n",
        );
        assert_eq!(
            serde_json::to_value(report.expect("readable")).expect("JSON"),
            json!({
                "a": { "value": 1.5, "unit": "ns", "details": { "rounds": 5, "commit": "abc", "tree_clean": true } },
                "b": { "value": 2.0, "unit": "ratio", "details": { "commit": "abc", "tree_clean": true } },
            })
        );
    }

    #[test]
    fn an_unreadable_line_is_named() {
        for line in [
            "warming up",
            "",
            "[]",
            r#"{"name":"a","value":"1","unit":"ns"}"#,
            r#"{"name":"a","value":1}"#,
            r#"{"name":"a","value":null,"unit":"ns"}"#,
            r#"{"name":"a","value":1,"unit":"ns","detials":{}}"#,
            r#"{"name":"a","value":1,"unit":"ns","details":[]}"#,
        ] {
            let output = format!("{{\"name\":\"fine\",\"value\":1,\"unit\":\"ns\"}}\n{line}\n");
            let error = report(&output).expect_err(line).to_string();
            assert!(error.starts_with("line 2 is no measure"), "{error}");
        }
    }

    #[test]
    fn a_name_is_measured_once_a_run() {
        let line = r#"{"name":"a","value":1,"unit":"ns"}"#;
        let error = report(&format!("{line}\n{line}\n")).expect_err("twice").to_string();
        assert_eq!(error, "`a` was measured twice");
    }

    #[test]
    fn a_newer_report_replaces_only_what_it_measured() {
        let line = |name: &str, value: f64| json!({ "name": name, "value": value, "unit": "ns" }).to_string();
        let mut older = report(&[line("a", 1.0), line("b", 2.0)].join("\n")).expect("readable");
        older.update(report(&[line("b", 3.0), line("c", 4.0)].join("\n")).expect("readable"));
        let expected = report(&[line("a", 1.0), line("b", 3.0), line("c", 4.0)].join("\n")).expect("readable");
        assert_eq!(older, expected);
    }

    #[test]
    fn the_table_is_aligned_and_shows_the_spread() {
        let report = report(concat!(
            r#"{"name":"core.parse_ns","value":41.26,"unit":"ns","details":{"spread":0.0312}}"#,
            "\n",
            r#"{"name":"m","value":12345.6,"unit":"bytes","details":{"spread":"5 %"}}"#,
            "\n",
        ));
        let expected = "\
name           value  unit   spread
core.parse_ns   41.3  ns     0.031
m              12346  bytes  \"5 %\"
";
        assert_eq!(report.expect("readable").table(), expected);
    }
}
