//! Events as JSON: the list that `aegis privacy --events FILE` reads and the ledger keeps.

use serde_json::{Map, Value, json};

use super::{Event, Mechanism, Relation, Sampling, Unit, refused, strict_json, validate_all};
use crate::error::{Code, Error, Result};

/// More rows than any honest list: rounds are counted, not repeated.
const MOST_ROWS: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;

/// Reads a list of events and validates it. PRIVACY_EVENT names the row and the field.
pub fn parse_events(text: &str) -> Result<Vec<Event>> {
    let rows = read_rows(text)?;
    let events: Vec<Event> = rows
        .into_iter()
        .enumerate()
        .map(|(row, value)| read_event(value).map_err(|error| error.with("row", row)))
        .collect::<Result<_>>()?;
    validate_all(&events)?;
    Ok(events)
}

/// The same for a list whose noise is looked for: rows without a noise multiplier are marked, or all of them if each has one.
pub fn parse_events_to_calibrate(text: &str) -> Result<(Vec<Event>, Vec<bool>)> {
    let mut rows = read_rows(text)?;
    let mut chosen = vec![false; rows.len()];
    for (row, chosen) in rows.iter_mut().zip(&mut chosen) {
        if let Value::Object(fields) = row
            && !fields.contains_key("noise-multiplier")
        {
            fields.insert("noise-multiplier".into(), 1.0.into());
            *chosen = true;
        }
    }
    if !chosen.contains(&true) {
        chosen.fill(true);
    }
    Ok((parse_events(&Value::Array(rows).to_string())?, chosen))
}

fn read_rows(text: &str) -> Result<Vec<Value>> {
    if text.len() > MOST_BYTES {
        return Err(Error::new(Code::PrivacyEvent, "the list of events is too long").with("bytes", text.len()));
    }
    let value = strict_json::parse(text)
        .map_err(|error| Error::new(Code::PrivacyEvent, format!("the list of events is not JSON: {error}")))?;
    let Value::Array(rows) = value else {
        return Err(Error::new(Code::PrivacyEvent, "a list of events is needed: [{\"mechanism\": …}, …]"));
    };
    if rows.len() > MOST_ROWS {
        return Err(Error::new(Code::PrivacyEvent, "the list has too many rows; use count").with("rows", rows.len()));
    }
    Ok(rows)
}

/// The canonical form; [`parse_events`] reads it back to the bit.
pub fn write_events(events: &[Event]) -> String {
    Value::Array(events.iter().map(write_event).collect()).to_string()
}

fn read_event(value: Value) -> Result<Event> {
    let mut fields = Fields::of("event", value)?;
    let mechanism = match fields.text("mechanism")?.as_str() {
        "gaussian" => Mechanism::Gaussian,
        "laplace" => Mechanism::Laplace,
        "discrete-gaussian" => Mechanism::DiscreteGaussian { grid_sigma: fields.optional("grid-sigma", number)? },
        "distributed-discrete-gaussian" => Mechanism::DistributedDiscreteGaussian {
            parties: fields.required("parties", whole)?,
            local_grid_sigma: fields.required("local-grid-sigma", number)?,
            dimension: fields.required("dimension", whole)?,
            l1: fields.required("grid-l1", number)?,
        },
        "skellam" => {
            Mechanism::Skellam { l1: fields.required("grid-l1", number)?, l2: fields.required("grid-l2", number)? }
        }
        "tree" => Mechanism::Tree {
            steps: fields.required("steps", steps)?,
            epochs: fields.optional("epochs", whole)?.unwrap_or(1),
        },
        other => {
            let known = "gaussian, discrete-gaussian, distributed-discrete-gaussian, skellam, laplace or tree";
            return Err(refused("mechanism", format!("must be {known}"), other));
        }
    };
    let relation = match fields.text("relation")?.as_str() {
        "add-or-remove-one" => Relation::AddOrRemoveOne,
        "replace-one" => Relation::ReplaceOne,
        "zero-out" => Relation::ZeroOut,
        other => return Err(refused("relation", "must be add-or-remove-one, replace-one or zero-out", other)),
    };
    let unit = match fields.optional("unit", text)?.as_deref() {
        None | Some("node") => Unit::Node,
        Some("user") => Unit::User,
        Some("example") => Unit::Example,
        Some(other) => return Err(refused("unit", "must be node, user or example", other)),
    };
    let event = Event {
        mechanism,
        noise_multiplier: fields.required("noise-multiplier", number)?,
        sampling: fields.optional("sampling", sampling)?.unwrap_or(Sampling::None),
        relation,
        count: fields.optional("count", whole)?.unwrap_or(1),
        unit,
    };
    fields.end()?;
    Ok(event)
}

fn sampling(field: &str, value: Value) -> Result<Sampling> {
    let mut fields = Fields::of(field, value)?;
    let sampling = match fields.text("kind")?.as_str() {
        "none" => Sampling::None,
        "poisson" => Sampling::Poisson { rate: fields.required("rate", number)? },
        "without-replacement" => Sampling::WithoutReplacement { rate: fields.required("rate", number)? },
        other => return Err(refused("sampling.kind", "must be poisson, without-replacement or none", other)),
    };
    fields.end()?;
    Ok(sampling)
}

fn write_event(event: &Event) -> Value {
    let mut object = Map::new();
    object.insert("mechanism".into(), event.mechanism.name().into());
    object.insert("noise-multiplier".into(), event.noise_multiplier.into());
    match &event.mechanism {
        Mechanism::Gaussian | Mechanism::Laplace | Mechanism::DiscreteGaussian { grid_sigma: None } => {}
        Mechanism::DiscreteGaussian { grid_sigma: Some(sigma) } => {
            object.insert("grid-sigma".into(), (*sigma).into());
        }
        Mechanism::DistributedDiscreteGaussian { parties, local_grid_sigma, dimension, l1 } => {
            object.insert("parties".into(), (*parties).into());
            object.insert("local-grid-sigma".into(), (*local_grid_sigma).into());
            object.insert("dimension".into(), (*dimension).into());
            object.insert("grid-l1".into(), (*l1).into());
        }
        Mechanism::Skellam { l1, l2 } => {
            object.insert("grid-l1".into(), (*l1).into());
            object.insert("grid-l2".into(), (*l2).into());
        }
        Mechanism::Tree { steps, epochs } => {
            object.insert("steps".into(), steps.clone().into());
            object.insert("epochs".into(), (*epochs).into());
        }
    }
    let sampling = match event.sampling {
        Sampling::None => json!({ "kind": "none" }),
        sampled => json!({ "kind": sampled.name(), "rate": sampled.rate() }),
    };
    object.insert("sampling".into(), sampling);
    object.insert("relation".into(), event.relation.name().into());
    object.insert("count".into(), event.count.into());
    object.insert("unit".into(), event.unit.name().into());
    Value::Object(object)
}

/// The fields of one object: each is taken once, and what nobody took is unknown.
struct Fields {
    prefix: String,
    left: Map<String, Value>,
}

impl Fields {
    fn of(name: &str, value: Value) -> Result<Self> {
        match value {
            Value::Object(left) => {
                Ok(Self { prefix: if name == "event" { String::new() } else { format!("{name}.") }, left })
            }
            other => Err(refused(name, "must be an object", kind_of(&other))),
        }
    }

    fn optional<T>(&mut self, name: &str, read: impl Fn(&str, Value) -> Result<T>) -> Result<Option<T>> {
        let field = format!("{}{name}", self.prefix);
        self.left.remove(name).map(|value| read(&field, value)).transpose()
    }

    fn required<T>(&mut self, name: &str, read: impl Fn(&str, Value) -> Result<T>) -> Result<T> {
        self.optional(name, read)?.ok_or_else(|| refused(format!("{}{name}", self.prefix), "is missing", "nothing"))
    }

    fn text(&mut self, name: &str) -> Result<String> {
        self.required(name, text)
    }

    fn end(self) -> Result<()> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(refused(format!("{}{name}", self.prefix), "is not known here", "an unknown field")),
        }
    }
}

fn text(field: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(refused(field, "must be a string", kind_of(&other))),
    }
}

/// Any number, written with or without a decimal point: 1 and 1.0 mean the same.
fn number(field: &str, value: Value) -> Result<f64> {
    match value.as_f64() {
        Some(number) if number.is_finite() => Ok(number),
        _ => Err(refused(field, "must be a number", kind_of(&value))),
    }
}

/// A whole number written as one: 1000.0 and 10.5 are refused alike, since a count that was computed in floating point may be another.
fn whole(field: &str, value: Value) -> Result<u64> {
    value.as_u64().ok_or_else(|| refused(field, "must be a whole number without a decimal point", kind_of(&value)))
}

fn steps(field: &str, value: Value) -> Result<Vec<u64>> {
    match value {
        Value::Array(values) => values.into_iter().map(|value| whole(field, value)).collect(),
        single => Ok(vec![whole(field, single)?]),
    }
}

/// What was found instead; numbers with their value.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
