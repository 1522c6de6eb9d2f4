//! The `data` of a tensor: JSON numbers, booleans or strings, flat or nested like the shape, straight into a vector.
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::tensor::{Data, Datatype};

/// Parses `text` to exactly `count` elements; `shape` has been checked and has that many.
pub(super) fn parse(datatype: Datatype, shape: &[i64], count: usize, text: &str) -> Result<Data, String> {
    Ok(match datatype {
        Datatype::Bool => Data::Bool(elements(datatype, shape, count, text)?),
        Datatype::Uint8 => Data::Uint8(elements(datatype, shape, count, text)?),
        Datatype::Uint16 => Data::Uint16(elements(datatype, shape, count, text)?),
        Datatype::Uint32 => Data::Uint32(elements(datatype, shape, count, text)?),
        Datatype::Uint64 => Data::Uint64(elements(datatype, shape, count, text)?),
        Datatype::Int8 => Data::Int8(elements(datatype, shape, count, text)?),
        Datatype::Int16 => Data::Int16(elements(datatype, shape, count, text)?),
        Datatype::Int32 => Data::Int32(elements(datatype, shape, count, text)?),
        Datatype::Int64 => Data::Int64(elements(datatype, shape, count, text)?),
        Datatype::Fp32 => Data::Fp32(elements(datatype, shape, count, text)?),
        Datatype::Fp64 => Data::Fp64(elements(datatype, shape, count, text)?),
        Datatype::Bytes => Data::Bytes(elements(datatype, shape, count, text)?),
    })
}

fn elements<T: Element>(
    datatype: Datatype,
    shape: &[i64],
    count: usize,
    text: &str,
) -> Result<Vec<T>, String> {
    // Two characters are the least an element takes, so that a lying shape reserves no more than the request's size.
    let mut collector = Collector {
        datatype,
        shape,
        count,
        depth: 0,
        leaf_depth: None,
        values: Vec::with_capacity(count.min(text.len() / 2 + 1)),
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Nested(&mut collector).deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    let Collector { values, .. } = collector;
    if values.len() != count {
        return Err(format!("data has {} elements, shape {shape:?} needs {count}", values.len()));
    }
    Ok(values)
}

struct Collector<'s, T> {
    datatype: Datatype,
    shape: &'s [i64],
    count: usize,
    /// How many arrays enclose the place that is being read.
    depth: usize,
    /// How many arrays enclose the elements: 1 for flat data, the rank for nested data.
    leaf_depth: Option<usize>,
    values: Vec<T>,
}

impl<T> Collector<'_, T> {
    fn push<E: Error>(&mut self, value: Option<T>, found: impl fmt::Display) -> Result<(), E> {
        let Some(value) = value else {
            return Err(E::custom(format!("{found} is not a value of datatype {}", self.datatype)));
        };
        let rank = self.shape.len();
        let leaf_depth = *self.leaf_depth.get_or_insert(self.depth);
        if leaf_depth != self.depth || (leaf_depth != 1 && leaf_depth != rank) {
            return Err(E::custom(format!(
                "data is neither flat nor nested like its shape {:?}; send one flat array",
                self.shape
            )));
        }
        if self.values.len() == self.count {
            return Err(E::custom(format!(
                "data has more elements than the {} of its shape {:?}",
                self.count, self.shape
            )));
        }
        self.values.push(value);
        Ok(())
    }

    /// Checks an array that ended: where data is nested, each array is as long as its dimension.
    fn close<E: Error>(&self, length: usize) -> Result<(), E> {
        let rank = self.shape.len();
        if rank < 2 || self.leaf_depth != Some(rank) {
            return Ok(());
        }
        match self.shape.get(self.depth) {
            Some(size) if usize::try_from(*size) != Ok(length) => Err(E::custom(format!(
                "an array of data has {length} elements where shape {:?} says {size}",
                self.shape
            ))),
            _ => Ok(()),
        }
    }
}

struct Nested<'c, 's, T>(&'c mut Collector<'s, T>);

impl<'de, T: Element> DeserializeSeed<'de> for Nested<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Nested<'_, '_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an array of {} values", self.0.datatype)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let mut length = 0;
        self.0.depth += 1;
        while sequence.next_element_seed(Nested(self.0))?.is_some() {
            length += 1;
        }
        self.0.depth -= 1;
        self.0.close(length)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push(T::from_f64(value), value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.push(T::from_i64(value), value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.push(T::from_u64(value), value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push(T::from_bool(value), value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.push(T::from_str(value), format_args!("the string \"{}\"", super::short(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push(T::from_null(), "null")
    }
}

/// What JSON can become an element; `None` refuses it.
trait Element: Sized {
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_i64(_: i64) -> Option<Self> {
        None
    }
    fn from_u64(_: u64) -> Option<Self> {
        None
    }
    fn from_f64(_: f64) -> Option<Self> {
        None
    }
    fn from_str(_: &str) -> Option<Self> {
        None
    }
    fn from_null() -> Option<Self> {
        None
    }
}

impl Element for bool {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Element for String {
    fn from_str(value: &str) -> Option<Self> {
        Some(value.to_owned())
    }
}

macro_rules! integers {
    ($($integer:ty)+) => {$(
        impl Element for $integer {
            fn from_i64(value: i64) -> Option<Self> {
                value.try_into().ok()
            }
            fn from_u64(value: u64) -> Option<Self> {
                value.try_into().ok()
            }
        }
    )+};
}

integers!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! floats {
    ($($float:ty)+) => {$(
        impl Element for $float {
            fn from_i64(value: i64) -> Option<Self> {
                Some(value as Self)
            }
            fn from_u64(value: u64) -> Option<Self> {
                Some(value as Self)
            }
            fn from_f64(value: f64) -> Option<Self> {
                Some(value as Self).filter(|value| value.is_finite())
            }
            /// The words of protobuf's JSON mapping.
            fn from_str(value: &str) -> Option<Self> {
                match value {
                    "NaN" => Some(Self::NAN),
                    "Infinity" => Some(Self::INFINITY),
                    "-Infinity" => Some(Self::NEG_INFINITY),
                    _ => None,
                }
            }
            /// A missing value, as data frames write it.
            fn from_null() -> Option<Self> {
                Some(Self::NAN)
            }
        }
    )+};
}

floats!(f32 f64);
