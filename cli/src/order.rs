//! Puts a patched object back into the order in which its author wrote it.

use serde_json::Value as Json;
use serde_norway::{Mapping, Value as Yaml};

/// `patched` with the order and the spelling of `original`: what is the same is taken from there, members that are new
/// follow, a new object's name first.
pub(crate) fn like(original: &Yaml, patched: Json) -> Yaml {
    if serde_json::to_value(original).is_ok_and(|same| same == patched) {
        return original.clone();
    }
    match (original, patched) {
        (Yaml::Mapping(members), Json::Object(mut patched)) => {
            let mut ordered = Mapping::with_capacity(patched.len());
            for (key, member) in members {
                if let Some(value) = key.as_str().and_then(|name| patched.remove(name)) {
                    ordered.insert(key.clone(), like(member, value));
                }
            }
            append(&mut ordered, patched);
            Yaml::Mapping(ordered)
        }
        (Yaml::Sequence(items), Json::Array(patched)) => {
            let grown = patched.len() != items.len();
            let mut left: Vec<&Yaml> = items.iter().collect();
            let ordered = patched.into_iter().map(|value| {
                let twin = if grown { left.iter().position(|item| is_twin(item, &value)) } else { Some(0) };
                let item = twin.map_or(&Yaml::Null, |index| left.remove(index));
                like(item, value)
            });
            ordered.collect()
        }
        (_, Json::Object(members)) => {
            let mut ordered = Mapping::with_capacity(members.len());
            append(&mut ordered, members);
            Yaml::Mapping(ordered)
        }
        (_, Json::Array(items)) => items.into_iter().map(|item| like(&Yaml::Null, item)).collect(),
        (_, Json::String(text)) => Yaml::String(text),
        (_, Json::Bool(value)) => Yaml::Bool(value),
        (_, Json::Null) => Yaml::Null,
        (_, Json::Number(number)) => serde_norway::to_value(number).unwrap_or_default(),
    }
}

/// Containers, volumes and variables move when something is put before them; their names stay.
fn is_twin(item: &Yaml, value: &Json) -> bool {
    match (item.get("name").and_then(Yaml::as_str), value.get("name")) {
        (Some(old), Some(new)) => new.as_str() == Some(old),
        (None, None) => serde_json::to_value(item).is_ok_and(|same| same == *value),
        _ => false,
    }
}

fn append(ordered: &mut Mapping, mut members: serde_json::Map<String, Json>) {
    let name = members.remove_entry("name");
    for (key, value) in name.into_iter().chain(members) {
        ordered.insert(key.into(), like(&Yaml::Null, value));
    }
}
