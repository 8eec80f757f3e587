//! Random objects that a schema admits.

use serde_json::{Map, Value, json};

/// A small generator of random numbers (Steele, Lea and Flood, 2014: `SplitMix64`), so that a seed is a whole test case.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).expect("an index below a length fits");
        from[index].clone()
    }
}

/// A value that the schema admits. Optional properties are there or not by chance.
pub fn value(schema: &Value, random: &mut Random) -> Value {
    if schema["x-kubernetes-int-or-string"] == true {
        return if random.below(2) == 0 {
            int32(random)
        } else {
            text(random).into()
        };
    }
    match schema["type"].as_str() {
        _ if super::is_raw(schema) => raw_object(random, 0),
        Some("object") => object(schema, random),
        Some("array") => (0..random.below(3)).map(|_| value(&schema["items"], random)).collect(),
        Some("string") => string(schema, random),
        Some("boolean") => (random.below(2) == 0).into(),
        Some("integer") if schema["format"] == "int32" => int32(random),
        Some("integer") => random.pick(&[json!(0), json!(1), json!(-1), json!(i64::MIN), json!(i64::MAX)]),
        other => panic!("no values for a schema of type {other:?}: {schema}"),
    }
}

fn object(schema: &Value, random: &mut Random) -> Value {
    let mut map = Map::new();
    let required = |name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|list| list.iter().any(|entry| entry == name))
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if required(name) || random.below(2) == 0 {
            map.insert(name.clone(), value(property, random));
        }
    }
    if let Some(below) = schema.get("additionalProperties") {
        for _ in 0..random.below(3) {
            map.insert(text(random), value(below, random));
        }
    }
    Value::Object(map)
}

fn int32(random: &mut Random) -> Value {
    random.pick(&[
        json!(0),
        json!(1),
        json!(-1),
        json!(100),
        json!(i32::MIN),
        json!(i32::MAX),
    ])
}

fn string(schema: &Value, random: &mut Random) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return random.pick(values);
    }
    if schema["format"] == "date-time" {
        let forms = [
            "2026-08-17T09:00:00Z",
            "2026-08-17T09:00:00.123456Z",
            "2026-08-17T09:00:00.000Z",
            "2026-08-17T11:00:00+02:00",
            "1970-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
        ];
        return random.pick(&forms).into();
    }
    text(random).into()
}

fn text(random: &mut Random) -> String {
    let forms = [
        "",
        "a",
        "Running",
        "Stable",
        "0",
        "25%",
        "true",
        "null",
        "{{args.x}}",
        "Größe \u{1f40c}\n\"\\\u{0}",
    ];
    match random.below(3) {
        0 => format!("k{}", random.below(1000)),
        _ => random.pick(&forms).to_owned(),
    }
}

fn raw_object(random: &mut Random, depth: u32) -> Value {
    (0..random.below(4))
        .map(|_| (text(random), raw(random, depth + 1)))
        .collect::<Map<_, _>>()
        .into()
}

fn raw(random: &mut Random, depth: u32) -> Value {
    match random.below(if depth < 4 { 9 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(0.1 + 1.5),
        5 => json!([]),
        6 => text(random).into(),
        7 => (0..random.below(3)).map(|_| raw(random, depth + 1)).collect(),
        _ => raw_object(random, depth),
    }
}
