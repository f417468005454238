//! The installer's diagnostics (protocol reference, section 4).

use serde_json::Value;

use super::encoding::{Decoded, MOST_ENTRIES, Object, Problem, number, plain};

/// The blocks of counters.
const BLOCKS: [&str; 4] = ["tsData", "tdData", "taData", "tcData"];

/// Decodes the diagnostics to one flat object of counters: the vendor's names in snake case (`cumulatedOpTimeComp` is
/// `cumulated_op_time_comp`), in the order in which they came. A malformed counter is `null`; of two with the same
/// name the first counts.
pub fn decode_diagnostics(response: &Object) -> Decoded {
    let mut decoded = Decoded::default();
    let blocks = BLOCKS.iter().filter_map(|name| Some((*name, response.get("data")?.get(name)?)));
    for (block, value) in blocks {
        let Value::Object(counters) = value else {
            decoded.problems.push(Problem::new(format!("data.{block}"), "expected an object of counters"));
            continue;
        };
        for (key, value) in counters {
            let (name, path) = (snake_case(key), format!("data.{block}.{}", key.escape_debug()));
            if decoded.object.contains_key(&name) {
                decoded.problems.push(Problem::new(path, "a second counter of this name"));
                continue;
            }
            if decoded.object.len() == MOST_ENTRIES {
                decoded.problems.push(Problem::surplus(path));
                return decoded;
            }
            let counter = match number(value) {
                Ok(counter) => plain(counter),
                Err(_) if value.is_null() => Value::Null,
                Err(detail) => {
                    decoded.problems.push(Problem::new(path, detail));
                    Value::Null
                }
            };
            decoded.object.insert(name, counter);
        }
    }
    decoded
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 8);
    let mut after_capital = true;
    for c in name.chars() {
        if c.is_ascii_uppercase() && !after_capital {
            snake.push('_');
        }
        after_capital = c.is_ascii_uppercase();
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(value: Value) -> Decoded {
        decode_diagnostics(value.as_object().unwrap())
    }

    #[test]
    fn the_counters_of_all_blocks_stand_side_by_side() {
        let decoded = decode(json!({"typeOfTD": 1, "data": {
            "tsData": {"cumulatedPwrHp": 123456, "daysSinceInstallation": "300"},
            "tdData": {"numOfdhwUse": 0},
            "taData": {"cumulatedOpTimeComp": 812.0, "cumulatedOpNumUHE": 3},
            "tcData": {},
        }}));
        let expected = json!({"cumulated_pwr_hp": 123456, "days_since_installation": 300, "num_ofdhw_use": 0,
            "cumulated_op_time_comp": 812, "cumulated_op_num_uhe": 3});
        assert_eq!((Value::from(decoded.object), decoded.problems.len()), (expected, 0));
    }

    #[test]
    fn a_bad_counter_costs_itself_and_a_bad_block_only_the_block() {
        let decoded = decode(json!({"data": {"tsData": "0a0b", "taData": {"a": [], "b": 1, "c": null}}}));
        assert_eq!(Value::from(decoded.object), json!({"a": null, "b": 1, "c": null}));
        let keys: Vec<_> = decoded.problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["data.tsData", "data.taData.a"]);
    }

    #[test]
    fn of_two_counters_with_one_name_the_first_counts_and_there_are_at_most_a_thousand() {
        let twice = decode(json!({"data": {"tsData": {"aB": 1}, "tdData": {"aB": 2}}}));
        assert_eq!((Value::from(twice.object), twice.problems.len()), (json!({"a_b": 1}), 1));
        let many: Object = (0..2000).map(|n| (format!("n{n}"), json!(n))).collect();
        let decoded = decode(json!({"data": {"tsData": many}}));
        assert_eq!((decoded.object.len(), decoded.problems.len()), (1000, 1));
    }
}
