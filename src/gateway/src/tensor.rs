//! Tensors of the Open Inference Protocol, with their values as they are written: nothing is read that need not be.
mod plain;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A tensor.
#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Tensor<'b> {
    /// Its name.
    #[serde(borrow)]
    pub(crate) name: Cow<'b, str>,
    /// The type of its elements.
    #[serde(borrow, default)]
    datatype: Cow<'b, str>,
    /// Its dimensions.
    pub(crate) shape: Vec<u64>,
    /// Its elements as JSON, whether they are nested or flat.
    #[serde(borrow, rename = "data", deserialize_with = "values")]
    pub(crate) values: Vec<&'b str>,
}

#[derive(Deserialize)]
struct Request<'b> {
    #[serde(borrow)]
    inputs: Vec<Tensor<'b>>,
}

#[derive(Deserialize)]
struct Answer<'b> {
    #[serde(borrow)]
    outputs: Vec<Tensor<'b>>,
}

impl<'b> Tensor<'b> {
    /// The tensors of a request.
    pub(crate) fn inputs(body: &'b [u8]) -> Option<Vec<Self>> {
        let other = || serde_json::from_slice(body).ok().map(|request: Request<'_>| request.inputs);
        plain::tensors(body, "inputs").or_else(other)
    }

    /// The tensors of an answer.
    pub(crate) fn outputs(body: &'b [u8]) -> Option<Vec<Self>> {
        let other = || serde_json::from_slice(body).ok().map(|answer: Answer<'_>| answer.outputs);
        plain::tensors(body, "outputs").or_else(other)
    }

    /// Whether its type is of numbers with a fraction.
    pub(crate) fn is_float(&self) -> bool {
        self.datatype.starts_with("FP") || self.datatype == "BF16"
    }
}

fn values<'b, D: Deserializer<'b>>(data: D) -> Result<Vec<&'b str>, D::Error> {
    let (data, mut values) = (<&RawValue>::deserialize(data)?, Vec::new());
    flatten(data.get(), &mut values).ok_or_else(|| D::Error::custom("the values of a tensor have no end"))?;
    Ok(values)
}

/// The values of a text that is known to be JSON, whatever the brackets around them.
fn flatten<'b>(data: &'b str, into: &mut Vec<&'b str>) -> Option<()> {
    let bytes = data.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'[' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            b'"' => end_of_text(bytes, at)?,
            b'{' => end_of_object(bytes, at)?,
            _ => {
                let rest = bytes.get(at..)?;
                let ends = |byte: &u8| *byte == b',' || *byte == b']' || *byte <= b' ';
                rest.iter().position(ends).map_or(bytes.len(), |length| at + length)
            }
        };
        into.push(data.get(at..end)?);
        at = end;
    }
    Some(())
}

/// The place behind the text that begins here.
fn end_of_text(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The place behind the object that begins here.
fn end_of_object(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = end_of_text(bytes, at)?;
                continue;
            }
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}
