//! Tensors of the Open Inference Protocol, with their values as they are written: nothing is read that need not be.
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The most dimensions of values: as many as NumPy's arrays have. Each costs a reading of all that is in it.
const DEEPEST: usize = 64;

/// A tensor.
#[derive(Deserialize)]
pub(crate) struct Tensor<'b> {
    /// Its name.
    #[serde(borrow)]
    pub(crate) name: Cow<'b, str>,
    /// The type of its elements.
    #[serde(borrow, default)]
    pub(crate) datatype: Cow<'b, str>,
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

    /// Its elements as JSON, whether they are nested or flat; nothing when they are nested deeper than any tensor.
    pub(crate) fn values(&self) -> Option<Vec<&'b str>> {
        let mut values = Vec::new();
        flatten(self.data, DEEPEST, &mut values)?;
        Some(values)
    }
}

fn flatten<'b>(data: &'b RawValue, depth: usize, into: &mut Vec<&'b str>) -> Option<()> {
    if !data.get().starts_with('[') {
        into.push(data.get());
        return Some(());
    }
    let depth = depth.checked_sub(1)?;
    let values: Vec<&RawValue> = serde_json::from_str(data.get()).ok()?;
    values.into_iter().try_for_each(|value| flatten(value, depth, into))
}
