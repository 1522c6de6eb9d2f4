//! Tensors of the Open Inference Protocol, with their values as they are written: nothing is read that need not be.
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A tensor.
#[derive(Deserialize)]
pub(crate) struct Tensor<'b> {
    /// Its name.
    #[serde(borrow)]
    pub(crate) name: Cow<'b, str>,
    /// The type of its elements.
    #[serde(borrow, default)]
    datatype: Cow<'b, str>,
    /// Its dimensions.
    pub(crate) shape: Vec<u64>,
    #[serde(borrow)]
    data: &'b RawValue,
}

impl<'b> Tensor<'b> {
    /// The tensors of a request.
    pub(crate) fn inputs(body: &'b [u8]) -> Option<Vec<Self>> {
        #[derive(Deserialize)]
        struct Request<'b> {
            #[serde(borrow)]
            inputs: Vec<Tensor<'b>>,
        }
        Some(serde_json::from_slice::<Request>(body).ok()?.inputs)
    }

    /// The tensors of an answer.
    pub(crate) fn outputs(body: &'b [u8]) -> Option<Vec<Self>> {
        #[derive(Deserialize)]
        struct Answer<'b> {
            #[serde(borrow)]
            outputs: Vec<Tensor<'b>>,
        }
        Some(serde_json::from_slice::<Answer>(body).ok()?.outputs)
    }

    /// Whether its type is of numbers with a fraction.
    pub(crate) fn is_float(&self) -> bool {
        self.datatype.starts_with("FP") || self.datatype == "BF16"
    }

    /// Its elements as JSON, whether they are nested or flat.
    pub(crate) fn values(&self) -> Option<Vec<&'b str>> {
        let mut values = Vec::new();
        flatten(self.data.get(), &mut values)?;
        Some(values)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_out_as_they_are_written() {
        let cut = |text: &'static str| {
            let body = format!(r#"{{"inputs":[{{"name":"x","shape":[1],"data":{text}}}]}}"#);
            let tensors = Tensor::inputs(body.as_bytes()).unwrap();
            tensors[0].values().unwrap().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(cut("[ [1, -2.5e3] ,\n[null,true] ]"), ["1", "-2.5e3", "null", "true"]);
        assert_eq!(cut(r#"["a,]", "\\\"[", "", "é"]"#), [r#""a,]""#, r#""\\\"[""#, r#""""#, r#""é""#]);
        assert_eq!(cut(r#"[{"a": [1, "}"], "b": {}}, {}]"#), [r#"{"a": [1, "}"], "b": {}}"#, "{}"]);
        assert_eq!(cut("7"), ["7"]);
        assert_eq!(cut("[[], [ ]]"), [""; 0]);
    }
}
