//! Kubernetes objects are JSON objects. Derived code also takes a list of the fields' values for one, and an empty list for
//! an object of defaults, to which no patch would fit.

use serde::{
    de::{Deserialize, Deserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};
use std::fmt;

/// Reads a struct from an object alone.
struct Object<D>(D);

/// Passes on an object, and nothing else.
struct Fields<V>(V);

/// Makes the named types readable, through the derived code that `#[serde(remote = "Self")]` leaves as a function.
macro_rules! objects {
    ($($name:ident $(<$life:lifetime>)?),+) => {$(
        impl<'de $(: $life, $life)?> Deserialize<'de> for super::$name $(<$life>)? {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::deserialize(Object(from))
            }
        }
    )+};
}

objects!(
    Pod<'a>,
    Metadata<'a>,
    Spec<'a>,
    Reference<'a>,
    Os<'a>,
    NodeSelector<'a>,
    Container<'a>,
    Mount<'a>,
    Port,
    SecurityContext,
    Volume<'a>,
    Projected<'a>,
    Source<'a>,
    TokenSource<'a>,
    Variable<'a>
);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_map(Fields(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Fields<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        self.0.visit_map(map)
    }
}
